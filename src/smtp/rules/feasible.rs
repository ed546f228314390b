//! Rules that cannot fire with a server's other settings. They are accepted, since those settings may change while the
//! server runs.

use std::sync::Arc;

use super::rule::Rule;
use crate::smtp::reply::Stage;

/// The capabilities of a server's sessions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Feasible {
    /// Extensions are available: with Extended SMTP, and in LMTP.
    pub(crate) has_extensions: bool,
    /// BDAT is a command.
    pub(crate) has_bdat: bool,
    /// TLS can begin.
    pub(crate) has_tls: bool,
    /// Some peer may use XCLIENT.
    pub(crate) has_xclient: bool,
    /// Names of the mechanisms of AUTH; empty if nobody may authenticate.
    pub(crate) mechanisms: Vec<&'static str>,
    /// The inboxes of the listeners.
    pub(crate) inboxes: Vec<Arc<str>>,
}

impl Rule {
    /// What prevents the rule from firing; `None`: nothing.
    pub(crate) fn obstacle(&self, server: &Feasible) -> Option<&'static str> {
        let &Feasible { has_extensions, has_bdat, has_tls, has_xclient, ref mechanisms, ref inboxes } =
            server;
        let has_auth = !mechanisms.is_empty();
        let when = &self.when;
        let has_mechanism = |pattern: &super::glob::Glob| {
            mechanisms.iter().any(|mechanism| pattern.matches(mechanism.as_bytes()))
        };
        let has_inbox =
            |pattern: &super::glob::Glob| inboxes.iter().any(|inbox| pattern.matches(inbox.as_bytes()));
        let lacks_inbox = when.inbox.as_ref().is_some_and(|pattern| !has_inbox(pattern));
        // At connect nobody has authenticated, and at tls the user is forgotten.
        let has_user = match self.stage {
            Some(Stage::Tls) => false,
            Some(Stage::Greeting) => has_xclient,
            _ => has_auth || has_xclient,
        };
        let has_recipients =
            matches!(self.stage, None | Some(Stage::Rcpt | Stage::Data | Stage::Bdat | Stage::Message));
        match self.stage {
            Some(Stage::Vrfy | Stage::Help) if !has_extensions => {
                Some("--esmtp or a listener of LMTP: elsewhere this command is unknown")
            }
            Some(Stage::Bdat) if !has_bdat => Some(
                "--esmtp, a listener of LMTP, or a text for EHLO that offers CHUNKING: elsewhere BDAT is unknown",
            ),
            Some(Stage::Auth) if !has_auth => {
                Some("somebody who may authenticate, like --auth any: else AUTH is unknown")
            }
            Some(Stage::Tls) if !has_tls => Some("--tls: else there is no handshake"),
            Some(Stage::Starttls) if !(has_tls && has_extensions) => Some("--tls: else STARTTLS is unknown"),
            Some(Stage::Xclient) if !has_xclient => {
                Some("--esmtp or a listener of LMTP, and a peer of --trust: else XCLIENT is unknown")
            }
            _ if when.user.is_some() && !(has_auth || has_xclient) => Some(
                "somebody who may authenticate, like --auth any, or under --esmtp a peer of --trust: else no session has a user",
            ),
            _ if lacks_inbox && !has_user && !has_recipients => Some(
                "a listener with this inbox, like --listen smtp://127.0.0.1?inbox=test-1, a user, or one of the stages rcpt, data, bdat \
                 and message: at others there are no recipients",
            ),
            _ if when.mechanism.is_some() && !has_auth => {
                Some("somebody who may authenticate, like --auth any: else no session has a mechanism")
            }
            _ if when.mechanism.as_ref().is_some_and(|pattern| !has_mechanism(pattern)) => {
                Some("a mechanism that is offered: see --auth-mechanisms")
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each setting enables exactly the rules that need it.
    #[test]
    fn a_rule_lacks_what_its_stage_and_conditions_need() {
        let none = Feasible::default();
        let extended = Feasible { has_extensions: true, has_bdat: true, ..none.clone() };
        let servers = [
            ("none", none.clone()),
            ("chunking", Feasible { has_bdat: true, ..none }),
            ("extended", extended.clone()),
            ("tls", Feasible { has_tls: true, ..extended.clone() }),
            ("xclient", Feasible { has_xclient: true, ..extended.clone() }),
            ("auth", Feasible { mechanisms: vec!["PLAIN", "LOGIN"], ..extended.clone() }),
            ("inbox", Feasible { inboxes: vec!["test-1".into()], ..Feasible::default() }),
        ];
        for (rule, needed) in [
            ("vrfy silent", &["extended", "tls", "xclient", "auth"][..]),
            ("help silent", &["extended", "tls", "xclient", "auth"]),
            ("bdat silent", &["chunking", "extended", "tls", "xclient", "auth"]),
            ("auth silent", &["auth"]),
            ("starttls silent", &["tls"]),
            ("tls silent", &["tls"]),
            ("xclient silent", &["xclient"]),
            ("rcpt user=ann silent", &["xclient", "auth"]),
            ("any user=ann silent", &["xclient", "auth"]),
            ("rcpt mechanism=plain silent", &["auth"]),
            ("auth mechanism=LOG* silent", &["auth"]),
            ("auth mechanism=FOO silent", &[]),
            ("any silent", &["none", "chunking", "extended", "tls", "xclient", "auth", "inbox"]),
            (
                "rcpt times=1 per=user silent",
                &["none", "chunking", "extended", "tls", "xclient", "auth", "inbox"],
            ),
            ("connect inbox=test-* silent", &["xclient", "inbox"]),
            ("tls inbox=test-1 silent", &[]),
            ("mail inbox=test-1 silent", &["xclient", "auth", "inbox"]),
            ("mail inbox=test-2 silent", &["xclient", "auth"]),
            ("rcpt inbox=x silent", &["none", "chunking", "extended", "tls", "xclient", "auth", "inbox"]),
            ("any inbox=x silent", &["none", "chunking", "extended", "tls", "xclient", "auth", "inbox"]),
        ] {
            let parsed: Rule = rule.parse().expect(rule);
            let fires = servers.iter().filter(|(_, server)| parsed.obstacle(server).is_none());
            let fires: Vec<&str> = fires.map(|(name, _)| *name).collect();
            assert_eq!(fires, needed, "{rule}");
        }
    }
}
