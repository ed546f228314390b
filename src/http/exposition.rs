//! The text format of Prometheus, 0.0.4. Pure.

use std::fmt::{Display, Write as _};
use std::time::Duration;

use crate::stats::Durations;

/// The content type of the reply to a scrape.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The bounds of buckets: from the cost of a reply to the duration of a session.
const BOUNDS: [Duration; 22] = [
    Duration::from_micros(10),
    Duration::from_micros(25),
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_micros(1_000),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(300),
];

pub(super) type Labels<'l> = &'l [(&'l str, &'l str)];

/// A scrape that is being written.
#[derive(Debug, Default)]
pub(super) struct Exposition(String);

/// A family of series, to which samples are added.
#[derive(Debug)]
pub(super) struct Family<'t> {
    text: &'t mut String,
    name: &'static str,
}

impl Exposition {
    pub(super) fn counter(&mut self, name: &'static str, help: &str) -> Family<'_> {
        debug_assert!(name.ends_with("_total"), "{name}");
        self.family(name, "counter", help)
    }

    pub(super) fn gauge(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "gauge", help)
    }

    pub(super) fn histogram(&mut self, name: &'static str, help: &str) -> Family<'_> {
        debug_assert!(name.ends_with("_seconds"), "{name}");
        self.family(name, "histogram", help)
    }

    fn family(&mut self, name: &'static str, kind: &str, help: &str) -> Family<'_> {
        let text = &mut self.0;
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family { text, name }
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

impl Family<'_> {
    pub(super) fn sample(&mut self, labels: Labels<'_>, value: impl Display) -> &mut Self {
        self.line("", labels, None, value);
        self
    }

    /// A sample for each of these values of one label.
    pub(super) fn samples<'l>(&mut self, label: &str, counts: impl IntoIterator<Item = (&'l str, u64)>) {
        for (value, count) in counts {
            self.sample(&[(label, value)], count);
        }
    }

    /// The buckets, sum and count of a distribution. A duration is in a bucket if its cell of the distribution, of three digits,
    /// begins within the bound.
    pub(super) fn distribution(&mut self, labels: Labels<'_>, durations: &Durations) {
        let mut within = [0_u64; BOUNDS.len()];
        let mut sum = 0_u64;
        if let Some(histogram) = durations.as_numbers().histogram() {
            for cell in histogram.iter_recorded() {
                let (value, count) = (cell.value_iterated_to(), cell.count_at_value());
                let lowest = u128::from(histogram.lowest_equivalent(value));
                if let Some(first) = BOUNDS.iter().position(|bound| lowest <= bound.as_micros()) {
                    within[first] = within[first].saturating_add(count);
                }
                sum = sum.saturating_add(histogram.median_equivalent(value).saturating_mul(count));
            }
        }
        let mut below = 0_u64;
        for (bound, count) in BOUNDS.iter().zip(within) {
            below = below.saturating_add(count);
            self.line("_bucket", labels, Some(&bound.as_secs_f64().to_string()), below);
        }
        let count = durations.count();
        self.line("_bucket", labels, Some("+Inf"), count);
        self.line("_sum", labels, None, Duration::from_micros(sum).as_secs_f64());
        self.line("_count", labels, None, count);
    }

    fn line(&mut self, suffix: &str, labels: Labels<'_>, bound: Option<&str>, value: impl Display) {
        let Self { text, name } = self;
        let _ = write!(text, "{name}{suffix}");
        let bound = bound.map(|bound| ("le", bound));
        let mut opening = '{';
        for (label, value) in labels.iter().copied().chain(bound) {
            let _ = write!(text, "{opening}{label}=\"");
            for letter in value.chars() {
                match letter {
                    '\\' => text.push_str("\\\\"),
                    '"' => text.push_str("\\\""),
                    '\n' => text.push_str("\\n"),
                    letter => text.push(letter),
                }
            }
            text.push('"');
            opening = ',';
        }
        let closing = if opening == ',' { "}" } else { "" };
        let _ = writeln!(text, "{closing} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_have_their_family_and_escaped_labels() {
        let mut exposition = Exposition::default();
        exposition.gauge("a_info", "An a.").sample(&[("b", "x\"\\\n"), ("c", "")], 1).sample(&[], 2);
        let text = exposition.into_text();
        assert_eq!(
            text,
            "# HELP a_info An a.\n# TYPE a_info gauge\na_info{b=\"x\\\"\\\\\\n\",c=\"\"} 1\na_info 2\n"
        );
    }

    #[test]
    fn buckets_are_cumulative_and_a_bound_is_within() {
        let mut durations = Durations::default();
        for microseconds in [10, 11, 1_000_000, 400_000_000] {
            durations.add(Duration::from_micros(microseconds));
        }
        let mut exposition = Exposition::default();
        exposition.histogram("x_seconds", "An x.").distribution(&[("stage", "mail")], &durations);
        let text = exposition.into_text();
        for (bound, count) in [("0.00001", 1), ("0.000025", 2), ("0.5", 2), ("1", 3), ("300", 3), ("+Inf", 4)]
        {
            let line = format!("x_seconds_bucket{{stage=\"mail\",le=\"{bound}\"}} {count}\n");
            assert!(text.contains(&line), "{line}{text}");
        }
        assert!(text.contains("x_seconds_count{stage=\"mail\"} 4\n"), "{text}");
        let sum = text.lines().find_map(|line| line.strip_prefix("x_seconds_sum{stage=\"mail\"} "));
        let sum: f64 = sum.and_then(|sum| sum.parse().ok()).expect("a sum");
        assert!((sum / 401.000_021 - 1.0).abs() < 1e-3, "{sum}");
    }
}
