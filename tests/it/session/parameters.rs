//! Any parameters of MAIL and RCPT under Extended SMTP get the reply that a simple reading of the RFCs gives them, and are
//! recorded as they were sent.

use proptest::prelude::*;
use smtpmock::smtp::rules::{Environment, Extension, Offer};
use smtpmock::smtp::{AddressRules, Esmtp, Policy, ReplyKind, Session};

/// The size limit.
const LIMIT: u128 = 1000;

/// The extension that a parameter belongs to among those that are offered, and whether its value is valid, read word by word.
fn naive(command: &str, name: &str, value: Option<&str>, offered: &[Extension]) -> Option<(Extension, bool)> {
    let upper = value.map(str::to_uppercase);
    let upper = upper.as_deref();
    let is_xtext = |text: &str| {
        let mut parts = text.split('+');
        let is_plain = |part: &str| part.chars().all(|c| ('!'..='~').contains(&c) && c != '=');
        let is_code = |part: &str| {
            part.len() >= 2
                && part.is_char_boundary(2)
                && part[..2].chars().all(|c| "0123456789ABCDEF".contains(c))
        };
        is_plain(parts.next().unwrap()) && parts.all(|part| is_code(part) && is_plain(&part[2..]))
    };
    Some(match (command, &*name.to_uppercase()) {
        ("MAIL", "SIZE") => (
            Extension::Size,
            value.is_some_and(|value| value.len() <= 20 && value.chars().all(|c| c.is_ascii_digit())),
        ),
        ("MAIL", "BODY") if offered.contains(&Extension::BinaryMime) => {
            (Extension::BinaryMime, matches!(upper, Some("7BIT" | "8BITMIME" | "BINARYMIME")))
        }
        ("MAIL", "BODY") => (Extension::EightBitMime, matches!(upper, Some("7BIT" | "8BITMIME"))),
        ("MAIL", "SMTPUTF8") => (Extension::SmtpUtf8, value.is_none()),
        ("MAIL", "RET") => (Extension::Dsn, matches!(upper, Some("FULL" | "HDRS"))),
        ("MAIL", "ENVID") => {
            (Extension::Dsn, value.is_some_and(|value| value.len() <= 100 && is_xtext(value)))
        }
        ("RCPT", "NOTIFY") => {
            let is_list =
                |list: &str| list.split(',').all(|word| ["SUCCESS", "FAILURE", "DELAY"].contains(&word));
            (Extension::Dsn, upper.is_some_and(|value| value == "NEVER" || is_list(value)))
        }
        ("RCPT", "ORCPT") => {
            let is_atom = |kind: &str| !kind.is_empty() && !kind.contains(|c| "()<>[]:;@\\,.\"".contains(c));
            let is_valid =
                |(kind, address): (&str, &str)| is_atom(kind) && !address.is_empty() && is_xtext(address);
            (Extension::Dsn, value.and_then(|value| value.split_once(';')).is_some_and(is_valid))
        }
        _ => return None,
    })
}

fn expected(
    command: &str,
    words: &[(String, Option<String>)],
    offered: &[Extension],
) -> Result<(), ReplyKind> {
    for (index, (name, value)) in words.iter().enumerate() {
        let known = naive(command, name, value.as_deref(), offered)
            .filter(|(extension, _)| offered.contains(extension));
        let is_repeated = words[..index].iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
        match known {
            None => return Err(ReplyKind::ParameterNotOffered),
            Some((_, false)) => return Err(ReplyKind::InvalidParameter),
            Some((_, true)) if is_repeated => return Err(ReplyKind::InvalidParameter),
            Some((_, true)) => {}
        }
    }
    let size = words.iter().find(|(name, _)| name.eq_ignore_ascii_case("SIZE"));
    match size.and_then(|(_, value)| value.as_ref()?.parse::<u128>().ok()) {
        Some(size) if size > LIMIT => Err(ReplyKind::MessageTooBig),
        _ => Ok(()),
    }
}

