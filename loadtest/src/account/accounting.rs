//! Exact counts of the outcome of every message and recipient. Pure.
//!
//! The sum always holds: started = accepted + refused (4xx and 5xx) + aborted + timed out + in flight at the end.
//! Each term is counted independently, so the sum is a check.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::account::alert::Alert;
use crate::client::enhanced::{Enhanced, Reply};
use crate::client::phase::Phase;

/// Why a message ended without a reply that decides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Abort {
    /// The connection was refused.
    Refused,
    /// No local port was free for the connection.
    PortExhausted,
    /// No file descriptor was free for the connection.
    DescriptorsExhausted,
    /// The connection was reset.
    Reset,
    /// The server closed the connection.
    Closed,
    /// The server sent something that is not a reply, or a reply that does not fit.
    Protocol,
    /// The server replied to something that had not been sent yet.
    EarlyReply,
    /// The server offered no mechanism of AUTH that the credentials can complete.
    NoMechanism,
    /// The server did not offer SMTPUTF8, which the messages need.
    NoSmtputf8,
    /// The server did not offer STARTTLS, which is required.
    NoStarttls,
    /// The certificate of the server, or one of its chain, is no longer valid.
    CertificateExpired,
    /// It is not valid yet.
    CertificateNotYetValid,
    /// It is of another name than the one that was asked for.
    CertificateName,
    /// None of the trusted authorities has issued it.
    CertificateIssuer,
    /// It is wrong in another way.
    Certificate,
    /// The server speaks no version of TLS, or no cipher suite, that the run may use.
    TlsIncompatible,
    /// What the server sent is not TLS, or violates it.
    TlsInvalid,
    /// There is no socket of this name.
    NoSocket,
    /// Another network error.
    Network,
    /// The server has ended TLS with this alert.
    #[serde(untagged)]
    Alert(Alert),
}

impl Abort {
    /// The reason, for people.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Abort::Refused => "connection refused",
            Abort::PortExhausted => "no local port free",
            Abort::DescriptorsExhausted => "no file descriptor free",
            Abort::Reset => "connection reset",
            Abort::Closed => "connection closed by the server",
            Abort::Protocol => "protocol error",
            Abort::EarlyReply => "reply sent too early",
            Abort::NoMechanism => "no AUTH mechanism offered for the credentials",
            Abort::NoSmtputf8 => "SMTPUTF8 not offered",
            Abort::NoStarttls => "STARTTLS not offered",
            Abort::CertificateExpired => "certificate expired",
            Abort::CertificateNotYetValid => "certificate not valid yet",
            Abort::CertificateName => "certificate of another name",
            Abort::CertificateIssuer => "certificate of an unknown issuer",
            Abort::Certificate => "invalid certificate",
            Abort::TlsIncompatible => "no TLS version or cipher suite in common",
            Abort::TlsInvalid => "invalid TLS",
            Abort::NoSocket => "no such socket",
            Abort::Network => "network error",
            Abort::Alert(_) => "TLS alert",
        }
    }

    /// Whether the certificate of the server was not accepted.
    pub(crate) fn is_of_certificate(self) -> bool {
        matches!(
            self,
            Abort::CertificateExpired
                | Abort::CertificateNotYetValid
                | Abort::CertificateName
                | Abort::CertificateIssuer
                | Abort::Certificate
        )
    }

    /// Whether this machine is at its limit: another address of the target would not help.
    pub(crate) fn is_own(self) -> bool {
        matches!(self, Abort::PortExhausted | Abort::DescriptorsExhausted)
    }
}

impl fmt::Display for Abort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())?;
        match self {
            Abort::Alert(alert) => write!(f, " {alert}"),
            _ => Ok(()),
        }
    }
}

