//! Finds the rules that a line can match by its contents: any number of rules for another address, name, network or
//! session cost nothing.
//!
//! Conditions on forward-paths and their inboxes are special: after RCPT they hold if any accepted recipient matches.
//! Each recipient is therefore matched once, when it is accepted ([`RecipientIndex`]), and only the matched conditions
//! are retained.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use super::cidr::Cidr;
use super::engine::Question;
use super::glob::{Glob, Shape};
use super::rule::{Conditions, Ordinals};
use crate::smtp::command::inboxes_of;
use crate::smtp::reply::Stage;

/// The rules of one stage. Each is in exactly one of the lists, which are in order.
#[derive(Clone, Debug, Default)]
pub(super) struct StageIndex {
    /// Rules with a condition on recipients, which holds if an accepted recipient matched the rule.
    by_recipients: bool,
    by_to: Texts,
    by_from: Texts,
    by_helo: Texts,
    by_user: Texts,
    by_sni: Texts,
    by_inbox: Texts,
    /// Rules that are found by their inbox.
    of_inboxes: Vec<u32>,
    by_network: Networks,
    by_session: HashMap<u64, Vec<u32>>,
    /// Rules that must always be evaluated.
    others: Vec<u32>,
}

impl StageIndex {
    /// Adds a rule after all others.
    pub(super) fn push(&mut self, stage: Stage, rule: u32, when: &Conditions) {
        if when.to.is_some() && stage != Stage::Rcpt {
            self.by_recipients = true;
            return;
        }
        let texts = [
            (&mut self.by_to, &when.to),
            (&mut self.by_from, &when.from),
            (&mut self.by_helo, &when.helo),
            (&mut self.by_user, &when.user),
            (&mut self.by_sni, &when.sni),
        ];
        for (texts, glob) in texts {
            if glob.as_ref().is_some_and(|glob| texts.push(glob, rule)) {
                return;
            }
        }
        if when.inbox.as_ref().is_some_and(|glob| self.by_inbox.push(glob, rule)) {
            self.of_inboxes.push(rule);
            return;
        }
        if let Some(network) = when.ip {
            self.by_network.push(network, rule);
        } else if let Some(session) = when.session.and_then(Ordinals::only) {
            self.by_session.entry(session).or_default().push(rule);
        } else {
            self.others.push(rule);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        let Self {
            by_recipients,
            by_to,
            by_from,
            by_helo,
            by_user,
            by_sni,
            by_inbox,
            of_inboxes: _,
            by_network,
            by_session,
            others,
        } = self;
        !by_recipients
            && [by_to, by_from, by_helo, by_user, by_sni, by_inbox].iter().all(|texts| texts.is_empty())
            && by_network.rules.is_empty()
            && by_session.is_empty()
            && others.is_empty()
    }

    /// The rules whose conditions may hold, in order. `is_asked` returns whether a rule that matched a recipient
    /// belongs to this stage.
    pub(super) fn candidates(
        &self,
        question: &Question<'_>,
        is_asked: impl Fn(u32) -> bool,
    ) -> Candidates<'_> {
        let mut found = Vec::new();
        if self.by_recipients {
            let paths = question.matched.iter().filter(|matched| matched.by == RecipientPart::Path);
            found.extend(paths.map(|matched| matched.rule).filter(|rule| is_asked(*rule)));
        }
        self.by_to.find(question.to, &mut found);
        self.by_from.find(question.from, &mut found);
        self.by_helo.find(question.helo, &mut found);
        self.by_user.find(question.user, &mut found);
        self.by_sni.find(question.sni, &mut found);
        if !self.of_inboxes.is_empty() {
            question.inboxes().for_each(|name| self.by_inbox.find(Some(name), &mut found));
            let matched = question.matched.iter().filter(|_| question.has_recipients());
            let inboxes = matched.filter(|matched| matched.by == RecipientPart::Inbox);
            // The others are found by another condition.
            let is_own = |rule: &u32| self.of_inboxes.binary_search(rule).is_ok();
            found.extend(inboxes.map(|matched| matched.rule).filter(is_own));
        }
        if let Some(ip) = question.peer.ip() {
            self.by_network.find(ip, &mut found);
        }
        found.extend(self.by_session.get(&question.moment.session).into_iter().flatten());
        found.sort_unstable_by(|one, other| other.cmp(one));
        // A rule may be found by several inboxes.
        found.dedup();
        Candidates { found, others: &self.others }
    }
}

/// Rules in ascending order.
#[derive(Debug)]
pub(super) struct Candidates<'i> {
    /// In descending order, so that the next one is the last.
    found: Vec<u32>,
    others: &'i [u32],
}

impl Iterator for Candidates<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        match (self.found.last(), self.others.split_first()) {
            (Some(found), Some((other, rest))) if other < found => {
                self.others = rest;
                Some(*other)
            }
            (None, Some((other, rest))) => {
                self.others = rest;
                Some(*other)
            }
            _ => self.found.pop(),
        }
    }
}

/// A condition of a rule that an accepted recipient matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::smtp) struct Matched {
    pub(super) rule: u32,
    by: RecipientPart,
}

