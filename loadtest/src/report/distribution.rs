//! A histogram as reports hold it: the usual figures for people and scripts, and the
//! whole in HdrHistogram's base64 V2 form, from which it is read back.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer};
use serde::{Deserialize, Serialize};

use crate::metrics::{add, histogram};

/// The largest base64 text taken for a histogram, in bytes; three digits over a lifetime
/// of nanoseconds need less.
const TEXT_LIMIT: usize = 4 << 20;

/// A histogram of nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "View", try_from = "View")]
pub(crate) struct Distribution(pub(crate) Histogram<u64>);

/// What JSON shows. All figures are nanoseconds; they are there for reading only.
#[derive(Serialize, Deserialize)]
struct View {
    count: u64,
    #[serde(default)]
    min_ns: Option<u64>,
    #[serde(default)]
    mean_ns: Option<f64>,
    #[serde(default)]
    p50_ns: Option<u64>,
    #[serde(default)]
    p90_ns: Option<u64>,
    #[serde(default)]
    p99_ns: Option<u64>,
    #[serde(default)]
    p99_9_ns: Option<u64>,
    #[serde(default)]
    p99_99_ns: Option<u64>,
    #[serde(default)]
    max_ns: Option<u64>,
    /// Base64 of the compressed V2 form; empty when there is no sample.
    histogram: String,
}

impl Distribution {
    pub(crate) fn empty() -> Distribution {
        Distribution(histogram())
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The value at a quantile from 0 to 1, in nanoseconds; `None` without a sample.
    pub(crate) fn at(&self, quantile: f64) -> Option<u64> {
        (!self.0.is_empty()).then(|| self.0.value_at_quantile(quantile))
    }

    /// The largest value; `None` without a sample.
    pub(crate) fn max(&self) -> Option<u64> {
        (!self.0.is_empty()).then(|| self.0.max())
    }

    pub(crate) fn min(&self) -> Option<u64> {
        (!self.0.is_empty()).then(|| self.0.min())
    }

    pub(crate) fn mean(&self) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.0.mean())
    }

    pub(crate) fn merge(&mut self, other: &Distribution) {
        add(&mut self.0, &other.0);
    }
}

impl From<Distribution> for View {
    fn from(from: Distribution) -> View {
        View {
            count: from.count(),
            min_ns: from.min(),
            mean_ns: from.mean(),
            p50_ns: from.at(0.5),
            p90_ns: from.at(0.9),
            p99_ns: from.at(0.99),
            p99_9_ns: from.at(0.999),
            p99_99_ns: from.at(0.9999),
            max_ns: from.max(),
            histogram: encode(&from.0),
        }
    }
}

fn encode(given: &Histogram<u64>) -> String {
    if given.is_empty() {
        return String::new();
    }
    // A histogram's text also depends on how it grew; of the same samples it shall be the
    // same text, so that reports can be compared.
    let mut exact = histogram();
    if let Ok(sized) = Histogram::new_with_bounds(1, given.max().max(2), given.sigfig()) {
        exact = sized;
    }
    add(&mut exact, given);
    let mut bytes = Vec::new();
    match V2DeflateSerializer::new().serialize(&exact, &mut bytes) {
        Ok(_) => STANDARD.encode(bytes),
        Err(error) => unreachable!("a Vec takes every write: {error}"),
    }
}

impl TryFrom<View> for Distribution {
    type Error = String;

    fn try_from(view: View) -> Result<Distribution, String> {
        if view.histogram.is_empty() && view.count == 0 {
            return Ok(Distribution::empty());
        }
        if view.histogram.len() > TEXT_LIMIT {
            return Err(format!("a histogram's text is longer than {TEXT_LIMIT} bytes"));
        }
        let bytes = STANDARD
            .decode(view.histogram.as_bytes())
            .map_err(|error| format!("a histogram is not base64: {error}"))?;
        let read: Histogram<u64> = Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .map_err(|error| format!("a histogram is not in the V2 form: {error}"))?;
        let mut grown = histogram();
        grown.add(&read).map_err(|error| format!("a histogram cannot be taken over: {error}"))?;
        if grown.len() != view.count {
            return Err(format!(
                "a histogram holds {} samples where its count says {}",
                grown.len(),
                view.count
            ));
        }
        Ok(Distribution(grown))
    }
}
