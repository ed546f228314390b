//! The service extensions in the server's own reply to EHLO.

use std::fmt;
use std::str::FromStr;

use super::grammar::{Fault, GrammarError};

const A_LIST: &str =
    "extensions separated by commas, like PIPELINING,SIZE, or all but some, like -DSN,-SIZE, or none";

/// A service extension that the server can offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Extension {
    /// PIPELINING (RFC 2920).
    Pipelining,
    /// SIZE (RFC 1870), with the size limit.
    Size,
    /// 8BITMIME (RFC 6152).
    EightBitMime,
    /// SMTPUTF8 (RFC 6531).
    SmtpUtf8,
    /// DSN (RFC 3461).
    Dsn,
    /// ENHANCEDSTATUSCODES (RFC 2034): the server's default texts have enhanced codes.
    EnhancedStatusCodes,
    /// CHUNKING (RFC 3030): BDAT.
    Chunking,
    /// BINARYMIME (RFC 3030). It needs CHUNKING: otherwise it is offered only if a list names it.
    BinaryMime,
    /// LIMITS (RFC 9422), with the limits on recipients and messages.
    Limits,
    /// AUTH (RFC 4954), with the mechanisms, if anybody can authenticate.
    Auth,
    /// STARTTLS (RFC 3207), before TLS, if TLS is available.
    Starttls,
}

impl Extension {
    /// All extensions, in the order in which they are offered.
    pub const ALL: &'static [Self] = &[
        Self::Pipelining,
        Self::Size,
        Self::EightBitMime,
        Self::SmtpUtf8,
        Self::Dsn,
        Self::EnhancedStatusCodes,
        Self::Chunking,
        Self::BinaryMime,
        Self::Limits,
        Self::Auth,
        Self::Starttls,
    ];

    /// Its keyword in the reply to EHLO.
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Pipelining => "PIPELINING",
            Self::Size => "SIZE",
            Self::EightBitMime => "8BITMIME",
            Self::SmtpUtf8 => "SMTPUTF8",
            Self::Dsn => "DSN",
            Self::EnhancedStatusCodes => "ENHANCEDSTATUSCODES",
            Self::Chunking => "CHUNKING",
            Self::BinaryMime => "BINARYMIME",
            Self::Limits => "LIMITS",
            Self::Auth => "AUTH",
            Self::Starttls => "STARTTLS",
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

const _: () = assert!(Extension::ALL.len() <= u16::BITS as usize);

/// The offered extensions: a list, or the default set without some. The default set is [`Extension::ALL`], without
/// LIMITS if no limit is set, without AUTH if nobody can authenticate, and without STARTTLS within TLS or if TLS is not
/// available.
///
/// ```
/// use smtpmock::smtp::rules::{Extension, Offer};
///
/// let two = Offer::only([Extension::Size, Extension::Pipelining]);
/// assert_eq!("size, PIPELINING".parse(), Ok(two));
/// assert_eq!("-DSN".parse(), Ok(Offer::without([Extension::Dsn])));
/// assert_eq!("none".parse(), Ok(Offer::only([])));
/// assert_eq!(two.to_string(), "PIPELINING,SIZE");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Offer {
    /// The listed extensions are the offered ones; otherwise they are the omitted ones.
    is_exact: bool,
    /// The listed extensions, one bit for each.
    listed: u16,
}

impl Offer {
    /// Offers only these.
    pub fn only(extensions: impl IntoIterator<Item = Extension>) -> Self {
        Self { is_exact: true, ..Self::without(extensions) }
    }

    /// Offers the default set without these.
    pub fn without(extensions: impl IntoIterator<Item = Extension>) -> Self {
        let listed = extensions.into_iter().fold(0, |bits, extension| bits | extension.bit());
        Self { is_exact: false, listed }
    }

    /// It explicitly lists the extension as offered.
    pub(crate) fn names(self, extension: Extension) -> bool {
        self.is_exact && self.listed & extension.bit() != 0
    }

