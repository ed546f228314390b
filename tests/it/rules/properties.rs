//! Under any rules, every line that is read is answered, held or dropped as configured, and none is lost when pipelined.

use proptest::prelude::*;
use smtpmock::Config;
use smtpmock::smtp::rules::{Environment, PeerAddress, Rule, State};
use smtpmock::smtp::{Expect, Next, Policy, Portion, Protocol, ReplyKind, Session, Stage};

use crate::support::client::{Client, End};
use crate::support::server::{ruled, start};

/// Without the id of the record, which no other server gives.
const MESSAGE_RECEIVED: &str = "250 Accepted";

fn stage() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "connect", "helo", "mail", "rcpt", "data", "message", "rset", "noop", "quit", "vrfy", "help",
        "unknown", "any",
    ])
}

/// Rules as text.
fn rules() -> impl Strategy<Value = Vec<String>> {
    let condition = prop::sample::select(vec![
        "",
        "nth=2",
        "every=2",
        "times=1",
        "times=2 per=session",
        "odds=50%",
        "session=1",
        "ip=127.0.0.1",
        "nth=3..",
    ]);
    let action = prop::sample::select(vec![
        r#"reply="451 told""#,
        r#"reply="250-told\n250 told""#,
        "delay=1ms",
        "delay=1ms..3ms@50%",
        "drop=fin",
        "drop=rst",
        "drop=fin-after",
        "drop=rst-after",
        "silent",
        "stall",
        "cut=2",
        "close",
        "accept",
        r#"reply="421 told" close delay=1ms"#,
    ]);
    let rule = (stage(), condition, action)
        .prop_map(|(stage, condition, action)| format!("{stage} {condition} {action}"));
    prop::collection::vec(rule, 0..5)
}

/// The lines of a dialogue, in any order.
fn lines() -> impl Strategy<Value = Vec<&'static str>> {
    let line = prop::sample::select(vec![
        "HELO client.example\r\n",
        "MAIL FROM:<a@example.com>\r\n",
        "RCPT TO:<b@example.com>\r\n",
        "DATA\r\n",
        "text\r\n.\r\n",
        "RSET\r\n",
        "NOOP\r\n",
        "rubbish\r\n",
        "QUIT\r\n",
        "HELO x.example\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\nhi\r\n.\r\n",
        "LHLO x.example\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nRCPT TO:<c@example.com>\r\nDATA\r\n.\r\n",
    ]);
    prop::collection::vec(line, 0..12)
}

fn protocols() -> impl Strategy<Value = Protocol> {
    prop_oneof![2 => Just(Protocol::Smtp), 1 => Just(Protocol::Lmtp)]
}

/// The output of the pure session, and how the connection continues.
fn by_itself(protocol: Protocol, rules: &[Rule], input: &[u8], cut: usize) -> (Vec<u8>, Next) {
    let mut policy = Policy::default();
    policy.seed = 7;
    policy.set_reply(ReplyKind::MessageReceived, MESSAGE_RECEIVED);
    rules.iter().for_each(|rule| policy.add_rule(rule.clone()));
    let mut state = State::default();
    let mut environment = Environment {
        peer: PeerAddress::Ip([127, 0, 0, 1].into()),
        state: Some(&mut state),
        ..Environment::alone()
    };
    let mut session = Session::speaking(protocol);
    let greeting = session.greeting(&policy, &mut environment);
    let mut output = greeting.wire().to_vec();
    let (mut next, mut expects) = (greeting.next, Expect::Command);
    let (mut taken, mut given) = (0, 0);
    while next == Next::Continue && (taken < input.len() || expects == Expect::Nothing) {
        given = (given + cut).max(taken + 1).min(input.len());
        let progress = session.advance(&policy, &mut environment, &input[taken..given]);
        (taken, expects) = (taken + progress.consumed, progress.expects);
        if let Some(step) = progress.step {
            output.extend(step.wire());
            assert!(
                step.portion == Portion::Whole || !step.accepted,
                "accepted although the reply is not sent whole"
            );
            assert!(
                step.portion == Portion::Whole || step.next != Next::Continue,
                "a line without an answer"
            );
            assert!(step.stage != Stage::Greeting);
            next = step.next;
        } else if given == input.len() && progress.consumed == 0 {
            break;
        }
    }
    (output, next)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// The same bytes give the same answers however they are split.
    #[test]
    fn cuts_do_not_matter(protocol in protocols(), rules in rules(), lines in lines(), cut in 1..40_usize) {
        let rules: Vec<Rule> = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        let input = lines.concat();
        let whole = by_itself(protocol, &rules, input.as_bytes(), input.len().max(1));
        prop_assert_eq!(by_itself(protocol, &rules, input.as_bytes(), cut), whole);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// A client that pipelines everything receives over the socket the output of the pure session, and the connection ends as
    /// that requires.
    #[test]
    fn nothing_is_lost_under_pipelining(protocol in protocols(), rules in rules(), lines in lines()) {
        let input = lines.concat();
        let texts: Vec<&str> = rules.iter().map(String::as_str).collect();
        let parsed: Vec<Rule> = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        let (expected, next) = by_itself(protocol, &parsed, input.as_bytes(), input.len().max(1));
        let config = Config::default().listen(format!("{protocol}://127.0.0.1")).seed(7);
        let config = config.reply(ReplyKind::MessageReceived, MESSAGE_RECEIVED);
        let server = start(ruled(config, &texts));
        let mut client = Client::connect(server.local_addr());
        // Octets sent to a connection that has ended are answered with a reset, which proves nothing.
        if !by_itself(protocol, &parsed, b"", 1).1.is_end() {
            let _ = client.try_send(&input);
        }
        if next == Next::Continue || next == Next::Hold {
            client.half_close();
        }
        let (heard, end) = client.end();
        prop_assert_eq!(heard.as_bytes(), &expected[..]);
        match next {
            Next::Continue | Next::Close => prop_assert_eq!(end, End::Fin),
            Next::Reset => prop_assert_eq!(end, End::Reset),
            // A held connection ends when the client closes it; with unread input that is a reset.
            other => prop_assert_eq!(other, Next::Hold),
        }
    }
}
