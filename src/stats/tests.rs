use proptest::prelude::*;

use super::*;

/// Records a sample, as a shard might.
fn record(stats: &mut Stats, sample: (usize, u64)) {
    let (stage, microseconds) = sample;
    let stage = Stage::ALL[stage % Stage::ALL.len()];
    let duration = Duration::from_micros(microseconds);
    let own = &mut stats.stages[stage];
    own.count += 1;
    own.think.add(duration);
    own.gave_up.add(duration / 2);
    *own.refused.entry(450 + u16::try_from(microseconds % 5).unwrap()).or_default() += 1;
    stats.sessions.opened += 1;
    stats.sessions.messages.add(microseconds % 100);
    stats.messages.data_rate.add(microseconds);
    stats.delays.note(duration, duration + Duration::from_micros(microseconds % 3000));
    stats.health.turns.add(duration);
    stats.timeline.at(duration).messages += 1;
}

fn recorded(samples: &[(usize, u64)]) -> Stats {
    let mut stats = Stats::default();
    samples.iter().for_each(|sample| record(&mut stats, *sample));
    stats
}

fn samples() -> impl Strategy<Value = Vec<(usize, u64)>> {
    prop::collection::vec((0usize..20, prop_oneof![0u64..5000, 0u64..100_000_000]), 0..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_shards_measured_adds_up_to_what_one_would_have(all in samples(), shards in 1usize..5) {
        let mut merged = Stats::default();
        for shard in 0..shards {
            let own: Vec<_> = all.iter().copied().skip(shard).step_by(shards).collect();
            merged.merge(&recorded(&own));
        }
        prop_assert_eq!(merged, recorded(&all));
    }

    #[test]
    fn the_difference_is_what_was_measured_in_between(first in samples(), second in samples()) {
        let earlier = recorded(&first);
        let mut later = earlier.clone();
        later.merge(&recorded(&second));
        let difference = later.since(&earlier);
        let alone = recorded(&second);
        prop_assert_eq!(&difference.stages, &alone.stages);
        prop_assert_eq!(&difference.sessions, &alone.sessions);
        prop_assert_eq!(&difference.messages, &alone.messages);
        prop_assert_eq!(&difference.delays, &alone.delays);
        let messages = |stats: &Stats| stats.timeline.intervals().map(|(_, interval)| interval.messages).sum::<u64>();
        prop_assert_eq!(messages(&difference), messages(&alone));
    }

    #[test]
    fn a_distribution_keeps_three_digits(values in prop::collection::vec(0u64..1 << 40, 1..50)) {
        let mut numbers = Numbers::default();
        values.iter().for_each(|value| numbers.add(*value));
        let mut sorted = values.clone();
        sorted.sort_unstable();
        let exact = sorted[(sorted.len() - 1) / 2];
        let found = numbers.quantile(0.5);
        prop_assert!(found.abs_diff(exact) <= exact / 1000 + 1, "{} for {}", found, exact);
        prop_assert_eq!(numbers.count(), values.len() as u64);
    }
}

proptest! {
    #[test]
    fn the_largest_and_the_smallest_are_exact(values in prop::collection::vec(0u64..1 << 40, 1..50), split in 0usize..50) {
        let (first, second) = values.split_at(split.min(values.len()));
        let of = |values: &[u64]| values.iter().fold(Numbers::default(), |mut numbers, value| {
            numbers.add(*value);
            numbers
        });
        let mut numbers = of(first);
        numbers.merge(&of(second));
        let extremes = (values.iter().min().copied(), values.iter().max().copied());
        prop_assert_eq!((Some(numbers.min()), Some(numbers.max())), extremes);
        prop_assert!(numbers.quantile(0.0) >= numbers.min() && numbers.quantile(1.0) <= numbers.max());
        numbers.subtract(&of(first));
        let near = |found: u64, exact: Option<&u64>| exact.is_none_or(|exact| found.abs_diff(*exact) <= exact / 1000 + 1);
        prop_assert!(near(numbers.min(), second.iter().min()) && near(numbers.max(), second.iter().max()));
        prop_assert_eq!(numbers.count(), second.len() as u64);
    }
}

#[test]
fn a_longest_of_exactly_100_ms_is_not_more_than_100_ms() {
    let mut stats = Stats::default();
    stats.sessions.duration.add(Duration::from_millis(100));
    for text in [
        "max(session.duration) <= 100ms",
        "p100(session.duration) == 100ms",
        "mean(session.duration) == 100ms",
    ] {
        let verdict = text.parse::<Expectation>().expect("an expectation").judge(&stats);
        assert_eq!(verdict.to_string(), format!("expected {text}: passed, 100 ms"));
    }
}

#[cfg(feature = "report")]
#[test]
fn a_smallest_above_the_largest_is_no_distribution() {
    let mut numbers = Numbers::default();
    numbers.add(100_000);
    let histogram = numbers.histogram().expect("a number");
    assert!(Numbers::from_histogram(histogram, 99_990, 100_010).is_some(), "the same to three digits");
    assert!(Numbers::from_histogram(histogram, 100_010, 99_990).is_none());
}

#[test]
fn a_degraded_server_words_its_times_as_reports_do() {
    let mut stats = Stats::default();
    stats.health.turns.add(Duration::from_micros(30_543));
    stats.delays.note(Duration::ZERO, Duration::from_millis(3));
    let reasons = [
        "the event loop was busy for 30.5 ms without a break",
        "100.0 % of the delays were more than 2 ms late",
    ];
    assert_eq!(stats.degraded(), reasons);
    stats.delays.at_once.see(199);
    assert_eq!(stats.degraded(), reasons, "so few are no reason");
    stats.delays.at_once.see(9973);
    let cause =
        "100.0 % of the delays were more than 2 ms late: 9973 replies were due in one turn of an event loop";
    assert_eq!(stats.degraded()[1], cause);
}

#[test]
fn names_of_figures_are_unique_and_find_theirs() {
    let stats = recorded(&[(3, 7), (4, 9)]);
    let metrics = stats.metrics();
    for (name, metric) in &metrics {
        assert_eq!(metrics.iter().filter(|(other, _)| other == name).count(), 1, "{name}");
        assert_eq!(stats.metric(name).as_ref(), Some(metric));
    }
    assert_eq!(stats.metric("think.everything"), None);
}

#[test]
fn a_peak_is_not_added_up() {
    let mut one = Peak::default();
    one.see(5);
    let mut other = Peak::default();
    other.see(3);
    one.merge(&other);
    assert_eq!(one.get(), 5);
}
