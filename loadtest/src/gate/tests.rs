//! The grammar of gates, and where its errors point.

use proptest::prelude::*;

use super::*;

fn caret(source: &str) -> usize {
    source.parse::<Gate>().expect_err("no gate").at
}

#[test]
fn what_the_documentation_shows_is_read() {
    for source in [
        "p99(message) > 5ms",
        "errors > 0.1%",
        "rate < 10000",
        "rate<10000/s",
        "p99.99( dot.failed ) >= 1.5s",
        "max(uncorrected) > 800us",
        "mean(rcpt) > 250 ns",
        "count(connect) > 16",
        "4xx != 0",
        "5xx >= 2%",
        "in_flight > 0",
        "p99(lag) > 1ms",
    ] {
        let gate = source.parse::<Gate>();
        assert!(gate.is_ok(), "{source}: {}", gate.unwrap_err());
    }
}

#[test]
fn the_caret_stands_where_it_went_wrong() {
    assert_eq!(caret("p99(massage) > 5ms"), 4);
    assert_eq!(caret("p999(message) > 5ms"), 0);
    assert_eq!(caret("p99 message > 5ms"), 4);
    assert_eq!(caret("p99(message > 5ms"), 12);
    assert_eq!(caret("p99(message) 5ms"), 13);
    assert_eq!(caret("p99(message) > 5"), 15);
    assert_eq!(caret("p99(message) > 5ms 6ms"), 15);
    assert_eq!(caret("p99(dot.best) > 5ms"), 4);
    assert_eq!(caret("errors > some"), 9);
    assert_eq!(caret("rate < 5%"), 7);
    assert_eq!(caret(""), 0);
    let shown = "errors > ä%".parse::<Gate>().unwrap_err().to_string();
    assert!(shown.ends_with("a percentage like 0.1%"), "{shown}");
}

#[test]
fn units_are_what_they_say() {
    let nanos = |source: &str| source.parse::<Gate>().unwrap().right();
    assert_eq!(nanos("p50(dot) > 1.5ms"), 1_500_000.0);
    assert_eq!(nanos("p50(dot) > 2us"), 2_000.0);
    assert_eq!(nanos("p50(dot) > 1m"), 60e9);
    assert_eq!(nanos("rate < 10_000/s"), 10_000.0);
}

proptest! {
    #[test]
    fn any_text_is_a_gate_or_an_error_that_points_into_it(source in "\\PC{0,30}|(p99|errors|rate)[(a-z). ]{0,9}[<>=]{0,2}.{0,6}") {
        if let Err(error) = source.parse::<Gate>() {
            prop_assert!(error.at <= source.len() && source.is_char_boundary(error.at));
            prop_assert!(error.to_string().contains('^'));
        }
    }
}
