//! Rules that no server can follow or that can never fire. They are refused with the reason, since they would silently
//! have no effect.

use std::time::Duration;

use super::glob::Glob;
use super::keyword::Keyword;
use super::rule::{Action, Conditions, Key, Ordinals, Rule};
use crate::smtp::command::Parameter;
use crate::smtp::reply::Stage;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contradiction {
    /// The term that the caret points to; `None` if a term is missing.
    pub(super) keyword: Option<Keyword>,
    /// The valid form, as in "a count of at least 1".
    pub(crate) expected: &'static str,
}

fn at(keyword: Keyword, expected: &'static str) -> Option<Contradiction> {
    Some(Contradiction { keyword: Some(keyword), expected })
}

impl Rule {
    /// The reason why no server can follow this rule or why it can never fire, if there is one.
    pub(crate) fn contradiction(&self) -> Option<Contradiction> {
        let Self { stage, when, .. } = self;
        of_handshake(self)
            .or_else(|| actions(self))
            .or_else(|| misplaced(*stage, when))
            .or_else(|| window(when))
            .or_else(|| numbers(when))
            .or_else(|| counts(*stage, when))
    }
}

fn actions(rule: &Rule) -> Option<Contradiction> {
    let Rule { stage, delay, reply, offer, certificate, version, ending, .. } = rule;
    if !rule.has_valid_id() {
        return at(Keyword::Id, "a name of at most 64 letters, digits, '-', '_' and '.'");
    }
    let is_without_reply = matches!(ending, Some(Action::Accept | Action::Silent | Action::DropBefore(_)));
    match reply {
        _ if offer.is_some() && *stage != Some(Stage::Helo) => {
            at(Keyword::Ehlo, "the stage helo: there EHLO is offered extensions")
        }
        _ if offer.is_some() && (reply.is_some() || is_without_reply) => {
            at(Keyword::Ehlo, "ehlo= without reply=, accept, silent and drop: it makes the reply")
        }
        _ if *stage == Some(Stage::Tls) && (certificate.is_some() || version.is_some()) => None,
        None if delay.is_none() && offer.is_none() && ending.is_none() => {
            let expected = match stage {
                Some(Stage::Tls) => {
                    "something to do: certificate=, version=, delay=, alert=, garbage, drop=, silent or accept"
                }
                _ => "something to do: reply=, ehlo=, delay=, drop=, silent, stall, cut=, close or accept",
            };
            Some(Contradiction { keyword: None, expected })
        }
        Some(_) if is_without_reply => {
            at(Keyword::Reply, "either a reply, or none: accept, silent and drop without it")
        }
        Some(reply) => reply.fault().and_then(|expected| at(Keyword::Reply, expected)),
        None => None,
    }
}

/// Handshake actions at other stages, and other actions at `tls`.
fn of_handshake(rule: &Rule) -> Option<Contradiction> {
    const ONLY: &str = "the stage tls: only there is a handshake";
    const NO_REPLY: &str = "alert=, garbage, drop=fin, drop=rst or silent: a handshake has no reply";
    let Rule { stage, reply, certificate, version, ending, .. } = rule;
    if *stage != Some(Stage::Tls) {
        return match ending {
            _ if certificate.is_some() => at(Keyword::Certificate, ONLY),
            _ if version.is_some() => at(Keyword::Version, ONLY),
            Some(Action::Alert(_)) => at(Keyword::Alert, ONLY),
            Some(Action::Garbage) => at(Keyword::Garbage, ONLY),
            _ => None,
        };
    }
    let goes_on = certificate.is_some() || version.is_some();
    match ending {
        _ if reply.is_some() => at(Keyword::Reply, NO_REPLY),
        Some(Action::Close) => at(Keyword::Close, NO_REPLY),
        Some(Action::Stall) => at(Keyword::Stall, NO_REPLY),
        Some(Action::Cut(_)) => at(Keyword::Cut, NO_REPLY),
        Some(Action::DropAfter(_)) => at(Keyword::Drop, NO_REPLY),
        Some(_) if goes_on => at(
            if certificate.is_some() { Keyword::Certificate } else { Keyword::Version },
            "either a handshake that goes on, with certificate= and version=, or one that ends or is accepted",
        ),
        _ => None,
    }
}

