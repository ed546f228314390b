//! The envelope of a mail transaction (RFC 5321 section 3.3): its reverse-path and forward-paths, and the rules that
//! they match. It is retained even without rules, which may be added before the next line. After the first mails it
//! allocates no memory.

use std::fmt;
use std::ops::Range;

use crate::smtp::command::octets::Octets;
use crate::smtp::command::{GivenParameters, Parameters};
use crate::smtp::rules::{Edition, Matched, RuleBook};

/// Capacity in octets that a session retains between mail transactions.
const RETAINED: usize = 1024;
/// Most octets by which the capacity exceeds the need.
const GROWTH: usize = 4096;

/// The name of HELO or EHLO and the paths of the last mail transaction, including refused ones, which rules need.
#[derive(Default)]
pub(in crate::smtp) struct Envelope {
    /// The name of HELO, the reverse-path, the parameters of MAIL, the forward-path and the parameters of each accepted
    /// recipient, each followed by LF, and the last forward-path if refused.
    names: Vec<u8>,
    helo: Option<Range<u32>>,
    /// The reverse-path of the last MAIL, accepted or not.
    from: Option<Range<u32>>,
    /// The parameters of the last MAIL, if it was accepted.
    from_parameters: Range<u32>,
    /// The forward-path of the last RCPT in the transaction, accepted or not.
    to: Option<Range<u32>>,
    /// The accepted recipients. If empty, the position of the first.
    accepted: Range<u32>,
    /// In LMTP the recipient that the next reply to the message answers; `None` outside these replies.
    selected: Option<Selected>,
    /// Conditions of rules that the recipients match, or the selected one, in ascending order.
    matched: Vec<Matched>,
    /// The edition of the rules in `matched`.
    edition: Edition,
}

/// An accepted recipient.
#[derive(Clone, Default)]
struct Selected {
    /// `None`: more recipients were accepted than are retained.
    to: Option<Range<u32>>,
    /// Its path and its parameters.
    lines: Range<u32>,
    /// The start of the next recipient.
    end: u32,
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("helo", &self.helo().map(Octets))
            .field("from", &self.from().map(Octets))
            .field("to", &self.to().map(Octets))
            .field("matched", &self.matched)
            .finish_non_exhaustive()
    }
}

impl Envelope {
    pub(in crate::smtp) fn helo(&self) -> Option<&[u8]> {
        self.name(self.helo.as_ref())
    }

    pub(in crate::smtp) fn from(&self) -> Option<&[u8]> {
        self.name(self.from.as_ref())
    }

    pub(in crate::smtp) fn to(&self) -> Option<&[u8]> {
        self.name(self.selected.as_ref().map_or(self.to.as_ref(), |selected| selected.to.as_ref()))
    }

