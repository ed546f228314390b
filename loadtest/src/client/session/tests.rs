//! The dialogue step by step, and with any replies.

use super::*;
use proptest::prelude::*;

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
    let mut session = Session::new(Dialect { recipients, pipelining });
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
    assert_eq!(session.begin(), Command::Mail);
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
    assert_eq!(session.begin(), Command::Group);
    for _ in 0..3 {
        assert_eq!(next(&mut session, 250), Next::Wait);
    }
    assert_eq!(next(&mut session, 354), Next::Send(Command::Body));
}

#[test]
fn a_refusal_is_blamed_on_the_first_that_refused() {
    let mut session = established(1, true);
    session.begin();
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
    session.begin();
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
    assert_eq!((session.offer(), session.begin()), (Offer::default(), Command::Mail));
    let mut session = greeted(1, false);
    next(&mut session, 550);
    let step = reply(&mut session, 550).unwrap().unwrap();
    assert_eq!((step.verdict, step.next), (refused(Phase::Ehlo, 550), Next::Send(Command::Quit)));
    assert_eq!(next(&mut greeted(1, false), 451), Next::Send(Command::Quit), "HELO would be refused as well");
}

/// A session that is sending its message, after replies that lead to it.
fn at_message(recipients: u16, pipelining: bool) -> Session {
    let mut session = established(recipients, pipelining);
    session.begin();
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
    session.begin();
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
        session.begin();
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
    alone.begin();
    assert_eq!(reply_to(&mut alone, Unsent::Commands(1), 250), Err(Violation::Early));
}

proptest! {
    /// With any replies at any time, no message is accepted that has not left.
    #[test]
    fn nothing_is_accepted_before_it_has_left(
        replies in prop::collection::vec(
            (prop::sample::select(vec![220u16, 250, 354, 421, 552]), 0usize..8),
            1..60,
        ),
        recipients in 1u16..4,
        pipelining: bool,
    ) {
        let mut session = established(recipients, pipelining);
        session.begin();
        for (code, unsent) in replies {
            let unsent = match unsent {
                0..=3 => Unsent::Nothing,
                4 => Unsent::All,
                5 => Unsent::Message,
                count => Unsent::Commands(count - 5),
            };
            let awaits_verdict = session.state == State::Body;
            let Ok(Some(step)) = reply_to(&mut session, unsent, code) else { break };
            if step.verdict == Some(Verdict::Accepted) {
                prop_assert!(awaits_verdict && unsent == Unsent::Nothing);
            }
            if step.next == Next::Ready {
                session.begin();
            }
        }
    }

    /// With any replies, each message gets exactly one verdict, and the session neither panics nor continues after
    /// its end.
    #[test]
    fn every_message_ends_once(
        codes in prop::collection::vec(prop::sample::select(vec![220u16, 250, 354, 421, 451, 550]), 1..60),
        recipients in 1u16..4,
        pipelining: bool,
    ) {
        let mut session = established(recipients, pipelining);
        session.begin();
        let mut open = true;
        for code in codes {
            let Ok(Some(step)) = reply(&mut session, code) else { break };
            if step.verdict.is_some() {
                prop_assert!(open, "a second verdict");
                open = false;
            }
            match step.next {
                Next::Ready => {
                    prop_assert!(!open, "ready again without a verdict");
                    session.begin();
                    open = true;
                }
                Next::Close | Next::Ended => {
                    prop_assert!(!open, "closed without a verdict");
                    prop_assert_eq!(reply(&mut session, 250), Err(Violation::Early));
                    break;
                }
                Next::Wait | Next::Send(_) => {}
            }
        }
    }
}
