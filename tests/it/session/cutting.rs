//! The same bytes give the same replies and records however they are split, and no bytes do harm.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use proptest::prelude::*;
use smtpmock::smtp::auth::{Auth, Credential, read_password_file};
use smtpmock::smtp::rules::{Environment, Trusted};
use smtpmock::smtp::{
    AddressRules, Esmtp, Keep, LineScanner, Policy, Protocol, Record, RecordMode, ReplyKind, Session,
};

use crate::support::chunks::{self, Turn};
use crate::support::peer::Peer;
use crate::support::transcript;

/// The whole result of a dialogue.
#[derive(Debug, PartialEq)]
struct Outcome {
    output: Vec<u8>,
    records: Vec<Record>,
    /// Command lines. A line that is too long is cut where it came to be.
    log: Vec<u8>,
    closed: bool,
}

fn run<'a>(protocol: Protocol, policy: &Policy, pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let mut peer = Peer::speaking(protocol, policy);
    let mut records = Vec::new();
    for piece in pieces {
        peer.receive(piece, &mut records);
    }
    let closed = peer.closed;
    peer.close(&mut records);
    Outcome { output: peer.output, log: peer.log, records, closed }
}

fn whole(policy: &Policy, input: &[u8]) -> Outcome {
    run(Protocol::Smtp, policy, std::iter::once(input))
}

fn cut(policy: &Policy, input: &[u8], sizes: &[usize]) -> Outcome {
    cut_of(Protocol::Smtp, policy, input, sizes)
}

fn cut_of(protocol: Protocol, policy: &Policy, input: &[u8], sizes: &[usize]) -> Outcome {
    let mut rest = input;
    let pieces = sizes.iter().cycle().map_while(move |&size| {
        let (piece, after) = rest.split_at(size.min(rest.len()));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    });
    run(protocol, policy, pieces)
}

#[test]
fn every_recorded_dialogue_is_answered_alike_however_it_is_split() {
    /// Long inputs use only the last of these, since small pieces would take too long.
    const CUTS: [&[usize]; 5] = [&[1], &[2, 1, 3], &[64, 1], &[1449, 3], &[65_536, 1, 2]];
    const LONG: usize = 50_000;
    let cases: Vec<_> = transcript::recorded().into_iter().chain(transcript::mended()).collect();
    for case in &cases {
        let policy = case.policy();
        let connections = case.steps.iter().map(|step| step.connection).max().unwrap_or(0);
        for connection in 0..=connections {
            let steps = case.steps.iter().filter(|step| step.connection == connection);
            let input: Vec<u8> = steps.flat_map(|step| step.send.clone()).collect();
            let expected = whole(&policy, &input);
            let cuts = if input.len() < LONG { &CUTS[..] } else { &CUTS[3..] };
            for sizes in cuts {
                assert_eq!(cut(&policy, &input, sizes), expected, "{} cut to {sizes:?}", case.name);
            }
        }
    }
    println!("chunking: {} dialogues, up to {} cuttings each", cases.len(), CUTS.len());
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    let known = prop_oneof![
        Just("EHLO example.com"),
        Just("helo localhost"),
        Just("EHLO [IPv6:::1]"),
        Just("HELO -bad-"),
        Just("LHLO example.com"),
        Just("MAIL FROM:<a@example.com>"),
        Just("MAIL FROM:<>"),
        Just("mail from:<bad"),
        Just("MAIL"),
        Just("RCPT TO:<b@example.com>"),
        Just("RCPT TO:<refused@example.com>"),
        Just("rcpt to:<Postmaster>"),
        Just("RCPT TO:<c@example.com> NOTIFY=NEVER"),
        Just("MAIL FROM:<a@example.com> SIZE=40 BODY=8BITMIME ENVID=a+2B"),
        Just("MAIL FROM:<ä@example.com> SMTPUTF8"),
        Just("RCPT TO:<ü@example.com> NOTIFY=SUCCESS,NEVER"),
        Just("RCPT TO:<b@example.com> ORCPT=rfc822;b@example.com FOO=1"),
        Just("DATA"),
        Just("data x"),
        Just("RSET"),
        Just("RSET x"),
        Just("NOOP"),
        Just("NOOP whatever"),
        Just("QUIT now"),
        Just("VRFY bob"),
        Just("expn"),
        Just("HELP me"),
        Just("XCLIENT ADDR=192.0.2.7 NAME=mx.example"),
        Just("xclient ADDR=nowhere"),
        Just("XDATA"),
        Just(""),
        Just("."),
    ];
    prop_oneof![
        12 => known.prop_map(|line| line.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..40),
        1 => (4085..4105usize).prop_map(|length| vec![b'N'; length]),
    ]
}

