use proptest::prelude::*;

use super::*;
use crate::smtp::rules::GrammarError;

/// One subject of each form and unit.
fn subjects() -> [Subject; 7] {
    [
        Subject::new("messages", Unit::Number, Form::Count),
        Subject::new("messages.bytes", Unit::Octets, Form::Count),
        Subject::new("findings", Unit::Number, Form::Single),
        Subject::new("errors", Unit::Number, Form::Part),
        Subject::new("rate", Unit::Number, Form::Rate),
        Subject::new("think.mail", Unit::Microseconds, Form::Distribution),
        Subject::new("data.rate", Unit::OctetsPerSecond, Form::Distribution),
    ]
}

fn read(text: &str) -> Result<Comparison, GrammarError> {
    Comparison::read(text, &subjects(), "a figure, like messages")
}

/// The view and the limit.
fn parts(text: &str) -> (View, f64) {
    let comparison = read(text).unwrap_or_else(|error| panic!("{error}"));
    (comparison.view, comparison.limit)
}

#[test]
fn each_operator_holds_below_at_or_above_its_limit() {
    for (operator, holds) in [
        ("==", [false, true, false]),
        ("!=", [true, false, true]),
        ("<", [true, false, false]),
        ("<=", [true, true, false]),
        (">", [false, false, true]),
        (">=", [false, true, true]),
    ] {
        let comparison = read(&format!("messages {operator} 5")).expect(operator);
        assert_eq!([4.0, 5.0, 6.0].map(|figure| comparison.holds(figure)), holds, "{operator}");
    }
}

#[test]
fn limits_are_read_in_the_unit_of_what_is_looked_at() {
    for (text, view, limit) in [
        ("messages == 10_000", View::Itself, 10_000.0),
        ("messages<1e4", View::Itself, 10_000.0),
        ("rate(messages) >= 1.5", View::Rate, 1.5),
        ("rate( messages ) >= 1.5 /s", View::Rate, 1.5),
        ("messages.bytes <= 64KiB", View::Itself, 65_536.0),
        ("messages.bytes <= 64 KiB", View::Itself, 65_536.0),
        ("rate(messages.bytes) > 1MiB/s", View::Rate, 1_048_576.0),
        ("rate(messages) < 300/m", View::Rate, 5.0),
        ("rate(messages.bytes) < 3600 KB/h", View::Rate, 1000.0),
        ("findings == 0", View::Itself, 0.0),
        ("errors > 5", View::Itself, 5.0),
        ("errors > 0.1%", View::Percentage, 0.1),
        ("errors > .1 %", View::Percentage, 0.1),
        ("errors <= 100%", View::Percentage, 100.0),
        ("rate < 10000", View::Itself, 10_000.0),
        ("rate<10000/s", View::Itself, 10_000.0),
        ("p99.9(think.mail) < 50ms", View::Quantile(0.999), 50_000.0),
        ("p0(think.mail) < 50 ms", View::Quantile(0.0), 50_000.0),
        ("min(think.mail) > 1m30.5s", View::Min, 90_500_000.0),
        ("mean(think.mail) > 250ns", View::Mean, 0.25),
        ("max(think.mail) > 2min", View::Max, 120_000_000.0),
        ("max(think.mail) > 1h", View::Max, 3_600_000_000.0),
        ("max(think.mail) > 7\u{b5}s", View::Max, 7.0),
        ("count(think.mail) == 5", View::Samples, 5.0),
        ("count(data.rate) == 5", View::Samples, 5.0),
        ("p50(data.rate) >= 1KiB/s", View::Quantile(0.5), 1024.0),
        ("p50(data.rate) >= 1KiB", View::Quantile(0.5), 1024.0),
    ] {
        assert_eq!(parts(text), (view, limit), "{text}");
    }
}

