//! One rule: its stage, its conditions and its actions.

use std::time::Duration;

use super::cidr::Cidr;
use super::delay::Delay;
use super::glob::Glob;
use super::handshake::{Alert, TlsVersion, WrongCertificate};
use super::offer::Offer;
use super::units::Chance;
use crate::smtp::reply::{Reply, Stage};

/// Ordinals from 1: a single one, or a range that may be unbounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ordinals {
    /// At least 1.
    pub(super) first: u64,
    /// At least `first`; `None`: unbounded.
    pub(super) last: Option<u64>,
}

impl Ordinals {
    /// The ordinal, if there is only one.
    pub(super) fn only(self) -> Option<u64> {
        (self.last == Some(self.first)).then_some(self.first)
    }

    pub(super) fn contains(self, ordinal: u64) -> bool {
        self.first <= ordinal && self.last.is_none_or(|last| ordinal <= last)
    }
}

impl From<u64> for Ordinals {
    fn from(ordinal: u64) -> Self {
        Self { first: ordinal, last: Some(ordinal) }
    }
}

impl From<std::ops::RangeInclusive<u64>> for Ordinals {
    fn from(range: std::ops::RangeInclusive<u64>) -> Self {
        Self { first: *range.start(), last: Some(*range.end()) }
    }
}

impl From<std::ops::RangeFrom<u64>> for Ordinals {
    fn from(range: std::ops::RangeFrom<u64>) -> Self {
        Self { first: range.start, last: None }
    }
}

/// What separates the counts of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// The session.
    Session,
    /// The reverse-path, ignoring case.
    Sender,
    /// The forward-path, ignoring case: at `data` and `message` the last one, in LMTP at `message` that of the
    /// recipient being answered.
    Recipient,
    /// The client's IP address.
    Ip,
    /// The user that the session has authenticated as, ignoring case; at `auth` the one that the client claims to be.
    User,
}

impl Key {
    pub(super) const BY_WORD: &[(&str, Self)] = &[
        ("session", Self::Session),
        ("sender", Self::Sender),
        ("recipient", Self::Recipient),
        ("ip", Self::Ip),
        ("user", Self::User),
    ];
}

/// When a rule fires. A field that is `None` is no condition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Conditions {
    pub(super) from: Option<Glob>,
    pub(super) to: Option<Glob>,
    pub(super) helo: Option<Glob>,
    pub(super) ip: Option<Cidr>,
    pub(super) user: Option<Glob>,
    pub(super) mechanism: Option<Glob>,
    pub(super) sni: Option<Glob>,
    pub(super) inbox: Option<Glob>,
    pub(super) session: Option<Ordinals>,
    pub(super) size: Option<usize>,
    /// Names of parameters in lower case, each with the pattern of its value.
    pub(super) parameters: Vec<(Box<str>, Glob)>,
    pub(super) after: Option<Duration>,
    pub(super) until: Option<Duration>,
    pub(super) period: Option<Duration>,
    pub(super) nth: Option<Ordinals>,
    pub(super) every: Option<u64>,
    pub(super) odds: Option<Chance>,
    pub(super) times: Option<u64>,
    /// Sorted and without duplicates. Empty: one count for all.
    pub(super) per: Vec<Key>,
}

impl Conditions {
    pub(super) fn count_per(&mut self, mut keys: Vec<Key>) {
        keys.sort_unstable();
        keys.dedup();
        self.per = keys;
    }
}

/// How a connection ends when it is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Drop {
    /// An ordinary close: the client reads an end of file.
    Fin,
    /// A reset: the client reads an error.
    Rst,
}

/// An action on the reply and the connection, other than the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Action {
    /// The server's own answer: later rules and the lists are not evaluated.
    Accept,
    Close,
    DropBefore(Drop),
    DropAfter(Drop),
    Silent,
    Stall,
    /// Only this many octets of the reply are sent.
    Cut(usize),
    /// For handshakes.
    Alert(Alert),
    Garbage,
}