/// Conditions on data that is not known at the stage.
fn misplaced(stage: Option<Stage>, when: &Conditions) -> Option<Contradiction> {
    let is_any_of = |stages: &[Stage]| stage.is_none_or(|stage| stages.contains(&stage));
    let after_mail = [Stage::Mail, Stage::Rcpt, Stage::Data, Stage::Bdat, Stage::Message];
    match () {
        () if when.size.is_some() && !is_any_of(&[Stage::Message]) => {
            at(Keyword::Size, "the stage message: only there the size is known")
        }
        () if !when.parameters.is_empty() && !is_any_of(&after_mail) => at(
            Keyword::Parameter,
            "one of the stages mail, rcpt, data, bdat and message: there are no parameters elsewhere",
        ),
        () if when.parameters.iter().any(|(name, _)| !Parameter::is_keyword(name.as_bytes())) => at(
            Keyword::Parameter,
            "the keyword of a parameter behind param., in letters, digits and -, like param.notify=never",
        ),
        () if when.from.is_some() && !is_any_of(&after_mail) => at(
            Keyword::From,
            "one of the stages mail, rcpt, data, bdat and message: there is no sender elsewhere",
        ),
        () if when.to.is_some() && !is_any_of(&after_mail[1..]) => {
            at(Keyword::To, "one of the stages rcpt, data, bdat and message: there is no recipient elsewhere")
        }
        () if when.sni.is_some() && stage == Some(Stage::Starttls) => at(
            Keyword::Sni,
            "the stage tls: the client names the server in its hello, which follows STARTTLS",
        ),
        () if when.sni.is_some() && stage != Some(Stage::Tls) => {
            at(Keyword::Sni, "the stage tls: only there does the client name the server")
        }
        () if stage == Some(Stage::Tls) => forgotten_at_tls(when),
        () if when.helo.is_some() && stage == Some(Stage::Greeting) => {
            at(Keyword::Helo, "another stage than connect: the client has not sent HELO there")
        }
        () if stage == Some(Stage::Greeting) && when.user.is_some() => {
            at(Keyword::User, "another stage than connect: no client has authenticated there")
        }
        () if stage == Some(Stage::Greeting) && when.mechanism.is_some() => {
            at(Keyword::Mechanism, "another stage than connect: no client has authenticated there")
        }
        () if stage == Some(Stage::Greeting) && when.per.contains(&Key::User) => {
            at(Keyword::Per, "another stage than connect: there is no user to count by there")
        }
        () if when.per.contains(&Key::Sender) && !is_any_of(&after_mail) => at(
            Keyword::Per,
            "one of the stages mail, rcpt, data, bdat and message: there is no sender to count by elsewhere",
        ),
        () if when.per.contains(&Key::Recipient) && !is_any_of(&after_mail[1..]) => at(
            Keyword::Per,
            "one of the stages rcpt, data, bdat and message: there is no recipient to count by elsewhere",
        ),
        () => None,
    }
}

/// Conditions on input in clear, which the session forgets when TLS begins (RFC 3207 section 4.2).
fn forgotten_at_tls(when: &Conditions) -> Option<Contradiction> {
    const FORGOTTEN: &str = "another stage than tls: what the client sent before is forgotten there";
    match () {
        () if when.helo.is_some() => at(Keyword::Helo, FORGOTTEN),
        () if when.user.is_some() => at(Keyword::User, FORGOTTEN),
        () if when.mechanism.is_some() => at(Keyword::Mechanism, FORGOTTEN),
        () if when.per.iter().any(|key| matches!(key, Key::User | Key::Sender | Key::Recipient)) => {
            at(Keyword::Per, FORGOTTEN)
        }
        () => None,
    }
}

/// Time windows that are never open.
fn window(when: &Conditions) -> Option<Contradiction> {
    let begins = when.after.unwrap_or_default();
    match () {
        () if when.period.is_some_and(|period| period.is_zero()) => {
            at(Keyword::Period, "a period above zero, like period=15s")
        }
        () if when.until == Some(Duration::ZERO) => {
            at(Keyword::Until, "an end behind the start of the server: until= above zero")
        }
        () if when.until.is_some_and(|until| begins >= until) => {
            at(Keyword::Until, "an end behind the beginning: after= less than until=")
        }
        () if when.period.is_some_and(|period| begins >= period) => at(
            Keyword::After,
            "a beginning within the period: after= less than period=, at whose end time starts anew",
        ),
        () => None,
    }
}

