//! HELO names and paths. `Compat` equals go-smtp-mock's patterns and the documented additions, `Rfc5321` the examples of the
//! grammar, and `Lenient` the former with the domains of the latter.

use proptest::prelude::*;
use proptest::sample::select;
use regex_syntax::hir::{Class, HirKind};
use smtpmock::smtp::{AddressRules, Extensions, Grammar, HeloName, Path, Request, Verb};

use crate::support::reference::{self, additions, lenient};

const ADDRESS_PARTS: &[&str] = &[
    "a",
    "Z",
    "9",
    "user",
    "example",
    "com",
    "xn--p1ai",
    "localhost",
    "LOCALHOST",
    "local",
    "@",
    "@",
    "@",
    ".",
    ".",
    ".",
    "-",
    "--",
    "<",
    "<",
    ">",
    ">",
    " ",
    "\t",
    "\u{b}",
    "\n",
    "[",
    "]",
    "127.0.0.1",
    "255",
    "256",
    "01",
    "IPv6:",
    "::1",
    "2001:db8::1",
    "IPv6:::1",
    "tag:",
    ":",
    ",",
    "\"",
    "\\",
    "\"a b\"",
    "!",
    "#",
    "+",
    "=",
    "_",
    "`",
    "{",
    "~",
    "%",
    "é",
    "ß",
    "ж",
    "рф",
    "٣",
    "²",
    "Ⅷ",
    "ſ",
    "\u{212a}",
    "\u{345}",
    "\u{0}",
    "\u{7f}",
    "\u{a0}",
    "\u{fffd}",
    "postmaster",
    "SIZE=1",
    "café.example",
    "a.b",
    "user@example.com",
    "@relay.example:",
    "@relay.example,@b.example:",
    "example.com",
    "vm",
    "web_1",
    "[127.0.0.1]",
    "[IPv6:::1]",
];

fn argument() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        30 => select(ADDRESS_PARTS).prop_map(|part| part.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 1..3),
    ];
    let soup = proptest::collection::vec(part, 0..9).prop_map(|parts| parts.concat());
    let local = proptest::collection::vec(select(ADDRESS_PARTS), 1..4).prop_map(|parts| parts.concat());
    let domain = proptest::collection::vec(select(ADDRESS_PARTS), 1..5).prop_map(|parts| parts.concat());
    let shaped =
        (select(&["<", " <", "", "x <", "<<"][..]), local, domain, select(&[">", "", ">>", "> "][..]))
            .prop_map(|(open, local, domain, close)| format!("{open}{local}@{domain}{close}").into_bytes());
    prop_oneof![soup, shaped]
}

fn line(commands: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    (select(commands), argument()).prop_map(|(command, argument)| [command.as_bytes(), &argument].concat())
}

/// Asserts that the result is that of the reference or of a documented addition.
fn equals_or_adds(
    found: Option<Vec<u8>>,
    expected: Option<Vec<u8>>,
    is_added: bool,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(found.is_some(), expected.is_some() || is_added);
    if expected.is_some() {
        prop_assert_eq!(found, expected);
    }
    Ok(())
}