/// A rule: at a stage, if its conditions hold, its actions replace the server's own.
///
/// ```
/// use smtpmock::smtp::Stage;
/// use smtpmock::smtp::rules::{Key, Rule};
///
/// let greylisting = Rule::at(Stage::Rcpt)
///     .per([Key::Sender, Key::Recipient, Key::Ip])
///     .times(1)
///     .reply("451 4.7.1 Greylisted, try again");
/// let text = r#"rcpt times=1 per=sender+recipient+ip reply="451 4.7.1 Greylisted, try again""#;
/// assert_eq!(greylisting, text.parse()?);
/// assert_eq!(greylisting.to_string(), text);
/// # Ok::<(), smtpmock::smtp::rules::GrammarError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// `None`: at every stage that has a reply.
    pub(super) stage: Option<Stage>,
    /// The name of its counts, instead of its text.
    pub(super) id: Option<Box<str>>,
    pub(super) when: Conditions,
    pub(super) delay: Option<Delay>,
    pub(super) reply: Option<Reply>,
    /// The extensions offered to EHLO.
    pub(super) offer: Option<Offer>,
    /// The certificate of a handshake, and the only version allowed.
    pub(super) certificate: Option<WrongCertificate>,
    pub(super) version: Option<TlsVersion>,
    pub(super) ending: Option<Action>,
    /// When its owner removes it, on the owner's clock. Not part of its text, and ignored here.
    pub(super) expires_at: Option<Duration>,
}

/// Conditions. If one is set several times, the last value applies.
impl Rule {
    /// Longest name of a rule, in octets.
    pub const MAX_ID: usize = 64;

    /// A rule that is evaluated at this stage. It needs at least one action.
    pub fn at(stage: Stage) -> Self {
        Self { stage: Some(stage), ..Self::anywhere() }
    }

    /// A rule that is evaluated at every stage that has a reply: not at [`Stage::Tls`].
    pub fn anywhere() -> Self {
        let when = Conditions::default();
        let (delay, reply, offer, certificate, version, ending) = (None, None, None, None, None, None);
        let expires_at = None;
        Self { stage: None, id: None, when, delay, reply, offer, certificate, version, ending, expires_at }
    }

    /// Names the rule; names are unique within a server. When the server is [reconfigured](crate::Server::reconfigure),
    /// a rule of the same name continues its counts even if it has changed. At most [`MAX_ID`](Self::MAX_ID) letters,
    /// digits, `-`, `_` and `.`.
    #[must_use]
    pub fn id(mut self, name: &str) -> Self {
        self.id = Some(name.into());
        self
    }

    /// Only for reverse-paths that match this pattern, from MAIL to the end of the message.
    #[must_use]
    pub fn from(mut self, pattern: impl Into<Glob>) -> Self {
        self.when.from = Some(pattern.into());
        self
    }

    /// Only for forward-paths that match this pattern; at `data` and `message` one accepted recipient must match, in
    /// LMTP at `message` the recipient being answered.
    #[must_use]
    pub fn to(mut self, pattern: impl Into<Glob>) -> Self {
        self.when.to = Some(pattern.into());
        self
    }

    /// Only for clients whose name in HELO or EHLO matches this pattern.
    #[must_use]
    pub fn helo(mut self, pattern: impl Into<Glob>) -> Self {
        self.when.helo = Some(pattern.into());
        self
    }

    /// Only in sessions that have authenticated as a user that matches this pattern, or whose user XCLIENT has named;
    /// at [`Stage::Auth`] for clients that claim to be such a user.
    #[must_use]
    pub fn user(mut self, pattern: impl Into<Glob>) -> Self {
        self.when.user = Some(pattern.into());
        self
    }

    /// Only in sessions that have authenticated by a matching mechanism; at [`Stage::Auth`] for exchanges of it.
    #[must_use]
    pub fn mechanism(mut self, pattern: impl Into<Glob>) -> Self {
        self.when.mechanism = Some(pattern.into());
        self
    }

    /// Only for clients whose server name indication (RFC 6066 section 3) matches this pattern; only at [`Stage::Tls`].
    /// An address is not a server name.
    #[must_use]
    pub fn sni(mut self, pattern: impl Into<Glob>) -> Self {
        self.when.sni = Some(pattern.into());
        self
    }

