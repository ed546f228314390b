//! The dialogue step by step, and with any replies.

use std::num::NonZeroUsize;

use super::*;
use proptest::prelude::*;

mod starttls;

fn reply(session: &mut Session, code: u16) -> Result<Option<Reaction>, Violation> {
    reply_to(session, Unsent::Nothing, code)
}

fn reply_to(session: &mut Session, unsent: Unsent, code: u16) -> Result<Option<Reaction>, Violation> {
    session.on_line(Line { code, last: true, text: b"" }, unsent)
}

/// A refusal without an enhanced code.
fn refused(phase: Phase, code: u16) -> Option<Verdict> {
    Some(Verdict::Refused { phase, reply: Reply { code, enhanced: None } })
}

fn greeted(recipients: u16, pipelining: bool) -> Session {
    let mut session = Session::new(Dialect {
        recipients,
        pipelining,
        is_lmtp: false,
        encryption: Encryption::Never,
        chunk: None,
        dsn: false,
        smtputf8: false,
        login: None,
    });
    session.on_connected();
    assert_eq!(reply(&mut session, 220).unwrap().unwrap().next, Next::Send(Command::Ehlo));
    session
}

fn established(recipients: u16, pipelining: bool) -> Session {
    let mut session = greeted(recipients, pipelining);
    for text in [&b"size"[..], b"pipelining"] {
        let line = Line { code: 250, last: false, text };
        assert_eq!(session.on_line(line, Unsent::Nothing), Ok(None));
    }
    assert!(session.offer().pipelining && !session.offer().size, "the first line is no keyword");
    assert_eq!(reply(&mut session, 250).unwrap().unwrap().next, Next::Ready);
    session
}

fn next(session: &mut Session, code: u16) -> Next {
    reply(session, code).unwrap().unwrap().next
}

#[test]
fn one_message_goes_step_by_step() {
    let mut session = established(2, false);
    assert_eq!(session.begin(|| 1000), Command::Mail);
    assert_eq!(next(&mut session, 250), Next::Send(Command::Rcpt(0)));
    assert_eq!(next(&mut session, 250), Next::Send(Command::Rcpt(1)));
    assert_eq!(next(&mut session, 550), Next::Send(Command::Data));
    assert_eq!(next(&mut session, 354), Next::Send(Command::Body));
    let step = reply(&mut session, 250).unwrap().unwrap();
    assert_eq!((step.verdict, step.next), (Some(Verdict::Accepted), Next::Ready));
}

#[test]
fn a_group_waits_for_each_of_its_replies() {
    let mut session = established(2, true);
    assert_eq!(session.begin(|| 1000), Command::Group);
    for _ in 0..3 {
        assert_eq!(next(&mut session, 250), Next::Wait);
    }
    assert_eq!(next(&mut session, 354), Next::Send(Command::Body));
}

#[test]
fn a_refusal_is_blamed_on_the_first_that_refused() {
    let mut session = established(1, true);
    session.begin(|| 1000);
    for code in [452, 503] {
        assert_eq!(next(&mut session, code), Next::Wait);
    }
    let step = reply(&mut session, 503).unwrap().unwrap();
    assert_eq!(step.verdict, refused(Phase::Mail, 452));
    assert_eq!(step.next, Next::Send(Command::Rset));
}

#[test]
fn what_is_behind_a_refused_mail_is_no_recipient_and_no_message() {
    // The server goes on as if MAIL had been accepted (RFC 2920 section 3.1).
    let mut session = established(2, true);
    session.begin(|| 1000);
    assert_eq!(next(&mut session, 451), Next::Wait);
    for _ in 0..2 {
        let answer = reply(&mut session, 250).unwrap().unwrap().answer.unwrap();
        assert!(answer.positive && !answer.is_of_recipient);
    }
    assert_eq!(next(&mut session, 354), Next::Send(Command::EmptyBody));
    let step = reply(&mut session, 250).unwrap().unwrap();
    assert_eq!((step.verdict, step.next), (refused(Phase::Mail, 451), Next::Ready));
}

#[test]
fn helo_follows_a_refused_ehlo_and_offers_nothing() {
    let mut session = greeted(1, true);
    for text in [&b"no"[..], b"PIPELINING"] {
        session.on_line(Line { code: 502, last: false, text }, Unsent::Nothing).unwrap();
    }
    assert_eq!(next(&mut session, 502), Next::Send(Command::Helo));
    assert!(!session.is_established());
    assert_eq!(next(&mut session, 250), Next::Ready);
    assert!(session.is_without_ehlo());
    assert_eq!((*session.offer(), session.begin(|| 1000)), (Offer::default(), Command::Mail));
    let mut session = greeted(1, false);
    next(&mut session, 550);
    let step = reply(&mut session, 550).unwrap().unwrap();
    assert_eq!((step.verdict, step.next), (refused(Phase::Ehlo, 550), Next::Send(Command::Quit)));
    assert_eq!(next(&mut greeted(1, false), 451), Next::Send(Command::Quit), "HELO would be refused as well");
}

