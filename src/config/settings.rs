//! The settings that can change while a server runs.

use std::collections::HashSet;
use std::time::Duration;

use super::Config;
use crate::smtp::auth::{Auth, Credential, Mechanism};
use crate::smtp::rules::{ByteRate, Delay, Offer, RateLimit, Rule, Trusted};
use crate::smtp::{AddressRules, DelayPoint, Esmtp, Policy, ReplyKind};

/// The changeable settings of a running server, passed to the closure of
/// [`Server::reconfigure`](crate::Server::reconfigure). It has the setters of [`Config`] for settings that can
/// change. Fixed settings have none, so this does not compile:
///
/// ```compile_fail,E0599
/// # fn example(server: &smtpmock::Server) {
/// let _ = server.reconfigure(|settings| settings.port(25));
/// # }
/// ```
pub type Settings = Config<()>;

/// The treatment of connections beyond [`Config::max_sessions`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OverLimit {
    /// They are sent [`ReplyKind::TooManySessions`] and closed.
    #[default]
    Refuse,
    /// They stay unaccepted in the kernel's backlog until a session has ended.
    Backlog,
}

/// Settings that [can change](crate::Server::reconfigure) while a server runs.
impl<F> Config<F> {
    pub(super) fn with_defaults(fixed: F, policy: Policy) -> Self {
        Self {
            fixed,
            policy,
            session_timeout: Duration::from_secs(30),
            data_timeout: Duration::from_secs(600),
            drip: None,
            read_rate: None,
            over_limit: OverLimit::default(),
        }
    }

    /// Resets all changeable settings to their defaults; fixed settings are unchanged.
    #[must_use]
    pub fn reset(self) -> Self {
        let policy = Policy::default().of_the_server_of(&self.policy);
        Self::with_defaults(self.fixed, policy)
    }

    /// How long the server waits for the client's next command line, or within message data for the
    /// next bytes, before it sends 421 and closes. Default 30 s. Zero closes every session right after the greeting
    /// without a reply, like a negative timeout of go-smtp-mock.
    #[must_use]
    pub fn session_timeout(mut self, timeout: Duration) -> Self {
        self.session_timeout = timeout;
        self
    }

    /// How long one message may take from the 354, or the first chunk, to its end. Default 10 min
    /// (RFC 5321 section 4.5.3.2.6).
    #[must_use]
    pub fn data_timeout(mut self, timeout: Duration) -> Self {
        self.data_timeout = timeout;
        self
    }

    /// Sets a reply: code and text, one line or more; see [`Reply`](crate::smtp::Reply) for valid texts.
    #[must_use]
    pub fn reply(mut self, kind: ReplyKind, text: impl AsRef<[u8]>) -> Self {
        self.policy.set_reply(kind, text);
        self
    }

    /// Speaks Extended SMTP: EHLO is offered all of [`Extension::ALL`](crate::smtp::rules::Extension::ALL), but LIMITS
    /// only with limits, and AUTH only if anybody can [authenticate](Self::auth). The reply begins with the configured
    /// text for HELO, if it is one line; a configured text for EHLO is sent unchanged. Default off.
    ///
    /// ```
    /// use smtpmock::{Config, smtp::rules::{Extension, Offer}};
    ///
    /// let config = Config::default().extensions(Offer::without([Extension::Dsn])).ehlo_line("XCLIENT NAME ADDR");
    /// assert!(config.validate().is_ok());
    /// ```
    #[must_use]
    pub fn esmtp(self) -> Self {
        self.with_esmtp(|_| {})
    }

    /// Offers no extensions by itself: the default.
    #[must_use]
    pub fn without_esmtp(mut self) -> Self {
        self.policy.set_esmtp(None);
        self
    }

    /// Offers these extensions; turns [`esmtp`](Self::esmtp) on.
    #[must_use]
    pub fn extensions(self, offer: Offer) -> Self {
        self.with_esmtp(|esmtp| esmtp.offer = Some(offer))
    }

    /// Adds a line to the reply to EHLO, after the extensions: a keyword and optional parameters, without code and line
    /// end. MAIL and RCPT parameters of the keyword are accepted, even if the server does not support the extension.
    /// Turns [`esmtp`](Self::esmtp) on. May be set several times.
    #[must_use]
    pub fn ehlo_line(self, line: impl Into<String>) -> Self {
        self.with_esmtp(|esmtp| esmtp.lines.push(line.into()))
    }