    /// The parameters of MAIL and of the accepted recipients, or only the selected one.
    pub(in crate::smtp) fn parameters(&self) -> GivenParameters<'_> {
        let recipients = self.selected.as_ref().map_or(&self.accepted, |selected| &selected.lines);
        GivenParameters {
            first: Parameters::of_words(self.octets(&self.from_parameters)),
            recipients: self.octets(recipients),
        }
    }

    fn octets(&self, range: &Range<u32>) -> &[u8] {
        &self.names[range.start as usize..range.end as usize]
    }

    fn name(&self, range: Option<&Range<u32>>) -> Option<&[u8]> {
        range.map(|range| self.octets(range))
    }

    /// Conditions of rules of this book that accepted recipients match, in ascending order.
    pub(in crate::smtp) fn matched(&self, rules: &RuleBook) -> &[Matched] {
        debug_assert_eq!(self.edition, rules.edition(), "the rules were replaced: match_anew comes first");
        &self.matched
    }

    /// Recomputes which rules the accepted recipients match, if the rules were replaced since.
    pub(in crate::smtp) fn match_anew(&mut self, rules: &RuleBook) {
        if self.edition == rules.edition() {
            return;
        }
        self.edition = rules.edition();
        self.matched.clear();
        if let Some(selected) = &self.selected {
            let to = selected.to.clone();
            self.match_one(rules, to);
            return;
        }
        let mut start = self.accepted.start;
        while let Some(recipient) = self.recipient_at(start) {
            start = recipient.end;
            self.match_one(rules, recipient.to);
        }
    }

    fn match_one(&mut self, rules: &RuleBook, path: Option<Range<u32>>) {
        if let Some(path) = path {
            rules.match_recipient(&self.names[path.start as usize..path.end as usize], &mut self.matched);
        }
    }

    /// The accepted recipient at this position.
    fn recipient_at(&self, start: u32) -> Option<Selected> {
        let lines = self.octets(&(start..self.accepted.end));
        // No line contains a LF.
        let path = memchr::memchr(b'\n', lines)?;
        let words = memchr::memchr(b'\n', &lines[path + 1..])?;
        let behind_path = start + path as u32 + 1;
        let end = behind_path + words as u32 + 1;
        Some(Selected { to: (path > 0).then_some(start..behind_path - 1), lines: start..end, end })
    }

    /// In LMTP, before the first reply to a message.
    pub(in crate::smtp) fn begin_replies(&mut self) {
        self.selected = Some(Selected { to: None, lines: 0..0, end: self.accepted.start });
    }

    /// Selects the next accepted recipient: only it is visible from now on.
    pub(in crate::smtp) fn select_next(&mut self, rules: &RuleBook) {
        let Some(Selected { end, .. }) = self.selected else { return };
        let next = self.recipient_at(end).unwrap_or(Selected { to: None, lines: 0..0, end });
        self.matched.clear();
        self.edition = rules.edition();
        self.match_one(rules, next.to.clone());
        self.selected = Some(next);
    }

    pub(in crate::smtp) fn note_helo(&mut self, name: Option<&[u8]>) {
        self.truncate(0);
        self.helo = name.map(|name| self.push(name));
        self.begin_mail(None);
    }

    pub(in crate::smtp) fn note_sender(&mut self, mailbox: Option<&[u8]>) {
        self.truncate(self.helo.as_ref().map_or(0, |helo| helo.end));
        self.begin_mail(mailbox);
    }

    fn begin_mail(&mut self, mailbox: Option<&[u8]>) {
        self.from = mailbox.map(|mailbox| self.push(mailbox));
        self.from_parameters = 0..0;
        self.selected = None;
        self.to = None;
        let end = self.end();
        self.accepted = end..end;
        self.matched.clear();
    }

    /// Stores the parameters of an accepted MAIL.
    pub(in crate::smtp) fn note_sender_parameters(&mut self, parameters: Parameters<'_>) {
        if !parameters.words().is_empty() {
            self.from_parameters = self.push(parameters.words());
            let end = self.end();
            self.accepted = end..end;
        }
    }

    pub(in crate::smtp) fn note_recipient(
        &mut self,
        rules: &RuleBook,
        mailbox: Option<&[u8]>,
        parameters: Parameters<'_>,
        is_accepted: bool,
    ) {
        self.truncate(self.accepted.end);
        self.to = mailbox.map(|mailbox| self.push(mailbox));
        if is_accepted {
            if !parameters.words().is_empty() {
                self.push(b"\n");
                self.push(parameters.words().trim_ascii_start());
                self.push(b"\n");
            } else {
                self.push(b"\n\n");
            }
            self.accepted.end = self.end();
            if self.edition == rules.edition() {
                rules.match_recipient(mailbox.unwrap_or_default(), &mut self.matched);
            }
        }
    }

    fn end(&self) -> u32 {
        u32::try_from(self.names.len()).expect("a line is short, and so are 10,000 of them")
    }

    fn truncate(&mut self, end: u32) {
        self.names.truncate(end as usize);
        if self.names.len() < RETAINED {
            self.names.shrink_to(RETAINED);
        }
    }

    #[inline]
    fn push(&mut self, name: &[u8]) -> Range<u32> {
        let start = self.end();
        if self.names.capacity() - self.names.len() < name.len() {
            self.grow(name.len());
        }
        self.names.extend_from_slice(name);
        start..self.end()
    }

    /// Makes room for more octets. A `Vec` would double, possibly far beyond the memory left for sessions.
    #[cold]
    fn grow(&mut self, more: usize) {
        self.names.reserve_exact(more + self.names.len().clamp(64, GROWTH));
    }

    pub(in crate::smtp) fn memory(&self) -> usize {
        let Self {
            names,
            helo: _,
            from: _,
            from_parameters: _,
            to: _,
            accepted: _,
            selected: _,
            matched,
            edition: _,
        } = self;
        size_of::<Self>() + names.capacity() + matched.capacity() * size_of::<Matched>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::smtp::rules::{Environment, Memory, State};
    use crate::smtp::{Policy, Session};

    fn policy(rules: &[&str]) -> Policy {
        let mut policy = Policy::default();
        rules.iter().for_each(|rule| policy.add_rule(rule.parse().expect("a rule")));
        policy
    }

    /// The replies to lines, each under its own policy.
    fn replies<'p>(dialogue: impl IntoIterator<Item = (&'p Policy, &'p str)>) -> Vec<String> {
        let (mut session, mut state) = (Session::new(), State::default());
        let reply = |(policy, line): (&Policy, &str)| {
            let mut environment = Environment { state: Some(&mut state), ..Environment::alone() };
            let progress = session.advance(policy, &mut environment, format!("{line}\r\n").as_bytes());
            let step = progress.step.filter(|_| progress.consumed == line.len() + 2)?;
            Some(String::from_utf8_lossy(step.reply.text()).into_owned())
        };
        dialogue.into_iter().filter_map(reply).collect()
    }

    const MAIL: [&str; 6] = [
        "HELO c.example",
        "MAIL FROM:<ann@example.com>",
        "RCPT TO:<bob@example.com>",
        "RCPT TO:<carol@example.com>",
        "DATA",
        ".",
    ];

    #[test]
    fn rules_added_within_a_mail_know_the_earlier_commands() {
        let none = policy(&[]);
        for (rule, fires) in [
            ("message to=bob@* reply=\"452 full\"", true),
            ("message to=carol@example.com reply=\"452 full\"", true),
            ("message to=dave@* reply=\"452 full\"", false),
            ("message from=ann@* helo=c.* reply=\"452 full\"", true),
            ("message from=bob@* reply=\"452 full\"", false),
        ] {
            let ruled = policy(&["rcpt to=dave@* close", rule]);
            let dialogue = MAIL[..5].iter().map(|line| (&none, *line)).chain([(&ruled, MAIL[5])]);
            assert_eq!(replies(dialogue).pop().as_deref() == Some("452 full"), fires, "{rule}");
        }
    }

    #[test]
    fn counts_continue_under_the_replaced_rules() {
        let before = policy(&["noop nth=2 reply=\"250 second\"", "rset id=r times=1 reply=\"250 reset\""]);
        let after = policy(&[
            "quit close",
            "noop nth=3 reply=\"250 third\"",
            "noop nth=2 reply=\"250 second\"",
            "rset id=r times=2 reply=\"250 reset again\"",
        ]);
        let lines = [(&before, "NOOP"), (&before, "HELO c"), (&before, "RSET"), (&after, "NOOP")];
        let more = [(&after, "RSET"), (&after, "RSET"), (&after, "NOOP")];
        let replies = replies(lines.into_iter().chain(more));
        assert_eq!(replies[3], "250 second", "it was reached once before: {replies:?}");
        assert_eq!(replies[2..][..1], ["250 reset"]);
        assert_eq!(replies[4], "250 reset again");
        assert!(!replies[5].contains("again"), "it has fired twice by its name: {replies:?}");
    }

    /// A memory that counts how often it is lent.
    #[derive(Debug, Default)]
    struct Counted(State, usize);

    impl Memory for Counted {
        fn lend(&mut self, decide: &mut dyn FnMut(&mut State)) {
            self.1 += 1;
            decide(&mut self.0);
        }
    }

    #[test]
    fn the_state_of_rules_is_lent_where_a_rule_needs_it_and_not_for_message_data() {
        let policy = policy(&["rcpt nth=1 delay=1s", "message to=nobody@* close"]);
        let (mut session, mut memory) = (Session::new(), Counted::default());
        let mut lent = |octets: &[u8]| {
            let before = memory.1;
            let environment = &mut Environment { state: Some(&mut memory), ..Environment::alone() };
            session.advance(&policy, environment, octets);
            memory.1 - before
        };
        let mail = MAIL.map(|line| format!("{line}\r\n"));
        let [helo, from, rcpt, other, data, end] = mail.each_ref().map(String::as_bytes);
        assert_eq!([helo, from, rcpt, other, data].map(&mut lent), [0, 0, 1, 1, 0]);
        let text = [&b"a line of text\r\n"[..], b".", b".stuffed", b"\r", b"\n", b"\r\nno end"];
        assert_eq!(text.repeat(100).into_iter().map(&mut lent).sum::<usize>(), 0);
        assert_eq!([b"\r\n", end].map(&mut lent), [0, 0], "no recipient matches the rule");
    }

    const CONDITIONS: &[&str] = &[
        "to=a*",
        "to=*@x",
        "to=b@y",
        "to=*b*",
        "to=?@?",
        "inbox=x",
        "inbox=a*",
        "inbox=?",
        "to=*@y inbox=b",
    ];

    proptest! {
        /// Rules have the same effect whether present from the beginning or added at any line.
        #[test]
        fn what_recipients_match_does_not_depend_on_when_rules_came(
            recipients in prop::collection::vec("[ab]{1,2}([+][abx])?@[xy]", 0..6),
            accepted in prop::collection::vec(any::<bool>(), 6),
            conditions in prop::collection::vec(prop::sample::select(CONDITIONS), 1..6),
            switches in prop::collection::vec(any::<bool>(), 6),
        ) {
            let rules: Vec<String> = conditions.iter().map(|when| format!("message {when} close")).collect();
            let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
            let (one, other) = (policy(&rules), policy(&["noop close"]));
            let [mut always, mut switched] = [Envelope::default(), Envelope::default()];
            for facts in [&mut always, &mut switched] {
                facts.note_helo(Some(b"c.example"));
                facts.match_anew(one.book());
                facts.note_sender(Some(b"ann@example.com"));
            }
            for ((recipient, accepted), switches) in recipients.iter().zip(&accepted).zip(&switches) {
                always.note_recipient(one.book(), Some(recipient.as_bytes()), Parameters::default(), *accepted);
                let policy = if *switches { &other } else { &one };
                switched.match_anew(policy.book());
                switched.note_recipient(policy.book(), Some(recipient.as_bytes()), Parameters::default(), *accepted);
                prop_assert_eq!(switched.to(), Some(recipient.as_bytes()));
            }
            switched.match_anew(one.book());
            prop_assert_eq!(switched.matched(one.book()), always.matched(one.book()));
            prop_assert_eq!((switched.helo(), switched.from()), (always.helo(), always.from()));
        }
    }
}
