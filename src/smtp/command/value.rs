//! The values of ESMTP parameters, each by the grammar of its extension.

use std::borrow::Cow;
use std::str::Utf8Error;

use crate::smtp::command::octets::Octets;
use crate::smtp::command::parameters::Parameters;

/// Longest ENVID in octets (RFC 3461 section 4.4).
const MAX_ENVID: usize = 100;
/// Longest ORCPT in octets (RFC 3461 section 4.2).
const MAX_ORCPT: usize = 500;

/// The content of a message's lines, as declared in MAIL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Body {
    /// `BODY=7BIT` (RFC 6152).
    SevenBit,
    /// `BODY=8BITMIME`.
    EightBitMime,
    /// `BODY=BINARYMIME` (RFC 3030).
    BinaryMime,
}

impl Body {
    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        let is = |word: &[u8]| value.eq_ignore_ascii_case(word);
        match value.len() {
            4 if is(b"7BIT") => Some(Self::SevenBit),
            8 if is(b"8BITMIME") => Some(Self::EightBitMime),
            10 if is(b"BINARYMIME") => Some(Self::BinaryMime),
            _ => None,
        }
    }
}

/// How much of a message its notifications return (RFC 3461 section 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ret {
    /// `RET=FULL`.
    Full,
    /// `RET=HDRS`.
    Headers,
}

/// Which events of a recipient's delivery are reported (RFC 3461 section 4.1). None: `NOTIFY=NEVER`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notify {
    /// The message was delivered.
    pub success: bool,
    /// Delivery has failed.
    pub failure: bool,
    /// Delivery is delayed.
    pub delay: bool,
}

impl Notify {
    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        if value.eq_ignore_ascii_case(b"NEVER") {
            return Some(Self::default());
        }
        value.split(|&octet| octet == b',').try_fold(Self::default(), |notify, word| {
            match &*word.to_ascii_uppercase() {
                b"SUCCESS" => Some(Self { success: true, ..notify }),
                b"FAILURE" => Some(Self { failure: true, ..notify }),
                b"DELAY" => Some(Self { delay: true, ..notify }),
                _ => None,
            }
        })
    }
}

/// The recipient as originally specified by the sender (RFC 3461 section 4.2).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OriginalRecipient<'a> {
    /// The type of the address, like `rfc822`.
    pub address_type: &'a str,
    /// The address, encoded.
    address: &'a [u8],
}

impl std::fmt::Debug for OriginalRecipient<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { address_type, address } = self;
        f.debug_struct("OriginalRecipient")
            .field("address_type", address_type)
            .field("address", &Octets(address))
            .finish()
    }
}

impl<'a> OriginalRecipient<'a> {
    pub(super) fn parse(value: &'a [u8]) -> Option<Self> {
        let semicolon = memchr::memchr(b';', value).filter(|_| value.len() <= MAX_ORCPT)?;
        let (address_type, address) = (&value[..semicolon], &value[semicolon + 1..]);
        let is_type = !address_type.is_empty() && address_type.iter().all(|&octet| is_atext(octet));
        let address_type = std::str::from_utf8(address_type).ok().filter(|_| is_type)?;
        let recipient = Self { address_type, address };
        recipient.decode().map(|_| recipient)
    }

    /// The address, decoded.
    pub fn address(&self) -> Cow<'a, [u8]> {
        self.decode().unwrap_or(Cow::Borrowed(self.address))
    }

    /// Addresses in UTF-8 have a separate encoding (RFC 6533 section 3).
    fn decode(&self) -> Option<Cow<'a, [u8]>> {
        let is_utf8 = self.address_type.eq_ignore_ascii_case("utf-8");
        if self.address.is_empty() {
            return None;
        }
        if is_utf8 { decode_utf8(self.address).map(Cow::Owned) } else { decode_xtext(self.address) }
    }

    /// It contains nothing that requires SMTPUTF8.
    pub(super) fn is_ascii(&self) -> bool {
        self.address.is_ascii()
    }
}

/// `atext` (RFC 5322 section 3.2.3), the alphabet of `addr-type`.
fn is_atext(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&octet)
}

/// Decodes `xtext` (RFC 3461 section 4): visible ASCII characters except `+` and `=`, and octets as `+` and two capital
/// hexadecimal digits. `None` if invalid.
///
/// ```
/// use smtpmock::smtp::decode_xtext;
///
/// assert_eq!(decode_xtext(b"ann+2Bwork@x").as_deref(), Some(&b"ann+work@x"[..]));
/// assert_eq!(decode_xtext(b"ann+work@x"), None);
/// ```
pub fn decode_xtext(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    let is_plain = |octet: &u8| octet.is_ascii_graphic() && !matches!(octet, b'+' | b'=');
    if text.iter().all(is_plain) {
        return Some(text.into());
    }
    let (mut decoded, mut rest) = (Vec::with_capacity(text.len()), text);
    while let Some((octet, behind)) = rest.split_first() {
        let (octet, behind) = match (octet, behind) {
            (b'+', &[high, low, ref behind @ ..]) => (hex_digit(high)? << 4 | hex_digit(low)?, behind),
            (octet, behind) if is_plain(octet) => (*octet, behind),
            _ => return None,
        };
        decoded.push(octet);
        rest = behind;
    }
    Some(decoded.into())
}