/// How a message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Accepted,
    Refused { phase: Phase, reply: Reply },
    Aborted { phase: Phase, reason: Abort },
    TimedOut { phase: Phase },
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Accepted => f.write_str("accepted"),
            Outcome::Refused { phase, reply } => write!(f, "{phase}: reply {reply}"),
            Outcome::Aborted { phase, reason } => write!(f, "{phase}: {reason}"),
            Outcome::TimedOut { phase } => write!(f, "{phase}: no reply in time"),
        }
    }
}

/// The most different enhanced codes that are counted; a server could send millions.
pub(crate) const ENHANCED_LIMIT: usize = 256;

/// Counts of messages and of their recipients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Accounting {
    pub(crate) started: u64,
    pub(crate) accepted: u64,
    /// Messages refused, by phase and reply code.
    pub(crate) refused: BTreeMap<(Phase, u16), u64>,
    /// Those of them with an enhanced code: at most [`ENHANCED_LIMIT`] different ones, the first that came.
    pub(crate) refused_enhanced: BTreeMap<(Phase, u16, Enhanced), u64>,
    pub(crate) aborted: BTreeMap<(Phase, Abort), u64>,
    pub(crate) timed_out: BTreeMap<Phase, u64>,
    /// Messages without a final reply when the run ended, counted from the connections.
    pub(crate) in_flight: u64,
    /// Messages that were aborted, timed out or are in flight, and whose last octet has left the process: the server may have
    /// accepted them.
    pub(crate) in_doubt: u64,
    /// Arrivals of the schedule that were due and never started (open loop).
    pub(crate) unsent: u64,
    pub(crate) recipients_accepted: u64,
    /// Recipients refused, by reply code.
    pub(crate) recipients_refused: BTreeMap<u16, u64>,
    /// Those of them with an enhanced code, limited likewise.
    pub(crate) recipients_refused_enhanced: BTreeMap<(u16, Enhanced), u64>,
}

impl Accounting {
    /// Counts the end of a message that was started. `has_left` is whether all of it has left the process.
    pub(crate) fn settle(&mut self, outcome: Outcome, has_left: bool) {
        if has_left && matches!(outcome, Outcome::Aborted { .. } | Outcome::TimedOut { .. }) {
            self.in_doubt += 1;
        }
        match outcome {
            Outcome::Accepted => self.accepted += 1,
            Outcome::Refused { phase, reply: Reply { code, enhanced } } => {
                *self.refused.entry((phase, code)).or_default() += 1;
                if let Some(enhanced) = enhanced {
                    add_bounded(&mut self.refused_enhanced, (phase, code, enhanced), 1);
                }
            }
            Outcome::Aborted { phase, reason } => {
                *self.aborted.entry((phase, reason)).or_default() += 1;
            }
            Outcome::TimedOut { phase } => *self.timed_out.entry(phase).or_default() += 1,
        }
    }

    /// Counts a message without a final reply at the end of the run.
    pub(crate) fn leave_in_flight(&mut self, has_left: bool) {
        self.in_flight += 1;
        self.in_doubt += u64::from(has_left);
    }

    /// Counts the reply to one RCPT.
    pub(crate) fn recipient(&mut self, positive: bool, reply: Reply) {
        if positive {
            self.recipients_accepted += 1;
            return;
        }
        *self.recipients_refused.entry(reply.code).or_default() += 1;
        if let Some(enhanced) = reply.enhanced {
            add_bounded(&mut self.recipients_refused_enhanced, (reply.code, enhanced), 1);
        }
    }

    /// Messages refused with a code of this class (4 or 5).
    pub(crate) fn refused_class(&self, class: u16) -> u64 {
        let of_class = self.refused.iter().filter(|((_, code), _)| code / 100 == class);
        total(of_class.map(|(_, count)| count))
    }

