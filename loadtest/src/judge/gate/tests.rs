//! Which gates there are, and when they fail.

use super::*;

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
        "p99(tls) > 20ms",
        "max(tls.failed) > 1s",
        "count(tls) > 16",
        "handshakes.full > 16",
        "handshakes.resumed < 90%",
        "handshakes.failed > 0",
        "handshakes.tls_1_2 > 0",
    ] {
        let gate = Gate::fail_if(source);
        assert!(gate.is_ok(), "{source}: {}", gate.unwrap_err());
    }
}

#[test]
fn an_invalid_gate_is_refused_with_what_is_accepted() {
    for (text, at, words) in [
        ("", 0, "expected errors, accepted, 4xx"),
        ("error > 5", 0, "did you mean errors?"),
        ("xyzzy > 5", 0, "p99(message)"),
        ("xyzzy > 5", 0, "handshakes.full, handshakes.resumed, handshakes.failed"),
        ("handshake.full > 5", 0, "did you mean handshakes.full?"),
        ("p99(handshakes.full) > 5ms", 4, "expected handshakes.full alone"),
        ("p99(tsl) > 5ms", 4, "did you mean tls?"),
        ("p99(xyzzy) > 5ms", 4, "one of connect, tls, banner"),
        ("p99(massage) > 5ms", 4, "did you mean message?"),
        ("p99(dot.best) > 5ms", 4, "with .ok or .failed behind the name"),
        ("p99(xyzzy) > 5ms", 4, "uncorrected, lag"),
        ("p999(message) > 5ms", 0, "another percentile, min, mean, max or count"),
        ("p99 message > 5ms", 4, "an opening parenthesis"),
        ("p99(message > 5ms", 12, "a closing parenthesis"),
        ("message > 5ms", 0, "expected p99(message)"),
        ("p99(errors) > 5ms", 4, "expected errors alone"),
        ("p99(message) 5ms", 13, "one of == != < <= > >="),
        ("p99(message) > 5", 15, "like 50ms"),
        ("p99(message) > 5ms 6ms", 15, "like 50ms"),
        ("errors > some", 9, "a percentage, like 0.1%"),
        ("rate < 5%", 7, "with /s"),
        ("count(dot) > 5%", 13, "a number"),
    ] {
        let error = Gate::fail_if(text).expect_err(text);
        assert!(error.span().start == at && error.fault().to_string().contains(words), "{text}: {error}");
    }
}