/// The same path, or one that begins with letters beyond ASCII, after which go-smtp-mock's begins.
fn same_or_with_letters(found: Option<Path<'_>>, stricter: Path<'_>) -> Result<(), TestCaseError> {
    let found = found.map(|path| path.mailbox()).unwrap_or_default();
    let letters = found.strip_suffix(stricter.mailbox()).unwrap_or(b"none");
    prop_assert!(letters.is_empty() || letters.last().is_some_and(|octet| !octet.is_ascii()), "{:?}", found);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn compat_helo_equals_the_reference_and_the_additions(line in line(&["HELO ", "ehlo ", "EHLO  ", "HELO", "EHLO\t"])) {
        let name = HeloName::parse(&line, AddressRules::Compat).map(|name| name.as_bytes().to_vec());
        let expected = reference::helo_name(&line);
        equals_or_adds(name, expected, additions::helo(&line))?;
    }

    #[test]
    fn compat_mail_equals_the_reference_and_the_additions(line in line(&["MAIL FROM:", "mail from:", "MAIL FROM: ", "MAIL FROM"])) {
        let mailbox = Path::parse_reverse(&line, AddressRules::Compat).map(|path| path.mailbox().to_vec());
        let expected = reference::reverse_path(&line);
        equals_or_adds(mailbox, expected, additions::mail(&line))?;
    }

    #[test]
    fn compat_rcpt_equals_the_reference_and_the_additions(line in line(&["RCPT TO:", "rcpt to:", "RCPT TO:\t", "RCPT"])) {
        let mailbox = Path::parse_forward(&line, AddressRules::Compat).map(|path| path.mailbox().to_vec());
        let expected = reference::forward_path(&line);
        equals_or_adds(mailbox, expected, additions::rcpt(&line))?;
    }

    #[test]
    fn lenient_accepts_the_forms_of_the_reference_with_the_domains_of_the_rfc(
        helo in line(&["HELO ", "ehlo ", "EHLO  ", "HELO"]),
        mail in line(&["MAIL FROM:", "mail from:", "MAIL FROM: ", "MAIL FROM"]),
        rcpt in line(&["RCPT TO:", "rcpt to:", "RCPT TO:\t", "RCPT"]),
    ) {
        prop_assert_eq!(HeloName::parse(&helo, AddressRules::Lenient).is_some(), lenient::helo(&helo));
        prop_assert_eq!(Path::parse_reverse(&mail, AddressRules::Lenient).is_some(), lenient::mail(&mail));
        prop_assert_eq!(Path::parse_forward(&rcpt, AddressRules::Lenient).is_some(), lenient::rcpt(&rcpt));
    }

    #[test]
    fn what_a_stricter_set_accepts_lenient_accepts_as_the_same(
        helo in line(&["HELO ", "EHLO "]), mail in line(&["MAIL FROM:"]), rcpt in line(&["RCPT TO:"]),
    ) {
        for rules in [AddressRules::Compat, AddressRules::Rfc5321] {
            if let Some(name) = HeloName::parse(&helo, rules) {
                prop_assert_eq!(HeloName::parse(&helo, AddressRules::Lenient), Some(name));
            }
            if let Some(path) = Path::parse_reverse(&mail, rules) {
                same_or_with_letters(Path::parse_reverse(&mail, AddressRules::Lenient), path)?;
            }
            if let Some(path) = Path::parse_forward(&rcpt, rules) {
                same_or_with_letters(Path::parse_forward(&rcpt, AddressRules::Lenient), path)?;
            }
        }
    }

    #[test]
    fn what_rfc5321_accepts_any_accepts_with_the_same_mailbox(line in line(&["MAIL FROM:"])) {
        let strict = Path::parse_reverse(&line, AddressRules::Rfc5321);
        let any = Path::parse_reverse(&line, AddressRules::Any).map(|path| path.mailbox());
        prop_assert!(any.is_some());
        if let Some(strict) = strict && !line.contains(&b':') {
            prop_assert_eq!(Some(strict.mailbox()), any);
        }
    }

    #[test]
    fn commands_are_distinguished_as_by_the_reference(
        words in proptest::collection::vec(
            select(&["HELO", "ehlo", "MAIL", "mail FROM:", "RCPT", "rcpt to:", "DATA", "RSET", "r\u{17f}et", "NOOP", "QUIT", " ", " ", "\t",
                     "x", "from:", "to:", "HELP", "é", "\u{a0}", "\u{b}", ":", "database"][..]), 0..5),
    ) {
        let line = words.concat();
        let expected = reference::handler(line.trim());
        let grammar = Grammar { addresses: AddressRules::default(), offered: &Extensions::default() };
        let request = Request::parse(line.as_bytes(), grammar);
        // The reference does not distinguish HELO and EHLO, and does not know the commands of Extended SMTP.
        let verb_of = |verb| match verb {
            Verb::Ehlo => Some(Verb::Helo),
            Verb::Vrfy | Verb::Expn | Verb::Help | Verb::Xclient => None,
            verb => Some(verb),
        };
        prop_assert_eq!(request.command.verb().and_then(verb_of), expected.map(verb), "{:?}", expected);
        prop_assert_eq!(request.line, line.trim().as_bytes());
    }
}