    /// Messages refused, by phase and both codes; those without an enhanced code behind the others of their code.
    pub(crate) fn refused_by_reply(&self) -> impl Iterator<Item = (Phase, Reply, u64)> {
        self.refused.iter().flat_map(|((phase, code), count)| {
            let of_code = self.refused_enhanced.iter().filter(move |((p, c, _), _)| (p, c) == (phase, code));
            let enhanced = of_code.map(|((_, _, enhanced), count)| (*enhanced, *count));
            by_reply(*code, *count, enhanced).map(|(reply, count)| (*phase, reply, count))
        })
    }

    /// Recipients refused, likewise.
    pub(crate) fn recipients_refused_by_reply(&self) -> impl Iterator<Item = (Reply, u64)> {
        self.recipients_refused.iter().flat_map(|(code, count)| {
            let of_code = self.recipients_refused_enhanced.iter().filter(move |((c, _), _)| c == code);
            by_reply(*code, *count, of_code.map(|((_, enhanced), count)| (*enhanced, *count)))
        })
    }

    pub(crate) fn aborted_total(&self) -> u64 {
        total(self.aborted.values())
    }

    pub(crate) fn timed_out_total(&self) -> u64 {
        total(self.timed_out.values())
    }

    pub(crate) fn recipients_refused_total(&self) -> u64 {
        total(self.recipients_refused.values())
    }

    /// Messages owed and not accepted: refused, aborted, timed out, in flight at the end, or
    /// never started.
    pub(crate) fn errors(&self) -> u64 {
        total(&[
            total(self.refused.values()),
            self.aborted_total(),
            self.timed_out_total(),
            self.in_flight,
            self.unsent,
        ])
    }

    /// Messages the run owed: started, and due but never started.
    pub(crate) fn owed(&self) -> u64 {
        self.started.saturating_add(self.unsent)
    }

    /// Messages that have ended.
    pub(crate) fn ended(&self) -> u64 {
        total(&[
            self.accepted,
            self.refused_class(4),
            self.refused_class(5),
            self.aborted_total(),
            self.timed_out_total(),
        ])
    }

    /// Messages without a reply that decides.
    fn undecided(&self) -> u64 {
        total(&[self.aborted_total(), self.timed_out_total(), self.in_flight])
    }

    /// Whether no more messages are in doubt than can be.
    pub(crate) fn doubts_are_undecided(&self) -> bool {
        self.in_doubt <= self.undecided()
    }

    /// The most messages that can be in doubt, by what they waited for: with pipelining, a message leaves before the
    /// reply to MAIL.
    pub(crate) fn most_in_doubt(&self) -> u64 {
        let may_be_sent = |phase: &Phase| *phase >= Phase::Mail;
        let aborted =
            self.aborted.iter().filter(|((phase, _), _)| may_be_sent(phase)).map(|(_, count)| count);
        let timed_out = self.timed_out.iter().filter(|(phase, _)| may_be_sent(phase)).map(|(_, count)| count);
        total(aborted.chain(timed_out).chain([&self.in_flight]))
    }

    /// The account at a moment of a run of which no more is known: all in flight may have been sent since.
    #[cfg(feature = "fleet")]
    pub(crate) fn cut_off(mut self) -> Accounting {
        self.in_doubt = self.in_doubt.saturating_add(self.in_flight).min(self.undecided());
        self
    }

    /// Whether the sum holds.
    pub(crate) fn balances(&self) -> bool {
        self.started == self.ended().saturating_add(self.in_flight)
    }

    /// Whether no reply is counted more often by enhanced code than by code, and each enhanced code is of the class of
    /// its reply.
    pub(crate) fn enhanced_are_refusals(&self) -> bool {
        let of_messages = self.refused_enhanced.keys().map(|(_, code, enhanced)| (code, enhanced));
        let of_recipients = self.recipients_refused_enhanced.keys().map(|(code, enhanced)| (code, enhanced));
        let mut all = of_messages.chain(of_recipients);
        if all.any(|(code, enhanced)| u16::from(enhanced.class()) != code / 100) {
            return false;
        }
        let mut messages: BTreeMap<(Phase, u16), u64> = BTreeMap::new();
        for ((phase, code, _), count) in &self.refused_enhanced {
            add(messages.entry((*phase, *code)).or_default(), *count);
        }
        let mut recipients: BTreeMap<u16, u64> = BTreeMap::new();
        for ((code, _), count) in &self.recipients_refused_enhanced {
            add(recipients.entry(*code).or_default(), *count);
        }
        messages.iter().all(|(key, count)| self.refused.get(key) >= Some(count))
            && recipients.iter().all(|(code, count)| self.recipients_refused.get(code) >= Some(count))
    }

