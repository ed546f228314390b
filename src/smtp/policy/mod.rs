//! The configuration of sessions: replies, rules, lists, delays and limits. The policy may be replaced before each
//! line: a session stores nothing that refers to it. Imports `auth`, `command`, `reply` and `rules`; pure.

mod delay_point;
mod esmtp;
mod lists;
mod own_rules;
mod plan;

pub use delay_point::DelayPoint;
pub use esmtp::Esmtp;
pub use lists::Lists;
pub(super) use own_rules::Ruling;

use std::collections::HashSet;
use std::time::Duration;

use crate::smtp::auth::Auth;
use crate::smtp::command::AddressRules;
use crate::smtp::reply::{Reply, ReplyKind, Stage};
use crate::smtp::rules::{
    Delay, HandshakePlan, Impairment, Moment, PeerAddress, RateLimit, Rule, RuleBook, RuleCounts, RuleTally,
    Trusted,
};
use lists::{Fold, Folded};
use plan::Plan;

/// Largest message by default: 10 MiB, as in go-smtp-mock.
pub(crate) const DEFAULT_MESSAGE_SIZE_LIMIT: usize = 10 * 1024 * 1024;

/// Recipients (RCPT commands, refused ones included) that one mail transaction may have. At least 100 by RFC 5321
/// section 4.5.3.1.8; the limit bounds the record.
pub(crate) const MAX_RECIPIENTS: usize = 10_000;

/// What makes one [`Record`](crate::smtp::Record).
///
/// The modes also differ in one reply: DATA after a refused RCPT gets 354 if an earlier RCPT of the transaction was
/// accepted (RFC 5321 section 3.3), but 503 with `Session`, as in go-smtp-mock, unless
/// [`multiple_rcptto`](Policy::multiple_rcptto) is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecordMode {
    /// One record per mail transaction (RFC 5321 section 3.3), with all recipients. It is complete when its message is
    /// answered, in LMTP for the last recipient, or when a command or the end of the session abandons the transaction;
    /// commands outside of transactions are in no record.
    #[default]
    Message,
    /// One record per session, as in go-smtp-mock: the next RCPT replaces the last, and the next mail transaction
    /// replaces the record, except what [`multiple_rcptto`](Policy::multiple_rcptto) and
    /// [`multiple_message_receiving`](Policy::multiple_message_receiving) retain.
    Session,
}

/// How much of a dialogue is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keep {
    /// Nothing: no record is filed.
    Nothing,
    /// Requests and responses, not the message text.
    Envelope,
    /// Everything.
    #[default]
    Message,
}

/// Limits on sessions, messages and rates; `None`: no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Concurrent sessions; one more gets [`ReplyKind::TooManySessions`] and is closed.
    pub max_sessions: Option<u64>,
    /// Concurrent sessions of one client address.
    pub max_sessions_per_ip: Option<u64>,
    /// Messages accepted in one session; MAIL for one more gets [`ReplyKind::TooManyMessages`], and the
    /// session is closed.
    pub max_messages_per_session: Option<u64>,
    /// Connections or mail transactions per time; see
    /// [`ReplyKind::ConnectRateExceeded`] and [`ReplyKind::MailRateExceeded`].
    pub rate: Option<RateLimit>,
}