fn verb(handler: &str) -> Verb {
    match handler {
        "HELO" | "EHLO" => Verb::Helo,
        "MAIL" => Verb::Mail,
        "RCPT" => Verb::Rcpt,
        "DATA" => Verb::Data,
        "RSET" => Verb::Rset,
        "NOOP" => Verb::Noop,
        "QUIT" => Verb::Quit,
        other => unreachable!("{other} is no handler"),
    }
}

/// The characters at the boundaries of the classes in the reference's patterns, inside and outside.
fn edges() -> Vec<char> {
    let edges_of = |class: &str| {
        let hir = regex_syntax::parse(class).expect("a valid pattern");
        let HirKind::Class(Class::Unicode(class)) = hir.kind() else {
            panic!("{hir:?} is no class");
        };
        let ranges = class.ranges().iter().map(|range| (u32::from(range.start()), u32::from(range.end())));
        ranges.flat_map(|(first, last)| [first.saturating_sub(1), first, last, last + 1]).collect::<Vec<_>>()
    };
    // Characters that Unicode has assigned since are unknown to the reference.
    let is_assigned = regex::Regex::new(r"\P{Cn}").expect("a valid pattern");
    let codes =
        [r"(?i:\p{L})", r"(?i:\p{N})", r"(?i:[a-z])", r"\s"].into_iter().flat_map(edges_of).chain(0..0x250);
    codes.filter_map(char::from_u32).filter(|c| is_assigned.is_match(c.encode_utf8(&mut [0; 4]))).collect()
}

#[test]
fn compat_has_the_same_classes_of_characters_as_the_reference() {
    let edges = edges();
    let mut differing = Vec::new();
    for &c in &edges {
        for line in [
            format!("HELO {c}1.{c}{c}"),
            format!("HELO a{c}b.com"),
            format!("MAIL FROM:{c}<a@example.com>"),
            format!("MAIL FROM:<{c}@example.com>"),
            format!("MAIL FROM:<a@local{c}host>"),
        ] {
            let bytes = line.as_bytes();
            let (actual, expected) = if line.starts_with("HELO") {
                let name = HeloName::parse(bytes, AddressRules::Compat);
                (name.map(|name| name.as_bytes().to_vec()), reference::helo_name(bytes))
            } else {
                let path = Path::parse_reverse(bytes, AddressRules::Compat);
                (path.map(|path| path.mailbox().to_vec()), reference::reverse_path(bytes))
            };
            if actual != expected {
                differing.push(format!("U+{:04X} {line:?}", u32::from(c)));
            }
        }
    }
    assert!(edges.len() > 2000, "{} edges", edges.len());
    assert!(differing.is_empty(), "{} differ: {:?}", differing.len(), &differing[..differing.len().min(40)]);
}

/// The HELO names of clients on a machine or in a container called `vm`, `25aea30808b2` or `web_1`, and go-smtp-mock's
/// replies to them.
const NAMES_OF_CLIENTS: &[(&str, &str, bool)] = &[
    ("PHPMailer, emailjs, sendemail, swaks, curl, smtp-source, lettre", "EHLO vm", false),
    ("the same in a container", "EHLO 25aea30808b2", false),
    ("the same as a service of a compose file", "EHLO mail_worker_1", false),
    ("the same where the first label is such a name", "EHLO web_1.internal", false),
    (".NET's SmtpClient", "EHLO DESKTOP-4F1K2", false),
    ("smtp-source falls back to it", "HELO vm", false),
    ("Go's net/smtp, Ruby's Net::SMTP, curl without a host name", "EHLO localhost", true),
    ("PHPMailer without a host name", "EHLO localhost.localdomain", true),
    ("nodemailer, smtplib, lettre without a domain", "EHLO [127.0.0.1]", true),
    ("smtplib over IPv6, MailKit", "EHLO [IPv6:fe80::1]", true),
    ("Jakarta Mail on a machine with a domain", "EHLO build-7.corp.example.com", true),
    ("a network whose top-level label has digits", "EHLO node1.k8s", false),
];

