//! A printed rule parses to the same rule, and errors point to their place.

use proptest::prelude::*;

use super::super::delay::tests::any_delay;
use super::super::offer::Extension;
use super::super::rule::Conditions;
use super::*;

fn ordinals_strategy() -> impl Strategy<Value = Ordinals> {
    (1..50_u64, prop::option::of(0..50_u64))
        .prop_map(|(first, more)| Ordinals { first, last: more.map(|more| first + more) })
}

fn duration_strategy() -> impl Strategy<Value = Duration> {
    (1..1_000_000_u64).prop_map(Duration::from_micros)
}

fn any_offer() -> impl Strategy<Value = Offer> {
    let listed = prop::sample::subsequence(Extension::ALL, 1..=Extension::ALL.len());
    (any::<bool>(), listed).prop_map(|(is_exact, listed)| match is_exact {
        true => Offer::only(listed),
        false => Offer::without(listed),
    })
}

fn any_glob() -> impl Strategy<Value = Glob> {
    r#"[a-zA-Z0-9*?@. "\\<>=-]{0,12}"#.prop_map(|text| Glob::new(&text))
}

/// Conditions that may contradict each other.
fn any_conditions() -> impl Strategy<Value = Conditions> {
    let glob = || prop::option::of(any_glob());
    let ip = prop::option::of(
        (any::<std::net::IpAddr>(), 0..=32_u8).prop_map(|(ip, bits)| Cidr::new(ip, bits).unwrap()),
    );
    let chance = (1..=1_000_000_u32).prop_map(|parts| Chance::percent(f64::from(parts) / 10_000.0).unwrap());
    let client = (glob(), glob(), glob(), glob(), glob(), glob(), glob(), ip);
    let counts = (
        prop::option::of(ordinals_strategy()),
        prop::option::of(ordinals_strategy()),
        prop::option::of(1..20_u64),
        prop::option::of(chance),
        prop::option::of(1..20_u64),
        prop::sample::subsequence(Key::BY_WORD, 0..=Key::BY_WORD.len()),
    );
    let times = (
        prop::option::of(duration_strategy()),
        prop::option::of(duration_strategy()),
        prop::option::of(duration_strategy()),
        prop::option::of(0..10_000_000_usize),
    );
    let parameters = prop::collection::btree_map("[a-z0-9][a-z0-9-]{0,5}", any_glob(), 0..3);
    (client, counts, times, parameters).prop_map(|(client, counts, times, parameters)| {
        let (from, to, helo, user, mechanism, sni, inbox, ip) = client;
        let (session, nth, every, odds, count, keys) = counts;
        let (after, until, period, size) = times;
        let parameters = parameters.into_iter().map(|(name, glob)| (name.into(), glob)).collect();
        let mut when = Conditions {
            from,
            to,
            helo,
            ip,
            user,
            mechanism,
            sni,
            inbox,
            session,
            size,
            parameters,
            after,
            until,
            period,
            nth,
            every,
            odds,
            times: count,
            per: Vec::new(),
        };
        when.count_per(keys.into_iter().map(|key| key.1).collect());
        when
    })
}