/// A session that is sending its message, after replies that lead to it.
fn at_message(recipients: u16, pipelining: bool) -> Session {
    let mut session = established(recipients, pipelining);
    session.begin(|| 1000);
    for _ in 0..=recipients {
        next(&mut session, 250);
    }
    assert_eq!(next(&mut session, 354), Next::Send(Command::Body));
    session
}

#[test]
fn codes_that_do_not_fit_are_out_of_order_and_replies_to_nothing_are_early() {
    assert_eq!(reply(&mut established(1, false), 250), Err(Violation::Early));
    let mut session = established(1, false);
    session.begin(|| 1000);
    assert_eq!(reply(&mut session, 354), Err(Violation::OutOfOrder));
}

#[test]
fn a_message_is_accepted_only_when_all_of_it_has_left() {
    for unsent in [Unsent::Message, Unsent::All] {
        assert_eq!(reply_to(&mut at_message(1, false), unsent, 250), Err(Violation::Early));
        assert_eq!(reply_to(&mut at_message(2, true), unsent, 354), Err(Violation::Early));
    }
    let unfinished = Line { code: 250, last: false, text: b"" };
    assert_eq!(at_message(1, false).on_line(unfinished, Unsent::Message), Err(Violation::Early));
    // A server may refuse it earlier.
    let early = reply_to(&mut at_message(1, false), Unsent::Message, 552).unwrap().unwrap();
    assert_eq!(early.verdict, refused(Phase::Dot, 552));
    assert_eq!(reply_to(&mut at_message(1, false), Unsent::All, 552), Err(Violation::Early));
}

#[test]
fn the_server_may_end_the_session_at_any_time() {
    let mut idle = established(1, false);
    let step = reply(&mut idle, 421).unwrap().unwrap();
    assert_eq!((step.verdict, step.next), (None, Next::Ended));
    let step = reply_to(&mut at_message(1, false), Unsent::All, 421).unwrap().unwrap();
    assert_eq!(step.verdict, refused(Phase::Dot, 421));
}

#[test]
fn of_a_group_that_is_being_written_what_has_left_is_answered() {
    let group = || {
        let mut session = established(2, true);
        session.begin(|| 1000);
        session
    };
    // MAIL, RCPT, RCPT, DATA: with three unsent, MAIL has left.
    assert_eq!(reply_to(&mut group(), Unsent::Commands(4), 250), Err(Violation::Early));
    let mut session = group();
    assert_eq!(reply_to(&mut session, Unsent::Commands(3), 250).unwrap().unwrap().next, Next::Wait);
    assert_eq!(reply_to(&mut session, Unsent::Commands(3), 250), Err(Violation::Early));
    assert_eq!(reply_to(&mut session, Unsent::Commands(2), 250).unwrap().unwrap().next, Next::Wait);
    assert_eq!(reply_to(&mut session, Unsent::Commands(1), 250).unwrap().unwrap().next, Next::Wait);
    assert_eq!(reply_to(&mut session, Unsent::Commands(1), 354), Err(Violation::Early));
    assert_eq!(next(&mut session, 354), Next::Send(Command::Body));
    let mut alone = established(2, false);
    alone.begin(|| 1000);
    assert_eq!(reply_to(&mut alone, Unsent::Commands(1), 250), Err(Violation::Early));
}

/// A session that offers everything, with this dialect.
fn speaking(recipients: u16, pipelining: bool, is_lmtp: bool, chunk: Option<usize>) -> Session {
    let chunk = chunk.and_then(NonZeroUsize::new);
    let mut session = Session::new(Dialect {
        recipients,
        pipelining,
        is_lmtp,
        encryption: Encryption::Never,
        chunk,
        dsn: false,
        smtputf8: false,
        login: None,
    });
    session.on_connected();
    assert_eq!(next(&mut session, 220), Next::Send(Command::Ehlo));
    for text in [&b"name"[..], b"PIPELINING", b"CHUNKING"] {
        session.on_line(Line { code: 250, last: false, text }, Unsent::Nothing).unwrap();
    }
    assert_eq!(next(&mut session, 250), Next::Ready);
    session
}