#[test]
fn lenient_accepts_the_helo_names_that_clients_use() {
    for &(client, line, is_accepted_by_reference) in NAMES_OF_CLIENTS {
        let name = HeloName::parse(line.as_bytes(), AddressRules::Lenient);
        assert_eq!(name.map(|name| name.as_bytes()), Some(&line.as_bytes()[5..]), "{client}");
        let compat = HeloName::parse(line.as_bytes(), AddressRules::Compat);
        assert_eq!(compat.is_some(), is_accepted_by_reference, "{client}: {line}");
    }
}

#[test]
fn lenient_accepts_the_senders_and_recipients_of_machines_without_a_domain() {
    for (line, mailbox) in [
        ("MAIL FROM:<root@vm>", "root@vm"),
        ("MAIL FROM: <www-data@25aea30808b2>", "www-data@25aea30808b2"),
        ("mail from:root@vm", "root@vm"),
        ("MAIL FROM:<\"a b\"@vm>", "\"a b\"@vm"),
        ("MAIL FROM:<@relay,@other:root@vm>", "root@vm"),
        ("MAIL FROM:<a@1-2--3.4>", "a@1-2--3.4"),
    ] {
        let path = Path::parse_reverse(line.as_bytes(), AddressRules::Lenient);
        assert_eq!(path.map(mailbox_of), Some(mailbox.to_owned()), "{line}");
        assert_eq!(Path::parse_reverse(line.as_bytes(), AddressRules::Compat), None, "{line}");
    }
    let line = "MAIL FROM:<jürgen@example.com>".as_bytes();
    let in_front = "MAIL FROM:Jürgen <jurgen@example.com>".as_bytes();
    for (line, rules, mailbox) in [
        (line, AddressRules::Lenient, "jürgen@example.com"),
        (line, AddressRules::Compat, "rgen@example.com"),
        (in_front, AddressRules::Lenient, "jurgen@example.com"),
    ] {
        assert_eq!(Path::parse_reverse(line, rules).map(mailbox_of), Some(mailbox.to_owned()));
    }
    for line in
        ["MAIL FROM:<root@my_service>", "MAIL FROM:<root@-vm>", "MAIL FROM:<root@>", "MAIL FROM:<root>"]
    {
        assert_eq!(Path::parse_reverse(line.as_bytes(), AddressRules::Lenient), None, "{line}");
    }
    for line in
        ["EHLO", "EHLO ", "EHLO -vm", "EHLO vm-", "EHLO vm.", "EHLO a b", "EHLO a..b", "EHLO [256.0.0.1]"]
    {
        assert_eq!(HeloName::parse(line.as_bytes(), AddressRules::Lenient), None, "{line}");
    }
}

#[test]
fn rfc5321_accepts_what_the_grammar_allows() {
    for line in [
        "EHLO example.com",
        "HELO localhost",
        "ehlo a",
        "EHLO 1-2--3.4",
        "EHLO [192.0.2.1]",
        "EHLO [192.000.02.001]",
        "EHLO [IPv6:2001:db8::1]",
        "EHLO [ipv6:::ffff:192.0.2.1]",
    ] {
        assert!(HeloName::parse(line.as_bytes(), AddressRules::Rfc5321).is_some(), "{line}");
    }
    for (path, mailbox) in [
        ("<Smith@bar.com>", "Smith@bar.com"),
        ("<a.b.c@d>", "a.b.c@d"),
        ("<!#$%&'*+-/=?^_`{|}~@example.com>", "!#$%&'*+-/=?^_`{|}~@example.com"),
        ("<\"Joe Q. Public\"@example.com>", "\"Joe Q. Public\"@example.com"),
        ("<\"a\\\"b\\\\c@d>\"@example.com>", "\"a\\\"b\\\\c@d>\"@example.com"),
        ("<\"\"@example.com>", "\"\"@example.com"),
        ("<user@[192.0.2.1]>", "user@[192.0.2.1]"),
        ("<user@[192.0.2.01]>", "user@[192.0.2.01]"),
        ("<user@[IPv6:2001:db8::1]>", "user@[IPv6:2001:db8::1]"),
        ("<@hosta.int,@jkl.org:userc@d.bar.org>", "userc@d.bar.org"),
        ("<postmaster@example.com>", "postmaster@example.com"),
        ("<user@xn--bcher-kva.example>", "user@xn--bcher-kva.example"),
    ] {
        for (command, parse) in parsers() {
            let line = format!("{command}{path}");
            let parsed = parse(line.as_bytes());
            assert_eq!(parsed.as_deref(), Some(mailbox), "{line}");
        }
    }
    assert!(
        Path::parse_reverse(b"MAIL FROM:<>", AddressRules::Rfc5321)
            .is_some_and(|path| path.mailbox().is_empty())
    );
    assert!(Path::parse_forward(b"RCPT TO:<PostMaster>", AddressRules::Rfc5321).is_some());
}

