//! Values formatted for people: three or four digits and a suitable unit.

use std::time::Duration;

/// The whole numbers up to this are exact in all JSON parsers: most parse numbers as IEEE 754 doubles (RFC 8259 section
/// 6).
pub const EXACT_IN_JSON: u64 = 1 << 53;

const DURATIONS: &[(f64, &str)] = &[(1.0, "ns"), (1e3, "µs"), (1e6, "ms"), (1e9, "s")];
const OCTETS: &[(f64, &str)] = &[
    (1.0, "B"),
    (1024.0, "KiB"),
    (1_048_576.0, "MiB"),
    (1_073_741_824.0, "GiB"),
    (1_099_511_627_776.0, "TiB"),
];

/// `950 ns`, `7 µs`, `1.20 ms`, `45.1 s`, `1234 s`.
pub fn duration(duration: Duration) -> String {
    scaled(duration.as_nanos() as f64, DURATIONS)
}

/// `7.295 ms`, `100.031 ms`, `45 s`: to the microsecond, for values that are compared with a limit.
pub fn exact_duration(duration: Duration) -> String {
    let (number, unit) = fitting(duration.as_nanos() as f64, DURATIONS);
    format!("{} {unit}", (number * 1e6).round() / 1e6)
}

/// `512 B`, `1.50 KiB`, `10 MiB`.
pub fn octets(octets: u64) -> String {
    scaled(octets as f64, OCTETS)
}

/// `0.25`, `12.5`, `1234`: a number with a fraction.
pub fn decimal(value: f64) -> String {
    match value {
        v if v < 9.995 => format!("{v:.2}"),
        v if v < 99.95 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

/// Whole values are formatted without a fraction.
fn scaled(value: f64, units: &[(f64, &'static str)]) -> String {
    let (scaled, unit) = fitting(value, units);
    if scaled.fract() == 0.0 { format!("{scaled} {unit}") } else { format!("{} {unit}", decimal(scaled)) }
}

/// The value in the largest unit in which it is at least 1.
fn fitting(value: f64, units: &[(f64, &'static str)]) -> (f64, &'static str) {
    let fits = |(size, _): &&(f64, &str)| value / size >= 0.9995;
    let (size, unit) = units.iter().rev().find(fits).unwrap_or(&units[0]);
    (value / size, unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_three_digits_and_a_fitting_unit() {
        let shown = |nanoseconds| duration(Duration::from_nanos(nanoseconds));
        assert_eq!(shown(0), "0 ns");
        assert_eq!(shown(999), "999 ns");
        assert_eq!(shown(1_000), "1 µs");
        assert_eq!(shown(999_400), "999 µs");
        assert_eq!(shown(999_600), "1.00 ms");
        assert_eq!(shown(9_994_000), "9.99 ms");
        assert_eq!(shown(9_996_000), "10.0 ms");
        assert_eq!(shown(99_960_000), "100 ms");
        assert_eq!(shown(1_234_000_000_000), "1234 s");
        assert_eq!(
            [0, 1023, 1024, 1536, 10 << 20].map(octets),
            ["0 B", "1023 B", "1 KiB", "1.50 KiB", "10 MiB"]
        );
        let exact = |microseconds| exact_duration(Duration::from_micros(microseconds));
        assert_eq!(
            [0, 7, 7_295, 100_031, 999_700, 45_000_000, 1_000_001].map(exact),
            ["0 ns", "7 µs", "7.295 ms", "100.031 ms", "0.9997 s", "45 s", "1.000001 s"]
        );
        assert_eq!([0.0, 9.99, 12.34, 813.2].map(decimal), ["0.00", "9.99", "12.3", "813"]);
    }
}