    /// Whether the extension is offered; `None` if that depends on whether it has a value to announce.
    pub(crate) fn includes(self, extension: Extension) -> Option<bool> {
        let is_listed = self.listed & extension.bit() != 0;
        match (self.is_exact, is_listed, extension) {
            (false, false, Extension::Limits) => None,
            // Binary messages require BDAT (RFC 3030 section 3).
            (false, _, Extension::BinaryMime) => {
                let without_both = Extension::Chunking.bit() | Extension::BinaryMime.bit();
                Some(self.listed & without_both == 0)
            }
            (is_exact, is_listed, _) => Some(is_exact == is_listed),
        }
    }
}

impl FromStr for Offer {
    type Err = GrammarError;

    fn from_str(text: &str) -> Result<Self, GrammarError> {
        let nothing = Self::only([]);
        match text.trim() {
            word if word.eq_ignore_ascii_case("none") => return Ok(nothing),
            "" => return Err(GrammarError::expected(text, 0..text.len(), A_LIST)),
            _ => {}
        }
        let mut listed: Option<Self> = None;
        let mut end = 0;
        for entry in text.split(',') {
            let start = end + (entry.len() - entry.trim_start().len());
            let (entry, span) = (entry.trim(), start..start + entry.trim().len());
            end += text[end..].find(',').map_or(0, |comma| comma + 1);
            let name = entry.strip_prefix('-');
            let is_exact = name.is_none();
            let name = name.unwrap_or(entry);
            let known = Extension::ALL.iter().find(|known| known.keyword().eq_ignore_ascii_case(name));
            let Some(extension) = known else {
                let keywords: Vec<_> = Extension::ALL.iter().map(|known| known.keyword()).collect();
                let fault = Fault::unknown("extension", name, &keywords);
                return Err(GrammarError::new(text, span, fault));
            };
            let before = listed.unwrap_or(Self { is_exact, listed: 0 });
            if before.is_exact != is_exact {
                let expected = "either the extensions that are offered, or with - those that are not";
                return Err(GrammarError::expected(text, span, expected));
            }
            listed = Some(Self { is_exact, listed: before.listed | extension.bit() });
        }
        Ok(listed.unwrap_or(nothing))
    }
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { is_exact, listed } = *self;
        if is_exact && listed == 0 {
            return f.write_str("none");
        }
        let sign = if is_exact { "" } else { "-" };
        let named = Extension::ALL.iter().filter(|extension| listed & extension.bit() != 0);
        for (index, extension) in named.enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{sign}{}", extension.keyword())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_list_parses_to_the_same_list() {
        for bits in 0..1_u16 << Extension::ALL.len() {
            let of_bits = || Extension::ALL.iter().copied().filter(|one| bits & one.bit() != 0);
            for offer in [Offer::only(of_bits()), Offer::without(of_bits())] {
                let text = offer.to_string();
                match text.as_str() {
                    "" => assert_eq!(offer, Offer::default()),
                    _ => assert_eq!(text.to_lowercase().parse(), Ok(offer), "{text}"),
                }
                for &one in Extension::ALL {
                    let is_named = of_bits().any(|named| named == one);
                    let is_left_open = !offer.is_exact && !is_named && one == Extension::Limits;
                    let is_taken_along = !offer.is_exact
                        && one == Extension::BinaryMime
                        && of_bits().any(|named| named == Extension::Chunking);
                    let is_offered = is_named == offer.is_exact && !is_taken_along;
                    let expected = (!is_left_open).then_some(is_offered);
                    assert_eq!(offer.includes(one), expected, "{text}: {one:?}");
                }
            }
        }
    }

    #[test]
    fn an_invalid_list_is_refused_with_the_place_of_the_fault() {
        for (text, reason, marked) in [
            ("", "separated by commas", ""),
            ("SIZE,DNS", "unknown extension \"DNS\": did you mean DSN?", "DNS"),
            ("SIZE, ZEBRA", "expected one of PIPELINING, SIZE", "ZEBRA"),
            ("SIZE,-DSN", "either the extensions that are offered", "-DSN"),
            ("-DSN,SIZE", "either the extensions that are offered", "SIZE"),
            ("SIZE,,DSN", "unknown extension \"\"", ""),
            ("SIZE 100", "unknown extension", "SIZE 100"),
        ] {
            let error = text.parse::<Offer>().expect_err(text);
            assert!(error.to_string().contains(reason), "{text}: {error}");
            assert_eq!(&text[error.span()], marked, "{text}");
        }
    }
}
