//! Validation of settings.

use std::collections::HashMap;
use std::time::Duration;

use super::listen::{inbox_of, is_encrypted, speaks_lmtp, takes_proxy_headers};
use super::{Config, StartSettings};
use crate::config::ConfigError;
use crate::config::milestone::Goal;
use crate::records::{CaptureContent, CaptureFormat};
use crate::smtp::auth::{Auth, Mechanism};
use crate::smtp::rules::{Extension, Feasible, MAX_DURATION, Offer, Rule};
use crate::smtp::{DelayPoint, Esmtp, MAX_RECIPIENTS, RecordMode, ReplyKind};
use crate::tls::{ServerTls, Tls};

/// `listen(2)` takes a C int, and the kernel limits it to `net.core.somaxconn` anyway.
const MAX_BACKLOG: u32 = 65_535;

impl Config {
    /// Checks every setting, as [`Server::start`](crate::Server::start) does.
    ///
    /// # Errors
    /// The first setting with an invalid value: its name, the value, and what would be right.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.listeners()?;
        self.validate_settings()?;
        self.prepare_tls()?;
        self.validate_encryption()?;
        let fixed = &self.fixed;
        duration("shutdown_timeout", fixed.shutdown_timeout, Duration::ZERO)?;
        self.validate_capture()?;
        if fixed.display.is_some() {
            self.validate_mails()?;
        }
        fixed.goals.iter().try_for_each(Goal::validate)?;
        within("shards", fixed.shards, 1, Self::MAX_SHARDS)?;
        within("backlog", fixed.backlog as usize, 1, MAX_BACKLOG as usize)?;
        within("max_message_memory", fixed.max_message_memory, 1, usize::MAX)?;
        within("max_records", fixed.max_records, 1, usize::MAX)?;
        within("max_record_memory", fixed.max_record_memory, 1, usize::MAX)
    }

    /// The TLS configuration of handshakes; `None` without TLS.
    pub(crate) fn prepare_tls(&self) -> Result<Option<ServerTls>, ConfigError> {
        let prepared = self.fixed.tls.as_ref().map(Tls::prepare).transpose();
        let prepared = prepared.map_err(ConfigError::from)?;
        self.prepare_rules(prepared.as_ref())?;
        Ok(prepared)
    }

    /// Checks that records are mails, as showing and capturing whole mails requires.
    ///
    /// # Errors
    /// Records are sessions.
    #[doc(hidden)]
    pub fn validate_mails(&self) -> Result<(), ConfigError> {
        match self.policy.records {
            RecordMode::Message => Ok(()),
            RecordMode::Session => {
                let expected = "message: a record of a session has only one of its mails";
                Err(ConfigError::new("records", "session", expected))
            }
        }
    }

    fn validate_capture(&self) -> Result<(), ConfigError> {
        let StartSettings { capture_format: format, capture_content, ref capture, .. } = self.fixed;
        if format != CaptureFormat::JsonLines {
            self.validate_mails()?;
        }
        if format != CaptureFormat::JsonLines && capture_content == CaptureContent::Envelope {
            let expected = "message: a mail in another form than JSON lines has its text";
            return Err(ConfigError::new("capture_content", "envelope", expected));
        }
        if format.is_folder() && capture.as_deref().is_some_and(|path| path.as_os_str() == "-") {
            return Err(ConfigError::new("capture", "-", "the name of a folder, for one file per mail"));
        }
        Ok(())
    }

    /// Settings that are accepted but that clients may not understand: replies without a valid reply code (RFC 5321
    /// section 4.2); listeners that accept PROXY headers without any trusted peer; TLS that clients are not offered;
    /// and certificates that clients refuse, because they are expired, not yet valid or in the wrong order.
    pub fn doubts(&self) -> Vec<ConfigError> {
        let replies = ReplyKind::ALL.iter().filter_map(|kind| {
            let reply = self.policy.reply(*kind);
            let is_again = *kind == ReplyKind::EhloReceived
                && (!self.policy.is_configured(*kind) || reply == self.policy.reply(ReplyKind::HeloReceived));
            if is_again {
                return None;
            }
            Some(ConfigError::new(kind.setting(), reply.source(), reply.doubt()?))
        });
        let rules =
            self.policy.rules().filter_map(|rule| Some(ConfigError::new("rule", rule, rule.doubt()?)));
        replies.chain(rules).chain(self.doubtful_listeners()).chain(self.doubts_of_tls()).collect()
    }

    /// Rules that can't fire with the other settings, each with the reason.
    pub fn idle_rules(&self) -> Vec<ConfigError> {
        let policy = &self.policy;
        let has_extensions = policy.esmtp().is_some() || self.fixed.listen.iter().any(|url| speaks_lmtp(url));
        let server = Feasible {
            has_extensions,
            has_bdat: has_extensions || policy.may_offer("CHUNKING"),
            has_tls: policy.has_tls(),
            has_xclient: has_extensions && !policy.trusted().is_empty(),
            mechanisms: policy
                .auth()
                .map_or_else(Vec::new, Auth::mechanisms)
                .into_iter()
                .map(Mechanism::name)
                .collect(),
            inboxes: self.fixed.listen.iter().filter_map(|url| inbox_of(url)).collect(),
        };
        let rules =
            policy.rules().filter_map(|rule| Some(ConfigError::new("rule", rule, rule.obstacle(&server)?)));
        rules.collect()
    }

    fn doubtful_listeners(&self) -> impl Iterator<Item = ConfigError> {
        let urls = self.fixed.listen.iter().filter(|_| self.policy.trusted().is_empty());
        let expected = "a trusted peer: --trust, Config::trust";
        urls.filter(|url| takes_proxy_headers(url)).map(move |url| ConfigError::new("listen", url, expected))
    }
}

