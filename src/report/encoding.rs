//! Histograms as text: HdrHistogram's compressed V2 format in base64, which its tools in all languages read.
//!
//! ```text
//! text       = base64 of: cookie (4 octets), length of the rest (4), the rest: a zlib stream (RFC 1950) of a form
//! form       = cookie (4), length of the counts (4), offset (4), digits (4), lowest (8), highest (8), ratio (8),
//! counts counts     = numbers of 1 to 9 octets: a count of samples, or, if negative, a number of zero counts
//! ```
//!
//! A text from a file is validated before it is decoded: its lengths are compared with the actual lengths, and
//! inflating stops at the size of the largest histogram of `DIGITS` digits.

use std::fmt;
use std::io::{self, Read as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{DeserializeError, Deserializer, Serializer as _, V2DeflateSerializer};

use crate::text::units::EXACT_IN_JSON;

/// Significant digits of every value.
const DIGITS: u8 = 3;
/// The maximum length of a histogram's text, in octets; three digits over 64 bits need less.
const TEXT_LIMIT: usize = 1 << 20;
/// The cookies of a compressed histogram and of its content.
const COMPRESSED: u32 = 0x1c84_9314;
const FORM: u32 = 0x1c84_9313;
/// The length of the header before the counts, in octets.
const HEADER: usize = 40;
/// The offset of the digits in the header.
const DIGITS_AT: usize = 12;
/// The number of counts for three digits over 64 bits: 1,024 for each power of two from the eleventh on, and 2,048
/// below.
const COUNTS: usize = 56 << 10;
/// The maximum length of a number among the counts, in octets.
const LONGEST_NUMBER: usize = 9;
/// The maximum length of a histogram in the V2 format, in octets.
const FORM_LIMIT: usize = HEADER + COUNTS * LONGEST_NUMBER;

/// Encodes a histogram as text. Histograms of equal values have equal texts, whatever their ranges.
pub fn encode(histogram: &Histogram<u64>) -> String {
    let bounds = Histogram::new_with_bounds(1, histogram.max().max(2), histogram.sigfig());
    let mut exact = bounds.expect("bounds of a histogram that exists");
    exact.add(histogram).expect("a histogram with room for all");
    let mut bytes = Vec::new();
    V2DeflateSerializer::new().serialize(&exact, &mut bytes).expect("a Vec takes every write");
    STANDARD.encode(bytes)
}

/// Why a text is not a valid histogram.
#[derive(Debug)]
#[non_exhaustive]
pub enum DecodeError {
    /// It is longer than the text of any histogram.
    TooLong,
    /// It is not base64.
    Base64(base64::DecodeError),
    /// The decoded octets are not in HdrHistogram's V2 format.
    Form(Deformity),
    /// It has more samples than the maximum count.
    TooManySamples,
    /// Its values are out of range.
    Unfit(hdrhistogram::AdditionError),
}

/// The fault in the octets of a histogram.
#[derive(Debug)]
#[non_exhaustive]
pub enum Deformity {
    /// They do not begin with the cookie of a compressed histogram.
    NoCookie,
    /// The length field does not match the number of octets that follow.
    Length(usize),
    /// They can't be inflated.
    Compression(io::Error),
    /// They inflate to more than the size of any histogram.
    TooLarge,
    /// The header is missing or incomplete.
    NoHeader,
    /// The length of the counts does not match the number of octets that follow.
    CountsLength(usize),
    /// The precision is unexpected.
    Digits(u32),
    /// A count is incomplete.
    CutOff,
    /// There are more counts than values.
    TooManyCounts,
    /// Another error of the library.
    Library(DeserializeError),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "the histogram's text is longer than {TEXT_LIMIT} bytes"),
            Self::Base64(error) => write!(f, "the histogram is not base64: {error}"),
            Self::Form(deformity) => {
                write!(f, "the histogram is not in HdrHistogram's V2 form: {deformity}")
            }
            Self::TooManySamples => {
                write!(f, "the histogram has more than {EXACT_IN_JSON} (2^53) samples")
            }
            Self::Unfit(error) => write!(f, "the histogram can't be converted: {error}"),
        }
    }
}