/// Counts of zero, and parameter names that cannot exist.
fn numbers(when: &Conditions) -> Option<Contradiction> {
    let is_none = |ordinals: Option<Ordinals>| {
        ordinals.is_some_and(|Ordinals { first, last }| first == 0 || last.is_some_and(|last| last < first))
    };
    const ORDINALS: &str = "ordinals from 1 that rise, like 3, 3..5 or 3..";
    const A_COUNT: &str = "a count of at least 1";
    match () {
        () if when.inbox.as_ref().is_some_and(Glob::is_empty) => {
            at(Keyword::Inbox, "a name or a pattern, like inbox=test-1: no inbox has an empty name")
        }
        () if is_none(when.nth) => at(Keyword::Nth, ORDINALS),
        () if is_none(when.session) => at(Keyword::Session, ORDINALS),
        () if when.every == Some(0) => at(Keyword::Every, A_COUNT),
        () if when.times == Some(0) => at(Keyword::Times, A_COUNT),
        () => None,
    }
}

/// Counts that can never be reached.
fn counts(stage: Option<Stage>, when: &Conditions) -> Option<Contradiction> {
    let counts = when.nth.is_some() || when.every.is_some() || when.times.is_some();
    let nth = when.nth.unwrap_or(Ordinals { first: 1, last: None });
    let every = when.every.unwrap_or(1);
    // The first count that satisfies both.
    let first = nth.first.checked_next_multiple_of(every);
    match () {
        () if !when.per.is_empty() && !counts => {
            at(Keyword::Per, "nth=, every= or times= beside per=: there is nothing to count without them")
        }
        () if first.is_none_or(|first| nth.last.is_some_and(|last| last < first)) => at(
            Keyword::Every,
            "nth= and every= that one count can be, like nth=2..10 every=2: no such count is there",
        ),
        () if first > Some(most(stage, when)) => at(
            if when.nth.is_some() { Keyword::Nth } else { Keyword::Every },
            "nth= or every= that is reached: a session comes to connect, to tls, and to quit, only once",
        ),
        () => None,
    }
}

