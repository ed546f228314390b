//! What a session decides by: replies, rules, lists, delays and limits. Each line may be
//! decided by another policy than the one before: a session stores nothing that refers to its policy. Imports
//! `auth`, `command`, `reply` and `rules`; pure.

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

/// Recipients (RCPT commands, refused ones included) that one mail transaction may have. RFC 5321
/// section 4.5.3.1.8 asks for at least 100; the bound keeps a client from growing a record forever.
pub(crate) const MAX_RECIPIENTS: usize = 10_000;

/// What makes one [`Record`](crate::smtp::Record).
///
/// The two differ in one reply: DATA behind a refused RCPT is answered 354 where an earlier RCPT of the transaction was
/// accepted (RFC 5321 section 3.3), and 503 with `Session`, as by go-smtp-mock, unless
/// [`multiple_rcptto`](Policy::multiple_rcptto) is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecordMode {
    /// One record per mail transaction (RFC 5321 section 3.3), with every recipient in it. It is complete when its
    /// message is answered, in LMTP for the last recipient, or when a command or the end of the session abandons the
    /// transaction; commands outside of transactions are in no record.
    #[default]
    Message,
    /// One record per session, as go-smtp-mock has it: the next RCPT replaces the last, and the next mail transaction
    /// replaces the record, but for what [`multiple_rcptto`](Policy::multiple_rcptto) and
    /// [`multiple_message_receiving`](Policy::multiple_message_receiving) retain.
    Session,
}

/// How much of a dialogue is written into the records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keep {
    /// Nothing: records are not read, and none is filed.
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
    /// Sessions at a time; one more gets [`ReplyKind::TooManySessions`] and is closed.
    pub max_sessions: Option<u64>,
    /// The same for each client address.
    pub max_sessions_per_ip: Option<u64>,
    /// Messages accepted in one session; MAIL for one more gets [`ReplyKind::TooManyMessages`], and the
    /// session is closed.
    pub max_messages_per_session: Option<u64>,
    /// Connections or mail transactions per time; see
    /// [`ReplyKind::ConnectRateExceeded`] and [`ReplyKind::MailRateExceeded`].
    pub rate: Option<RateLimit>,
}

/// Everything a [`Session`](crate::smtp::Session) decides by.
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
    /// A bit for each [`ReplyKind`] whose text was set to another than the default. Others have the default, which for
    /// [`ReplyKind::EhloReceived`] follows from the reply to HELO and from `esmtp`, and for
    /// [`ReplyKind::LhloReceived`] from that.
    configured: u128,
    /// Extended SMTP is on.
    esmtp: Option<Esmtp>,
    /// The replies with enhanced status codes.
    enhanced: OwnReplies,
    /// The acceptance of a message in sessions with extensions, and without such codes.
    plain_acceptance: Reply,
    /// Indexed by [`DelayPoint`].
    delays: [Delay; DelayPoint::ALL.len()],
    /// The rules that were added.
    pub(in crate::smtp) book: RuleBook,
    limits: Limits,
    lists: Lists,
    /// Derived from the rules.
    folded: Folded,
    /// Derived from all fields above.
    plan: Plan,
    /// The seed of all random draws.
    pub seed: u64,
    /// RCPTs that one mail transaction may have, refused ones included; the next is answered with
    /// [`ReplyKind::TooManyRecipients`].
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
    /// Peers that may give another address as the client's.
    trusted: Vec<Trusted>,
    /// The driver of sessions can begin TLS.
    has_tls: bool,
    /// The driver of sessions may know who clients are, by certificates.
    has_external: bool,
    /// What makes one record.
    pub records: RecordMode,
    /// How much of a dialogue is recorded.
    pub keep: Keep,
    /// An earlier policy of the same server could defer messages.
    has_deferred: bool,
}