    /// Lets clients authenticate with this credential: AUTH (RFC 4954) is offered, with the mechanisms that the
    /// credentials can complete, and turns [`esmtp`](Self::esmtp) on. May be set several times. The user is in
    /// [`Message::auth_user`](crate::Message::auth_user).
    ///
    /// ```
    /// use std::time::Duration;
    /// use smtpmock::{Config, Server, smtp::auth::Mechanism};
    ///
    /// let server = Server::start(Config::default().auth(("ann", "secret")).auth_required(true))?;
    /// // … let the code under test send to server.local_addr(), as ann
    /// # let mut client = std::net::TcpStream::connect(server.local_addr())?;
    /// # std::io::Write::write_all(&mut client, b"EHLO a.example\r\nAUTH PLAIN AGFubgBzZWNyZXQ=\r\n\
    /// #     MAIL FROM:<ann@example.com>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\nHello\r\n.\r\n")?;
    /// let message = &server.wait_for_messages(1, Duration::from_secs(5))?[0];
    /// assert_eq!(message.auth_user().as_deref(), Some("ann"));
    /// assert_eq!(message.auth_mechanism(), Some(Mechanism::Plain));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// [`Credential::any()`](Credential::any) accepts any user, password and token; `read_password_file` in
    /// [`smtp::auth`](crate::smtp::auth) reads users with hashed passwords, for [`auth_users`](Self::auth_users).
    #[must_use]
    pub fn auth(self, credential: impl Into<Credential>) -> Self {
        self.auth_users([credential.into()])
    }

    /// As [`auth`](Self::auth), for several credentials.
    #[must_use]
    pub fn auth_users(self, credentials: impl IntoIterator<Item = Credential>) -> Self {
        self.with_esmtp(|esmtp| credentials.into_iter().for_each(|credential| esmtp.auth.add(credential)))
    }

    /// Offers only these mechanisms. Default: all that the credentials can complete, without ANONYMOUS, which needs
    /// none. EXTERNAL requires that clients are asked for certificates (`Tls::client_ca`), and is offered only to
    /// clients with a verified one, which is the credential.
    #[must_use]
    pub fn auth_mechanisms(self, mechanisms: impl IntoIterator<Item = Mechanism>) -> Self {
        self.with_esmtp(|esmtp| esmtp.auth.set_mechanisms(mechanisms))
    }

    /// Answers MAIL with [`ReplyKind::AuthRequired`] in sessions that have not authenticated.
    #[must_use]
    pub fn auth_required(self, on: bool) -> Self {
        self.with_esmtp(|esmtp| esmtp.auth.required = on)
    }

    /// Whether clients may authenticate before TLS with mechanisms that send the secret itself: PLAIN, LOGIN, XOAUTH2
    /// and OAUTHBEARER. If not, these are not offered before TLS, and get [`ReplyKind::ClearAuthRefused`]. Default:
    /// only without TLS.
    #[must_use]
    pub fn auth_in_clear(self, allowed: bool) -> Self {
        self.with_esmtp(|esmtp| esmtp.clear_auth = Some(allowed))
    }

    /// Answers every command before TLS, except EHLO, LHLO, NOOP, QUIT and STARTTLS, with [`ReplyKind::TlsRequired`]
    /// (RFC 3207 section 4). Default off.
    #[must_use]
    pub fn tls_required(self, on: bool) -> Self {
        self.with_esmtp(|esmtp| esmtp.tls_required = on)
    }

    /// Nobody can authenticate, and AUTH is an unknown command: the default.
    #[must_use]
    pub fn without_auth(mut self) -> Self {
        if let Some(mut esmtp) = self.policy.esmtp().cloned() {
            esmtp.auth = Auth::default();
            self.policy.set_esmtp(Some(esmtp));
        }
        self
    }

    fn with_esmtp(mut self, change: impl FnOnce(&mut Esmtp)) -> Self {
        let mut esmtp = self.policy.esmtp().cloned().unwrap_or_default();
        change(&mut esmtp);
        self.policy.set_esmtp(Some(esmtp));
        self
    }