/// The settings by which clients can encrypt.
const ENCRYPTING: &str =
    "STARTTLS among the extensions and in the text for EHLO, or a listener like smtps://127.0.0.1";

impl Config {
    /// Whether clients can encrypt: STARTTLS may be offered, or a listener begins with TLS.
    fn can_encrypt(&self) -> bool {
        let has_it = |offer: Offer| offer.includes(Extension::Starttls) != Some(false);
        let offer = self.policy.esmtp().and_then(|esmtp| esmtp.offer);
        let is_offered = offer.is_none_or(has_it) && self.policy.may_offer("STARTTLS");
        is_offered
            || self.policy.rules().filter_map(Rule::offers).any(has_it)
            || self.fixed.listen.iter().any(|url| is_encrypted(url))
    }

    /// Checks that clients can encrypt if they must.
    fn validate_encryption(&self) -> Result<(), ConfigError> {
        let is_required = self.policy.esmtp().is_some_and(|esmtp| esmtp.tls_required);
        match is_required && !self.can_encrypt() {
            true => {
                let expected = format!("{ENCRYPTING}: else all commands get 530");
                Err(ConfigError::new("tls_required", true, expected))
            }
            false => Ok(()),
        }
    }

    /// TLS that no client can use, and certificates that clients refuse.
    fn doubts_of_tls(&self) -> impl Iterator<Item = ConfigError> {
        let is_idle = self.policy.has_tls() && !self.can_encrypt();
        let idle = is_idle.then(|| ConfigError::new("tls", "true", ENCRYPTING));
        idle.into_iter().chain(self.fixed.tls.iter().flat_map(Tls::doubts).map(ConfigError::from))
    }
}

impl<F> Config<F> {
    /// Prepares the certificates and configurations that rules on handshakes need, so that no handshake waits for them.
    pub(crate) fn prepare_rules(&self, tls: Option<&ServerTls>) -> Result<(), ConfigError> {
        let Some(tls) = tls else { return Ok(()) };
        self.policy.rules().try_for_each(|rule| {
            let (certificate, version) = rule.choice();
            let made = tls.config_for(certificate, version);
            made.map(drop).map_err(|error| ConfigError::new("rule", rule, error.expected))
        })
    }

    /// Checks every setting that can change, as [`Server::reconfigure`](crate::Server::reconfigure) does.
    pub(crate) fn validate_settings(&self) -> Result<(), ConfigError> {
        duration("session_timeout", self.session_timeout, Duration::ZERO)?;
        duration("data_timeout", self.data_timeout, Duration::from_millis(1))?;
        for &point in DelayPoint::ALL {
            duration(point.setting(), self.policy.delay(point).longest_named(), Duration::ZERO)?;
        }
        // Before the replies, which contain its lines.
        self.validate_esmtp()?;
        for &kind in ReplyKind::ALL {
            let reply = self.policy.reply(kind);
            if let Some(reason) = reply.fault() {
                return Err(ConfigError::new(kind.setting(), reply.source(), reason));
            }
        }
        let mut names = HashMap::new();
        for rule in self.policy.rules() {
            if let Some(contradiction) = rule.contradiction() {
                return Err(ConfigError::new("rule", rule, contradiction.expected));
            }
            if let Some(name) = rule.name()
                && let Some(other) = names.insert(name, rule)
            {
                let expected = format!("a unique id: the rule `{other}` has id={name} too");
                return Err(ConfigError::new("rule", rule, expected));
            }
        }
        let limits = self.policy.limits();
        within("max_rcpts", self.policy.max_recipients(), 1, MAX_RECIPIENTS)?;
        within("message_size_limit", self.policy.message_size_limit(), 1, usize::MAX)?;
        let counts = [
            ("max_sessions", limits.max_sessions),
            ("max_sessions_per_ip", limits.max_sessions_per_ip),
            ("max_messages_per_session", limits.max_messages_per_session),
        ];
        for (setting, count) in counts {
            if count == Some(0) {
                return Err(ConfigError::new(setting, 0, "a number of at least 1"));
            }
        }
        match limits.rate.as_ref().and_then(|rate| Some((rate, rate.contradiction()?))) {
            Some((rate, reason)) => Err(ConfigError::new("rate_limit", rate, reason)),
            None => Ok(()),
        }
    }
}