/// A rule, possibly contradictory, except for parameters and offers at stages without them.
fn any_rule() -> impl Strategy<Value = Rule> {
    let ending = prop_oneof![
        Just(Action::Accept),
        Just(Action::Close),
        Just(Action::Silent),
        Just(Action::Stall),
        (0..100_usize).prop_map(Action::Cut),
        prop::sample::select(Alert::BY_WORD).prop_map(|alert| Action::Alert(alert.1)),
        Just(Action::Garbage),
        prop::sample::select(DROPS).prop_map(|drop| drop.1),
    ];
    let names = (prop::option::of(prop::sample::select(Stage::ALL)), prop::option::of("[a-zA-Z0-9._-]{0,9}"));
    let actions = (
        prop::option::of(any_delay()),
        prop::option::of("(raw:)?[ -~\r\n\té]{1,20}"),
        prop::option::of(any_offer()),
        prop::option::of(prop::sample::select(WrongCertificate::ALL)),
        prop::option::of(prop::sample::select(TlsVersion::ALL)),
        prop::option::of(ending),
    );
    (names, any_conditions(), actions).prop_map(|((stage, id), mut when, actions)| {
        let (delay, reply, offer, certificate, version, ending) = actions;
        let is_handshake = stage == Some(Stage::Tls);
        let (certificate, version) = (certificate.filter(|_| is_handshake), version.filter(|_| is_handshake));
        match is_handshake {
            true => (when.helo, when.user, when.mechanism) = (None, None, None),
            false => when.sni = None,
        }
        let offer = offer.filter(|_| stage == Some(Stage::Helo) && reply.is_none());
        let with_parameters = [Stage::Mail, Stage::Rcpt, Stage::Data, Stage::Bdat, Stage::Message];
        if stage.is_some_and(|stage| !with_parameters.contains(&stage)) {
            when.parameters.clear();
        }
        let id = id.map(Into::into);
        let rule = Rule { stage, id, when, delay, offer, certificate, version, ending, ..Rule::anywhere() };
        match reply {
            Some(text) => rule.reply(&text),
            None => rule,
        }
    })
}

proptest! {
    // Four in five are contradictory.
    #![proptest_config(ProptestConfig { max_global_rejects: 100_000, ..ProptestConfig::default() })]
    #[test]
    fn a_printed_rule_parses_to_the_same_rule(rule in any_rule()) {
        prop_assume!(rule.contradiction().is_none());
        let text = rule.to_string();
        prop_assert_eq!(text.parse::<Rule>(), Ok(rule), "{}", text);
    }
}

proptest! {
    /// The library and the text refuse the same rules. (In the text, `reply=` with `drop=` means "reply, then drop".)
    #[test]
    fn a_contradictory_rule_is_refused_as_text_too(rule in any_rule()) {
        let is_reworded = rule.reply.is_some() && matches!(rule.ending, Some(Action::DropBefore(_)));
        prop_assume!(rule.contradiction().is_some() && !is_reworded);
        prop_assert!(rule.to_string().parse::<Rule>().is_err(), "{}", rule);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in r#"(rcpt|any|x)( (to|reply|delay|nth|per|ip|é)?(=|>=)?["\\a-z0-9.*%+ ]{0,6}){0,4}"#) {
        if let Err(error) = text.parse::<Rule>() {
            prop_assert!(error.span().end <= text.len(), "{:?}", error);
            prop_assert!(text.is_char_boundary(error.span().start), "{:?}", error);
            let _ = error.to_string();
        }
    }
}

