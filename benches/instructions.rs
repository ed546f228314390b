//! Instruction counts of the pure parts, under valgrind: the same on every run, on a busy machine too. Each has a limit
//! 3 % above the count when it was set (rustc 1.95, x86-64 with AVX2). A change that exceeds it is either a mistake or
//! raises the limit in the same commit, with the reason.
//!
//! Needs valgrind and `cargo install gungraun-runner` of the version in `Cargo.lock`.

#![allow(missing_docs, reason = "the modules without documentation are made by macros")]

use std::hint::black_box;

use gungraun::{
    Callgrind, EventKind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};
use smtpmock::smtp::rules::Environment;
use smtpmock::smtp::{
    AddressRules, DataScanner, Esmtp, Extensions, Grammar, Keep, LineScanner, Path, Policy, Request, Session,
    Verb,
};

mod mail;

/// Octets of scanned message data.
const DATA: usize = 64 * 1024;

fn limit(instructions: u64) -> LibraryBenchmarkConfig {
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(Callgrind::default().hard_limits([(EventKind::Ir, instructions)]));
    config
}

/// Detects the processor's features once, before the measurement.
fn scanned_before(bytes: Vec<u8>) -> Vec<u8> {
    DataScanner::default().scan(&bytes, |_| ());
    bytes
}

// No input costs much more than text: each octet is inspected once, except matches. The last has 16,384 stuffed dots.
#[library_benchmark]
#[bench::text(args = (scanned_before(mail::text_lines(DATA))), config = limit(13_480))]
#[bench::blank_lines(args = (scanned_before(b"\r\n".repeat(DATA / 2))), config = limit(13_480))]
#[bench::all_crs(args = (scanned_before(b"\r".repeat(DATA))), config = limit(13_480))]
#[bench::lines_of_a_dot(args = (scanned_before(b"\r\n..".repeat(DATA / 4))), config = limit(515_700))]
fn scan_data(bytes: Vec<u8>) -> usize {
    let mut content = 0;
    black_box(DataScanner::default()).scan(black_box(&bytes), |run| content += run.len());
    content
}

#[library_benchmark(config = limit(436))]
fn scan_line() -> smtpmock::smtp::LineScan {
    black_box(LineScanner::default()).scan(black_box(b"MAIL FROM:<sender@example.com>\r\n"))
}

// Including its path.
#[library_benchmark(config = limit(877))]
fn parse_command() -> Option<Verb> {
    let grammar = Grammar { addresses: AddressRules::default(), offered: &Extensions::default() };
    black_box(Request::parse(black_box(b"MAIL FROM:<sender@example.com>\r\n"), grammar)).command.verb()
}

#[library_benchmark(config = limit(759))]
fn parse_address() -> usize {
    let path = Path::parse_forward(black_box(b"RCPT TO:<recipient@example.com>"), AddressRules::default());
    path.map_or(0, |path| path.mailbox().len())
}

const WARM_UPS: usize = 20;

/// A session after some transactions, so that nothing is done for the first time, and the allocator's lists are filled.
struct Warm {
    policy: Policy,
    session: Session,
    input: Vec<u8>,
}

fn warm(keep: Keep) -> Box<Warm> {
    warm_with(keep, &[])
}

/// The same with 10,000 rules that do not match.
fn warm_among_rules() -> Box<Warm> {
    let rules: Vec<String> = (0..2_500)
        .flat_map(|other| {
            [
                format!("rcpt to=user{other}@other.example reply=\"451 later\""),
                format!("message to=*@d{other}.example delay=1s"),
                format!("mail from=*@d{other}.example close"),
                format!("any ip=10.0.{}.{} drop=rst", other / 256, other % 256),
            ]
        })
        .collect();
    warm_with(Keep::Nothing, &rules)
}

fn warm_with(keep: Keep, rules: &[String]) -> Box<Warm> {
    let mut policy = Policy::default();
    policy.keep = keep;
    warm_under(policy, rules, mail::EHLO)
}

/// Extended SMTP is on but unused: with HELO or EHLO as the greeting.
fn warm_extended(greeting: &[u8]) -> Box<Warm> {
    let mut policy = Policy::default();
    policy.keep = Keep::Nothing;
    policy.set_esmtp(Some(Esmtp::default()));
    warm_under(policy, &[], greeting)
}