/// The replies to a message that begins now: the last reaction. Chunks are sent as soon as possible.
fn replies(session: &mut Session, codes: &[u16]) -> Reaction {
    let mut command = Some(session.begin(|| 1000));
    let mut last = None;
    for code in codes {
        if matches!(command, Some(Command::Chunk | Command::ChunkGroup)) {
            session.next_chunk();
        }
        while session.may_send_chunk() {
            session.next_chunk();
        }
        let step = reply(session, *code).unwrap().unwrap();
        command = if let Next::Send(command) = step.next { Some(command) } else { None };
        last = Some(step);
    }
    last.expect("a reply")
}

#[test]
fn chunks_wait_for_each_reply_unless_they_are_pipelined() {
    let mut alone = speaking(1, false, false, Some(400));
    assert_eq!(alone.begin(|| 1000), Command::Mail);
    next(&mut alone, 250);
    assert_eq!(next(&mut alone, 250), Next::Send(Command::Chunk));
    assert_eq!(alone.next_chunk(), Chunk { range: 0..400, is_last: false });
    assert!(!alone.may_send_chunk() && alone.phase() == Some(Phase::Bdat));
    assert_eq!(next(&mut alone, 250), Next::Send(Command::Chunk));
    assert_eq!(alone.next_chunk(), Chunk { range: 400..800, is_last: false });
    assert_eq!(next(&mut alone, 250), Next::Send(Command::Chunk));
    assert_eq!(alone.next_chunk(), Chunk { range: 800..1000, is_last: true });
    assert!(alone.has_begun_end() && alone.phase() == Some(Phase::Dot));
    let step = reply(&mut alone, 250).unwrap().unwrap();
    assert_eq!((step.verdict, step.next), (Some(Verdict::Accepted), Next::Ready));
    let mut group = speaking(1, true, false, Some(400));
    assert_eq!(group.begin(|| 1000), Command::ChunkGroup);
    group.next_chunk();
    assert!(group.may_send_chunk());
    group.next_chunk();
    assert_eq!(next(&mut group, 250), Next::Wait);
    assert!(group.may_send_chunk() && !group.has_begun_end());
    assert_eq!(next(&mut group, 452), Next::Wait);
    assert!(!group.may_send_chunk(), "no recipient was accepted");
    assert_eq!(next(&mut group, 503), Next::Wait);
    let step = reply(&mut group, 503).unwrap().unwrap();
    assert_eq!((step.verdict, step.next), (refused(Phase::Rcpt, 452), Next::Send(Command::Rset)));
}

#[test]
fn a_refused_chunk_refuses_the_message_whatever_the_last_one_gets() {
    for pipelining in [false, true] {
        let last = if pipelining { &[250, 250, 552, 250, 250][..] } else { &[250, 250, 552] };
        let step = replies(&mut speaking(1, pipelining, false, Some(400)), last);
        assert_eq!((step.verdict, step.next), (refused(Phase::Bdat, 552), Next::Send(Command::Rset)));
        let step = replies(&mut speaking(1, pipelining, false, Some(2000)), &[250, 250, 554]);
        assert_eq!((step.verdict, step.next), (refused(Phase::Dot, 554), Next::Send(Command::Rset)));
    }
    let step = replies(&mut speaking(1, true, false, Some(2000)), &[550, 503, 250]);
    assert_eq!(step.verdict, refused(Phase::Mail, 550), "also of a server that accepts what has no sender");
}

#[test]
fn a_reply_to_a_chunk_that_has_not_left_is_early_unless_it_refuses() {
    let mut session = speaking(1, true, false, Some(2000));
    session.begin(|| 1000);
    session.next_chunk();
    // MAIL, RCPT, the chunk: with one unsent, both commands have left.
    for _ in 0..2 {
        assert!(reply_to(&mut session, Unsent::Commands(1), 250).is_ok());
    }
    assert_eq!(reply_to(&mut session, Unsent::Commands(1), 250), Err(Violation::Early));
    let step = reply_to(&mut session, Unsent::Commands(1), 552).unwrap().unwrap();
    assert_eq!(step.verdict, refused(Phase::Dot, 552));
    let mut idle = speaking(1, true, false, Some(400));
    idle.begin(|| 1000);
    idle.next_chunk();
    for _ in 0..3 {
        next(&mut idle, 250);
    }
    assert_eq!(reply(&mut idle, 250), Err(Violation::Early), "the next chunk was not begun");
}

