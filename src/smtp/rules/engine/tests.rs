use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::smtp::rules::{Cidr, Glob};

const TEXTS: &[&str] = &["", "a@x", "A@x", "b@x", "a@y", "a@sub.x", "x", "ab@xy", "a+t@x", "b+x@x", "c+T1@y"];
const INBOXES: &[&str] = &["x", "t", "t1", "t*", "*x", "*", "?", "y", "a@x", "*1"];
const PATTERNS: &[&str] = &["<>", "a@x", "*@x", "*x", "a@*", "a*", "*", "*@*", "?@x", "b*x", "*b@xy"];
const PEERS: &[&str] = &["10.0.0.1", "10.1.2.3", "::ffff:10.0.0.1", "fd00::1", "unix"];
const NETWORKS: &[&str] = &["10.0.0.1", "10.0.0.0/8", "0.0.0.0/0", "::/0", "fd00::/7"];

fn maybe<T: Clone + std::fmt::Debug + 'static>(of: &'static [T]) -> impl Strategy<Value = Option<T>> {
    prop::option::of(prop::sample::select(of))
}

fn rule() -> impl Strategy<Value = Rule> {
    let sessions: &'static [(u64, Option<u64>)] = &[(1, Some(1)), (2, Some(2)), (1, Some(2)), (2, None)];
    let names = (maybe(PATTERNS), maybe(PATTERNS), maybe(PATTERNS), maybe(PATTERNS), maybe(INBOXES));
    (maybe(Stage::ALL), names, maybe(NETWORKS), maybe(sessions)).prop_map(
        |(stage, (to, from, helo, user, inbox), network, session)| {
            let mut rule = stage.map_or_else(Rule::anywhere, Rule::at).delay(Duration::ZERO);
            rule.when.to = to.map(Glob::new);
            rule.when.from = from.map(Glob::new);
            rule.when.helo = helo.map(Glob::new);
            rule.when.user = user.map(Glob::new);
            rule.when.inbox = inbox.map(Glob::new);
            rule.when.ip = network.map(|network| network.parse::<Cidr>().expect("a network"));
            rule.when.session = session.map(|(first, last)| match last {
                Some(last) => (first..=last).into(),
                None => (first..).into(),
            });
            rule
        },
    )
}

/// A line and the recipients that were accepted before it.
#[derive(Clone, Debug)]
struct Line {
    stage: Stage,
    helo: Option<&'static str>,
    from: Option<&'static str>,
    to: Option<&'static str>,
    user: Option<&'static str>,
    inbox: Option<&'static str>,
    recipients: Vec<&'static str>,
    peer: PeerAddress,
    session: u64,
}

fn line() -> impl Strategy<Value = Line> {
    let names = (maybe(TEXTS), maybe(TEXTS), maybe(TEXTS), maybe(TEXTS), maybe(TEXTS));
    let recipients = prop::collection::vec(prop::sample::select(TEXTS), 0..4);
    (prop::sample::select(Stage::ALL), names, recipients, prop::sample::select(PEERS), 1..4_u64).prop_map(
        |(stage, (helo, from, to, user, inbox), recipients, peer, session)| {
            let peer = peer.parse::<IpAddr>().map_or(PeerAddress::Unix, PeerAddress::Ip);
            Line { stage, helo, from, to, user, inbox, recipients, peer, session }
        },
    )
}

impl Line {
    fn question<'q>(&self, matched: &'q [Matched]) -> Question<'q> {
        let &Self { stage, helo, from, to, user, inbox, peer, session, .. } = self;
        Question {
            stage,
            moment: Moment { seed: 0, session, step: 0 },
            now: Duration::ZERO,
            peer,
            is_other_peer: false,
            is_valid: true,
            is_ehlo: false,
            parameters: crate::smtp::command::GivenParameters::default(),
            helo: helo.map(str::as_bytes),
            from: from.map(str::as_bytes),
            to: to.map(str::as_bytes),
            user: user.map(str::as_bytes),
            mechanism: None,
            // Only rules at `tls` have a server name.
            sni: user.map(str::as_bytes),
            matched,
            inbox: inbox.map(str::as_bytes),
            size: None,
            messages: 0,
        }
    }

    /// Evaluates every rule and compares every recipient.
    fn is_met(&self, rule: &Rule) -> bool {
        let matches = |glob: &Option<Glob>, text: Option<&str>| {
            glob.as_ref().is_none_or(|glob| text.is_some_and(|text| glob.matches(text.as_bytes())))
        };
        let to = match self.stage {
            Stage::Rcpt => matches(&rule.when.to, self.to),
            _ => {
                rule.when.to.is_none()
                    || self.recipients.iter().any(|recipient| matches(&rule.when.to, Some(recipient)))
            }
        };
        let recipients = match self.stage {
            Stage::Rcpt => self.to.as_slice(),
            Stage::Data | Stage::Bdat | Stage::Message => &self.recipients,
            _ => &[],
        };
        let parts = |path: &'static str| {
            let (local, domain) = path.rsplit_once('@').unwrap_or((path, ""));
            [domain, local.split_once('+').map_or("", |(_, tag)| tag)]
                .into_iter()
                .filter(|part| !part.is_empty())
        };
        let names = recipients.iter().copied().flat_map(parts);
        let mut names = names.chain(self.inbox).chain(self.user);
        let inbox = rule.when.inbox.is_none() || names.any(|name| matches(&rule.when.inbox, Some(name)));
        rule.is_asked_at(self.stage)
            && to
            && inbox
            && matches(&rule.when.from, self.from)
            && matches(&rule.when.helo, self.helo)
            && matches(&rule.when.user, self.user)
            && rule.when.ip.is_none_or(|network| self.peer.ip().is_some_and(|ip| network.contains(ip)))
            && rule.when.session.is_none_or(|ordinals| ordinals.contains(self.session))
    }
}

