//! From octets to text: the charsets and transfer encodings of header fields and text parts.
//!
//! Implemented here because crates for it bring six to eighteen dependencies, mostly for rare charsets; base64, the
//! only large part, is already a dependency.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Lenient: some senders are inexact.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Supported charsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charset {
    /// Also US-ASCII, a subset.
    Utf8,
    /// Also ISO-8859-1, which differs only in control characters that no sender means.
    Windows1252,
}

/// Windows-1252 from 0x80 to 0x9F; undefined ones are as in ISO-8859-1.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}',
    '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

impl Charset {
    /// The charset of this name, if supported.
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

/// `None` if it is not base64.
pub(super) fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

/// The place of quoted octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quoted {
    /// An encoded word: `_` is a space (RFC 2047 section 4.2).
    Word,
    /// A body: `=` at the end of a line joins it to the next (RFC 2045 section 6.7).
    Body,
}

/// Decodes quoted octets; anything else is unchanged.
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