fn line_end() -> impl Strategy<Value = &'static [u8]> {
    prop_oneof![
        12 => Just(b"\r\n".as_slice()),
        1 => Just(b"\n".as_slice()),
        1 => Just(b"\r".as_slice()),
        1 => Just(b"\r\r\n".as_slice()),
        1 => Just(b"\0\r\n".as_slice()),
    ]
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"text\r\n".to_vec()),
        Just(b"..stuffed\r\n".to_vec()),
        Just(b".single\r\n".to_vec()),
        Just(b"\n.\n".to_vec()),
        Just(b"\r.\r".to_vec()),
        Just(b"\n.\r\n".to_vec()),
        Just(b"\0\xff".to_vec()),
        Just(b"\r\n".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..60),
    ];
    let recipients = prop_oneof![4 => Just(1), 2 => 0..5usize];
    (recipients, proptest::collection::vec(piece, 0..8)).prop_map(move |(recipients, pieces)| {
        let recipients = "RCPT TO:<b@example.com>\r\n".repeat(recipients);
        let transaction = format!("MAIL FROM:<a@example.com>\r\n{recipients}DATA\r\n");
        [transaction.as_bytes(), &pieces.concat(), b"\r\n.\r\n"].concat()
    })
}

/// BDAT with its octets, and sometimes with fewer or more, or without a number.
fn chunk() -> impl Strategy<Value = Vec<u8>> {
    let content = prop_oneof![
        Just(b"text\r\n".to_vec()),
        Just(b"NOOP\r\nQUIT\r\n".to_vec()),
        Just(b"\r\n.\r\n".to_vec()),
        Just(Vec::new()),
        proptest::collection::vec(any::<u8>(), 0..60),
    ];
    let last = prop_oneof![3 => Just(""), 2 => Just(" LAST"), 1 => Just(" last ")];
    let error = prop_oneof![30 => Just(0_i64), 1 => -3..4_i64];
    let size = prop_oneof![40 => Just(None), 1 => Just(Some("9223372036854775807")), 1 => Just(Some("x"))];
    (content, last, error, size, line_end()).prop_map(|(content, last, error, size, end)| {
        let length = i64::try_from(content.len()).unwrap() + error;
        let size = size.map_or_else(|| length.max(0).to_string(), str::to_owned);
        [format!("BDAT {size}{last}").as_bytes(), end, &content].concat()
    })
}

/// A turn of a client that mostly sends messages in chunks.
fn turn() -> impl Strategy<Value = Turn> {
    let octets = prop_oneof![Just(b"QUIT\r\n.\r\n".to_vec()), proptest::collection::vec(any::<u8>(), 0..50),];
    prop_oneof![
        3 => Just(Turn::Mail),
        4 => Just(Turn::Rcpt),
        8 => (octets, any::<bool>()).prop_map(|(octets, is_last)| Turn::Bdat { octets, is_last }),
        1 => prop::sample::select(vec![Turn::Data, Turn::Rset, Turn::Noop]),
    ]
}

