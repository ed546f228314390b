//! The replies of LMTP to a message, beside those of a server that evaluates each recipient by itself.

use std::collections::HashMap;

use proptest::prelude::*;
use smtpmock::smtp::rules::{Environment, State};
use smtpmock::smtp::{Esmtp, Expect, Filing, Policy, Protocol, Record, ReplyKind, Session};

/// What MAIL and RCPT are sent with.
const MAIL_PARAMETERS: &[&str] = &["", " ENVID=one", " ENVID=two SIZE=9", " SIZE=9"];
const RCPT_PARAMETERS: &[&str] = &["", " NOTIFY=NEVER", " NOTIFY=SUCCESS,DELAY", " ORCPT=rfc822;a@x.example"];
const MAILBOXES: &[&str] = &["a@x.example", "b@x.example", "a@y.example", "c@y.example"];

/// A condition on a recipient, as text and as a naive server has it.
#[derive(Clone, Copy, Debug)]
struct Condition {
    text: &'static str,
    /// Of the mailbox, the parameters of MAIL and those of RCPT.
    holds: fn(&str, &str, &str) -> bool,
}

const CONDITIONS: &[Condition] = &[
    Condition { text: "to=a@*", holds: |to, _, _| to.starts_with("a@") },
    Condition { text: "to=*@y.example", holds: |to, _, _| to.ends_with("@y.example") },
    Condition { text: "to=?@x*", holds: |to, _, _| to[1..].starts_with("@x") },
    Condition { text: "param.notify=never", holds: |_, _, rcpt| rcpt.contains("NEVER") },
    Condition { text: "param.notify=*delay*", holds: |_, _, rcpt| rcpt.contains("DELAY") },
    Condition { text: "param.envid=t*", holds: |_, mail, _| mail.contains("ENVID=two") },
    Condition { text: "param.size=*", holds: |_, mail, _| mail.contains("SIZE=") },
    Condition {
        text: "param.orcpt=rfc822* to=b@*",
        holds: |to, _, rcpt| rcpt.contains("ORCPT") && to.starts_with("b@"),
    },
];

/// A rule at `message`: its condition, how often it fires for each recipient, and the code of its reply.
#[derive(Clone, Copy, Debug)]
struct MessageRule {
    condition: Condition,
    times: u32,
    code: u16,
}

impl MessageRule {
    fn text(&self) -> String {
        let Self { condition, times, code } = self;
        format!("message {} times={times} per=recipient reply=\"{code} 2.0.0 rule\"", condition.text)
    }
}

#[derive(Clone, Debug)]
struct Rcpt {
    mailbox: &'static str,
    parameters: &'static str,
}

