//! The code of a refusal: the reply code, and the enhanced status code behind it (RFC 2034, RFC 3463).

use std::fmt;
use std::num::NonZeroU8;
use std::str::FromStr;

/// An enhanced status code of a failure, like `5.1.1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Enhanced {
    /// 4 or 5, like the reply code; never zero, so that a [`Reply`] fits a register.
    class: NonZeroU8,
    /// Three digits at most.
    subject: u16,
    detail: u16,
}

impl Enhanced {
    /// Reads the code at the beginning of the text of a reply; `None` where there is none, or one of another class
    /// than the reply (RFC 2034 section 4).
    #[cold]
    pub(crate) fn of(code: u16, text: &[u8]) -> Option<Enhanced> {
        let end = text.iter().position(|byte| *byte == b' ').unwrap_or(text.len());
        let found: Enhanced = std::str::from_utf8(&text[..end]).ok()?.parse().ok()?;
        (u16::from(found.class()) == code / 100).then_some(found)
    }

    pub(crate) fn class(self) -> u8 {
        self.class.get()
    }
}

impl fmt::Display for Enhanced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

impl FromStr for Enhanced {
    type Err = NotEnhanced;

    fn from_str(text: &str) -> Result<Enhanced, NotEnhanced> {
        let part = |text: Option<&str>| {
            let text = text.ok_or(NotEnhanced)?;
            let is_number = (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
            if is_number { text.parse().map_err(|_| NotEnhanced) } else { Err(NotEnhanced) }
        };
        let mut parts = text.splitn(3, '.');
        let class = match parts.next() {
            Some("4") => const { NonZeroU8::new(4).unwrap() },
            Some("5") => const { NonZeroU8::new(5).unwrap() },
            _ => return Err(NotEnhanced),
        };
        Ok(Enhanced { class, subject: part(parts.next())?, detail: part(parts.next())? })
    }
}

/// A text that is no enhanced status code of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotEnhanced;

impl fmt::Display for NotEnhanced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no enhanced status code of a refusal, like 4.2.1 or 5.1.1")
    }
}

impl std::error::Error for NotEnhanced {}

/// The codes of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    /// Of a refusal, where the server sends one.
    pub(crate) enhanced: Option<Enhanced>,
}

const _: () = assert!(size_of::<Reply>() == 8, "it is passed on with every reply");

impl Reply {
    /// The codes of a reply with this last line.
    #[inline]
    pub(crate) fn of(code: u16, text: &[u8]) -> Reply {
        Reply { code, enhanced: if code < 400 { None } else { Enhanced::of(code, text) } }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        self.enhanced.map_or(Ok(()), |enhanced| write!(f, " {enhanced}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_enhanced_code_begins_the_text_and_is_of_the_replys_class() {
        let of = |code, text: &str| Reply::of(code, text.as_bytes()).to_string();
        assert_eq!(of(550, "5.1.1 no such user"), "550 5.1.1");
        assert_eq!(of(450, "4.7.25"), "450 4.7.25");
        assert_eq!(of(550, "5.001.010 x"), "550 5.1.10");
        for text in [
            "",
            "4.1.1 of another class",
            "no 5.1.1",
            "5.1",
            "5.1.1.1 x",
            "5.1.1234",
            "5..1",
            "5.+1.1",
            " 5.1.1",
        ] {
            assert_eq!(of(550, text), "550", "{text}");
        }
        assert_eq!(of(250, "2.1.5 fine"), "250", "of refusals only");
    }
}