impl fmt::Display for Deformity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCookie => f.write_str("it does not begin with the cookie of a compressed histogram"),
            Self::Length(count) => write!(f, "its length is not the {count} bytes that follow"),
            Self::Compression(error) => error.fmt(f),
            Self::TooLarge => {
                write!(f, "it is inflated to more than {FORM_LIMIT} bytes, which no histogram takes")
            }
            Self::NoHeader => f.write_str("it has no header"),
            Self::CountsLength(count) => {
                write!(f, "the length of its counts is not the {count} bytes that follow")
            }
            Self::Digits(digits) => write!(f, "it has {digits} digits instead of {DIGITS}"),
            Self::CutOff => f.write_str("a count is cut off"),
            Self::TooManyCounts => f.write_str("it has too many counts"),
            Self::Library(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DecodeError {}

impl From<Deformity> for DecodeError {
    fn from(deformity: Deformity) -> Self {
        Self::Form(deformity)
    }
}

/// Decodes a histogram of three digits, which resizes itself. It uses less than 1 MiB for any text, and has at most
/// [`EXACT_IN_JSON`] samples.
///
/// # Errors
///
/// The text is not a valid histogram.
pub fn decode(text: &str) -> Result<Histogram<u64>, DecodeError> {
    if text.len() > TEXT_LIMIT {
        return Err(DecodeError::TooLong);
    }
    let bytes = STANDARD.decode(text).map_err(DecodeError::Base64)?;
    let form = inflated(&bytes)?;
    check_header(&form)?;
    check_counts(&form[HEADER..])?;
    let read: Histogram<u64> =
        Deserializer::new().deserialize(&mut form.as_slice()).map_err(Deformity::Library)?;
    let mut grown = Histogram::new(DIGITS).expect("a precision that exists");
    grown.add(&read).map_err(DecodeError::Unfit)?;
    Ok(grown)
}

/// Inflates the content of a compressed histogram.
fn inflated(bytes: &[u8]) -> Result<Vec<u8>, Deformity> {
    let (cookie, length) = (number_at(bytes, 0), number_at(bytes, 4));
    if cookie != Some(COMPRESSED) {
        return Err(Deformity::NoCookie);
    }
    let stream = bytes.get(8..).unwrap_or_default();
    if length.map(|length| length as usize) != Some(stream.len()) {
        return Err(Deformity::Length(stream.len()));
    }
    let mut form = Vec::new();
    let limit = FORM_LIMIT as u64 + 1;
    ZlibDecoder::new(stream).take(limit).read_to_end(&mut form).map_err(Deformity::Compression)?;
    if form.len() > FORM_LIMIT { Err(Deformity::TooLarge) } else { Ok(form) }
}

fn check_header(form: &[u8]) -> Result<(), Deformity> {
    if form.len() < HEADER || number_at(form, 0) != Some(FORM) {
        return Err(Deformity::NoHeader);
    }
    let counts = form.len() - HEADER;
    if number_at(form, 4).map(|length| length as usize) != Some(counts) {
        return Err(Deformity::CountsLength(counts));
    }
    match number_at(form, DIGITS_AT) {
        Some(digits) if digits == u32::from(DIGITS) => Ok(()),
        digits => Err(Deformity::Digits(digits.unwrap_or(0))),
    }
}

/// Checks that each number among the counts is complete, and that their sum is a valid count.
fn check_counts(mut numbers: &[u8]) -> Result<(), DecodeError> {
    let mut sum = 0_u64;
    while !numbers.is_empty() {
        let (number, rest) = first_number(numbers).ok_or(Deformity::CutOff)?;
        numbers = rest;
        // Zigzag encoding: an odd number is negative.
        if number % 2 == 0 {
            sum = sum.saturating_add(number / 2);
        } else if number == u64::MAX {
            return Err(Deformity::TooManyCounts.into());
        }
    }
    if sum > EXACT_IN_JSON { Err(DecodeError::TooManySamples) } else { Ok(()) }
}

/// The first number: seven bits in each octet, whose highest bit is set if more follow; a ninth octet has eight bits.
fn first_number(octets: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0_u64;
    for (index, &octet) in octets.iter().enumerate().take(LONGEST_NUMBER) {
        let is_last = octet & 0x80 == 0 || index + 1 == LONGEST_NUMBER;
        let bits = if index + 1 == LONGEST_NUMBER { octet } else { octet & 0x7f };
        number |= u64::from(bits) << (7 * index);
        if is_last {
            return Some((number, &octets[index + 1..]));
        }
    }
    None
}

/// The big-endian number of four octets at this offset.
fn number_at(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;
    use proptest::prelude::*;

    use super::*;

    /// A text with this zlib stream, whose length field is greater by `longer`.
    fn text(form: &[u8], longer: u32) -> String {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(form).expect("a Vec takes every write");
        let stream = encoder.finish().expect("a Vec takes every write");
        let length = stream.len() as u32 + longer;
        let bytes = [&COMPRESSED.to_be_bytes()[..], &length.to_be_bytes(), &stream].concat();
        STANDARD.encode(bytes)
    }

    fn form(digits: u32, highest: u64, claimed: u32, counts: &[u8]) -> Vec<u8> {
        let words = [FORM, claimed, 0, digits].map(u32::to_be_bytes).concat();
        let numbers = [1, highest, 1.0_f64.to_bits()].map(u64::to_be_bytes).concat();
        [&words, &numbers, counts].concat()
    }

    #[test]
    fn no_length_is_believed_beyond_what_is_there() {
        let refused = |text: String| decode(&text).expect_err("no histogram").to_string();
        // Regressions: some 52 characters for which 4.1 GiB were allocated, and zeros of which 1 MiB was inflated to 1
        // GiB.
        let small = text(&form(3, u64::MAX, u32::MAX, &[]), 0);
        assert!(small.len() <= 64, "{small}");
        assert!(refused(small).contains("the length of its counts is not the 0 bytes that follow"));
        let zeros = text(&form(3, u64::MAX, FORM_LIMIT as u32, &vec![0; FORM_LIMIT]), 0);
        assert!(zeros.len() < 2000 && refused(zeros).contains("more than 516136 bytes"));
        assert!(refused(text(&form(3, 1000, 2, &[2, 2]), 1)).contains("its length is not the"));
        assert!(refused(text(&form(5, u64::MAX, 0, &[]), 0)).contains("5 digits instead of 3"));
        assert!(refused(text(&form(3, 1000, 1, &[0xff]), 0)).contains("a count is cut off"));
        assert!(refused(text(&form(3, 1000, 9, &[0xff; 9]), 0)).contains("too many counts"));
        // 2^54 samples, and twice 2^52 and one more.
        assert!(
            refused(text(&form(3, 1000, 8, &[128, 128, 128, 128, 128, 128, 128, 64]), 0)).contains("samples")
        );
        assert_eq!(decode(&text(&form(3, 1000, 2, &[2, 4]), 0)).expect("a histogram").len(), 3);
    }

    #[test]
    fn the_largest_histogram_reads_back() {
        let mut full = Histogram::<u64>::new_with_bounds(1, u64::MAX, DIGITS).expect("bounds");
        assert!(full.distinct_values() <= COUNTS, "{}", full.distinct_values());
        let mut value = 1_u64;
        while let Some(next) = value.checked_add(full.equivalent_range(value)) {
            full.record_n(value, 1 << 37).expect("in its bounds");
            value = next;
        }
        let text = encode(&full);
        assert!(text.len() < TEXT_LIMIT, "{}", text.len());
        assert_eq!(decode(&text).expect("a histogram"), full);
    }

    proptest! {
        #[test]
        fn whatever_is_in_a_text_nothing_panics(
            counts in prop::collection::vec(any::<u8>(), 0..300),
            highest: u64,
            digits in 0u32..7,
            wrong in any::<bool>(),
            longer in 0u32..2,
        ) {
            let claimed = counts.len() as u32 + u32::from(wrong);
            if let Ok(histogram) = decode(&text(&form(digits, highest, claimed, &counts), longer)) {
                prop_assert!(digits == 3 && !wrong && longer == 0 && histogram.len() <= EXACT_IN_JSON);
                prop_assert_eq!(decode(&encode(&histogram)).expect("what was written"), histogram);
            }
            let _ = decode(&text(&counts, longer));
        }
    }
}
