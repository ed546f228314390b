//! From octets to text: the charsets and transfer encodings of header fields and text parts.
//!
//! They are written out here because the crates that decode them bring six to eighteen others, most of them for
//! charsets that few senders use; base64, the only part of any size, is a dependency already.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Senders are not all exact.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Charsets that are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charset {
    /// And US-ASCII, which is a part of it.
    Utf8,
    /// And ISO-8859-1: where they differ, the latter has control characters that no sender means.
    Windows1252,
}

/// Windows-1252 from 0x80 to 0x9F; what it leaves open is what ISO-8859-1 has there.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}',
    '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

impl Charset {
    /// That of this name, if it is decoded.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        let is = |names: &[&str]| names.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()));
        if is(&["utf-8", "utf8", "us-ascii", "ascii"]) {
            Some(Self::Utf8)
        } else if is(&["iso-8859-1", "latin1", "windows-1252", "cp1252"]) {
            Some(Self::Windows1252)
        } else {
            None
        }
    }

    /// Appends the text of these octets.
    pub(super) fn decode(self, octets: &[u8], text: &mut String) {
        match self {
            Self::Utf8 => text.push_str(&String::from_utf8_lossy(octets)),
            Self::Windows1252 => text.extend(octets.iter().map(|octet| match octet {
                0x80..=0x9f => WINDOWS_1252[usize::from(octet - 0x80)],
                _ => char::from(*octet),
            })),
        }
    }
}

/// `None` where it is no base64.
pub(super) fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

/// Where an octet was quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quoted {
    /// In an encoded word: `_` stands for a space (RFC 2047 section 4.2).
    Word,
    /// In a body: `=` at the end of a line joins it to the next (RFC 2045 section 6.7).
    Body,
}

/// What is no quoted octet stays.
pub(super) fn unquoted(text: &[u8], place: Quoted) -> Vec<u8> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, behind @ ..] = rest {
        rest = behind;
        match (first, place) {
            (b'_', Quoted::Word) => octets.push(b' '),
            (b'=', _) => {
                let joined = behind.strip_prefix(b"\r\n").or(behind.strip_prefix(b"\n"));
                if let Some(octet) = hexadecimal(behind) {
                    octets.push(octet);
                    rest = &behind[2..];
                } else if let (Some(next), Quoted::Body) = (joined, place) {
                    rest = next;
                } else {
                    octets.push(b'=');
                }
            }
            (other, _) => octets.push(*other),
        }
    }
    octets
}

fn hexadecimal(digits: &[u8]) -> Option<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let [high, low] = digits.first_chunk()?;
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}
