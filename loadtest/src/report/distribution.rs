//! A histogram in a report: the usual figures for people and scripts, and the whole in HdrHistogram's base64 V2 form,
//! from which it is read back.

use std::fmt;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use smtpmock::report::encoding::{decode, encode};
use smtpmock::units::EXACT_IN_JSON;

use crate::measure::metrics::{add, histogram};

/// A histogram of nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "View", try_from = "View")]
pub(crate) struct Distribution(pub(crate) Histogram<u64>);

/// A distribution in its encoded form, for the rows of a series: about 2 KiB instead of 100 KiB.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Distribution", into = "Distribution")]
pub(crate) struct Packed {
    count: u64,
    text: String,
}

impl Packed {
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn unpack(&self) -> Distribution {
        if self.count == 0 {
            return Distribution::empty();
        }
        Distribution(decode(&self.text).unwrap_or_else(|_| unreachable!("it was encoded here")))
    }

    /// Adds another distribution. A sum that exceeds a report's limit becomes a count alone, which `report::counts`
    /// refuses.
    pub(crate) fn merge(&mut self, other: &Packed) {
        let count = self.count.saturating_add(other.count);
        if count > EXACT_IN_JSON {
            self.count = count;
        } else if other.count > 0 {
            let mut whole = self.unpack();
            whole.merge(&other.unpack());
            *self = whole.into();
        }
    }
}

impl From<Distribution> for Packed {
    fn from(from: Distribution) -> Packed {
        let text = if from.0.is_empty() { String::new() } else { encode(&from.0) };
        Packed { count: from.count(), text }
    }
}

impl From<Packed> for Distribution {
    fn from(from: Packed) -> Distribution {
        from.unpack()
    }
}

/// The form in JSON. All figures are nanoseconds, for reading only.
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

impl Default for Distribution {
    fn default() -> Distribution {
        Distribution::empty()
    }
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
            histogram: if from.0.is_empty() { String::new() } else { encode(&from.0) },
        }
    }
}

/// Why a distribution of a report can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DistributionError {
    /// The histogram is not in HdrHistogram's compressed V2 form.
    Encoding { reason: String },
    /// The histogram's number of samples differs from its count.
    Count { samples: u64, count: u64 },
}

impl fmt::Display for DistributionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DistributionError::Encoding { reason } => f.write_str(reason),
            DistributionError::Count { samples, count } => {
                write!(f, "a histogram has {samples} samples and a count of {count}")
            }
        }
    }
}

impl std::error::Error for DistributionError {}

impl TryFrom<View> for Distribution {
    type Error = DistributionError;

    fn try_from(view: View) -> Result<Distribution, DistributionError> {
        if view.histogram.is_empty() && view.count == 0 {
            return Ok(Distribution::empty());
        }
        let grown = decode(&view.histogram)
            .map_err(|error| DistributionError::Encoding { reason: error.to_string() })?;
        if grown.len() != view.count {
            return Err(DistributionError::Count { samples: grown.len(), count: view.count });
        }
        Ok(Distribution(grown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::metrics::record;
    use std::time::Duration;

    #[test]
    fn a_packed_distribution_is_the_same_and_small() {
        let mut whole = Distribution::empty();
        for micros in 200..5000 {
            record(&mut whole.0, Duration::from_micros(micros));
        }
        let packed = Packed::from(whole.clone());
        assert_eq!(packed.unpack(), whole);
        assert!(packed.text.len() < 4096, "{} bytes", packed.text.len());
        let mut twice = packed.clone();
        twice.merge(&packed);
        whole.merge(&packed.unpack());
        assert_eq!(twice, Packed::from(whole));
        twice.merge(&Packed::from(Distribution::empty()));
        assert_eq!(twice.count(), 2 * packed.count());
    }

    #[test]
    fn a_sum_that_no_report_holds_is_a_count_alone() {
        let mut half = Distribution::empty();
        half.0.record_n(7, EXACT_IN_JSON).unwrap();
        let mut packed = Packed::from(half);
        for times in 2..4 {
            packed.merge(&packed.clone());
            assert!(packed.count() > EXACT_IN_JSON, "{times}");
            assert_eq!(packed.unpack().count(), EXACT_IN_JSON);
        }
    }
}
