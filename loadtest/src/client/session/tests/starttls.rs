//! STARTTLS, and TLS from the start.

use super::*;

fn with(encryption: Encryption) -> Session {
    let mut session = Session::new(Dialect {
        recipients: 1,
        pipelining: true,
        is_lmtp: false,
        encryption,
        chunk: None,
        dsn: false,
        smtputf8: false,
        login: None,
    });
    session.on_connected();
    session
}

/// Answers EHLO with these extensions; returns what follows.
fn offered(session: &mut Session, extensions: &[&[u8]]) -> Reaction {
    for text in [&[&b"me"[..]], extensions].concat() {
        session.on_line(Line { code: 250, last: false, text }, Unsent::Nothing).unwrap();
    }
    reply(session, 250).unwrap().unwrap()
}

/// A session whose STARTTLS is to be answered.
fn asking(encryption: Encryption) -> Session {
    let mut session = with(encryption);
    assert_eq!(next(&mut session, 220), Next::Send(Command::Ehlo));
    let step = offered(&mut session, &[b"PIPELINING", b"StartTLS"]);
    assert_eq!(step.next, Next::Send(Command::Starttls));
    assert_eq!((session.phase(), session.is_securing()), (Some(Phase::Tls), false));
    session
}

#[test]
fn what_was_offered_in_the_clear_is_forgotten() {
    for encryption in [Encryption::Opportunistic, Encryption::Required] {
        let mut session = asking(encryption);
        let step = reply(&mut session, 220).unwrap().unwrap();
        assert_eq!((step.answer, step.next), (None, Next::Secure), "the handshake is what is measured");
        assert!(session.is_securing() && session.phase() == Some(Phase::Tls) && !session.is_established());
        assert_eq!(reply(&mut session, 250), Err(Violation::Early), "what came behind the 220");
        assert_eq!(session.on_secured(), Some(Command::Ehlo));
        assert_eq!(session.cover(), Cover::Tls);
        assert!(!session.offer().pipelining);
        // STARTTLS is not sent twice, and the first line is no keyword again.
        assert_eq!(offered(&mut session, &[b"STARTTLS", b"SIZE"]).next, Next::Ready);
        assert!(session.offer().size && !session.offer().pipelining && session.is_established());
    }
}

#[test]
fn a_session_encrypted_from_the_start_is_greeted_after_the_handshake() {
    let mut session = with(Encryption::Implicit);
    assert!(session.is_securing());
    assert_eq!(session.on_secured(), None);
    assert_eq!(session.phase(), Some(Phase::Banner));
    assert_eq!(next(&mut session, 220), Next::Send(Command::Ehlo));
    assert_eq!(offered(&mut session, &[b"STARTTLS"]).next, Next::Ready);
}

#[test]
fn without_starttls_a_session_goes_on_in_the_clear_only_where_it_may() {
    let mut session = with(Encryption::Opportunistic);
    next(&mut session, 220);
    assert_eq!(offered(&mut session, &[b"PIPELINING"]).next, Next::Ready);
    assert!(session.cover() == Cover::None && session.offer().pipelining);
    let mut session = with(Encryption::Required);
    next(&mut session, 220);
    let step = offered(&mut session, &[b"PIPELINING"]);
    assert_eq!(step.verdict, Some(Verdict::NotOffered(Need::Starttls)));
    assert_eq!(step.next, Next::Send(Command::Quit));
}

#[test]
fn a_refusal_of_starttls_is_followed_by_the_clear_only_where_it_may() {
    for code in [454, 502] {
        let mut session = asking(Encryption::Opportunistic);
        let step = reply(&mut session, code).unwrap().unwrap();
        assert_eq!((step.verdict, step.next), (None, Next::Ready));
        assert!(step.answer.is_some_and(|answer| !answer.positive && answer.phase == Phase::Tls));
        assert!(session.cover() == Cover::Refused && session.offer().pipelining);
        let mut session = asking(Encryption::Required);
        let step = reply(&mut session, code).unwrap().unwrap();
        assert_eq!((step.verdict, step.next), (refused(Phase::Tls, code), Next::Send(Command::Quit)));
    }
    assert_eq!(next(&mut asking(Encryption::Opportunistic), 421), Next::Ended);
    assert_eq!(reply(&mut asking(Encryption::Required), 334), Err(Violation::OutOfOrder));
}

#[test]
fn helo_is_no_way_around_starttls_that_is_required() {
    let mut session = with(Encryption::Opportunistic);
    next(&mut session, 220);
    assert_eq!(next(&mut session, 502), Next::Send(Command::Helo));
    assert_eq!(next(&mut session, 250), Next::Ready);
    let mut session = with(Encryption::Required);
    next(&mut session, 220);
    let step = reply(&mut session, 502).unwrap().unwrap();
    assert_eq!((step.verdict, step.next), (refused(Phase::Ehlo, 502), Next::Send(Command::Quit)));
}

proptest! {
    /// With any replies, nothing but EHLO, STARTTLS and QUIT is sent in the clear where encryption is required.
    #[test]
    fn no_mail_is_sent_in_the_clear_where_encryption_is_required(
        lines in prop::collection::vec(
            (
                prop::sample::select(vec![220u16, 250, 250, 354, 421, 454, 502]),
                prop::sample::select(vec![&b"STARTTLS"[..], b"SIZE", b""]),
                any::<bool>(),
                any::<bool>(),
            ),
            1..40,
        ),
    ) {
        let mut session = with(Encryption::Required);
        let mut is_secure = false;
        for (code, text, last, succeeds) in lines {
            let Ok(step) = session.on_line(Line { code, last, text }, Unsent::Nothing) else { break };
            let sent = match step.map(|step| step.next) {
                None | Some(Next::Wait) => None,
                Some(Next::Send(command)) => Some(command),
                Some(Next::Ready) => Some(session.begin(|| 10)),
                Some(Next::Secure) if succeeds => {
                    is_secure = true;
                    session.on_secured()
                }
                Some(Next::Secure | Next::Close | Next::Ended) => break,
            };
            let may_be_clear = matches!(sent, None | Some(Command::Ehlo | Command::Starttls | Command::Quit));
            prop_assert!(is_secure || may_be_clear, "{sent:?}");
        }
    }
}