fn book(rules: &[Rule]) -> RuleBook {
    let mut book = RuleBook::default();
    rules.iter().for_each(|rule| book.push(rule.clone(), None));
    book
}

fn matched(book: &RuleBook, recipients: &[&str]) -> Vec<Matched> {
    let mut matched = Vec::new();
    recipients.iter().for_each(|recipient| book.match_recipient(recipient.as_bytes(), &mut matched));
    matched
}

proptest! {
    #[test]
    fn the_index_finds_the_rules_that_a_scan_of_all_rules_finds(
        rules in prop::collection::vec(rule(), 0..12), line in line(),
    ) {
        let book = book(&rules);
        let matched = matched(&book, &line.recipients);
        let question = line.question(&matched);
        let found = book.candidates(&question).filter(|entry| entry.is_met(&question));
        let index_of = |found: &Entry| book.entries.iter().position(|entry| std::ptr::eq(entry, found));
        let found: Vec<_> = found.filter_map(index_of).collect();
        let walked: Vec<_> = (0..rules.len()).filter(|&index| line.is_met(&rules[index])).collect();
        prop_assert_eq!(found, walked);
    }
}

/// How many of 10,000 such rules are evaluated for a line.
fn looked_at(rule: impl Fn(u64) -> String, stage: Stage) -> usize {
    let rules: Vec<Rule> = (0..10_000).map(|number| rule(number).parse().expect("a rule")).collect();
    let book = book(&rules);
    let line = Line {
        stage,
        helo: Some("c7.example"),
        from: Some("u7@d7.example"),
        to: Some("u7@d7.example"),
        user: Some("u7"),
        inbox: Some("i7"),
        recipients: vec!["u7@d7.example", "u8@d8.example", "u7@d7.example"],
        peer: PeerAddress::Ip([10, 0, 0, 7].into()),
        session: 7,
    };
    let matched = matched(&book, &line.recipients);
    book.candidates(&line.question(&matched)).count()
}

#[test]
fn every_rule_of_thousands_was_looked_at_for_every_line() {
    let [rcpt, message] = [Stage::Rcpt, Stage::Message];
    assert_eq!(looked_at(|number| format!("rcpt to=u{number}@d{number}.example close"), rcpt), 1);
    assert_eq!(looked_at(|number| format!("rcpt to=*@d{number}.example close"), rcpt), 1);
    assert_eq!(looked_at(|number| format!("rcpt to=u{number}@* close"), rcpt), 1);
    assert_eq!(looked_at(|number| format!("rcpt from=*@d{number}.example close"), rcpt), 1);
    assert_eq!(looked_at(|number| format!("any helo=c{number}.example close"), message), 1);
    assert_eq!(looked_at(|number| format!("any user=u{number} close"), message), 1);
    assert_eq!(looked_at(|number| format!("tls sni=u{number} garbage"), Stage::Tls), 1);
    // The inboxes of the listener, the user and the recipients' domains.
    assert_eq!(looked_at(|number| format!("any inbox=i{number} close"), Stage::Greeting), 1);
    assert_eq!(looked_at(|number| format!("any inbox=u{number} close"), rcpt), 1);
    assert_eq!(looked_at(|number| format!("any inbox=d{number}.example close"), rcpt), 1);
    assert_eq!(looked_at(|number| format!("any inbox=d{number}.* close"), message), 2);
    assert_eq!(looked_at(|number| format!("any inbox=d{number}.example close"), Stage::Quit), 0);
    assert_eq!(looked_at(|number| format!("any session={} close", number + 1), message), 1);
    assert_eq!(
        looked_at(|number| format!("any ip=10.0.{}.{} close", number / 256, number % 256), message),
        1
    );
    // Two recipients, and patterns of any shape, since they are compared when a recipient is accepted.
    assert_eq!(looked_at(|number| format!("message to=*@d{number}.example close"), message), 2);
    assert_eq!(looked_at(|number| format!("message to=*@d{number}.* close"), message), 2);
    assert_eq!(looked_at(|number| format!("rcpt to=*@d{number}.example close"), message), 0);
}