    /// Trusts these peers, in addition to earlier ones, to name another address as the client's: by a PROXY header, at
    /// listeners that accept one (see [`listen`](Config::listen)), or by XCLIENT, under [`esmtp`](Self::esmtp).
    /// Default: none.
    ///
    /// ```
    /// use std::net::{IpAddr, Ipv4Addr};
    /// use smtpmock::{Config, smtp::rules::{Cidr, Trusted}};
    ///
    /// let config = Config::default()
    ///     .listen("smtp://127.0.0.1?proxy=require")
    ///     .trust("10.0.0.0/8".parse::<Cidr>()?)
    ///     .trust(IpAddr::from(Ipv4Addr::LOCALHOST))
    ///     .trust(Trusted::Unix);
    /// assert!(config.validate().is_ok());
    /// # Ok::<(), smtpmock::smtp::rules::GrammarError>(())
    /// ```
    #[must_use]
    pub fn trust(mut self, peers: impl Into<Trusted>) -> Self {
        self.policy.change_trusted(|trusted| trusted.push(peers.into()));
        self
    }

    /// Trusts no peer, which is the default.
    #[must_use]
    pub fn without_trust(mut self) -> Self {
        self.policy.change_trusted(Vec::clear);
        self
    }

    /// Delays every reply at this point, also refusals. Default: none. A [`Duration`] is constant; a [`Delay`] may be
    /// random.
    #[must_use]
    pub fn delay(mut self, point: DelayPoint, delay: impl Into<Delay>) -> Self {
        self.policy.set_delay(point, delay);
        self
    }

    /// Adds a rule after the existing ones. At each stage the first rule that fires decides. Rules take precedence
    /// over the lists below. See [`rules`](crate::smtp::rules).
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.policy.add_rule(rule);
        self
    }

    /// Replaces all rules, in this order.
    #[must_use]
    pub fn rules(self, rules: impl IntoIterator<Item = Rule>) -> Self {
        rules.into_iter().fold(self.without_rules(), Self::rule)
    }

    /// Removes all rules.
    #[must_use]
    pub fn without_rules(mut self) -> Self {
        self.policy.remove_rules();
        self
    }

    /// Writes every reply in pieces, at this rate per connection. Default: unlimited.
    #[must_use]
    pub fn drip(mut self, rate: ByteRate) -> Self {
        self.drip = Some(rate);
        self
    }

    /// Writes replies without a rate limit: the default.
    #[must_use]
    pub fn without_drip(mut self) -> Self {
        self.drip = None;
        self
    }

    /// Reads from every connection at this rate, which causes back pressure on the sender. Default: unlimited.
    #[must_use]
    pub fn read_rate(mut self, rate: ByteRate) -> Self {
        self.read_rate = Some(rate);
        self
    }

    /// Reads without a rate limit: the default. Connections that were open under a rate retain their small receive
    /// buffers.
    #[must_use]
    pub fn without_read_rate(mut self) -> Self {
        self.read_rate = None;
        self
    }

    /// Maximum number of open sessions of all shards. Default: unlimited.
    #[must_use]
    pub fn max_sessions(mut self, sessions: u64) -> Self {
        self.policy.change_limits(|limits| limits.max_sessions = Some(sessions));
        self
    }

    /// Removes the limit on open sessions, which is the default.
    #[must_use]
    pub fn without_max_sessions(mut self) -> Self {
        self.policy.change_limits(|limits| limits.max_sessions = None);
        self
    }

    /// The treatment of connections beyond [`max_sessions`](Self::max_sessions). Default: they are refused.
    #[must_use]
    pub fn over_limit(mut self, what: OverLimit) -> Self {
        self.over_limit = what;
        self
    }

    /// Maximum number of open sessions from one client address. A further one is sent [`ReplyKind::TooManySessions`]
    /// and closed. Default: unlimited.
    #[must_use]
    pub fn max_sessions_per_ip(mut self, sessions: u64) -> Self {
        self.policy.change_limits(|limits| limits.max_sessions_per_ip = Some(sessions));
        self
    }

    /// Removes the limit on open sessions of one client address, which is the default.
    #[must_use]
    pub fn without_max_sessions_per_ip(mut self) -> Self {
        self.policy.change_limits(|limits| limits.max_sessions_per_ip = None);
        self
    }

    /// Maximum number of messages accepted in one session. A further MAIL is answered with
    /// [`ReplyKind::TooManyMessages`], and the session is closed. Default: unlimited.
    #[must_use]
    pub fn max_messages_per_session(mut self, messages: u64) -> Self {
        self.policy.change_limits(|limits| limits.max_messages_per_session = Some(messages));
        self
    }

    /// Removes the limit on messages in one session, which is the default.
    #[must_use]
    pub fn without_max_messages_per_session(mut self) -> Self {
        self.policy.change_limits(|limits| limits.max_messages_per_session = None);
        self
    }

    /// Maximum number of RCPTs in one mail transaction. A further one is answered with
    /// [`ReplyKind::TooManyRecipients`]. Default and maximum 10,000.
    #[must_use]
    pub fn max_rcpts(mut self, recipients: usize) -> Self {
        self.policy.set_max_recipients(recipients);
        self
    }

    /// Maximum rate of connections or mail transactions. Default: unlimited.
    #[must_use]
    pub fn rate_limit(mut self, limit: RateLimit) -> Self {
        self.policy.change_limits(|limits| limits.rate = Some(limit));
        self
    }

    /// Removes the limit on the rate of connections or mail transactions, which is the default.
    #[must_use]
    pub fn without_rate_limit(mut self) -> Self {
        self.policy.change_limits(|limits| limits.rate = None);
        self
    }

    /// Closes the session after the first refused command. Default off.
    #[must_use]
    pub fn fail_fast(mut self, on: bool) -> Self {
        self.policy.fail_fast = on;
        self
    }

    /// Refuses these HELO/EHLO domains; see [`Lists`](crate::smtp::Lists) for how they are compared.
    #[must_use]
    pub fn blacklisted_helo_domains<T: Into<String>>(mut self, list: impl IntoIterator<Item = T>) -> Self {
        self.policy.change_lists(|lists| lists.blacklisted_helo_domains = bytes_set(list));
        self
    }

    /// Refuses these reverse-paths; see [`Lists`](crate::smtp::Lists) for how they are compared.
    #[must_use]
    pub fn blacklisted_mailfrom_emails<T: Into<String>>(mut self, list: impl IntoIterator<Item = T>) -> Self {
        self.policy.change_lists(|lists| lists.blacklisted_mailfrom_emails = bytes_set(list));
        self
    }

    /// Refuses these forward-paths; see [`Lists`](crate::smtp::Lists) for how they are compared.
    #[must_use]
    pub fn blacklisted_rcptto_emails<T: Into<String>>(mut self, list: impl IntoIterator<Item = T>) -> Self {
        self.policy.change_lists(|lists| lists.blacklisted_rcptto_emails = bytes_set(list));
        self
    }

    /// Answers these forward-paths with [`ReplyKind::RcptNotRegistered`]; see [`Lists`](crate::smtp::Lists) for how
    /// they are compared.
    #[must_use]
    pub fn not_registered_emails<T: Into<String>>(mut self, list: impl IntoIterator<Item = T>) -> Self {
        self.policy.change_lists(|lists| lists.not_registered_emails = bytes_set(list));
        self
    }

    /// Maximum size of a message, in octets. Default 10,485,760; zero refuses all non-empty messages.
    #[must_use]
    pub fn message_size_limit(mut self, octets: usize) -> Self {
        self.policy.set_message_size_limit(octets);
        self
    }

    /// Which HELO names and addresses are valid. Default [`AddressRules::Lenient`].
    #[must_use]
    pub fn addresses(mut self, rules: AddressRules) -> Self {
        self.policy.addresses = rules;
        self
    }
}