#[test]
fn rfc5321_refuses_what_the_grammar_forbids() {
    for line in [
        "EHLO",
        "EHLO ",
        "EHLO  example.com",
        "HELO [192.0.2.1]",
        "EHLO -a.com",
        "EHLO a-.com",
        "EHLO a..b",
        "EHLO .a",
        "EHLO a.",
        "EHLO a_b.com",
        "EHLO пример.рф",
        "EHLO [256.0.0.1]",
        "EHLO [192.0.2]",
        "EHLO [192.0.2.1",
        // "IPv6" is the only registered tag (RFC 5321 section 4.1.3).
        "EHLO [x-tag:some.content!]",
        "EHLO [2001:db8::1]",
        "EHLO [IPv6:]",
        "EHLO [IPv6:2001:db8:::1]",
        "EHLO [tag:]",
        "EHLO [tag:a b]",
        "EHLO example.com extra",
    ] {
        assert!(HeloName::parse(line.as_bytes(), AddressRules::Rfc5321).is_none(), "{line}");
    }
    for path in [
        "",
        "user@example.com",
        " <user@example.com>",
        "<user@example.com",
        "user@example.com>",
        "<<user@example.com>>",
        "<user@example.com>>",
        "<user@example.com> ",
        "<user@example.com> SIZE=1",
        "<user>",
        "<@example.com>",
        "<user@>",
        "<.user@example.com>",
        "<user.@example.com>",
        "<us..er@example.com>",
        "<us er@example.com>",
        "<us\"er@example.com>",
        "<\"user@example.com>",
        "<\"us\ner\"@example.com>",
        "<\"user\"x@example.com>",
        "<\"us\\\"@example.com>",
        "<usér@example.com>",
        "<user@exämple.com>",
        "<user@-example.com>",
        "<user@example..com>",
        "<user@[192.0.2.1>",
        "<user@[300.0.2.1]>",
        "<user@[IPv6:1:2]>",
        "<a@b@example.com>",
        "<@hosta.int,userc@d.bar.org>",
        "<@hosta.int:>",
        "<@:userc@d.bar.org>",
        "<hosta.int:userc@d.bar.org>",
    ] {
        for (command, parse) in parsers() {
            let line = format!("{command}{path}");
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
    }
    assert!(Path::parse_reverse(b"MAIL FROM:<postmaster>", AddressRules::Rfc5321).is_none());
    assert!(Path::parse_forward(b"RCPT TO:<>", AddressRules::Rfc5321).is_none());
}

type Parser = fn(&[u8]) -> Option<String>;

/// The parsers of MAIL and RCPT under the RFC's grammar.
fn parsers() -> [(&'static str, Parser); 2] {
    [
        ("MAIL FROM:", |line| Path::parse_reverse(line, AddressRules::Rfc5321).map(mailbox_of)),
        ("RCPT TO:", |line| Path::parse_forward(line, AddressRules::Rfc5321).map(mailbox_of)),
    ]
}

fn mailbox_of(path: Path<'_>) -> String {
    String::from_utf8(path.mailbox().to_vec()).expect("UTF-8")
}