    /// Only for an inbox that matches this pattern, ignoring case: at every stage that of the listener
    /// ([`Config::listen`](crate::Config::listen)) and the session's [user](Self::user); at `rcpt` also the domain of
    /// the forward-path and the part after `+` of its local part, and at `data`, `bdat` and `message` those of the
    /// accepted recipients, in LMTP at `message` of the recipient being answered. Header fields are not considered.
    #[must_use]
    pub fn inbox(mut self, pattern: impl Into<Glob>) -> Self {
        self.when.inbox = Some(pattern.into());
        self
    }

    /// Only for clients of this network.
    #[must_use]
    pub fn ip(mut self, network: impl Into<Cidr>) -> Self {
        self.when.ip = Some(network.into());
        self
    }

    /// Only in these sessions, counted from 1 since the server started.
    #[must_use]
    pub fn session(mut self, ordinals: impl Into<Ordinals>) -> Self {
        self.when.session = Some(ordinals.into());
        self
    }

    /// Only for messages of at least this many octets; only at [`Stage::Message`].
    #[must_use]
    pub fn size_at_least(mut self, octets: usize) -> Self {
        self.when.size = Some(octets);
        self
    }

    /// Only for commands with this parameter and a value that matches this pattern; at `data`, `bdat` and `message`
    /// MAIL or an accepted recipient must have it, in LMTP at `message` MAIL or the recipient being answered. A
    /// parameter without a value has an empty one. May be set several times: all of them must match.
    #[must_use]
    pub fn parameter(mut self, name: &str, value: impl Into<Glob>) -> Self {
        self.when.parameters.push((name.to_ascii_lowercase().into(), value.into()));
        self
    }

    /// Only from this time after the start of the server.
    #[must_use]
    pub fn after(mut self, start: Duration) -> Self {
        self.when.after = Some(start);
        self
    }

    /// Only until this time after the start of the server.
    #[must_use]
    pub fn until(mut self, end: Duration) -> Self {
        self.when.until = Some(end);
        self
    }

    /// Restarts the time of [`after`](Self::after) and [`until`](Self::until) after each such period.
    #[must_use]
    pub fn period(mut self, period: Duration) -> Self {
        self.when.period = Some(period);
        self
    }

    /// Only the n-th time that all conditions above hold.
    #[must_use]
    pub fn nth(mut self, ordinals: impl Into<Ordinals>) -> Self {
        self.when.nth = Some(ordinals.into());
        self
    }

    /// Only each n-th time that all conditions above hold.
    #[must_use]
    pub fn every(mut self, count: u64) -> Self {
        self.when.every = Some(count);
        self
    }

    /// Only with this probability.
    #[must_use]
    pub fn odds(mut self, chance: Chance) -> Self {
        self.when.odds = Some(chance);
        self
    }

    /// Only this many times; after that the rule is skipped.
    #[must_use]
    pub fn times(mut self, count: u64) -> Self {
        self.when.times = Some(count);
        self
    }

    /// [`nth`](Self::nth), [`every`](Self::every) and [`times`](Self::times) count for each of these
    /// separately. Without it there is one count for all.
    #[must_use]
    pub fn per(mut self, keys: impl IntoIterator<Item = Key>) -> Self {
        self.when.count_per(keys.into_iter().collect());
        self
    }
}

/// Actions.
impl Rule {
    /// Delays the reply; replaces the delay configured for the command.
    #[must_use]
    pub fn delay(mut self, delay: impl Into<Delay>) -> Self {
        self.delay = Some(delay.into());
        self
    }

    /// Replies with this text instead of the server's own; see [`Reply`] for valid texts.
    #[must_use]
    pub fn reply(mut self, text: &str) -> Self {
        self.reply = Some(Reply::new(text));
        self
    }

    /// Offers these extensions in the server's own reply to a valid EHLO; only at [`Stage::Helo`] with
    /// [`Config::esmtp`](crate::Config::esmtp). HELO is not affected.
    #[must_use]
    pub fn offer(mut self, offer: Offer) -> Self {
        self.offer = Some(offer);
        self
    }

    /// The extensions offered to EHLO.
    pub(crate) fn offers(&self) -> Option<Offer> {
        self.offer
    }

    /// Presents this certificate in a full handshake; only at [`Stage::Tls`].
    #[must_use]
    pub fn certificate(mut self, certificate: WrongCertificate) -> Self {
        self.certificate = Some(certificate);
        self
    }