/// The configuration by which a [`Session`](crate::smtp::Session) decides.
///
/// ```
/// use smtpmock::smtp::{Policy, ReplyKind, Session};
///
/// let mut policy = Policy::default();
/// policy.change_lists(|lists| {
///     lists.not_registered_emails.insert(b"gone@example.com".to_vec());
/// });
/// policy.set_reply(ReplyKind::RcptNotRegistered, "550 5.1.1 No such user");
/// policy.add_rule("mail from=*@slow.example delay=2s".parse()?);
/// # let _ = Session::new().advance(&policy, &mut smtpmock::smtp::rules::Environment::alone(), b"NOOP\r\n");
/// # Ok::<(), smtpmock::smtp::rules::GrammarError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Policy {
    replies: OwnReplies,
    /// A bit for each [`ReplyKind`] whose text differs from the default. The default of [`ReplyKind::EhloReceived`]
    /// depends on the reply to HELO and on `esmtp`, that of [`ReplyKind::LhloReceived`] on the reply to EHLO.
    configured: u128,
    /// Extended SMTP; `None`: off.
    esmtp: Option<Esmtp>,
    /// The replies with enhanced status codes.
    enhanced: OwnReplies,
    /// The acceptance of a message in sessions with extensions, but without enhanced status codes.
    plain_acceptance: Reply,
    /// Indexed by [`DelayPoint`].
    delays: [Delay; DelayPoint::ALL.len()],
    pub(in crate::smtp) book: RuleBook,
    limits: Limits,
    lists: Lists,
    /// Derived from `lists`.
    folded: Folded,
    /// Derived from all fields above.
    plan: Plan,
    /// The seed for all random numbers.
    pub seed: u64,
    /// RCPTs in one mail transaction, including refused ones; the next gets [`ReplyKind::TooManyRecipients`].
    max_recipients: usize,
    /// Close the connection after the first refused command.
    pub fail_fast: bool,
    /// With [`RecordMode::Session`]: retain every RCPT of a transaction; without it each RCPT replaces the one before.
    pub multiple_rcptto: bool,
    /// With [`RecordMode::Session`]: start a new record at a MAIL that follows a completed message and RSET.
    pub multiple_message_receiving: bool,
    message_size_limit: usize,
    /// Which names and addresses are valid.
    pub addresses: AddressRules,
    /// Peers that may name another address as the client's.
    trusted: Vec<Trusted>,
    has_tls: bool,
    /// Clients may be identified by certificates.
    has_external: bool,
    /// What makes one record.
    pub records: RecordMode,
    /// How much of a dialogue is recorded.
    pub keep: Keep,
    /// An earlier policy of the same server could defer messages.
    has_deferred: bool,
}

/// The replies of the server itself, not those of rules, indexed by [`ReplyKind`]. A clone shares no reply, so that
/// each thread has its own.
#[derive(Debug)]
struct OwnReplies(Vec<Reply>);

impl Clone for OwnReplies {
    fn clone(&self) -> Self {
        Self(self.0.iter().map(Reply::unshared).collect())
    }
}

impl Policy {
    /// The reply of this kind.
    pub fn reply(&self, kind: ReplyKind) -> &Reply {
        &self.replies.0[kind as usize]
    }

    /// The reply of this kind, with or without enhanced status codes in default texts.
    #[inline]
    pub(in crate::smtp) fn reply_with(&self, kind: ReplyKind, have_codes: bool) -> &Reply {
        match have_codes {
            true => &self.enhanced.0[kind as usize],
            false => self.reply(kind),
        }
    }

    /// The acceptance of a message in a session with extensions, but without enhanced status codes.
    pub(in crate::smtp) fn acceptance_without_code(&self) -> &Reply {
        &self.plain_acceptance
    }

    /// Sets the text of a reply; see [`Reply`] for its form.
    pub fn set_reply(&mut self, kind: ReplyKind, text: impl AsRef<[u8]>) {
        let follows = matches!(kind, ReplyKind::EhloReceived | ReplyKind::LhloReceived);
        let is_default = !follows && text.as_ref() == kind.default_text().as_bytes();
        self.replies.0[kind as usize] = Reply::new(text);
        self.configure(kind, !is_default);
        self.follow();
    }

    #[cfg(feature = "http")]
    pub(crate) fn reset_reply(&mut self, kind: ReplyKind) {
        self.set_reply(kind, kind.default_text());
        self.configure(kind, false);
        self.follow();
    }

    fn configure(&mut self, kind: ReplyKind, is_configured: bool) {
        let bit = 1 << kind as u128;
        self.configured = if is_configured { self.configured | bit } else { self.configured & !bit };
    }

    /// The text of the reply differs from the default.
    pub(crate) fn is_configured(&self, kind: ReplyKind) -> bool {
        self.configured & (1 << kind as u128) != 0
    }

    /// Extended SMTP; `None` if off.
    pub fn esmtp(&self) -> Option<&Esmtp> {
        self.esmtp.as_ref()
    }