fn chunked_message() -> impl Strategy<Value = Vec<u8>> {
    let transaction = prop_oneof![
        4 => Just("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\n"),
        1 => Just("MAIL FROM:<a@example.com> BODY=BINARYMIME\r\nRCPT TO:<b@example.com>\r\n"),
        1 => Just("MAIL FROM:<a@example.com>\r\nRCPT TO:<refused@example.com>\r\n"),
    ];
    let between = prop_oneof![
        12 => Just(Vec::new()),
        1 => line().prop_map(|line| [&line[..], b"\r\n"].concat()),
    ];
    (transaction, proptest::collection::vec((chunk(), between), 0..5)).prop_map(|(transaction, chunks)| {
        let chunks = chunks.into_iter().flat_map(|(chunk, between)| [chunk, between]);
        std::iter::once(transaction.as_bytes().to_vec()).chain(chunks).collect::<Vec<_>>().concat()
    })
}

/// An exchange of AUTH: one that is right or wrong, cancelled, out of step, too long or cut off.
fn exchange() -> impl Strategy<Value = Vec<u8>> {
    let plain = |user: &str, password: &str| BASE64.encode(format!("\0{user}\0{password}"));
    let (ann, bob) = (plain("ann", SECRET), plain("bob", SECRET));
    let (secret, wrong) = (BASE64.encode(SECRET), plain("ann", "wrong"));
    let lines = vec![
        format!("AUTH PLAIN {ann}\r\n"),
        format!("AUTH PLAIN\r\n{ann}\r\n"),
        // Hashed.
        format!("auth plain {bob}\r\n"),
        format!("AUTH LOGIN\r\n{}\r\n{secret}\r\n", BASE64.encode("bob")),
        format!("AUTH PLAIN {wrong}\r\n"),
        format!("AUTH LOGIN {}\n{secret}\n", BASE64.encode("ann")),
        "AUTH LOGIN\r\n*\r\n".to_owned(),
        "AUTH CRAM-MD5\r\nAGFu\r\n".to_owned(),
        format!("AUTH SCRAM-SHA-256 {}\r\nAGFu\r\n", BASE64.encode("n,,n=ann,r=abc")),
        "AUTH XOAUTH2 =\r\n".to_owned(),
        "AUTH\r\nAUTH PLAIN a b\r\n".to_owned(),
        format!("AUTH LOGIN {secret}"),
    ];
    let long = (prop_oneof![Just("AUTH PLAIN "), Just("AUTH PLAIN\r\n")], 12_250..12_300usize);
    prop_oneof![
        8 => prop::sample::select(lines).prop_map(String::into_bytes),
        1 => long.prop_map(|(front, length)| [front.as_bytes(), &vec![b'A'; length], b"\r\n"].concat()),
    ]
}

fn dialogue() -> impl Strategy<Value = Vec<u8>> {
    let turn = prop_oneof![
        4 => (line(), line_end()).prop_map(|(line, end)| [line.as_slice(), end].concat()),
        1 => message(),
        1 => chunk(),
        1 => chunked_message(),
        1 => exchange(),
    ];
    let start = prop::sample::select(vec![&b"EHLO example.com\r\n"[..], b"LHLO example.com\r\n", b""]);
    (start, proptest::collection::vec(turn, 0..25))
        .prop_map(|(start, turns)| [start, &turns.concat()].concat())
}

/// The password of everybody.
const SECRET: &str = "secret-secret";

/// One user with a clear password, and one with a hash of it.
fn auth() -> Auth {
    let mut auth = Auth::default();
    auth.add(Credential::user("ann", SECRET));
    let hashed = "bob:$2y$04$abcdefghijklmnopqrstuu8JNsjH2Qq8kmIjZjqzCjWsQcbAvK/xW";
    let users = read_password_file(hashed).expect("valid");
    users.into_iter().for_each(|user| auth.add(user));
    auth
}