/// The replies of the server itself, as opposed to those of rules, indexed by [`ReplyKind`]. A copy shares none of them, so
/// that each thread can have its own.
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

    /// The reply of this kind, in a session whose replies have enhanced status codes or not: default texts have one then.
    #[inline]
    pub(in crate::smtp) fn reply_with(&self, kind: ReplyKind, have_codes: bool) -> &Reply {
        match have_codes {
            true => &self.enhanced.0[kind as usize],
            false => self.reply(kind),
        }
    }

    /// The acceptance of a message in a session that was offered extensions, and no enhanced status codes.
    pub(in crate::smtp) fn acceptance_without_code(&self) -> &Reply {
        &self.plain_acceptance
    }

    /// Sets the text of a reply; see [`Reply`] for what it may be.
    pub fn set_reply(&mut self, kind: ReplyKind, text: impl AsRef<[u8]>) {
        let follows = matches!(kind, ReplyKind::EhloReceived | ReplyKind::LhloReceived);
        let is_default = !follows && text.as_ref() == kind.default_text().as_bytes();
        self.replies.0[kind as usize] = Reply::new(text);
        self.configure(kind, !is_default);
        self.follow();
    }

    /// Sets a reply to its default.
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

    /// The text of the reply was set to another than the default.
    pub(crate) fn is_configured(&self, kind: ReplyKind) -> bool {
        self.configured & (1 << kind as u128) != 0
    }

    /// What the server's own reply to EHLO offers; `None` where Extended SMTP is off.
    pub fn esmtp(&self) -> Option<&Esmtp> {
        self.esmtp.as_ref()
    }

    /// Who may authenticate; `None` where AUTH is unknown.
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

    /// Derives anew what depends on the settings.
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

    /// How long replies at this point are held back.
    pub fn delay(&self, point: DelayPoint) -> &Delay {
        &self.delays[point as usize]
    }

    /// Holds back every reply at this point.
    pub fn set_delay(&mut self, point: DelayPoint, delay: impl Into<Delay>) {
        self.delays[point as usize] = delay.into();
        self.plan = Plan::of(self);
    }

    /// Adds a rule after the others. It must not contradict itself; see
    /// [`Config::validate`](crate::Config::validate).
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

    /// Takes from another policy what is fixed for its server: the seed, the form of records, and whether it has TLS.
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

    /// Sets whether the driver of sessions can begin TLS: then STARTTLS is a command under Extended SMTP, and offered.
    pub fn set_tls(&mut self, has_tls: bool) {
        self.has_tls = has_tls;
        self.follow();
    }

    /// Sets whether the driver of sessions may know who clients are, by certificates: then EXTERNAL is possible.
    pub fn set_external(&mut self, has_external: bool) {
        self.has_external = has_external;
        let esmtp = self.esmtp.take();
        self.set_esmtp(esmtp);
    }

    /// Whether the driver of sessions can begin TLS.
    pub fn has_tls(&self) -> bool {
        self.has_tls
    }

    /// Takes over from the policy before: what that one deferred is still followed until it is tried again, even if this
    /// policy defers nothing.
    #[must_use]
    pub(crate) fn succeeding(self, other: &Self) -> Self {
        Self { has_deferred: self.has_deferred || other.may_defer(), ..self }
    }

    /// The flags of the parts that can change while a server runs, one for each field that is neither derived nor fixed.
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

    /// Names and addresses to refuse.
    pub fn lists(&self) -> &Lists {
        &self.lists
    }

    /// Changes the lists.
    pub fn change_lists(&mut self, change: impl FnOnce(&mut Lists)) {
        change(&mut self.lists);
        self.folded = Folded::of(&self.lists);
        self.plan = Plan::of(self);
    }

    /// Whether the list has this name.
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

    /// Peers that may give another address as the client's.
    pub fn trusted(&self) -> &[Trusted] {
        &self.trusted
    }

    /// Changes which peers may give another address as the client's. Whether they may use XCLIENT is decided when they
    /// connect.
    pub fn change_trusted(&mut self, change: impl FnOnce(&mut Vec<Trusted>)) {
        change(&mut self.trusted);
        self.follow();
    }

    /// XCLIENT is a command in sessions with extensions: somebody may use it.
    pub(in crate::smtp) fn knows_xclient(&self) -> bool {
        !self.trusted.is_empty()
    }

    /// Whether this peer may give another address as the client's.
    pub fn trusts(&self, peer: PeerAddress) -> bool {
        self.trusted.iter().any(|trusted| trusted.includes(peer))
    }

    /// Changes the limits.
    pub fn change_limits(&mut self, change: impl FnOnce(&mut Limits)) {
        change(&mut self.limits);
        self.follow();
    }

    /// RCPTs that one mail transaction may have, refused ones included; the next is answered with
    /// [`ReplyKind::TooManyRecipients`].
    pub fn max_recipients(&self) -> usize {
        self.max_recipients
    }

    /// The same within what a record can have.
    pub(in crate::smtp) fn most_recipients(&self) -> usize {
        self.max_recipients.min(MAX_RECIPIENTS)
    }

    /// Sets how many RCPTs one mail transaction may have.
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

    /// Whether MAIL, RCPT, DATA, BDAT or the end of the message may get a 4yz reply, by this policy or an earlier one of the
    /// server: a client may then try the same message again. Replies for lack of memory do not count.
    pub(crate) fn may_defer(&self) -> bool {
        self.plan.may_defer() || self.has_deferred
    }

    /// Whether counts are shared by sessions: those of rules, lists, `fail_fast` and limits. Without any, sessions need no
    /// [`State`](crate::smtp::rules::State).
    pub fn needs_state(&self) -> bool {
        !self.book.is_empty() || self.own_rules().next().is_some()
    }

    /// Every rule as text and its counts: those that were added in their order, then the lists, limits and
    /// `fail_fast`, as far as they are set, by their settings' names. The counts are those of
    /// [`State::totals`](crate::smtp::rules::State::totals): passed separately, so that the state is not
    /// locked while texts are made.
    pub fn tallies(&self, totals: &RuleCounts) -> Vec<RuleTally> {
        let own = self.own_rules().map(|own| RuleTally {
            id: None,
            rule: own.name().to_owned(),
            tally: totals.of_own(own),
        });
        self.book.tallies(totals).chain(own).collect()
    }

    /// The id of the rule that has decided this, or else its text; `None` if none has, or the rule is gone.
    pub(crate) fn rule_of(&self, plan: &HandshakePlan) -> Option<String> {
        self.book.rule_of(plan)
    }

    /// What is evaluated at each stage.
    pub(in crate::smtp) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Draws the delay of a point.
    pub(in crate::smtp) fn draw_delay(&self, point: DelayPoint, moment: Moment) -> Duration {
        let delay = self.delay(point);
        delay.as_constant().unwrap_or_else(|| {
            let name = Impairment::named("point", point as u64);
            delay.sample(&mut moment.stream(name))
        })
    }

    /// Largest message accepted, in octets after the removal of stuffed dots.
    pub fn message_size_limit(&self) -> usize {
        self.message_size_limit
    }

    /// Sets the size limit.
    pub fn set_message_size_limit(&mut self, octets: usize) {
        self.message_size_limit = octets;
        self.follow();
    }

    /// The rules that were added, indexed for evaluation.
    pub(in crate::smtp) fn book(&self) -> &RuleBook {
        &self.book
    }

    /// Whether rules were added.
    pub(crate) fn has_rules(&self) -> bool {
        !self.book.is_empty()
    }

    /// Some rule may decide a handshake.
    pub(crate) fn has_rules_of_handshakes(&self) -> bool {
        !self.book.is_empty_at(Stage::Tls)
    }

    /// Whether acceptance at this stage does not depend on the code of the configured text. It is so in go-smtp-mock, and
    /// here with its records; not for the greeting, the message, and commands that go-smtp-mock does not have.
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

    /// Whether this reply has exactly the text of an accepted RCPT. go-smtp-mock recognizes accepted recipients by the text
    /// of the reply, and configurations rely on it.
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