    /// Who may authenticate; `None` if AUTH is not served: Extended SMTP is off, or nobody can authenticate.
    #[inline]
    pub fn auth(&self) -> Option<&Auth> {
        self.esmtp.as_ref().map(|esmtp| &esmtp.auth).filter(|auth| auth.is_on())
    }

    /// Turns Extended SMTP on or off.
    pub fn set_esmtp(&mut self, esmtp: Option<Esmtp>) {
        self.esmtp = esmtp;
        if let Some(esmtp) = &mut self.esmtp {
            esmtp.auth.has_external = self.has_external;
        }
        self.follow();
    }

    /// Recomputes derived fields.
    fn follow(&mut self) {
        if !self.is_configured(ReplyKind::EhloReceived) {
            self.replies.0[ReplyKind::EhloReceived as usize] = self.ehlo_reply(None);
        }
        if !self.is_configured(ReplyKind::LhloReceived) {
            self.replies.0[ReplyKind::LhloReceived as usize] = self.lhlo_reply();
        }
        let listing: Vec<_> = self.listing_replies().collect();
        listing.into_iter().for_each(|(kind, reply)| self.replies.0[kind as usize] = reply);
        self.enhanced = self.enhanced_replies();
        self.plain_acceptance = self.plain_acceptance();
        if self.book.has_offers() {
            let mut book = std::mem::take(&mut self.book);
            book.render_offers(|offer| self.ehlo_reply(Some(offer)));
            self.book = book;
        }
        self.plan = Plan::of(self);
    }

    /// The delay of replies at this point.
    pub fn delay(&self, point: DelayPoint) -> &Delay {
        &self.delays[point as usize]
    }

    /// Sets the delay of all replies at this point.
    pub fn set_delay(&mut self, point: DelayPoint, delay: impl Into<Delay>) {
        self.delays[point as usize] = delay.into();
        self.plan = Plan::of(self);
    }

    /// Adds a rule after the others. It must be consistent; see [`Config::validate`](crate::Config::validate).
    pub fn add_rule(&mut self, rule: Rule) {
        let offer = rule.offers().map(|offer| self.ehlo_reply(Some(offer)));
        self.book.push(rule, offer);
        self.plan = Plan::of(self);
    }

    /// Removes all rules.
    pub fn remove_rules(&mut self) {
        self.book = RuleBook::default();
        self.plan = Plan::of(self);
    }

    /// Takes over what is fixed while the server runs: the seed, the form of records, and whether it has TLS.
    #[must_use]
    pub(crate) fn of_the_server_of(self, other: &Self) -> Self {
        let &Self { seed, records, keep, multiple_rcptto, multiple_message_receiving, .. } = other;
        let mut own = Self { seed, records, keep, multiple_rcptto, multiple_message_receiving, ..self };
        if own.has_tls != other.has_tls {
            own.set_tls(other.has_tls);
        }
        if own.has_external != other.has_external {
            own.set_external(other.has_external);
        }
        own
    }

    /// Sets whether the driver of sessions can begin TLS: then Extended SMTP has and offers STARTTLS.
    pub fn set_tls(&mut self, has_tls: bool) {
        self.has_tls = has_tls;
        self.follow();
    }

    /// Sets whether the driver of sessions may identify clients by certificates: then EXTERNAL is possible.
    pub fn set_external(&mut self, has_external: bool) {
        self.has_external = has_external;
        let esmtp = self.esmtp.take();
        self.set_esmtp(esmtp);
    }

    /// Whether the driver of sessions can begin TLS.
    pub fn has_tls(&self) -> bool {
        self.has_tls
    }

    /// Takes over from the previous policy: retries of what it deferred are still tracked, even if this policy defers
    /// nothing.
    #[must_use]
    pub(crate) fn succeeding(self, other: &Self) -> Self {
        Self { has_deferred: self.has_deferred || other.may_defer(), ..self }
    }