/// A capital hexadecimal digit.
fn hex_digit(octet: u8) -> Option<u8> {
    match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'A'..=b'F' => Some(octet - b'A' + 10),
        _ => None,
    }
}

/// Decodes an address of the type `utf-8`: visible characters except `+`, `=` and `\`, and any character as `\x{…}`
/// with its number (RFC 6533 section 3).
fn decode_utf8(text: &[u8]) -> Option<Vec<u8>> {
    let text: Result<&str, Utf8Error> = std::str::from_utf8(text);
    let (mut decoded, mut rest) = (String::new(), text.ok()?);
    while let Some(c) = rest.chars().next() {
        let behind = &rest[c.len_utf8()..];
        let (c, behind) = match c {
            '\\' => {
                let (digits, behind) = behind.strip_prefix("x{")?.split_once('}')?;
                let is_number =
                    (2..=6).contains(&digits.len()) && digits.bytes().all(|octet| hex_digit(octet).is_some());
                let number = u32::from_str_radix(digits, 16).ok().filter(|_| is_number)?;
                (char::from_u32(number)?, behind)
            }
            '+' | '=' => return None,
            c if c.is_ascii_graphic() || !c.is_ascii() => (c, behind),
            _ => return None,
        };
        decoded.push(c);
        rest = behind;
    }
    Some(decoded.into_bytes())
}

pub(super) fn is_envid(value: &[u8]) -> bool {
    value.len() <= MAX_ENVID && decode_xtext(value).is_some()
}

/// The value of AUTH= (RFC 4954 section 5).
pub(super) fn is_auth(value: &[u8]) -> bool {
    decode_xtext(value).is_some()
}

/// The values of valid parameters; `None` if absent or invalid.
impl<'a> Parameters<'a> {
    /// SIZE: the size of the message in octets, as declared by the client (RFC 1870).
    pub fn size(self) -> Option<u64> {
        self.value("SIZE").and_then(number_of_size)
    }

    /// BODY.
    pub fn body(self) -> Option<Body> {
        self.value("BODY").and_then(Body::parse)
    }

    /// SMTPUTF8 is present.
    pub fn has_smtputf8(self) -> bool {
        self.iter().any(|parameter| parameter.is_called(b"SMTPUTF8"))
    }

    /// RET.
    pub fn ret(self) -> Option<Ret> {
        match &*self.value("RET")?.to_ascii_uppercase() {
            b"FULL" => Some(Ret::Full),
            b"HDRS" => Some(Ret::Headers),
            _ => None,
        }
    }

    /// ENVID, decoded.
    pub fn envid(self) -> Option<Cow<'a, [u8]>> {
        self.value("ENVID").filter(|value| is_envid(value)).and_then(decode_xtext)
    }

    /// NOTIFY.
    pub fn notify(self) -> Option<Notify> {
        self.value("NOTIFY").and_then(Notify::parse)
    }

    /// ORCPT.
    pub fn original_recipient(self) -> Option<OriginalRecipient<'a>> {
        self.value("ORCPT").and_then(OriginalRecipient::parse)
    }
}

/// Up to 20 digits (RFC 1870 section 4).
pub(super) fn is_size(value: &[u8]) -> bool {
    (1..=20).contains(&value.len()) && value.iter().all(u8::is_ascii_digit)
}