fn policy() -> impl Strategy<Value = Policy> {
    let flags = (any::<bool>(), any::<bool>(), proptest::bool::weighted(0.2), any::<bool>(), any::<bool>());
    let rules = prop_oneof![
        Just(AddressRules::Lenient),
        Just(AddressRules::Compat),
        Just(AddressRules::Rfc5321),
        Just(AddressRules::Any)
    ];
    let keep = prop_oneof![Just(Keep::Nothing), Just(Keep::Envelope), Just(Keep::Message)];
    let limit = prop_oneof![Just(10_485_760), 1..80usize];
    (flags, rules, keep, limit).prop_map(
        |((multiple_rcptto, receiving, fail_fast, per_message, is_extended), rules, keep, limit)| {
            let mut policy = Policy::default();
            policy.multiple_rcptto = multiple_rcptto;
            policy.multiple_message_receiving = receiving;
            policy.fail_fast = fail_fast;
            policy.records = if per_message { RecordMode::Message } else { RecordMode::Session };
            policy.addresses = rules;
            policy.keep = keep;
            policy.set_message_size_limit(limit);
            policy.set_esmtp(is_extended.then(|| Esmtp { auth: auth(), ..Esmtp::default() }));
            policy.change_trusted(|trusted| trusted.extend("0.0.0.0/0".parse::<Trusted>()));
            policy.change_lists(|lists| {
                lists.blacklisted_rcptto_emails.insert(b"refused@example.com".to_vec());
            });
            policy.add_rule("message to=c@* reply=\"452 4.2.2 full\"".parse().expect("a rule"));
            policy
        },
    )
}