    /// The certificate presented, and the only version allowed.
    pub(crate) fn choice(&self) -> (Option<WrongCertificate>, Option<TlsVersion>) {
        (self.certificate, self.version)
    }

    /// Allows only this version in the handshake; only at [`Stage::Tls`].
    #[must_use]
    pub fn version(mut self, version: TlsVersion) -> Self {
        self.version = Some(version);
        self
    }

    /// Answers the hello with this alert, and closes the connection; only at [`Stage::Tls`].
    #[must_use]
    pub fn alert(self, alert: Alert) -> Self {
        self.ending(Action::Alert(alert))
    }

    /// Answers the hello with plain text, and closes the connection; only at [`Stage::Tls`].
    #[must_use]
    pub fn garbage(self) -> Self {
        self.ending(Action::Garbage)
    }

    /// Sends the server's own answer. Later rules and the lists are not evaluated.
    #[must_use]
    pub fn accept(self) -> Self {
        self.ending(Action::Accept)
    }

    /// Why no client can interpret its reply; `None` if clients can.
    pub(crate) fn doubt(&self) -> Option<&'static str> {
        self.reply.as_ref().and_then(Reply::doubt)
    }

    /// Closes the connection after the reply.
    #[must_use]
    pub fn close(self) -> Self {
        self.ending(Action::Close)
    }

    /// Drops the connection instead of a reply.
    #[must_use]
    pub fn drop_before_reply(self, how: Drop) -> Self {
        self.ending(Action::DropBefore(how))
    }

    /// Replies, then drops the connection.
    #[must_use]
    pub fn drop_after_reply(self, how: Drop) -> Self {
        self.ending(Action::DropAfter(how))
    }

    /// Sends no reply and holds the connection: nothing more happens on it. At [`Stage::Tls`] the hello gets no answer,
    /// until the session timeout.
    #[must_use]
    pub fn silent(self) -> Self {
        self.ending(Action::Silent)
    }

    /// Replies, then holds the connection: nothing more is read from it.
    #[must_use]
    pub fn stall(self) -> Self {
        self.ending(Action::Stall)
    }

    /// Sends only the first octets of the reply, then drops the connection.
    #[must_use]
    pub fn cut(self, octets: usize) -> Self {
        self.ending(Action::Cut(octets))
    }

    fn ending(mut self, ending: Action) -> Self {
        self.ending = Some(ending);
        self
    }
}

impl Rule {
    /// Whether it has no name, or a valid one.
    pub(super) fn has_valid_id(&self) -> bool {
        let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        self.id
            .as_deref()
            .is_none_or(|id| (1..=Self::MAX_ID).contains(&id.len()) && id.chars().all(is_letter))
    }

    /// The name set by [`id`](Self::id).
    pub(crate) fn name(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The same rule, to be removed at this time on the caller's clock.
    #[cfg(feature = "http")]
    #[must_use]
    pub(crate) fn expiring_at(self, moment: Option<Duration>) -> Self {
        Self { expires_at: moment, ..self }
    }

    /// The probability, from 0 to 1, with which it fires when all else matches.
    #[cfg(feature = "http")]
    pub(crate) fn probability(&self) -> f64 {
        self.when.odds.map_or(1.0, Chance::probability)
    }

    /// The code of its reply.
    #[cfg(feature = "http")]
    pub(crate) fn reply_code(&self) -> Option<u16> {
        self.reply.as_ref().and_then(Reply::code)
    }

    /// The time set by [`expiring_at`](Self::expiring_at).
    #[cfg(feature = "http")]
    pub(crate) fn expires_at(&self) -> Option<Duration> {
        self.expires_at
    }

    pub(super) fn is_asked_at(&self, stage: Stage) -> bool {
        // A valid XCLIENT is answered like a new connection.
        let is_asked_again = |own| own == Stage::Greeting && stage == Stage::Xclient;
        self.stage.map_or(stage != Stage::Tls, |own| own == stage || is_asked_again(own))
    }

    /// Whether it needs counts or chance.
    pub(super) fn counts(&self) -> bool {
        self.when.nth.is_some() || self.when.every.is_some() || self.when.times.is_some()
    }
}
