use super::*;

use proptest::prelude::*;

fn os(text: &str) -> &OsStr {
    OsStr::new(text)
}

fn positive(nanoseconds: u64) -> Result<SignedSpan, Expected> {
    Ok(SignedSpan::Positive(Duration::from_nanos(nanoseconds)))
}

#[test]
fn integers_are_gos() {
    let good = [
        ("2525", 2525),
        ("+2525", 2525),
        ("-1", -1),
        ("0x9dd", 2525),
        ("0X9DD", 2525),
        ("0o4735", 2525),
        ("04735", 2525),
        ("0b1001", 9),
        ("0B1001", 9),
        ("2_525", 2525),
        ("0x_9dd", 2525),
        ("0_7", 7),
        ("0", 0),
        ("00", 0),
        ("-0", 0),
        ("9223372036854775807", i64::MAX),
        ("-9223372036854775808", i64::MIN),
        ("-0x8000000000000000", i64::MIN),
    ];
    for (text, value) in good {
        assert_eq!(integer(os(text)), Ok(value), "{text}");
    }
}

#[test]
fn what_go_refuses_is_no_integer() {
    let bad = [
        "", "abc", "1.5", " 1", "1 ", "_1", "1_", "1__0", "0x", "0b", "0b2", "08", "0_", "0x_", "+", "-",
        "--1", "+-1", "1e3", "٣", "0x-1",
    ];
    for text in bad {
        assert_eq!(integer(os(text)), Err(Expected::new(AN_INTEGER)), "{text:?}");
    }
}

#[test]
fn integers_beyond_64_bits_are_out_of_range() {
    for text in [
        "9223372036854775808",
        "-9223372036854775809",
        "0xffffffffffffffff",
        "999999999999999999999999999999999999999999999999",
    ] {
        let error = integer(os(text)).expect_err(text).to_string();
        assert!(error.ends_with("out of range"), "{text}: {error}");
    }
}

#[test]
fn booleans_are_gos() {
    for text in ["1", "t", "T", "true", "TRUE", "True"] {
        assert_eq!(boolean(os(text)), Ok(true), "{text}");
    }
    for text in ["0", "f", "F", "false", "FALSE", "False"] {
        assert_eq!(boolean(os(text)), Ok(false), "{text}");
    }
    for text in ["", "maybe", "tRUE", "yes", "on", " true", "2", "-1"] {
        assert!(boolean(os(text)).is_err(), "{text:?}");
    }
}

#[test]
fn durations_are_seconds_or_have_units() {
    let good = [
        ("30", 30_000_000_000),
        ("0x1e", 30_000_000_000),
        ("250ms", 250_000_000),
        ("1.5s", 1_500_000_000),
        (".5s", 500_000_000),
        ("5.s", 5_000_000_000),
        ("2m", 120_000_000_000),
        ("1h", 3_600_000_000_000),
        ("1m30s", 90_000_000_000),
        ("1h0.5m", 3_630_000_000_000),
        ("+010s", 10_000_000_000),
        ("100us", 100_000),
        ("100\u{b5}s", 100_000),
        ("100\u{3bc}s", 100_000),
        ("7ns", 7),
        ("5min", 300_000_000_000),
        ("2 m", 120_000_000_000),
        ("1h0.5 min", 3_630_000_000_000),
    ];
    for (text, nanoseconds) in good {
        assert_eq!(span(os(text)), positive(nanoseconds), "{text}");
    }
    for text in ["0", "-0", "0s", "0.0ms", "0.1ns", "-0s"] {
        assert_eq!(span(os(text)), Ok(SignedSpan::Zero), "{text}");
    }
    for text in ["-1", "-250ms", "-0x1"] {
        assert_eq!(span(os(text)), Ok(SignedSpan::Negative), "{text}");
        assert!(positive_span(os(text)).is_err(), "{text}");
    }
}

#[test]
fn what_is_neither_is_no_duration() {
    let bad = [
        "",
        "s",
        "ms",
        "1.5",
        "1.5.5s",
        ".s",
        " 1s",
        "1S",
        "1d",
        "1s30",
        "--1s",
        "s1",
        "-",
        "0x1s",
        "1_0s",
        "1.0000000000000000000s",
        "99999999999999999999s",
    ];
    for text in bad {
        assert_eq!(span(os(text)), Err(Expected::new(A_DURATION)), "{text:?}");
    }
}