/// Lines in the output: each reply is one line with the default texts.
fn replies(outcome: &Outcome) -> usize {
    outcome.output.iter().filter(|&&octet| octet == b'\n').count()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_dialogue_is_answered_alike_however_it_is_split(
        input in dialogue(),
        policy in policy(),
        sizes in proptest::collection::vec(prop_oneof![3 => 1..20usize, 1 => 1..3000usize], 1..12),
    ) {
        for protocol in [Protocol::Smtp, Protocol::Lmtp] {
            let whole = run(protocol, &policy, std::iter::once(&input[..]));
            prop_assert_eq!(cut_of(protocol, &policy, &input, &sizes), whole);
        }
    }

    /// Whether AUTH is offered, and what is sent between.
    #[test]
    fn no_secret_is_in_a_log_or_a_record(
        exchanges in proptest::collection::vec((exchange(), prop::bool::weighted(0.3)), 1..8),
        policy in policy(),
        sizes in proptest::collection::vec(1..3000usize, 1..12),
    ) {
        let mail = "RSET\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\nhi\r\n.\r\n";
        let turns = exchanges.iter().flat_map(|(exchange, sends)| {
            [if *sends { mail.as_bytes() } else { b"" }, exchange, if exchange.ends_with(b"\n") { b"" } else { b"\r\n" }]
        });
        let input: Vec<u8> = std::iter::once(&b"EHLO example.com\r\n"[..]).chain(turns).flatten().copied().collect();
        let outcome = cut(&policy, &input, &sizes);
        let log = String::from_utf8_lossy(&outcome.log);
        let records = format!("{:?}", outcome.records);
        for user in ["", "\0ann\0", "\0bob\0"] {
            let secret = BASE64.encode(format!("{user}{SECRET}"));
            prop_assert!(!log.contains(&secret), "{:?}", log);
            prop_assert!(!records.contains(&secret) && !records.contains(SECRET), "{}", records);
        }
    }

    #[test]
    fn messages_in_chunks_are_accepted_as_by_a_simple_reading(
        turns in proptest::collection::vec(turn(), 0..30),
        limit in prop_oneof![Just(usize::MAX), 0..100usize],
        sizes in proptest::collection::vec(prop_oneof![3 => 1..20usize, 1 => 1..3000usize], 1..12),
    ) {
        let mut policy = Policy::default();
        policy.set_esmtp(Some(Esmtp::default()));
        policy.set_message_size_limit(limit);
        let expected = chunks::work_out(&turns, limit);
        let outcome = cut(&policy, &[b"EHLO c.example\r\n", &expected.input[..]].concat(), &sizes);
        let output = String::from_utf8_lossy(&outcome.output).into_owned();
        // The last line of each reply, from the greeting and that to EHLO on.
        let ends = output.lines().filter(|line| line.as_bytes()[3] == b' ');
        let codes: Vec<u16> = ends.skip(2).map(|line| line[..3].parse().unwrap()).collect();
        let accepted = outcome.records.iter().filter(|record| record.is_consistent());
        let messages: Vec<Vec<u8>> = accepted.map(|record| record.msg_text().to_vec()).collect();
        prop_assert_eq!((codes, messages), (expected.codes, expected.messages), "{}", output);
    }

    #[test]
    fn what_is_retained_changes_no_reply(input in dialogue(), policy in policy()) {
        let [nothing, envelopes, everything] = [Keep::Nothing, Keep::Envelope, Keep::Message].map(|keep| {
            let mut policy = policy.clone();
            policy.keep = keep;
            whole(&policy, &input)
        });
        prop_assert_eq!(&nothing.output, &everything.output);
        prop_assert_eq!(&envelopes.output, &everything.output);
        prop_assert!(nothing.records.is_empty());
        prop_assert_eq!(envelopes.records.len(), everything.records.len());
        for (envelope, everything) in envelopes.records.iter().zip(everything.records) {
            let mut without_text = everything;
            without_text.msg_request = None;
            prop_assert_eq!(envelope, &without_text);
        }
    }

    #[test]
    fn records_per_message_contain_every_accepted_message(input in dialogue(), policy in policy()) {
        let mut per_message = policy;
        per_message.records = RecordMode::Message;
        per_message.keep = Keep::Envelope;
        per_message.set_reply(ReplyKind::MessageReceived, "250 Message accepted");
        let outcome = whole(&per_message, &input);
        let output = String::from_utf8_lossy(&outcome.output).into_owned();
        let accepted = output.matches("250 Message accepted\r\n").count();
        prop_assert_eq!(outcome.records.iter().filter(|record| record.is_consistent()).count(), accepted);
    }

    #[test]
    fn any_bytes_are_answered_and_do_no_harm(input in proptest::collection::vec(any::<u8>(), 0..4000)) {
        // The greeting, and one reply for each line (random bytes do not reach DATA, or MAIL).
        let lines = input.iter().filter(|&&octet| octet == b'\n').count();
        let records_of_a_session = usize::from(!input.is_empty());
        for (records, count) in [(RecordMode::Message, 0), (RecordMode::Session, records_of_a_session)] {
            let mut policy = Policy::default();
            policy.records = records;
            let outcome = whole(&policy, &input);
            prop_assert_eq!(replies(&outcome), 1 + lines);
            prop_assert_eq!(outcome.records.len(), count);
        }
    }

    #[test]
    fn a_message_is_accepted_up_to_the_size_limit_and_not_beyond(
        limit in 1..200usize,
        excess in -3i64..4,
        sizes in proptest::collection::vec(1..40usize, 1..8),
        dots in any::<bool>(),
    ) {
        let mut policy = Policy::default();
        policy.set_message_size_limit(limit);
        // Content ends with CRLF; each line's stuffed dot does not count.
        let length = usize::try_from(i64::try_from(limit).unwrap() + excess).unwrap_or(0).max(2);
        let first = if dots && length > 2 { b'.' } else { b'x' };
        let mut content = vec![b'x'; length];
        content[0] = first;
        content[length - 2..].copy_from_slice(b"\r\n");
        let stuffing: &[u8] = if content[0] == b'.' { b"." } else { b"" };
        let envelope = b"HELO example.com\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n";
        let input = [envelope, stuffing, &content, b".\r\nRSET\r\n"].concat();
        let outcome = cut(&policy, &input, &sizes);
        let record = &outcome.records[0];
        prop_assert_eq!(record.msg, length <= limit, "{} of {}", length, limit);
        prop_assert_eq!(record.msg_text(), if record.msg { &content[..] } else { b"" });
        prop_assert_eq!(outcome.records.len(), 1);
        prop_assert_eq!(replies(&outcome), 7, "the rest of a refused message was taken for commands");
        prop_assert!(outcome.output.ends_with(b"250 Ok\r\n"));
    }
}

