use proptest::prelude::*;

use super::*;
use crate::smtp::rules::{Environment, State};
use crate::smtp::{Expect, Policy, Protocol, Session};
use crate::stats::MessageStats;

/// Replies that replace the server's own, some of them invalid.
const RULES: [&str; 12] = [
    "mail odds=20% reply=\"451 4.7.1 Later\"",
    "mail odds=10% reply=\"354 What\"",
    "mail odds=10% reply=\"hello\"",
    "rcpt odds=20% reply=\"550 5.1.1 No\"",
    "rcpt odds=20% reply=\"450 4.2.1 Later\"",
    "data odds=20% reply=\"451 4.3.0 Later\"",
    "data odds=10% reply=\"250 Ok\"",
    "message odds=20% reply=\"554 5.6.0 No\"",
    "message odds=20% reply=\"354 More\"",
    "message odds=10% reply=\"hello\"",
    "rset odds=20% reply=\"500 What\"",
    "helo odds=10% reply=\"421 4.3.2 Going\"",
];

/// A line, and its expected stage.
fn lines() -> impl Strategy<Value = Vec<&'static str>> {
    let line = prop::sample::select(vec![
        "EHLO client.example",
        "MAIL FROM:<ann@example.com>",
        "MAIL FROM:<ann@example.com>",
        "MAIL FROM:<nobody>",
        "RCPT TO:<bob@example.com>",
        "RCPT TO:<bob@example.com>",
        "RCPT TO:<bob@example.com>",
        "DATA",
        "DATA",
        "Hello\r\n.",
        "Hello\r\n.",
        "RSET",
        "NOOP",
        "VRFY ann",
    ]);
    prop::collection::vec(line, 0..60)
}

/// A reply to the client.
#[derive(Clone, Copy, Debug)]
struct Answered {
    stage: Stage,
    is_accepted: bool,
    code: Option<u16>,
}

/// The outcome of a mail transaction, from its replies since MAIL.
fn outcome(replies: &[Answered]) -> Result<(), Option<(Stage, u16)>> {
    if replies[0].is_accepted {
        let messages = || replies.iter().filter(|answered| answered.stage == Stage::Message);
        if messages().next().is_some() {
            return match messages().any(|message| message.is_accepted) {
                true => Ok(()),
                false => Err(messages()
                    .filter_map(|message| message.code)
                    .next_back()
                    .map(|code| (Stage::Message, code))),
            };
        }
        if replies.iter().any(|answered| answered.stage == Stage::Data && answered.is_accepted) {
            return Err(None);
        }
    }
    // DATA without a recipient is refused because of the RCPTs.
    let counts = |at: usize| {
        let before = || replies[..at].iter().filter(|answered| answered.stage == Stage::Rcpt);
        let names_cause = before().any(|answered| answered.is_accepted) || before().next().is_none();
        match replies[at].stage {
            Stage::Data => names_cause,
            stage => matches!(stage, Stage::Mail | Stage::Rcpt),
        }
    };
    let last = (0..replies.len()).rfind(|at| counts(*at) && !replies[*at].is_accepted);
    Err(last.and_then(|at| Some((replies[at].stage, replies[at].code?))))
}

/// A session that is measured.
struct Measured {
    session: Session,
    probe: Probe,
    stats: Stats,
    answered: Vec<Answered>,
    /// After the last step.
    is_in_transaction: bool,
}

impl Measured {
    fn take(&mut self, policy: &Policy, environment: &mut Environment<'_>, line: &str) {
        let input = format!("{line}\r\n");
        let (mut at, mut expects) = (0, Expect::Command);
        while at < input.len() || expects == Expect::Nothing {
            let progress = self.session.advance(policy, environment, &input.as_bytes()[at..]);
            (at, expects) = (at + progress.consumed, progress.expects);
            let Some(step) = progress.step else { continue };
            let code = step.reply.code();
            self.answered.push(Answered { stage: step.stage, is_accepted: step.accepted, code });
            let now = Timestamp::at(Duration::ZERO);
            self.is_in_transaction = step.is_in_transaction;
            self.probe.note_step(&mut self.stats, now, &step);
            let stage = step.stage;
            if step.message.is_some_and(|message| message.is_accepted) {
                assert_eq!(self.open(), 1, "its reply has not left");
                let asked = Asked { stage, since: now, number: 0, accepts: Some(7) };
                self.probe.note_reply(&mut self.stats, now, &asked);
            }
        }
    }