/// The largest number of times that the conditions evaluated before the counts can hold.
fn most(stage: Option<Stage>, when: &Conditions) -> u64 {
    let sessions = when.session.and_then(|Ordinals { first, last }| Some(last? - first + 1));
    match stage {
        Some(Stage::Greeting | Stage::Tls | Stage::Quit) if when.per.contains(&Key::Session) => 1,
        Some(Stage::Greeting | Stage::Tls | Stage::Quit) => sessions.unwrap_or(u64::MAX),
        _ => u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(text: &str) -> String {
        text.parse::<Rule>().expect_err(text).to_string()
    }

    #[test]
    fn a_rule_that_can_never_fire_is_refused_with_the_reason() {
        for (text, reason, marked) in [
            ("connect after=10s until=15s period=5s drop=rst", "after= less than period=", "after=10s"),
            ("connect after=5s period=5s drop=rst", "after= less than period=", "after=5s"),
            ("connect until=0 drop=rst", "until= above zero", "until=0"),
            ("connect after=5s until=5s drop=rst", "after= less than until=", "until=5s"),
            ("rcpt nth=1 every=2 silent", "that one count can be", "every=2"),
            ("rcpt nth=5..9 every=10 silent", "that one count can be", "every=10"),
            ("rcpt nth=18446744073709551615 every=2 silent", "that one count can be", "every=2"),
            ("connect nth=2 per=session silent", "to connect, to tls, and to quit, only once", "nth=2"),
            ("tls nth=2 per=session silent", "only once", "nth=2"),
            ("quit nth=2 per=session silent", "only once", "nth=2"),
            ("quit session=1..9 every=10 per=ip silent", "only once", "every=10"),
            ("connect every=2 per=ip+session silent", "only once", "every=2"),
            ("connect session=7 nth=2 silent", "only once", "nth=2"),
            ("connect session=1..9 every=10 silent", "only once", "every=10"),
            ("rcpt times=0 silent", "a whole number from 1", "0"),
            ("rcpt every=0 silent", "a whole number from 1", "0"),
            ("rcpt session=0 silent", "an ordinal from 1", "0"),
            ("rcpt odds=0% silent", "a percentage from 0.0001%", "0%"),
        ] {
            let error = refused(text);
            assert!(error.contains(reason), "{text}: {error}");
            let carets = error.lines().last().expect("a line of carets");
            let at = text.find(marked).expect("a part of the rule");
            assert_eq!(
                carets.trim_end(),
                format!("  {}{}", " ".repeat(at), "^".repeat(marked.len())),
                "{error}"
            );
        }
        // Rules built without text are checked too.
        let rule = Rule::at(Stage::Rcpt).nth(1).every(2).silent();
        assert!(rule.contradiction().is_some());
    }

    #[test]
    fn a_rule_that_can_fire_is_accepted() {
        for text in [
            "connect after=10s until=15s period=15s drop=rst",
            "connect after=4s until=50s period=5s drop=rst",
            "rcpt nth=2 every=2 silent",
            "rcpt nth=5..10 every=10 silent",
            "rcpt nth=3.. every=2 times=1 silent",
            "connect nth=1 per=session silent",
            "connect session=1..9 nth=9 silent",
            "connect session=3.. every=10 silent",
            "rcpt nth=2 per=session silent",
            "quit session=1..9 nth=9 silent",
            // These count over several transactions.
            "rcpt nth=10001 per=session silent",
            "any nth=2 per=session silent",
        ] {
            assert!(text.parse::<Rule>().is_ok(), "{text}");
        }
    }

    /// The stages at which each condition can hold and each key has more than one value.
    #[test]
    fn a_condition_on_unknown_data_is_refused_at_that_stage() {
        let all = Stage::ALL;
        let is_behind_mail = |stage: Stage| {
            matches!(stage, Stage::Mail | Stage::Rcpt | Stage::Data | Stage::Bdat | Stage::Message)
        };
        let knows_client = |stage: Stage| !matches!(stage, Stage::Greeting | Stage::Tls);
        let has_recipient = |stage: Stage| is_behind_mail(stage) && stage != Stage::Mail;
        type Known = fn(Stage) -> bool;
        let anywhere: Known = |_| true;
        let cases: [(&str, &dyn Fn(Stage) -> bool); 18] = [
            ("from=*", &is_behind_mail),
            ("to=*", &has_recipient),
            ("helo=*", &knows_client),
            ("user=*", &knows_client),
            ("mechanism=PLAIN", &knows_client),
            ("nth=2 per=user", &knows_client),
            ("size>=1", &|stage| stage == Stage::Message),
            ("ip=10.0.0.0/8", &anywhere),
            ("inbox=test-1", &anywhere),
            ("session=2", &anywhere),
            ("after=1s until=2s period=3s", &anywhere),
            ("nth=2", &anywhere),
            ("every=2 odds=5% times=3", &anywhere),
            ("nth=2 per=ip", &anywhere),
            ("nth=2 per=session", &|stage| !matches!(stage, Stage::Greeting | Stage::Tls | Stage::Quit)),
            ("times=1 per=session", &anywhere),
            ("nth=2 per=sender", &is_behind_mail),
            ("nth=2 per=recipient", &has_recipient),
        ];
        for (conditions, is_known) in cases {
            for stage in all {
                let text = format!("{} {conditions} silent", stage.name());
                assert_eq!(text.parse::<Rule>().is_ok(), is_known(*stage), "{text}");
            }
            let text = format!("any {conditions} silent");
            assert!(text.parse::<Rule>().is_ok(), "{text}");
        }
    }

    proptest! {
        /// Compares with each count up to the least common multiple.
        #[test]
        fn counts_that_are_never_reached_are_refused(first in 1..30_u64, more in prop::option::of(0..30_u64), every in 1..12_u64) {
            let nth = Ordinals { first, last: more.map(|more| first + more) };
            let mut rule = Rule::at(Stage::Rcpt).every(every).silent();
            rule.when.nth = Some(nth);
            let comes = (1..100).any(|count: u64| nth.contains(count) && count.is_multiple_of(every));
            prop_assert_eq!(rule.contradiction().is_none(), comes, "{}", rule);
        }

        /// Compares with each second of a minute.
        #[test]
        fn windows_that_never_open_are_refused(
            after in prop::option::of(0..20_u64), until in prop::option::of(0..20_u64), period in prop::option::of(1..20_u64),
        ) {
            let mut rule = Rule::at(Stage::Rcpt).silent();
            rule.when.after = after.map(Duration::from_secs);
            rule.when.until = until.map(Duration::from_secs);
            rule.when.period = period.map(Duration::from_secs);
            let opens = (0..60_u64).map(|now| now % period.unwrap_or(60)).any(|now| {
                after.is_none_or(|after| now >= after) && until.is_none_or(|until| now < until)
            });
            prop_assert_eq!(rule.contradiction().is_none(), opens, "{}", rule);
        }
    }
}