    /// Whether this can be a later state of an account: no count is smaller, but for messages in flight.
    #[cfg(feature = "fleet")]
    pub(crate) fn continues(&self, earlier: &Accounting) -> bool {
        fn all<K: Ord>(now: &BTreeMap<K, u64>, earlier: &BTreeMap<K, u64>) -> bool {
            earlier.iter().all(|(key, count)| now.get(key).copied().unwrap_or(0) >= *count)
        }
        let Accounting {
            started,
            accepted,
            refused,
            refused_enhanced,
            aborted,
            timed_out,
            in_flight: _,
            in_doubt,
            unsent,
            recipients_accepted,
            recipients_refused,
            recipients_refused_enhanced,
        } = earlier;
        self.started >= *started
            && self.accepted >= *accepted
            && self.in_doubt >= *in_doubt
            && self.unsent >= *unsent
            && self.recipients_accepted >= *recipients_accepted
            && all(&self.refused, refused)
            && all(&self.refused_enhanced, refused_enhanced)
            && all(&self.aborted, aborted)
            && all(&self.timed_out, timed_out)
            && all(&self.recipients_refused, recipients_refused)
            && all(&self.recipients_refused_enhanced, recipients_refused_enhanced)
    }

    /// What this account has gained since an earlier state of it.
    pub(crate) fn since(&self, earlier: &Accounting) -> Accounting {
        Accounting {
            started: self.started - earlier.started,
            accepted: self.accepted - earlier.accepted,
            in_flight: self.in_flight - earlier.in_flight,
            in_doubt: self.in_doubt - earlier.in_doubt,
            unsent: self.unsent - earlier.unsent,
            recipients_accepted: self.recipients_accepted - earlier.recipients_accepted,
            refused: gained(&self.refused, &earlier.refused),
            aborted: gained(&self.aborted, &earlier.aborted),
            timed_out: gained(&self.timed_out, &earlier.timed_out),
            recipients_refused: gained(&self.recipients_refused, &earlier.recipients_refused),
            refused_enhanced: gained(&self.refused_enhanced, &earlier.refused_enhanced),
            recipients_refused_enhanced: gained(
                &self.recipients_refused_enhanced,
                &earlier.recipients_refused_enhanced,
            ),
        }
    }

    /// Adds another account to this one.
    pub(crate) fn merge(&mut self, other: &Accounting) {
        add(&mut self.started, other.started);
        add(&mut self.accepted, other.accepted);
        add(&mut self.in_flight, other.in_flight);
        add(&mut self.in_doubt, other.in_doubt);
        add(&mut self.unsent, other.unsent);
        add(&mut self.recipients_accepted, other.recipients_accepted);
        add_all(&mut self.refused, &other.refused);
        add_all(&mut self.aborted, &other.aborted);
        add_all(&mut self.timed_out, &other.timed_out);
        add_all(&mut self.recipients_refused, &other.recipients_refused);
        for (key, count) in &other.refused_enhanced {
            add_bounded(&mut self.refused_enhanced, *key, *count);
        }
        for (key, count) in &other.recipients_refused_enhanced {
            add_bounded(&mut self.recipients_refused_enhanced, *key, *count);
        }
    }
}

/// Adds a count of a report, saturating at 64 bits, where `report::counts` finds it.
pub(crate) fn add(into: &mut u64, count: u64) {
    *into = into.saturating_add(count);
}