#[test]
fn errors_point_to_the_place() {
    for (text, place, hint) in [
        ("", 0..0, "expected a stage"),
        ("rpct delay=2s", 0..4, "did you mean rcpt?"),
        ("rcpt", 4..4, "something to do"),
        ("rcpt to=*", 9..9, "something to do"),
        ("noop param.notify=a silent", 5..19, "one of the stages mail, rcpt, data, bdat and message"),
        ("rcpt param.=a silent", 5..13, "the keyword of a parameter"),
        ("rcpt param.a=b param.A=c silent", 15..24, "param.A= is there already"),
        ("rcpt ehlo=DSN", 5..13, "the stage helo"),
        ("helo ehlo=DNS", 10..13, "did you mean DSN?"),
        ("helo ehlo=DSN accept", 5..13, "it makes the reply"),
        ("rcpt rpely=x", 5..11, "did you mean reply=?"),
        ("rcpt delay=2x", 11..13, "a delay, like"),
        ("rcpt delay=expo(2s)", 11..15, "did you mean exp?"),
        ("rcpt delay=2s delay=3s", 14..22, "once is enough"),
        ("rcpt silent close", 12..17, "only one of"),
        ("rcpt silent reply=\"250 ok\"", 12..26, "either a reply, or none"),
        ("rcpt reply=\"451 x", 17..17, "closing quote"),
        ("rcpt reply=\"451 \\x\"", 16..18, "expected \\\""),
        ("rcpt reply=\"451\"x", 16..16, "expected a space"),
        ("helo reply=\"250-a\\n550 b\"", 5..25, "the code of the first line in every line"),
        ("helo reply=\"250 a\\n250 b\"", 5..25, "a hyphen behind the code"),
        ("helo reply=\"250-a\\n250-b\"", 5..25, "a space behind the code in the last line"),
        ("helo reply=\"\\n\"", 5..15, "a reply with a code"),
        ("rcpt size>=1MiB silent", 5..15, "the stage message"),
        ("helo to=x silent", 5..9, "no recipient"),
        ("rcpt nth=0 silent", 9..10, "an ordinal from 1"),
        ("rcpt nth=3..2 silent", 9..13, "an ordinal from 1"),
        ("rcpt times=x silent", 11..12, "a whole number from 1"),
        ("rcpt per=session silent", 5..16, "nothing to count"),
        ("rcpt times=1 per=sesion silent", 17..23, "did you mean session?"),
        ("rcpt odds=0% silent", 10..12, "a percentage"),
        ("rcpt ip=10.0.0.0/40 silent", 8..19, "an IP address or network"),
        ("rcpt after=10s until=5s silent", 15..23, "end behind the beginning"),
        ("rcpt id= silent", 5..8, "at most 64 letters"),
        ("rcpt id=\"a b\" silent", 5..13, "at most 64 letters"),
        ("rcpt id=a silent id=b", 17..21, "once is enough"),
        ("rcpt drop=fni", 10..13, "did you mean fin?"),
        ("starttls sni=a silent", 9..14, "the client names the server in its hello, which follows STARTTLS"),
        ("rcpt sni=a silent", 5..10, "the stage tls"),
        ("any sni=a silent", 4..9, "the stage tls"),
        ("any certificate=expired", 4..23, "the stage tls"),
        ("starttls version=1.2", 9..20, "the stage tls"),
        ("starttls alert=internal_error", 9..29, "the stage tls"),
        ("rcpt garbage", 5..12, "the stage tls"),
        ("tls", 3..3, "something to do: certificate="),
        ("tls certificate=exipred", 16..23, "did you mean expired?"),
        ("tls version=1.1", 12..15, "a version of TLS: 1.2 or 1.3"),
        ("tls alert=unrecognised_name", 10..27, "did you mean unrecognized_name?"),
        ("tls reply=\"454 no\"", 4..18, "a handshake has no reply"),
        ("tls close", 4..9, "a handshake has no reply"),
        ("tls drop=fin-after", 4..18, "a handshake has no reply"),
        ("tls certificate=expired silent", 4..23, "either a handshake that goes on"),
        ("tls version=1.2 accept", 4..15, "either a handshake that goes on"),
        ("tls helo=a silent", 4..10, "what the client sent before is forgotten"),
        ("tls times=1 per=user silent", 12..20, "what the client sent before is forgotten"),
        ("tls from=a silent", 4..10, "no sender elsewhere"),
        ("helo ehlo=-DSN extensions=-SIZE", 15..31, "extensions= is there already"),
    ] {
        let error = text.parse::<Rule>().unwrap_err();
        assert_eq!(error.span(), place, "{text}: {error}");
        assert!(error.fault().to_string().contains(hint), "{text}: {error}");
    }
}

#[test]
fn a_reply_may_have_several_lines() {
    let rule: Rule = r#"rcpt reply="451-one\n451 \"two\"""#.parse().unwrap();
    assert_eq!(rule.reply.as_ref().unwrap().text(), b"451-one\r\n451 \"two\"");
    assert_eq!(rule.to_string(), r#"rcpt reply="451-one\n451 \"two\"""#);
    let raw: Rule = r#"rcpt reply="raw:451-one\n550 two\r\n\n""#.parse().unwrap();
    assert_eq!(raw.reply.as_ref().unwrap().wire(), b"451-one\n550 two\r\n\n");
    assert_eq!(raw.to_string(), r#"rcpt reply="raw:451-one\n550 two\r\n\n""#);
}