/// A client that declares size and body.
fn warm_extended_parameters() -> Box<Warm> {
    let mut policy = Policy::default();
    policy.keep = Keep::Nothing;
    policy.set_esmtp(Some(Esmtp::default()));
    let [_, (rcpt, _), (data, _)] = mail::ENVELOPE;
    warm_sending(policy, mail::EHLO, [mail::MAIL_WITH_PARAMETERS, rcpt, data].concat())
}

/// A session of EHLO whose driver can begin TLS, and with `is_encrypted` has begun it with STARTTLS.
fn warm_with_tls(is_encrypted: bool) -> Box<Warm> {
    let mut policy = Policy::default();
    policy.keep = Keep::Nothing;
    policy.set_esmtp(Some(Esmtp::default()));
    policy.set_tls(true);
    let mut warm = warm_under(policy, &[], mail::EHLO);
    if is_encrypted {
        begin_tls(&warm.policy, &mut warm.session);
        run(&warm.policy, &mut warm.session, &warm.input);
    }
    warm
}

/// Returns the number of replies: to STARTTLS, and to the EHLO after the handshake.
fn begin_tls(policy: &Policy, session: &mut Session) -> usize {
    let replies = run(policy, session, b"STARTTLS\r\n");
    session.set_encrypted();
    replies + run(policy, session, mail::EHLO)
}

fn warm_under(mut policy: Policy, rules: &[String], greeting: &[u8]) -> Box<Warm> {
    rules.iter().for_each(|rule| policy.add_rule(rule.parse().expect("a rule")));
    warm_sending(policy, greeting, mail::ENVELOPE.map(|(command, _)| command).concat())
}

/// A session in which mails with these commands were sent.
fn warm_sending(policy: Policy, greeting: &[u8], mut input: Vec<u8>) -> Box<Warm> {
    input.extend(mail::data(&mail::text_lines(1024)));
    let mut session = Session::new();
    session.advance(&policy, &mut Environment::alone(), greeting);
    for _ in 0..WARM_UPS {
        run(&policy, &mut session, &input);
    }
    Box::new(Warm { policy, session, input })
}

fn run(policy: &Policy, session: &mut Session, input: &[u8]) -> usize {
    let (mut taken, mut replies) = (0, 0);
    while taken < input.len() {
        let progress = session.advance(policy, &mut Environment::alone(), &input[taken..]);
        taken += progress.consumed;
        replies += usize::from(progress.step.is_some());
    }
    replies
}

// Each reply's code is compared with what its stage accepts, and an accepted message waits for its reply to leave. With
// all records retained, the message's record is completed, and the previous one dropped. With rules, each name and the
// address are looked up; the number of rules does not matter. Extended SMTP that is on costs a session of HELO at most
// 2 % more than without. One of EHLO that uses nothing else gets enhanced status codes, and an acceptance with the id
// of its record, which is allocated and freed. With TLS compiled in, the counts are the same to the instruction; within
// TLS they are those of EHLO, as the driver of the session decrypts. Limits leave some 2 % for inlining by compilers.
#[library_benchmark]
#[bench::keeping_nothing(args = (warm(Keep::Nothing)), config = limit(4_040))]
#[bench::extended_helo(args = (warm_extended(mail::HELO)), config = limit(4_040))]
#[bench::extended_ehlo(args = (warm_extended(mail::EHLO)), config = limit(4_710))]
#[bench::within_tls(args = (warm_with_tls(true)), config = limit(4_710))]
#[bench::extended_parameters(args = (warm_extended_parameters()), config = limit(8_450))]
#[bench::keeping_everything(args = (warm(Keep::Message)), config = limit(6_440))]
#[bench::among_rules(args = (warm_among_rules()), config = limit(15_600))]
fn one_transaction(mut warm: Box<Warm>) -> (Box<Warm>, usize) {
    let Warm { policy, session, input } = &mut *warm;
    let replies = run(black_box(policy), session, black_box(input));
    // The returned value is dropped by the caller, so that only the transaction counts.
    (warm, replies)
}

// The cost of a handshake in its session: the 220, the reset of the session, and another reply to EHLO. That is less
// than a hundredth of the handshake itself, which the floor measures.
#[library_benchmark]
#[bench::starttls(args = (warm_with_tls(false)), config = limit(2_770))]
fn one_starttls(mut warm: Box<Warm>) -> (Box<Warm>, usize) {
    let Warm { policy, session, .. } = &mut *warm;
    let replies = begin_tls(black_box(policy), session);
    (warm, replies)
}

library_benchmark_group!(
    name = pure,
    benchmarks = [scan_data, scan_line, parse_command, parse_address, one_transaction, one_starttls]
);
main!(library_benchmark_groups = pure);