impl<F> Config<F> {
    /// Checks the settings of extensions.
    fn validate_esmtp(&self) -> Result<(), ConfigError> {
        let Some(esmtp) = self.policy.esmtp() else {
            let rule = self.policy.rules().find(|rule| rule.offers().is_some());
            let expected = "ehlo= where extensions are offered: under --esmtp, Config::esmtp()";
            return rule.map_or(Ok(()), |rule| Err(ConfigError::new("rule", rule, expected)));
        };
        self.validate_auth(esmtp)?;
        self.validate_starttls(esmtp)?;
        for line in &esmtp.lines {
            let is_text = |c: char| c == '\t' || !c.is_control();
            if line.trim().is_empty() || !line.chars().all(is_text) || has_code(line) {
                let expected = "one line of text, without code and line end, like XCLIENT NAME ADDR";
                return Err(ConfigError::new("ehlo_line", line, expected));
            }
        }
        if !self.policy.is_configured(ReplyKind::EhloReceived) {
            return Ok(());
        }
        let expected = "no configured text for EHLO beside it: such a text is sent unchanged";
        match (&esmtp.offer, esmtp.lines.first()) {
            (Some(offer), _) => Err(ConfigError::new("extensions", offer, expected)),
            (None, Some(line)) => Err(ConfigError::new("ehlo_line", line, expected)),
            (None, None) => Ok(()),
        }
    }
}

impl<F> Config<F> {
    /// Checks the credentials, and that AUTH can be offered.
    fn validate_auth(&self, esmtp: &Esmtp) -> Result<(), ConfigError> {
        if let Some((setting, value, expected)) = esmtp.auth.contradiction() {
            return Err(ConfigError::new(setting, value, expected));
        }
        if self.policy.auth().is_some() {
            let is_omitted = |offer: &Offer| offer.includes(Extension::Auth) == Some(false);
            if let Some(offer) = esmtp.offer.filter(is_omitted) {
                let expected = "AUTH among the extensions, as there is somebody who may authenticate";
                return Err(ConfigError::new("extensions", offer, expected));
            }
            if !self.policy.may_offer("AUTH") {
                let text = self.policy.reply(ReplyKind::EhloReceived).source();
                let expected = "a text for EHLO that offers AUTH, as there is somebody who may authenticate";
                return Err(ConfigError::new(ReplyKind::EhloReceived.setting(), text, expected));
            }
            return Ok(());
        }
        let expected =
            "no AUTH among the extensions, or somebody who may authenticate: --auth, Config::auth()";
        if let Some(offer) = esmtp.offer.filter(|offer| offer.names(Extension::Auth)) {
            return Err(ConfigError::new("extensions", offer, expected));
        }
        let names_it = |rule: &&Rule| rule.offers().is_some_and(|offer| offer.names(Extension::Auth));
        let rule = self.policy.rules().find(names_it);
        rule.map_or(Ok(()), |rule| Err(ConfigError::new("rule", rule, expected)))
    }
}

impl<F> Config<F> {
    /// Checks that settings that require TLS are possible.
    fn validate_starttls(&self, esmtp: &Esmtp) -> Result<(), ConfigError> {
        if self.policy.has_tls() {
            return Ok(());
        }
        let expected = "TLS for it: --tls, Config::tls()";
        if esmtp.tls_required {
            return Err(ConfigError::new("tls_required", true, expected));
        }
        if esmtp.clear_auth == Some(false) {
            return Err(ConfigError::new("auth_in_clear", "refuse", expected));
        }
        let names_it = |offer: &Offer| offer.names(Extension::Starttls);
        if let Some(offer) = esmtp.offer.filter(names_it) {
            return Err(ConfigError::new("extensions", offer, expected));
        }
        let rule = self.policy.rules().find(|rule| rule.offers().as_ref().is_some_and(names_it));
        rule.map_or(Ok(()), |rule| Err(ConfigError::new("rule", rule, expected)))
    }
}

/// Whether a line of text begins with a reply code.
fn has_code(line: &str) -> bool {
    matches!(line.as_bytes(), [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9', b'-' | b' ', ..])
}

fn duration(setting: &'static str, value: Duration, least: Duration) -> Result<(), ConfigError> {
    if (least..=MAX_DURATION).contains(&value) {
        return Ok(());
    }
    let days = MAX_DURATION.as_secs() / (24 * 3600);
    Err(ConfigError::new(setting, format!("{value:?}"), format!("a duration from {least:?} to {days} days")))
}

fn within(setting: &'static str, value: usize, least: usize, most: usize) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let range =
        if most == usize::MAX { format!("at least {least}") } else { format!("from {least} to {most}") };
    Err(ConfigError::new(setting, value, format!("a number {range}")))
}