#[test]
fn durations_beyond_a_year_count_as_a_year() {
    for text in ["31536001", "9223372036854775807", "8761h"] {
        assert_eq!(span(os(text)), Ok(SignedSpan::Positive(MAX_DURATION)), "{text}");
    }
    let longest = smtpmock::Config::default().session_timeout(MAX_DURATION);
    assert!(longest.validate().is_ok());
}

#[test]
fn sizes_are_bytes_or_have_units() {
    let good = [
        ("1048576", 1_048_576),
        ("0x10", 16),
        ("64KiB", 65_536),
        ("10MiB", 10_485_760),
        ("1GiB", 1_073_741_824),
        ("10KB", 10_000),
        ("10MB", 10_000_000),
        ("2GB", 2_000_000_000),
        ("10mib", 10_485_760),
        ("-0", 0),
        ("1_000KB", 1_000_000),
        ("100B", 100),
        ("010KiB", 10_240),
        ("10 MiB", 10_485_760),
    ];
    for (text, bytes) in good {
        assert_eq!(size(os(text)), Ok(bytes), "{text}");
    }
    for text in ["", "MiB", "10M", "1.5MiB", "10MiBs", "0x1KB", "KB1", "1__0KB", "_1KB", "--1KB", "é"] {
        assert_eq!(size(os(text)), Err(Expected::new(A_SIZE)), "{text:?}");
    }
    assert!(size(os("9223372036854775807KB")).is_err());
    for text in ["-1", "-5", "-1KiB", "-0x10"] {
        assert_eq!(
            size(os(text)),
            Err(Expected::new("a number of bytes of at least 0, like 64MiB")),
            "{text}"
        );
    }
}

#[test]
fn lists_are_split_at_every_comma_and_not_trimmed() {
    assert_eq!(list(os("")), Ok(vec![]));
    assert_eq!(list(os("a, b,")), Ok(vec!["a".into(), " b".into(), String::new()]));
    assert!(list(OsStr::from_bytes(b"\xff")).is_err());
    assert_eq!(entries(os(" a, b, ,")), Ok(vec![" a".into(), " b".into()]));
}

#[test]
fn texts_are_verbatim() {
    let raw = b"250-a\r\n250 \\r\\n \xff ";
    assert_eq!(verbatim(OsStr::from_bytes(raw)), raw);
}

#[test]
fn choices_name_what_there_is() {
    let choices = [("one", 1), ("two", 2)];
    assert_eq!(choice(os("two"), &choices), Ok(Some(2)));
    assert_eq!(choice(os(""), &choices), Ok(None));
    assert_eq!(choice(os("Two"), &choices), Err(Expected::new("one or two")));
}

proptest! {
    #[test]
    fn every_integer_reads_back_in_every_base(value: i64) {
        let (sign, magnitude) = (if value < 0 { "-" } else { "" }, value.unsigned_abs());
        let spellings = [
            format!("{value}"),
            format!("{sign}{magnitude:#x}"),
            format!("{sign}{magnitude:#X}").replace("0X", "0x"),
            format!("{sign}{magnitude:#b}"),
            format!("{sign}{magnitude:#o}"),
            format!("{sign}0{magnitude:o}"),
        ];
        for text in spellings {
            prop_assert_eq!(integer(os(&text)), Ok(value), "{}", text);
        }
    }

    #[test]
    fn underscores_between_digits_change_nothing(value: u32, cuts: u16) {
        let digits = value.to_string();
        let mut text = String::new();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && cuts & (1 << at) != 0 {
                text.push('_');
            }
            text.push(digit);
        }
        prop_assert_eq!(integer(os(&text)), Ok(i64::from(value)), "{}", text);
    }

    #[test]
    fn a_decimal_duration_is_what_its_milliseconds_say(milliseconds in 1_u64..1_000_000_000) {
        let expected = positive(milliseconds * 1_000_000);
        let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
        for text in [
            format!("{milliseconds}ms"),
            format!("{seconds}.{rest:03}s"),
            format!("{seconds}s{rest}ms"),
            format!("{}us", milliseconds * 1000),
        ] {
            prop_assert_eq!(span(os(&text)), expected.clone(), "{}", text);
        }
    }

    #[test]
    fn no_text_makes_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..24)) {
        let raw = OsStr::from_bytes(&bytes);
        let _ = (integer(raw), span(raw), size(raw), boolean(raw), list(raw), count(raw));
    }

    #[test]
    fn nothing_close_to_a_number_makes_a_reader_panic(text in "[-+]?[0-9_.]{0,24}[xob]?[0-9a-f]{0,4}[kKMGiBmsunh]{0,3}") {
        let raw = os(&text);
        let _ = (integer(raw), span(raw), size(raw), count(raw));
    }
}