    /// The flags of all settings that can change while a server runs, one for each field that is neither derived nor
    /// fixed.
    #[cfg(all(test, feature = "http"))]
    pub(crate) fn changeable_parts(&self) -> &'static [&'static str] {
        let Self {
            // Replies.
            replies: _,
            configured: _,
            enhanced: _,
            plain_acceptance: _,
            esmtp: _,
            delays: _,
            book: _,
            limits: _,
            lists: _,
            folded: _,
            plan: _,
            max_recipients: _,
            fail_fast: _,
            message_size_limit: _,
            addresses: _,
            trusted: _,
            // Fixed.
            seed: _,
            multiple_rcptto: _,
            multiple_message_receiving: _,
            has_tls: _,
            has_external: _,
            records: _,
            keep: _,
            has_deferred: _,
        } = self;
        &[
            "msg_greeting",
            "esmtp",
            "response_delay_greeting",
            "rule",
            "rate_limit",
            "not_registered_emails",
            "max_rcpts",
            "fail_fast",
            "msg_size_limit",
            "addresses",
            "trust",
        ]
    }

    /// The rules, in order.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.book.rules()
    }

    /// Names and addresses that are refused.
    pub fn lists(&self) -> &Lists {
        &self.lists
    }

    /// Changes the lists.
    pub fn change_lists(&mut self, change: impl FnOnce(&mut Lists)) {
        change(&mut self.lists);
        self.folded = Folded::of(&self.lists);
        self.plan = Plan::of(self);
    }

    /// Whether this list contains the name.
    pub(in crate::smtp) fn is_listed(
        &self,
        name: &[u8],
        list: fn(&Lists) -> &HashSet<Vec<u8>>,
        fold: Fold,
    ) -> bool {
        match self.addresses {
            AddressRules::Compat => list(&self.lists).contains(name),
            _ => list(self.folded.lists()).contains(&*fold(name)),
        }
    }

    /// The limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Peers that may name another address as the client's.
    pub fn trusted(&self) -> &[Trusted] {
        &self.trusted
    }

    /// Changes the trusted peers. Whether a client may use XCLIENT is decided when it connects.
    pub fn change_trusted(&mut self, change: impl FnOnce(&mut Vec<Trusted>)) {
        change(&mut self.trusted);
        self.follow();
    }

    /// XCLIENT is a command in sessions with extensions: some peers are trusted.
    pub(in crate::smtp) fn knows_xclient(&self) -> bool {
        !self.trusted.is_empty()
    }

    /// Whether this peer may name another address as the client's.
    pub fn trusts(&self, peer: PeerAddress) -> bool {
        self.trusted.iter().any(|trusted| trusted.includes(peer))
    }

    /// Changes the limits.
    pub fn change_limits(&mut self, change: impl FnOnce(&mut Limits)) {
        change(&mut self.limits);
        self.follow();
    }

    /// RCPTs in one mail transaction, including refused ones; the next gets [`ReplyKind::TooManyRecipients`].
    pub fn max_recipients(&self) -> usize {
        self.max_recipients
    }

    /// [`max_recipients`](Self::max_recipients), bounded by the limit of a record.
    pub(in crate::smtp) fn most_recipients(&self) -> usize {
        self.max_recipients.min(MAX_RECIPIENTS)
    }

    /// Sets the number of RCPTs in one mail transaction.
    pub fn set_max_recipients(&mut self, recipients: usize) {
        self.max_recipients = recipients;
        self.follow();
    }

    /// Whether any possible reply to EHLO offers this extension.
    pub(crate) fn may_offer(&self, keyword: &str) -> bool {
        let own = std::iter::once(self.reply(ReplyKind::EhloReceived));
        let mut replies = own.chain(self.book.replies_at(Stage::Helo));
        replies.any(|reply| reply.may_offer(keyword))
    }

    /// Whether MAIL, RCPT, DATA, BDAT or the end of the message may get a 4yz reply, by this policy or an earlier one
    /// of the server: a client may then retry the message. Replies because of low memory do not count.
    pub(crate) fn may_defer(&self) -> bool {
        self.plan.may_defer() || self.has_deferred
    }

    /// Whether sessions share counts: those of rules, lists, `fail_fast` and limits. If not, sessions need no
    /// [`State`](crate::smtp::rules::State).
    pub fn needs_state(&self) -> bool {
        !self.book.is_empty() || self.own_rules().next().is_some()
    }

    /// Every rule as text with its counts: added rules in order, then the lists, limits and `fail_fast` that are set,
    /// by the names of their settings. `totals`, from [`State::totals`](crate::smtp::rules::State::totals), is separate
    /// so that the state is not locked while texts are made.
    pub fn tallies(&self, totals: &RuleCounts) -> Vec<RuleTally> {
        let own = self.own_rules().map(|own| RuleTally {
            id: None,
            rule: own.name().to_owned(),
            tally: totals.of_own(own),
        });
        self.book.tallies(totals).chain(own).collect()
    }

    /// The id or text of the rule that decided `plan`; `None` without one, or if the rule was removed.
    pub(crate) fn rule_of(&self, plan: &HandshakePlan) -> Option<String> {
        self.book.rule_of(plan)
    }

    /// What each stage evaluates.
    pub(in crate::smtp) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(in crate::smtp) fn draw_delay(&self, point: DelayPoint, moment: Moment) -> Duration {
        let delay = self.delay(point);
        delay.as_constant().unwrap_or_else(|| {
            let name = Impairment::named("point", point as u64);
            delay.sample(&mut moment.stream(name))
        })
    }

    /// Largest message accepted, in octets without stuffed dots.
    pub fn message_size_limit(&self) -> usize {
        self.message_size_limit
    }

    /// Sets the size limit.
    pub fn set_message_size_limit(&mut self, octets: usize) {
        self.message_size_limit = octets;
        self.follow();
    }

    /// The added rules, indexed for evaluation.
    pub(in crate::smtp) fn book(&self) -> &RuleBook {
        &self.book
    }

    pub(crate) fn has_rules(&self) -> bool {
        !self.book.is_empty()
    }

    /// Some rule applies to handshakes.
    pub(crate) fn has_rules_of_handshakes(&self) -> bool {
        !self.book.is_empty_at(Stage::Tls)
    }

    /// Whether acceptance at this stage does not depend on the code of the configured text. True as in go-smtp-mock
    /// with [`RecordMode::Session`], except for the greeting, the message, and commands that go-smtp-mock does not
    /// have.
    pub(in crate::smtp) fn accepts_with_any_code(&self, stage: Stage) -> bool {
        let is_new = matches!(
            stage,
            Stage::Greeting
                | Stage::Message
                | Stage::Vrfy
                | Stage::Help
                | Stage::Bdat
                | Stage::Xclient
                | Stage::Auth
                | Stage::Starttls
                | Stage::Tls
        );
        self.records == RecordMode::Session && !is_new
    }

    /// Whether this reply has exactly the text of an accepted RCPT. go-smtp-mock recognizes accepted recipients by the
    /// text of the reply, which configurations rely on.
    pub(in crate::smtp) fn reads_as_accepted_rcpt(&self, reply: &Reply) -> bool {
        let is_own = |have_codes| reply == self.reply_with(ReplyKind::RcptReceived, have_codes);
        (is_own(false) || (self.esmtp.is_some() && is_own(true)))
            && (matches!(reply.code(), Some(200..300)) || self.accepts_with_any_code(Stage::Rcpt))
    }
}

const _: () = assert!(ReplyKind::ALL.len() <= u128::BITS as usize);

impl Default for Policy {
    fn default() -> Self {
        let mut policy = Self {
            replies: OwnReplies(ReplyKind::ALL.iter().map(|kind| Reply::new(kind.default_text())).collect()),
            configured: 0,
            esmtp: None,
            enhanced: OwnReplies(Vec::new()),
            plain_acceptance: Reply::new(ReplyKind::MessageReceived.default_text()),
            delays: [const { Delay::NONE }; DelayPoint::ALL.len()],
            book: RuleBook::default(),
            limits: Limits::default(),
            lists: Lists::default(),
            folded: Folded::default(),
            plan: Plan::default(),
            seed: 0,
            max_recipients: MAX_RECIPIENTS,
            fail_fast: false,
            multiple_rcptto: false,
            multiple_message_receiving: false,
            message_size_limit: DEFAULT_MESSAGE_SIZE_LIMIT,
            addresses: AddressRules::default(),
            trusted: Vec::new(),
            has_tls: false,
            has_external: false,
            records: RecordMode::default(),
            keep: Keep::default(),
            has_deferred: false,
        };
        policy.follow();
        policy
    }
}