#[test]
fn with_lmtp_the_message_has_a_reply_for_each_accepted_recipient() {
    for chunk in [None, Some(2000)] {
        let go_on: &[u16] = if chunk.is_some() { &[] } else { &[354] };
        for (ends, verdict) in [
            (&[250, 250][..], Some(Verdict::Accepted)),
            (&[452, 250], Some(Verdict::Accepted)),
            (&[452, 550], refused(Phase::Dot, 452)),
            (&[250, 421], Some(Verdict::Accepted)),
        ] {
            let codes = [&[250, 250, 550, 250][..], go_on, ends].concat();
            let step = replies(&mut speaking(3, true, true, chunk), &codes);
            assert_eq!(step.verdict, verdict, "{codes:?}");
            assert!(step.answer.is_some_and(|answer| answer.is_of_recipient));
            let step = replies(&mut speaking(3, true, true, chunk), &codes[..codes.len() - 1]);
            assert_eq!((step.verdict, step.next), (None, Next::Wait));
        }
    }
    let mut session = speaking(2, false, true, None);
    session.begin(|| 1000);
    next(&mut session, 250);
    let answers = [250, 550].map(|code| reply(&mut session, code).unwrap().unwrap().answer.unwrap());
    assert_eq!(
        answers.map(|answer| answer.is_of_recipient),
        [false, true],
        "an accepted one has its reply later"
    );
    let step = replies(&mut speaking(1, true, true, None), &[250, 550, 354]);
    assert_eq!(
        (step.verdict, step.next),
        (refused(Phase::Rcpt, 550), Next::Close),
        "no reply to a dot is defined"
    );
}

/// Any dialect; chunks of three octets of a message of ten are four.
fn dialects() -> impl Strategy<Value = Session> {
    (1u16..4, any::<bool>(), any::<bool>(), prop::option::of(prop::sample::select(vec![3usize, 20])))
        .prop_map(|(recipients, pipelining, is_lmtp, chunk)| speaking(recipients, pipelining, is_lmtp, chunk))
}

proptest! {
    /// With any replies at any time, no message is accepted that has not left.
    #[test]
    fn nothing_is_accepted_before_it_has_left(
        mut session in dialects(),
        replies in prop::collection::vec(
            (prop::sample::select(vec![220u16, 250, 354, 421, 552]), 0usize..8),
            1..60,
        ),
    ) {
        let mut command = Some(session.begin(|| 10));
        let mut delivered = false;
        for (code, unsent) in replies {
            if matches!(command, Some(Command::Chunk | Command::ChunkGroup)) {
                session.next_chunk();
            }
            let unsent = match unsent {
                0..=3 => Unsent::Nothing,
                4 => Unsent::All,
                5 => Unsent::Message,
                count => Unsent::Commands(count - 5),
            };
            let has_left = session.has_begun_end() && unsent == Unsent::Nothing;
            let Ok(Some(step)) = reply_to(&mut session, unsent, code) else { break };
            // With LMTP, a recipient's acceptance is followed by the replies for the others.
            delivered |= has_left && step.answer.is_some_and(|answer| answer.positive);
            if step.verdict == Some(Verdict::Accepted) {
                prop_assert!(delivered);
            }
            command = if let Next::Send(command) = step.next { Some(command) } else { None };
            if step.next == Next::Ready {
                delivered = false;
                command = Some(session.begin(|| 10));
            }
            if session.may_send_chunk() && command.is_none() {
                session.next_chunk();
            }
        }
    }

    /// With any replies, each message gets exactly one verdict, and the session neither panics nor continues after
    /// its end.
    #[test]
    fn every_message_ends_once(
        mut session in dialects(),
        codes in prop::collection::vec(
            (prop::sample::select(vec![220u16, 250, 250, 354, 421, 451, 550]), any::<bool>()),
            1..60,
        ),
    ) {
        let mut command = Some(session.begin(|| 10));
        let mut open = true;
        for (code, goes_on) in codes {
            if matches!(command, Some(Command::Chunk | Command::ChunkGroup)) {
                session.next_chunk();
            }
            while goes_on && session.may_send_chunk() {
                session.next_chunk();
            }
            let Ok(Some(step)) = reply(&mut session, code) else { break };
            if step.verdict.is_some() {
                prop_assert!(open, "a second verdict");
                open = false;
            }
            command = if let Next::Send(command) = step.next { Some(command) } else { None };
            match step.next {
                Next::Ready => {
                    prop_assert!(!open, "ready again without a verdict");
                    command = Some(session.begin(|| 10));
                    open = true;
                }
                Next::Close | Next::Ended => {
                    prop_assert!(!open, "closed without a verdict");
                    prop_assert_eq!(reply(&mut session, 250), Err(Violation::Early));
                    break;
                }
                Next::Wait => prop_assert!(open, "waits for nothing"),
                Next::Send(_) | Next::Secure => {}
            }
        }
    }
}