type Transaction = (&'static str, Vec<Rcpt>);

impl Rcpt {
    fn line(&self) -> String {
        format!("RCPT TO:<{}>{}\r\n", self.mailbox, self.parameters)
    }
}

fn rcpt() -> impl Strategy<Value = Rcpt> {
    (prop::sample::select(MAILBOXES), prop::sample::select(RCPT_PARAMETERS))
        .prop_map(|(mailbox, parameters)| Rcpt { mailbox, parameters })
}

fn transactions() -> impl Strategy<Value = Vec<Transaction>> {
    let transaction = (prop::sample::select(MAIL_PARAMETERS), prop::collection::vec(rcpt(), 0..6));
    prop::collection::vec(transaction, 1..4)
}

fn message_rules() -> impl Strategy<Value = Vec<MessageRule>> {
    let rule = (prop::sample::select(CONDITIONS), 1..4u32, prop::sample::select(vec![250, 451, 550]))
        .prop_map(|(condition, times, code)| MessageRule { condition, times, code });
    prop::collection::vec(rule, 0..4)
}

/// How the accepted recipients of a message are answered.
type Answers = Vec<(&'static str, String)>;

/// A server that retains everything: the recipients of each transaction that are accepted, and the replies to them.
fn naive(transactions: &[Transaction], rules: &[MessageRule], refused: Option<&str>) -> Vec<Answers> {
    let mut fired = HashMap::<(usize, &str), u32>::new();
    let mut answer = |mail: &str, rcpt: &Rcpt| {
        for (index, MessageRule { condition, times, code }) in rules.iter().enumerate() {
            let count = fired.entry((index, rcpt.mailbox)).or_default();
            if (condition.holds)(rcpt.mailbox, mail, rcpt.parameters) && *count < *times {
                *count += 1;
                return (rcpt.mailbox, format!("{code} 2.0.0 rule"));
            }
        }
        (rcpt.mailbox, "250 2.0.0 Received".to_owned())
    };
    let of = |(mail, rcpts): &Transaction| {
        let accepted = rcpts.iter().filter(|rcpt| Some(rcpt.mailbox) != refused);
        accepted.map(|rcpt| answer(mail, rcpt)).collect()
    };
    transactions.iter().map(of).collect()
}

/// The last lines of the output for each transaction, and its records.
fn talk(policies: &[Policy; 2], transactions: &[Transaction]) -> (Vec<Vec<String>>, Vec<Record>) {
    let (mut session, mut state) = (Session::speaking(Protocol::Lmtp), State::default());
    let (mut replies, mut records) = (Vec::new(), Vec::new());
    let mut turn = 0;
    let mut send = |input: &str| {
        let (mut taken, mut expects, mut output) = (0, Expect::Command, Vec::new());
        while taken < input.len() || expects == Expect::Nothing {
            let environment = &mut Environment { state: Some(&mut state), ..Environment::alone() };
            // Replaced between two steps, by one with the same rules behind another.
            turn += 1;
            let progress = session.advance(&policies[turn % 2], environment, &input.as_bytes()[taken..]);
            (taken, expects) = (taken + progress.consumed, progress.expects);
            let Some(step) = progress.step else { continue };
            output.push(String::from_utf8_lossy(step.reply.text()).into_owned());
            if let Filing::Finished(record) = step.filing {
                records.push(*record);
            }
        }
        output
    };
    send("LHLO c.example\r\n");
    for (mail, rcpts) in transactions {
        let rcpts: String = rcpts.iter().map(Rcpt::line).collect();
        let opened = send(&format!("MAIL FROM:<ann@example.com>{mail}\r\n{rcpts}DATA\r\n"));
        let is_open = opened.last().is_some_and(|reply| reply.starts_with("354"));
        replies.push(if is_open { send("hi\r\n.\r\n") } else { Vec::new() });
    }
    records.extend(session.finish(&policies[0]).map(|last| last.record));
    (replies, records)
}

fn policy(rules: &[MessageRule], refused: Option<&str>, first: &str) -> Policy {
    let mut policy = Policy::default();
    policy.set_reply(ReplyKind::MessageReceived, "250 2.0.0 Received");
    let refused = refused.map(|mailbox| format!("rcpt to={mailbox} reply=\"550 5.1.1 No\""));
    let rules = [first.to_owned()].into_iter().chain(refused).chain(rules.iter().map(MessageRule::text));
    // Rules of the same text are told apart by their place among these.
    rules.for_each(|rule| policy.add_rule(rule.parse().expect("a rule")));
    policy
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Also where the policy is replaced between any two steps, and whatever is retained of the dialogue.
    #[test]
    fn each_recipient_is_answered_as_if_it_were_the_only_one(
        transactions in transactions(),
        rules in message_rules(),
        refused in prop::option::of(prop::sample::select(MAILBOXES)),
    ) {
        let policies = ["noop close", "quit close"].map(|first| policy(&rules, refused, first));
        let (replies, records) = talk(&policies, &transactions);
        let expected = naive(&transactions, &rules, refused);
        let texts = |answers: &Answers| answers.iter().map(|(_, reply)| reply.clone()).collect::<Vec<_>>();
        prop_assert_eq!(&replies, &expected.iter().map(texts).collect::<Vec<_>>());
        let recorded = records.iter().map(|record| {
            let deliveries = record.deliveries().map(|delivery| {
                let mailbox = String::from_utf8_lossy(delivery.recipient.name().expect("a mailbox")).into_owned();
                let reply = delivery.response.map_or(&b""[..], |reply| reply.text());
                (mailbox, String::from_utf8_lossy(reply).into_owned(), delivery.accepted)
            });
            deliveries.collect::<Vec<_>>()
        });
        let answered = expected.iter().map(|answers| {
            let answer = |(mailbox, reply): &(&str, String)| ((*mailbox).to_owned(), reply.clone(), reply.starts_with('2'));
            answers.iter().map(answer).collect::<Vec<_>>()
        });
        prop_assert_eq!(recorded.collect::<Vec<_>>(), answered.collect::<Vec<_>>());
        for (record, answers) in records.iter().zip(&expected) {
            let accepting = answers.iter().find(|(_, reply)| reply.starts_with('2'));
            prop_assert_eq!(record.msg, accepting.is_some());
            let response = record.msg_response.as_ref().map(|reply| String::from_utf8_lossy(reply.text()).into_owned());
            prop_assert_eq!(response, accepting.or(answers.last()).map(|(_, reply)| reply.clone()));
            prop_assert_eq!(record.msg_text(), if record.msg { &b"hi\r\n"[..] } else { b"" });
        }
    }

    /// In SMTP one recipient is enough.
    #[test]
    fn conditions_hold_at_data_and_message_for_any_recipient(
        mail in prop::sample::select(MAIL_PARAMETERS),
        rcpts in prop::collection::vec(rcpt(), 0..4),
        condition in prop::sample::select(&CONDITIONS[..7]),
    ) {
        let first = Rcpt { mailbox: "z@z.example", parameters: "" };
        let rcpts: Vec<Rcpt> = std::iter::once(first).chain(rcpts).collect();
        let holds = rcpts.iter().any(|rcpt| (condition.holds)(rcpt.mailbox, mail, rcpt.parameters));
        for (stage, input) in [("data", "DATA\r\n"), ("bdat", "BDAT 2\r\nhi"), ("message", "BDAT 2 LAST\r\nhi")] {
            let mut policy = Policy::default();
            policy.set_esmtp(Some(Esmtp::default()));
            let rule = format!("{stage} {} reply=\"450 4.0.0 rule\"", condition.text);
            policy.add_rule(rule.parse().expect("a rule"));
            let mut session = Session::new();
            let rcpts: String = rcpts.iter().map(Rcpt::line).collect();
            let input = format!("EHLO c.example\r\nMAIL FROM:<ann@example.com>{mail}\r\n{rcpts}{input}");
            let (mut taken, mut last) = (0, Vec::new());
            while taken < input.len() {
                let progress = session.advance(&policy, &mut Environment::alone(), &input.as_bytes()[taken..]);
                taken += progress.consumed;
                last = progress.step.map_or(last, |step| step.reply.text().to_vec());
            }
            prop_assert_eq!(last.starts_with(b"450"), holds, "{}: {}", rule, input);
        }
    }
}
