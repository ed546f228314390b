//! Histograms as text: HdrHistogram's compressed V2 form in base64, which its tools in all languages read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer};

/// Digits kept of every value.
const DIGITS: u8 = 3;
/// The longest text taken for a histogram, in bytes; three digits over all of 64 bits need less.
const TEXT_LIMIT: usize = 4 << 20;

/// A histogram as text. Of the same values it is the same text, however the histogram grew.
pub fn encode(histogram: &Histogram<u64>) -> String {
    let bounds = Histogram::new_with_bounds(1, histogram.max().max(2), histogram.sigfig());
    let mut exact = bounds.expect("bounds of a histogram that exists");
    exact.add(histogram).expect("a histogram with room for all");
    let mut bytes = Vec::new();
    V2DeflateSerializer::new().serialize(&exact, &mut bytes).expect("a Vec takes every write");
    STANDARD.encode(bytes)
}

/// A histogram from its text; it grows to what it is given.
///
/// # Errors
///
/// Says what the text is not.
pub fn decode(text: &str) -> Result<Histogram<u64>, String> {
    if text.len() > TEXT_LIMIT {
        return Err(format!("the histogram's text is longer than {TEXT_LIMIT} bytes"));
    }
    let bytes = STANDARD.decode(text).map_err(|error| format!("the histogram is not base64: {error}"))?;
    let read: Histogram<u64> = Deserializer::new()
        .deserialize(&mut bytes.as_slice())
        .map_err(|error| format!("the histogram is not in HdrHistogram's V2 form: {error}"))?;
    let mut grown = Histogram::new(DIGITS).expect("a precision that exists");
    grown.add(&read).map_err(|error| format!("the histogram cannot be taken over: {error}"))?;
    Ok(grown)
}