#[test]
fn it_shows_as_it_was_written() {
    let comparison = read(" errors >  0.1% ").expect("a comparison");
    assert_eq!((comparison.to_string().as_str(), comparison.name()), ("errors >  0.1%", "errors"));
}

#[test]
fn the_caret_stands_where_it_went_wrong() {
    for (text, at, words) in [
        ("", 0, "expected a figure, like messages"),
        ("mesages == 1", 0, "unknown figure \"mesages\": did you mean messages?"),
        ("xyzzy == 1", 0, "unknown figure \"xyzzy\": expected a figure, like messages"),
        ("p99(think.mial) < 5ms", 4, "did you mean think.mail?"),
        ("p99() < 5ms", 4, "expected a figure, like messages"),
        ("p101(think.mail) < 5ms", 0, "max, count or rate"),
        ("q99(think.mail) < 5ms", 0, "another percentile"),
        ("p99(think.mail < 5ms", 15, "a closing parenthesis"),
        ("p99 think.mail < 5ms", 4, "an opening parenthesis"),
        ("think.mail < 5ms", 0, "think.mail is a distribution: expected p99(think.mail)"),
        ("rate(think.mail) < 5", 5, "think.mail is a distribution: expected p99(think.mail)"),
        ("p99(messages) < 5", 4, "messages is a count: expected messages alone, or rate(messages)"),
        ("rate(findings) < 5", 5, "findings is a count: expected findings alone"),
        ("count(errors) < 5", 6, "errors is a count: expected errors alone"),
        ("max(rate) < 5", 4, "rate is a rate: expected rate alone"),
        ("messages", 8, "expected one of == != < <= > >="),
        ("messages = 5", 9, "expected one of == != < <= > >="),
        ("p99(think.mail) < 50", 18, "expected a duration with its unit, like 50ms"),
        ("p99(think.mail) < 5KiB", 18, "like 50ms"),
        ("p99(think.mail) < 5ms 6ms", 18, "like 50ms"),
        ("messages == 5ms", 12, "expected a number, like 10000 or 1.5"),
        ("messages == 5/s", 12, "a number"),
        ("messages == 5%", 12, "a number"),
        ("messages == -5", 12, "a number"),
        ("messages == inf", 12, "a number"),
        ("messages == 5 6", 12, "a number"),
        ("messages ==", 11, "a number"),
        ("errors > 101%", 9, "a percentage from 0% to 100%"),
        ("errors <= 100.5 %", 10, "a percentage from 0% to 100%"),
        ("errors > ä%", 9, "or a percentage, like 0.1%"),
        ("rate < 5%", 7, "with /s, /m or /h"),
        ("rate(messages) > fast", 17, "with /s, /m or /h"),
        ("messages.bytes > 5ms", 17, "64KiB"),
    ] {
        let error = read(text).expect_err(text);
        let (caret, reason) = (error.span().start, error.fault().to_string());
        assert!(caret == at && reason.contains(words), "{text}: {caret} {reason}");
        assert!(error.marked().contains('^'), "{error}");
    }
}

#[test]
fn nobody_is_told_of_rates_that_no_figure_has() {
    let latency = [Subject::new("dot", Unit::Microseconds, Form::Distribution)];
    let error = Comparison::read("rat(dot) > 5ms", &latency, "a latency").expect_err("no view");
    assert!(error.fault().to_string().ends_with("max or count"), "{error}");
}

proptest! {
    #[test]
    fn any_text_is_a_comparison_or_an_error_that_points_into_it(
        text in "\\PC{0,30}|(p99|messages|errors|rate)[(a-z.) ]{0,12}[<>=!]{0,2} ?[0-9a-zA-Z%/._é ]{0,8}",
    ) {
        match read(&text) {
            Ok(comparison) => {
                prop_assert_eq!(comparison.to_string(), text.trim());
                prop_assert!(comparison.limit.is_finite() && comparison.limit >= 0.0);
            }
            Err(error) => prop_assert!(text.get(error.span()).is_some()),
        }
    }
}