    /// Open mail transactions, from the other counts.
    fn open(&self) -> u64 {
        let MessageStats { accepted, refused, aborted, .. } = self.stats.messages;
        let open = self.stats.stages[Stage::Mail].count - accepted - refused - aborted;
        assert_eq!(open, self.stats.transactions_open());
        open
    }
}

proptest! {
    /// Each MAIL starts a mail transaction, which ends in exactly one way, according to its replies.
    #[test]
    fn each_mail_transaction_ends_once_and_as_its_replies_say(lines in lines(), seed: u64, is_lmtp: bool) {
        let mut policy = Policy::default();
        policy.seed = seed;
        RULES.iter().for_each(|rule| policy.add_rule(rule.parse().expect("a rule")));
        let mut state = State::default();
        let mut environment = Environment { state: Some(&mut state), ..Environment::alone() };
        let mut measured = Measured {
            session: Session::speaking(if is_lmtp { Protocol::Lmtp } else { Protocol::Smtp }),
            probe: Probe::new(Timestamp::at(Duration::ZERO)),
            stats: Stats::default(),
            answered: Vec::new(),
            is_in_transaction: false,
        };
        for line in ["EHLO client.example", "LHLO client.example"].iter().chain(&lines) {
            measured.take(&policy, &mut environment, line);
            let is_decided = !measured.is_in_transaction;
            prop_assert_eq!(measured.open(), u64::from(!is_decided));
        }
        measured.probe.close(&mut measured.stats, Timestamp::at(Duration::ZERO), true);
        prop_assert_eq!(measured.open(), 0);
        let ends_one = |answered: &Answered| matches!(answered.stage, Stage::Mail | Stage::Helo | Stage::Rset);
        let mut expected = Stats::default();
        let mut rest = &measured.answered[..];
        while let Some(start) = rest.iter().position(|answered| answered.stage == Stage::Mail) {
            let length = rest[start + 1..].iter().position(ends_one).unwrap_or(rest.len() - start - 1) + 1;
            let mut own = &rest[start..start + length];
            if let Some(message) = own.iter().rposition(|answered| answered.stage == Stage::Message) {
                own = &own[..=message];
            }
            match outcome(if own[0].is_accepted { own } else { &own[..1] }) {
                Ok(()) => expected.messages.accepted += 1,
                Err(Some((stage, code))) => refuse_transaction(&mut expected, stage, code),
                Err(None) => expected.messages.aborted += 1,
            }
            rest = &rest[start + length..];
        }
        let counts = |stats: &Stats| [stats.messages.accepted, stats.messages.refused, stats.messages.aborted];
        prop_assert_eq!(counts(&measured.stats), counts(&expected), "{:?}", measured.answered);
        for (stage, own) in measured.stats.stages.iter() {
            let expected = &expected.stages[stage].transactions_refused;
            prop_assert_eq!(&own.transactions_refused, expected, "{:?}", measured.answered);
        }
    }
}

#[test]
fn an_acceptance_that_never_leaves_leaves_the_transaction_undecided_unless_a_refusal_does() {
    let now = Timestamp::at(Duration::ZERO);
    let asked = Asked { stage: Stage::Message, since: now, number: 0, accepts: Some(7) };
    let mut stats = Stats::default();
    let mut probe = Probe::new(now);
    probe.note_unsent(&mut stats, &asked);
    probe.note_instead(&mut stats, now, &asked, 421);
    assert_eq!((stats.messages.accepted, stats.messages.aborted, stats.messages.refused), (0, 1, 1));
    assert_eq!(stats.stages[Stage::Message].transactions_refused.get(&421), Some(&1));
}