fn total<'c>(counts: impl IntoIterator<Item = &'c u64>) -> u64 {
    counts.into_iter().fold(0, |sum, count| sum.saturating_add(*count))
}

fn add_all<K: Ord + Copy>(into: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for (key, count) in from {
        add(into.entry(*key).or_default(), *count);
    }
}

/// The counts that are larger than in an earlier state, by how much.
fn gained<K: Ord + Copy>(now: &BTreeMap<K, u64>, earlier: &BTreeMap<K, u64>) -> BTreeMap<K, u64> {
    let gain = |(key, count): (&K, &u64)| (*key, count - earlier.get(key).copied().unwrap_or(0));
    now.iter().map(gain).filter(|(_, gain)| *gain > 0).collect()
}

/// The replies of one code: those with an enhanced code, then the rest.
fn by_reply(
    code: u16,
    count: u64,
    enhanced: impl Iterator<Item = (Enhanced, u64)>,
) -> impl Iterator<Item = (Reply, u64)> {
    let mut rows: Vec<_> =
        enhanced.map(|(enhanced, count)| (Reply { code, enhanced: Some(enhanced) }, count)).collect();
    let rest = count.saturating_sub(total(rows.iter().map(|(_, count)| count)));
    rows.extend((rest > 0).then_some((Reply { code, enhanced: None }, rest)));
    rows.into_iter()
}

/// Adds to a count by enhanced code, if it is listed or there is room.
fn add_bounded<K: Ord>(into: &mut BTreeMap<K, u64>, key: K, count: u64) {
    if into.len() < ENHANCED_LIMIT || into.contains_key(&key) {
        add(into.entry(key).or_default(), count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn outcomes() -> impl Strategy<Value = Outcome> {
        let phase = || prop::sample::select(Phase::ALL.to_vec());
        prop_oneof![
            Just(Outcome::Accepted),
            (phase(), 400u16..600, prop::option::of((0..4, 0..4))).prop_map(|(phase, code, enhanced)| {
                let text = enhanced.map(|(subject, detail)| format!("{}.{subject}.{detail}", code / 100));
                Outcome::Refused { phase, reply: Reply::of(code, text.unwrap_or_default().as_bytes()) }
            }),
            phase().prop_map(|phase| Outcome::Aborted { phase, reason: Abort::Reset }),
            phase().prop_map(|phase| Outcome::TimedOut { phase }),
        ]
    }

    proptest! {
        #[test]
        fn the_sum_holds_through_every_end_and_merge(
            first in prop::collection::vec((outcomes(), any::<bool>()), 0..50),
            second in prop::collection::vec((outcomes(), any::<bool>()), 0..50),
            in_flight in 0u64..9,
        ) {
            let account = |ends: &[(Outcome, bool)], in_flight: u64| {
                let mut account = Accounting { started: ends.len() as u64 + in_flight, ..Accounting::default() };
                (0..in_flight).for_each(|nth| account.leave_in_flight(nth == 0));
                ends.iter().for_each(|(end, has_left)| account.settle(*end, *has_left));
                account
            };
            let mut merged = account(&first, in_flight);
            merged.merge(&account(&second, 1));
            prop_assert!(merged.balances());
            prop_assert_eq!(merged.errors(), merged.owed() - merged.accepted);
            prop_assert!(merged.doubts_are_undecided());
            let mut whole = account(&[&first[..], &second[..]].concat(), in_flight + 1);
            // The first of those in flight has left in both.
            whole.in_doubt += u64::from(in_flight > 0);
            prop_assert_eq!(&merged, &whole);
            let before = account(&first, 0);
            let mut again = before.clone();
            again.merge(&whole.since(&before));
            prop_assert_eq!(&again, &whole);
            let text = serde_json::to_string(&merged).unwrap();
            prop_assert_eq!(serde_json::from_str::<Accounting>(&text).unwrap(), merged);
        }
    }
}
