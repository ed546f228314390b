//! Printed delays parse to the same delay, samples follow their distributions, and errors point to their place.

use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

use super::*;

#[path = "../../../../tests/support/normal.rs"]
mod normal;
use self::normal::normal;

const SAMPLES: usize = 20_000;

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (0..100_000_u64).prop_map(Duration::from_millis),
        (0..10_000_000_000_u64).prop_map(Duration::from_nanos),
        (0..1000_u64).prop_map(Duration::from_secs),
    ]
}

pub(in crate::smtp::rules) fn any_delay() -> impl Strategy<Value = Delay> {
    let chance = (1..=1_000_000_u32).prop_map(|parts| Chance::percent(f64::from(parts) / 10_000.0).unwrap());
    let points = prop::collection::btree_map(1..=1_000_000_u32, 0..1_000_000_u64, 1..5);
    let shape = prop_oneof![
        duration().prop_map(Delay::constant),
        (duration(), duration()).prop_map(|(one, other)| Delay::uniform(one, other)),
        duration().prop_map(Delay::exponential),
        (duration(), duration()).prop_map(|(mean, deviation)| Delay::normal(mean, deviation)),
        (duration(), duration()).prop_map(|(p50, more)| {
            let p50 = p50.max(Duration::from_nanos(1));
            Delay::log_normal(p50, p50 + more).unwrap()
        }),
        points.prop_map(|points| {
            let mut sum = 0;
            let point = |(parts, more): (u32, u64)| {
                sum += more;
                let chance = Chance::percent(f64::from(parts) / 10_000.0).unwrap();
                (chance, Duration::from_micros(sum))
            };
            Delay::of(Shape::Percentiles(points.into_iter().map(point).collect()))
        }),
    ];
    (shape, prop::option::of(duration()), prop::option::of(chance)).prop_map(|(delay, cap, odds)| Delay {
        cap,
        odds,
        ..delay
    })
}

proptest! {
    #[test]
    fn a_printed_delay_parses_to_the_same_delay(delay in any_delay()) {
        let text = delay.to_string();
        prop_assert_eq!(text.parse::<Delay>(), Ok(delay), "{}", text);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[a-z0-9.,=@%() µ]{0,30}") {
        if let Err(error) = text.parse::<Delay>() {
            prop_assert!(error.span().end <= text.len(), "{:?}", error);
            let _ = error.to_string();
        }
    }

    #[test]
    fn a_sample_does_not_exceed_its_maximum(delay in any_delay(), seed: u64) {
        let sample = delay.sample(&mut ChaCha8Rng::seed_from_u64(seed));
        prop_assert!(delay.cap.is_none_or(|cap| sample <= cap));
    }
}

#[test]
fn errors_point_to_the_place() {
    for (text, place, hint) in [
        ("", 0..0, "a delay, like"),
        ("2x", 0..2, "a delay, like"),
        ("250ms..50ms", 0..11, "smaller duration in front"),
        ("50ms..x", 6..7, "a number of seconds"),
        ("expo(80ms)", 0..4, "did you mean exp?"),
        ("exp(80ms", 8..8, "closing parenthesis"),
        ("exp(80)ms", 7..9, "end of the delay"),
        ("normal(100ms)", 7..12, "mean and standard deviation"),
        ("lognormal(p50=80ms,p98=400ms)", 19..28, "p99="),
        ("lognormal(p50=80ms,p99=40ms)", 19..27, "at least the median"),
        ("percentiles(50=20ms,40=30ms)", 20..27, "rise"),
        ("2s@105%", 3..7, "percentage"),
        ("2s,max=x", 7..8, "a number of seconds"),
        ("2s@5%@6%", 5..8, "once is enough"),
    ] {
        let error = text.parse::<Delay>().unwrap_err();
        assert_eq!(error.span(), place, "{text}: {error}");
        assert!(error.fault().to_string().contains(hint), "{text}: {error}");
    }
}

/// Samples in seconds, in ascending order.
fn samples(text: &str) -> Vec<f64> {
    let delay: Delay = text.parse().unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut samples: Vec<_> = (0..SAMPLES).map(|_| delay.sample(&mut rng).as_secs_f64()).collect();
    samples.sort_by(f64::total_cmp);
    samples
}

/// The Kolmogorov-Smirnov test on the largest distance between the samples and the distribution function. The bound at
/// 95 % is 1.36 divided by the square root of the number of samples; at 99 %, which is used here, it is 1.63.
fn assert_follows(text: &str, distribution: impl Fn(f64) -> f64) {
    let samples = samples(text);
    let count = samples.len() as f64;
    let distance = samples.iter().enumerate().fold(0.0_f64, |most, (index, &sample)| {
        let (share, index) = (distribution(sample), index as f64);
        most.max((share - index / count).abs()).max(((index + 1.0) / count - share).abs())
    });
    assert!(distance < 1.63 / count.sqrt(), "{text}: {distance}");
}

#[test]
fn samples_follow_their_distributions() {
    assert_follows("50ms..200ms", |x| (x - 0.05) / 0.15);
    assert_follows("exp(80ms)", |x| 1.0 - (-x / 0.08).exp());
    assert_follows("normal(1s,200ms)", |x| normal((x - 1.0) / 0.2));
    let sigma = 5.0_f64.ln() / Z99;
    assert_follows("lognormal(p50=80ms,p99=400ms)", |x| normal((x / 0.08).ln() / sigma));
    assert_follows("percentiles(50=20ms,99=300ms,100=2s)", |x| match x {
        x if x <= 0.02 => 0.5 * x / 0.02,
        x if x <= 0.3 => 0.5 + 0.49 * (x - 0.02) / 0.28,
        x => 0.99 + 0.01 * (x - 0.3) / 1.7,
    });
}

#[test]
fn a_wrong_distribution_fails_the_test() {
    let caught = std::panic::catch_unwind(|| assert_follows("50ms..200ms", |x| (x - 0.05) / 0.16));
    assert!(caught.is_err());
}

#[test]
fn percentiles_are_where_they_were_configured() {
    let samples = samples("lognormal(p50=80ms,p99=400ms)");
    let at = |share: f64| samples[(share * SAMPLES as f64) as usize];
    assert!((at(0.5) / 0.08 - 1.0).abs() < 0.03, "{}", at(0.5));
    assert!((at(0.99) / 0.4 - 1.0).abs() < 0.1, "{}", at(0.99));
}

#[test]
fn odds_and_maxima_are_respected() {
    let delayed = samples("100ms@5%").iter().filter(|&&sample| sample > 0.0).count();
    // Five standard deviations.
    assert!((845..=1155).contains(&delayed), "{delayed}");
    let samples = samples("exp(80ms),max=100ms");
    let capped = samples.iter().filter(|&&sample| sample == 0.1).count() as f64 / SAMPLES as f64;
    assert!((capped - (-1.25_f64).exp()).abs() < 0.02, "{capped}");
}

#[test]
fn a_seed_gives_the_same_delays_on_every_platform() {
    let delay: Delay = "50ms..200ms".parse().unwrap();
    let mut rng = ChaCha8Rng::from_seed([7; 32]);
    let drawn: Vec<_> = (0..3).map(|_| delay.sample(&mut rng).as_micros()).collect();
    assert_eq!(drawn, GOLDEN);
}

/// As drawn on x86-64 Linux.
const GOLDEN: [u128; 3] = [83_468, 174_780, 93_627];