/// The part of a recipient that a condition compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum RecipientPart {
    Path,
    Inbox,
}

impl Matched {
    /// The condition on inboxes of this rule.
    pub(super) fn inbox(rule: u32) -> Self {
        Self { rule, by: RecipientPart::Inbox }
    }
}

/// The conditions that a recipient can match at the stages after RCPT.
#[derive(Clone, Debug, Default)]
pub(super) struct RecipientIndex {
    paths: Patterns,
    inboxes: Patterns,
}

impl RecipientIndex {
    pub(super) fn push_path(&mut self, glob: &Glob, rule: u32) {
        self.paths.push(glob, rule);
    }

    pub(super) fn push_inbox(&mut self, glob: &Glob, rule: u32) {
        self.inboxes.push(glob, rule);
    }

    /// Adds the conditions that this recipient matches to `matched`, which is sorted.
    pub(super) fn match_recipient(&self, recipient: &[u8], matched: &mut Vec<Matched>) {
        let mut found = Vec::new();
        self.paths.find(recipient, RecipientPart::Path, matched, &mut found);
        for inbox in inboxes_of(recipient) {
            self.inboxes.find(inbox, RecipientPart::Inbox, matched, &mut found);
        }
        if !found.is_empty() {
            matched.append(&mut found);
            matched.sort_unstable();
            // The tag may equal the domain.
            matched.dedup();
        }
    }
}

/// Rules by patterns of any shape.
#[derive(Clone, Debug, Default)]
struct Patterns {
    texts: Texts,
    others: Vec<(Glob, u32)>,
}

impl Patterns {
    fn push(&mut self, glob: &Glob, rule: u32) {
        if !self.texts.push(glob, rule) {
            self.others.push((glob.clone(), rule));
        }
    }

    /// Adds to `found` the rules that this text matches and that are not in `matched`.
    fn find(&self, text: &[u8], by: RecipientPart, matched: &[Matched], found: &mut Vec<Matched>) {
        let mut rules = Vec::new();
        self.texts.find(Some(text), &mut rules);
        // Most recipients match only rules that earlier ones have matched.
        let is_new = |rule: u32| matched.binary_search(&Matched { rule, by }).is_err();
        let others = self.others.iter().filter(|(glob, rule)| is_new(*rule) && glob.matches(text));
        rules.extend(others.map(|(_, rule)| *rule));
        rules.retain(|rule| is_new(*rule));
        found.extend(rules.into_iter().map(|rule| Matched { rule, by }));
    }
}

/// Rules by patterns that are a whole text, a prefix or a suffix.
#[derive(Clone, Debug, Default)]
struct Texts {
    exact: HashMap<Box<[u8]>, Vec<u32>>,
    fronts: Parts,
    backs: Parts,
}

impl Texts {
    /// Returns false if the pattern has another shape.
    fn push(&mut self, glob: &Glob, rule: u32) -> bool {
        match glob.shape() {
            Shape::Exact(text) => self.exact.entry(text.into()).or_default().push(rule),
            Shape::Front(text) => self.fronts.push(text, rule),
            Shape::Back(text) => self.backs.push(text, rule),
            Shape::Other => return false,
        }
        true
    }

    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.fronts.rules.is_empty() && self.backs.rules.is_empty()
    }

    fn find(&self, text: Option<&[u8]>, found: &mut Vec<u32>) {
        let Some(text) = text.filter(|_| !self.is_empty()) else { return };
        let text = text.to_ascii_lowercase();
        found.extend(self.exact.get(&*text).into_iter().flatten());
        for &length in self.fronts.lengths.range(..=text.len()) {
            found.extend(self.fronts.rules.get(&text[..length]).into_iter().flatten());
        }
        for &length in self.backs.lengths.range(..=text.len()) {
            found.extend(self.backs.rules.get(&text[text.len() - length..]).into_iter().flatten());
        }
    }
}

/// Rules by prefix or suffix.
#[derive(Clone, Debug, Default)]
struct Parts {
    rules: HashMap<Box<[u8]>, Vec<u32>>,
    /// The lengths of these texts.
    lengths: BTreeSet<usize>,
}

impl Parts {
    fn push(&mut self, text: &[u8], rule: u32) {
        self.lengths.insert(text.len());
        self.rules.entry(text.into()).or_default().push(rule);
    }
}

#[derive(Clone, Debug, Default)]
struct Networks {
    rules: HashMap<Cidr, Vec<u32>>,
    /// The numbers of bits of these networks.
    lengths: BTreeSet<u8>,
}

impl Networks {
    fn push(&mut self, network: Cidr, rule: u32) {
        let network = network.masked();
        self.lengths.insert(network.bits());
        self.rules.entry(network).or_default().push(rule);
    }

    fn find(&self, ip: IpAddr, found: &mut Vec<u32>) {
        let networks = self.lengths.iter().filter_map(|&bits| Cidr::new(ip.to_canonical(), bits));
        found.extend(networks.filter_map(|network| self.rules.get(&network.masked())).flatten());
    }
}