/// `None` if invalid. Any 20 digits are valid, even beyond `u64`.
pub(super) fn number_of_size(value: &[u8]) -> Option<u64> {
    let add = |number: u64, digit: &u8| number.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    is_size(value).then(|| value.iter().fold(0, add))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A naive oracle: RFC 3461 octet by octet.
    fn naive_xtext(text: &str) -> Option<Vec<u8>> {
        let mut rest: Vec<char> = text.chars().rev().collect();
        let mut decoded = Vec::new();
        while let Some(c) = rest.pop() {
            match c {
                '+' => {
                    let number: String = [rest.pop()?, rest.pop()?].into_iter().collect();
                    if number.to_uppercase() != number || number.contains(['+', '-']) {
                        return None;
                    }
                    decoded.push(u8::from_str_radix(&number, 16).ok()?);
                }
                '=' => return None,
                '!'..='~' => decoded.push(c as u8),
                _ => return None,
            }
        }
        Some(decoded)
    }

    proptest! {
        #[test]
        fn xtext_is_decoded_as_defined(text in r"([ -~]|\+[0-9A-Fa-f]{0,2}|é|\t){0,12}") {
            let decoded = decode_xtext(text.as_bytes()).map(Cow::into_owned);
            prop_assert_eq!(decoded, naive_xtext(&text));
        }

        #[test]
        fn any_octets_come_back_from_xtext(octets in prop::collection::vec(any::<u8>(), 0..40)) {
            let encode = |octet: &u8| match octet {
                b'+' | b'=' => format!("+{octet:02X}"),
                b'!'..=b'~' => char::from(*octet).to_string(),
                octet => format!("+{octet:02X}"),
            };
            let encoded: String = octets.iter().map(encode).collect();
            let decoded = decode_xtext(encoded.as_bytes()).map(Cow::into_owned);
            prop_assert_eq!(decoded, Some(octets), "{}", encoded);
        }

        #[test]
        fn any_text_comes_back_from_an_address_in_utf_8(text in r"[!-~é€𝄞]{1,20}") {
            let encode = |c: char| match c {
                '+' | '=' | '\\' => format!("\\x{{{:02X}}}", u32::from(c)),
                'é' => "\\x{E9}".to_owned(),
                c => c.to_string(),
            };
            let value = format!("UTF-8;{}", text.chars().map(encode).collect::<String>());
            let parsed = OriginalRecipient::parse(value.as_bytes()).map(|recipient| recipient.address().into_owned());
            prop_assert_eq!(parsed, Some(text.into_bytes()), "{}", value);
        }
    }

    #[test]
    fn notify_is_never_or_a_list() {
        let of = |success, failure, delay| Some(Notify { success, failure, delay });
        for (value, notify) in [
            ("NEVER", of(false, false, false)),
            ("never", of(false, false, false)),
            ("SUCCESS", of(true, false, false)),
            ("Delay,failure", of(false, true, true)),
            ("SUCCESS,FAILURE,DELAY", of(true, true, true)),
            ("NEVER,SUCCESS", None),
            ("SUCCESS,NEVER", None),
            ("SUCCESS,", None),
            (",", None),
            ("", None),
            ("SUCCES", None),
            ("SUCCESS;DELAY", None),
        ] {
            assert_eq!(Notify::parse(value.as_bytes()), notify, "{value}");
        }
    }

    #[test]
    fn original_recipients_have_a_type_and_an_encoded_address() {
        for (value, address) in [
            ("rfc822;bob@example.com", Some("bob@example.com")),
            ("RFC822;bob+2Bx@example.com", Some("bob+x@example.com")),
            ("x-my.type;a", None),
            ("x400;/G=a", None),
            ("x400;/G+3Da", Some("/G=a")),
            ("utf-8;\\x{FC}@example.com", Some("ü@example.com")),
            ("utf-8;ü@example.com", Some("ü@example.com")),
            ("utf-8;\\x{D800}", None),
            ("utf-8;\\x{fc}", None),
            ("utf-8;\\x{C}", None),
            ("utf-8;a+2B", None),
            ("rfc822;ü", None),
            ("rfc822;", None),
            ("rfc822", None),
            (";a", None),
            ("a b;c", None),
            ("rfc822;bob+", None),
            ("rfc822;bob+2", None),
            ("rfc822;bob+2b", None),
        ] {
            let parsed = OriginalRecipient::parse(value.as_bytes());
            let parsed = parsed.map(|recipient| String::from_utf8(recipient.address().into_owned()).unwrap());
            assert_eq!(parsed.as_deref(), address, "{value}");
        }
        let of_length = |length: usize| format!("rfc822;{}", "a".repeat(length - 7));
        assert!(OriginalRecipient::parse(of_length(MAX_ORCPT).as_bytes()).is_some());
        assert!(OriginalRecipient::parse(of_length(MAX_ORCPT + 1).as_bytes()).is_none());
    }

    #[test]
    fn envelope_identifiers_and_sizes_have_bounds() {
        assert!(is_envid(&[b'a'; MAX_ENVID]) && !is_envid(&[b'a'; MAX_ENVID + 1]));
        let size = |value: &str| {
            let line = format!("MAIL FROM:<> SIZE={value}");
            Parameters::split_off(line.as_bytes(), |_| true).1.size()
        };
        assert_eq!(size("0"), Some(0));
        assert_eq!(size("18446744073709551615"), Some(u64::MAX));
        assert_eq!(size("99999999999999999999"), Some(u64::MAX));
        for wrong in ["", "-1", "+1", "1k", "100000000000000000000"] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
    }
}