fn word() -> impl Strategy<Value = (String, Option<String>)> {
    let value = prop_oneof![
        prop::sample::select(vec![
            "10",
            "1000",
            "1001",
            "18446744073709551616",
            "100000000000000000000",
            "7BIT",
            "8bitmime",
            "BINARYMIME",
            "FULL",
            "hdrs",
            "NEVER",
            "never,delay",
            "SUCCESS,Failure",
            "delay",
            "SUCCESS,",
            "rfc822;bob@example.com",
            "rfc822;a+2Bb",
            "rfc822;",
            ";a",
            "rfc822;a+2b",
            "QQ314159",
            "a+3D",
            "a+",
            "a=b",
        ])
        .prop_map(str::to_owned),
        "[!-~]{1,12}",
        "[a-f0-9+;,]{1,130}",
    ];
    let name = prop::sample::select(vec![
        "SIZE",
        "size",
        "BODY",
        "SMTPUTF8",
        "RET",
        "ENVID",
        "NOTIFY",
        "notify",
        "ORCPT",
        "PIPELINING",
        "AUTH",
        "FOO",
    ]);
    (name.prop_map(str::to_owned), prop::option::weighted(0.8, value))
}

/// The reply to the last line, and its parameters in the record.
fn answered(policy: &Policy, lines: &[&str]) -> (Vec<u8>, Vec<(String, Option<String>)>) {
    let mut session = Session::new();
    let mut reply = Vec::new();
    for line in lines {
        let input = format!("{line}\r\n");
        let progress = session.advance(policy, &mut Environment::alone(), input.as_bytes());
        assert_eq!(progress.consumed, input.len());
        reply = progress.step.expect("a reply").reply.text().to_vec();
    }
    let record = session.record().expect("a record");
    let exchange = record.rcptto_exchanges.last().map_or(&record.mailfrom_exchange, AsRef::as_ref);
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    let recorded = exchange.parameters().iter().map(|one| (text(one.keyword), one.value.map(text)));
    (reply, recorded.collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn parameters_are_judged_as_by_a_simple_reading(
        words in proptest::collection::vec(word(), 0..4),
        offered in proptest::sample::subsequence(Extension::ALL, 0..=Extension::ALL.len()),
        is_rcpt in any::<bool>(),
        rules in prop::sample::select(vec![AddressRules::Lenient, AddressRules::Compat, AddressRules::Rfc5321]),
    ) {
        let mut policy = Policy::default();
        policy.addresses = rules;
        policy.set_message_size_limit(1000);
        let offer = Some(Offer::only(offered.iter().copied()));
        policy.set_esmtp(Some(Esmtp { offer, ..Esmtp::default() }));
        let shown: String = words.iter().map(|(name, value)| match value {
            Some(value) => format!(" {name}={value}"),
            None => format!(" {name}"),
        }).collect();
        let (command, accepted) =
            if is_rcpt { ("RCPT", ReplyKind::RcptReceived) } else { ("MAIL", ReplyKind::MailReceived) };
        let mail = format!("MAIL FROM:<ann@example.com>{}", if is_rcpt { "" } else { &shown });
        let rcpt = format!("RCPT TO:<bob@example.com>{shown}");
        let lines = if is_rcpt { vec!["EHLO c.example", &mail, &rcpt] } else { vec!["EHLO c.example", &mail] };
        let (reply, recorded) = answered(&policy, &lines);
        let kind = expected(command, &words, &offered).err().unwrap_or(accepted);
        let limit = LIMIT.to_string();
        let text = String::from_utf8_lossy(policy.reply(kind).text()).replace("{{limit}}", &limit).into_bytes();
        let (code, rest) = text.split_at(3);
        let enhanced = kind.enhanced_code().filter(|_| offered.contains(&Extension::EnhancedStatusCodes));
        let enhanced = enhanced.map_or_else(String::new, |code| format!(" {code}"));
        prop_assert_eq!(
            String::from_utf8_lossy(&reply).into_owned(),
            String::from_utf8_lossy(&[code, enhanced.as_bytes(), rest].concat()).into_owned(),
            "{:?} {}", offered, lines.last().unwrap()
        );
        prop_assert_eq!(recorded, words);
    }
}