/// The values of settings that can change, for the closure of [`reconfigure`](crate::Server::reconfigure).
///
/// ```
/// use smtpmock::{Config, Server};
///
/// let server = Server::start(Config::default().max_sessions(100))?;
/// server.reconfigure(|settings| match settings.policy().limits().max_sessions {
///     Some(sessions) => settings.max_sessions(sessions * 2),
///     None => settings,
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl<F> Config<F> {
    /// The policy of sessions: replies, Extended SMTP, delays, rules, lists and limits.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The value of [`session_timeout`](Self::session_timeout).
    pub fn get_session_timeout(&self) -> Duration {
        self.session_timeout
    }

    /// The value of [`data_timeout`](Self::data_timeout).
    pub fn get_data_timeout(&self) -> Duration {
        self.data_timeout
    }

    /// The rate of [`drip`](Self::drip); `None`: unlimited.
    pub fn get_drip(&self) -> Option<ByteRate> {
        self.drip
    }

    /// The rate of [`read_rate`](Self::read_rate); `None`: unlimited.
    pub fn get_read_rate(&self) -> Option<ByteRate> {
        self.read_rate
    }

    /// The value of [`over_limit`](Self::over_limit).
    pub fn get_over_limit(&self) -> OverLimit {
        self.over_limit
    }
}

fn bytes_set<T: Into<String>>(list: impl IntoIterator<Item = T>) -> HashSet<Vec<u8>> {
    list.into_iter().map(|item| item.into().into_bytes()).collect()
}