/// A session that expects message data.
fn in_data(policy: &Policy) -> Session {
    let mut session = Session::new();
    let mut input: &[u8] = b"HELO a.example\r\nMAIL FROM:<>\r\nRCPT TO:<postmaster>\r\nDATA\r\n";
    while !input.is_empty() {
        input = &input[session.advance(policy, &mut Environment::alone(), input).consumed..];
    }
    session
}

#[test]
fn text_that_will_be_refused_is_not_retained() {
    let mut policy = Policy::default();
    policy.set_message_size_limit(10_000);
    let mut session = in_data(&policy);
    let envelope = session.held_memory();
    for received in (1000..=20_000).step_by(1000) {
        session.advance(&policy, &mut Environment::alone(), &[b'x'; 1000]);
        assert_eq!(session.held_memory() == envelope, received > 10_000, "after {received}");
    }
    let step = session.advance(&policy, &mut Environment::alone(), b"\r\n.\r\n").step.unwrap();
    assert_eq!(step.reply.text(), b"552 Message exceeded max size of 10000 bytes");
}

/// A driver that logs needs neither to trim nor to parse.
#[test]
fn progress_says_where_the_command_line_is() {
    let (policy, mut session) = (Policy::default(), Session::new());
    let input = b" ehlo c.example \t\r\n\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<a@b.example>\r\nDATA\nEHLO\r\n.\r\nwhat \xff\r\n";
    let (mut rest, mut lines) = (&input[..], Vec::new());
    while !rest.is_empty() {
        let progress = session.advance(&policy, &mut Environment::alone(), rest);
        lines.push(progress.line.map(|line| line.within(&rest[..progress.consumed]).into_owned()));
        rest = &rest[progress.consumed..];
    }
    let expected: [Option<&[u8]>; 7] = [
        Some(b"ehlo c.example"),
        Some(b""),
        Some(b"MAIL FROM:<a@b.example>"),
        Some(b"RCPT TO:<a@b.example>"),
        Some(b"DATA"),
        None,
        Some(b"what \xff"),
    ];
    assert_eq!(lines, expected.map(|line| line.map(<[u8]>::to_vec)));
    let long = b"VRFY ".iter().chain([b'x'; 2 * LineScanner::LIMIT].iter()).copied().collect::<Vec<u8>>();
    let progress = session.advance(&policy, &mut Environment::alone(), &long);
    let front = progress.line.map(|line| line.within(&long));
    assert_eq!(front.as_deref(), Some(&long[..LineScanner::LIMIT]));
    assert_eq!(session.advance(&policy, &mut Environment::alone(), b"more\n").line, None);
}

#[test]
fn text_beyond_the_memory_left_is_refused_and_not_retained() {
    let policy = Policy::default();
    let mut session = in_data(&policy);
    let envelope = session.held_memory();
    session.set_memory_left(Some(5000));
    session.advance(&policy, &mut Environment::alone(), &[b'x'; 5000]);
    assert!(session.held_memory() >= envelope + 5000);
    session.set_memory_left(Some(0));
    session.advance(&policy, &mut Environment::alone(), &vec![b'x'; session.held_memory()]);
    assert_eq!(session.held_memory(), envelope);
    let step = session.advance(&policy, &mut Environment::alone(), b"\r\n.\r\n").step.unwrap();
    assert_eq!(&step.reply, policy.reply(ReplyKind::InsufficientStorage));
    assert!(!session.record().unwrap().msg);
}

#[test]
fn text_that_no_record_contains_is_not_retained() {
    for keep in [Keep::Nothing, Keep::Envelope] {
        let mut policy = Policy::default();
        policy.keep = keep;
        let mut session = in_data(&policy);
        let envelope = session.held_memory();
        session.advance(&policy, &mut Environment::alone(), &[b'x'; 100_000]);
        assert_eq!(session.held_memory(), envelope);
        let step = session.advance(&policy, &mut Environment::alone(), b"\r\n.\r\n").step.unwrap();
        assert_eq!(&step.reply, policy.reply(ReplyKind::MessageReceived));
        assert_eq!(step.message.unwrap().size, 100_002);
    }
}
