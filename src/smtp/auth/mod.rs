//! Authentication (RFC 4954): who may authenticate, by which SASL mechanisms, and their exchanges. Imports `rules` for
//! the errors of its grammar; pure: a slow check is an owned value that a driver may run on any thread.
//!
//! ```
//! use smtpmock::smtp::auth::{Auth, Credential, Mechanism};
//!
//! let mut auth = Auth::default();
//! auth.add(Credential::user("ann", "secret"));
//! assert!(auth.mechanisms().contains(&Mechanism::Plain));
//! assert_eq!("scram-sha-256".parse(), Ok(Mechanism::ScramSha256));
//! ```

mod bearer;
mod check;
#[cfg(feature = "auth")]
mod cram_md5;
mod credential;
mod exchange;
mod external;
mod gs2;
mod mechanism;
mod password;
#[cfg(feature = "auth")]
mod password_file;
mod plain;
#[cfg(feature = "auth")]
mod scram;
mod secret;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

#[cfg(all(test, feature = "auth"))]
pub(crate) use check::a_check;
pub use check::{Check, Checked};
pub use credential::Credential;
use credential::{Kind, User};
pub(in crate::smtp) use exchange::{AuthExchange, Reaction, Refusal};
pub use external::ExternalIdentity;
pub use mechanism::Mechanism;
#[cfg(feature = "auth")]
pub use password_file::{PasswordFileError, read_password_file, slow_passwords};
use secret::Secret;

/// The user that a session has authenticated as, or that a trusted peer has named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::smtp) struct Identity {
    pub(in crate::smtp) user: Box<[u8]>,
    /// `None` if a trusted peer has named the user.
    pub(in crate::smtp) mechanism: Option<Mechanism>,
}

impl Identity {
    /// Bytes in memory, including shared ones.
    pub(in crate::smtp) fn memory(&self) -> usize {
        2 * size_of::<usize>() + size_of::<Self>() + self.user.len()
    }
}

/// Who may authenticate, and how. By default nobody, and AUTH is not offered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Auth {
    /// Any user with any password, and any token.
    takes_any: bool,
    users: BTreeMap<Box<[u8]>, Arc<User>>,
    tokens: Vec<Secret>,
    listed: Option<Vec<Mechanism>>,
    /// MAIL needs an authenticated session.
    pub required: bool,
    /// Clients can be identified below SMTP, by certificates.
    pub(in crate::smtp) has_external: bool,
    /// A user that was added with two passwords.
    ambiguous: Option<Box<[u8]>>,
}

impl Auth {
    /// Adds a credential.
    pub fn add(&mut self, credential: Credential) {
        match credential.0 {
            Kind::Any => self.takes_any = true,
            Kind::Token(token) => self.tokens.push(token),
            Kind::User(name, user) => match self.users.entry(name) {
                Entry::Vacant(entry) => _ = entry.insert(user),
                Entry::Occupied(entry) if *entry.get() == user => {}
                Entry::Occupied(entry) => self.ambiguous = Some(entry.key().clone()),
            },
        }
    }

    /// Replaces all users, and the wildcard.
    #[cfg(feature = "http")]
    pub(crate) fn replace_users(&mut self, credentials: impl IntoIterator<Item = Credential>) {
        (self.takes_any, self.ambiguous) = (false, None);
        self.users.clear();
        credentials.into_iter().for_each(|credential| self.add(credential));
    }

    #[cfg(feature = "http")]
    pub(crate) fn replace_tokens(&mut self, credentials: impl IntoIterator<Item = Credential>) {
        self.tokens.clear();
        credentials.into_iter().for_each(|credential| self.add(credential));
    }

    /// Offers only these mechanisms; `None`: the default set.
    #[cfg(feature = "http")]
    pub(crate) fn restrict(&mut self, mechanisms: Option<Vec<Mechanism>>) {
        self.listed = None;
        mechanisms.into_iter().for_each(|mechanisms| self.set_mechanisms(mechanisms));
    }

    /// The configured mechanisms; `None`: the default set.
    #[cfg(feature = "http")]
    pub(crate) fn listed(&self) -> Option<&[Mechanism]> {
        self.listed.as_deref()
    }

    /// Any user may authenticate.
    #[cfg(feature = "http")]
    pub(crate) fn takes_any(&self) -> bool {
        self.takes_any
    }

    #[cfg(feature = "http")]
    pub(crate) fn user_names(&self) -> impl Iterator<Item = &[u8]> {
        self.users.keys().map(|name| &**name)
    }

    #[cfg(feature = "http")]
    pub(crate) fn user(&self, name: &[u8]) -> Option<Credential> {
        self.users
            .get_key_value(name)
            .map(|(name, user)| Credential(Kind::User(name.clone(), Arc::clone(user))))
    }

    /// The tokens, in the order in which they were added.
    #[cfg(feature = "http")]
    pub(crate) fn tokens(&self) -> impl Iterator<Item = Credential> {
        self.tokens.iter().map(|token| Credential(Kind::Token(token.clone())))
    }

    /// Offers only these mechanisms. The default set is all that the credentials can complete, without ANONYMOUS.
    pub fn set_mechanisms(&mut self, mechanisms: impl IntoIterator<Item = Mechanism>) {
        let mut listed: Vec<Mechanism> = mechanisms.into_iter().collect();
        listed.sort_unstable();
        listed.dedup();
        self.listed = Some(listed);
    }

    /// The mechanisms that are offered, in the order of [`Mechanism::ALL`]; EXTERNAL only to clients with a
    /// certificate.
    pub fn mechanisms(&self) -> Vec<Mechanism> {
        let default = || {
            let possible = Mechanism::ALL.iter().copied().filter(|one| self.can_complete(*one));
            possible.filter(|one| *one != Mechanism::Anonymous).collect()
        };
        self.listed.clone().unwrap_or_else(default)
    }

    pub(in crate::smtp) fn offers(&self, mechanism: Mechanism) -> bool {
        match &self.listed {
            Some(listed) => listed.contains(&mechanism),
            None => mechanism != Mechanism::Anonymous && self.can_complete(mechanism),
        }
    }

    /// Any mechanism is offered.
    pub fn is_on(&self) -> bool {
        match &self.listed {
            Some(listed) => !listed.is_empty(),
            None => self.takes_any || !self.users.is_empty() || !self.tokens.is_empty(),
        }
    }

    /// At least one credential can complete an exchange of this mechanism.
    fn can_complete(&self, mechanism: Mechanism) -> bool {
        let has_clear = || self.users.values().any(|user| user.password.as_clear().is_some());
        match mechanism {
            Mechanism::Plain | Mechanism::Login => self.takes_any || !self.users.is_empty(),
            Mechanism::CramMd5 => cfg!(feature = "auth") && (self.takes_any || has_clear()),
            Mechanism::ScramSha1 | Mechanism::ScramSha256 => cfg!(feature = "auth") && has_clear(),
            Mechanism::XOAuth2 | Mechanism::OAuthBearer => self.takes_any || !self.tokens.is_empty(),
            Mechanism::External => self.has_external,
            Mechanism::Anonymous => true,
        }
    }

    /// Derives the keys of all users; otherwise the first exchange of a user does it.
    pub(crate) fn prepare(&self) {
        #[cfg(feature = "auth")]
        for hash in scram::Hash::ALL.iter().filter(|hash| self.offers(hash.mechanism())) {
            for user in self.users.values() {
                user.keys(*hash);
            }
        }
    }

    /// Why this configuration is invalid: the setting, its value, and what would be right.
    pub(crate) fn contradiction(&self) -> Option<(&'static str, String, String)> {
        if let Some(name) = &self.ambiguous {
            let name = String::from_utf8_lossy(name).into_owned();
            return Some(("auth", name, "one password for each user: this one has two".to_owned()));
        }
        let is_impossible = |name: &[u8]| name.is_empty() || name.iter().any(u8::is_ascii_control);
        if let Some(name) = self.users.keys().find(|name| is_impossible(name)) {
            let name = String::from_utf8_lossy(name).into_owned();
            return Some(("auth", name, "a user with a name, without control characters".to_owned()));
        }
        if self.listed.as_deref().is_some_and(<[_]>::is_empty) {
            let expected = "at least one mechanism, like PLAIN,LOGIN".to_owned();
            return Some(("auth_mechanisms", String::new(), expected));
        }
        if let Some(one) = self.mechanisms().into_iter().find(|one| !self.can_complete(*one)) {
            return Some(("auth_mechanisms", one.to_string(), self.why_not(one)));
        }
        let is_open = self.required && !self.is_on();
        is_open.then(|| {
            let expected = "somebody who can authenticate: a user, a token, or any".to_owned();
            ("auth_required", "true".to_owned(), expected)
        })
    }

    /// What this mechanism requires that no credential has.
    fn why_not(&self, mechanism: Mechanism) -> String {
        match mechanism {
            Mechanism::Plain | Mechanism::Login => {
                format!("a user with a password, or any, for {mechanism}")
            }
            Mechanism::CramMd5 | Mechanism::ScramSha1 | Mechanism::ScramSha256 if !cfg!(feature = "auth") => {
                format!("the cargo feature auth for {mechanism}")
            }
            Mechanism::CramMd5 => {
                format!("a user whose password is not hashed, or any, for {mechanism}: it needs the password")
            }
            Mechanism::ScramSha1 | Mechanism::ScramSha256 => {
                format!(
                    "a user whose password is not hashed for {mechanism}: its server proves that it knows the password"
                )
            }
            Mechanism::XOAuth2 | Mechanism::OAuthBearer => format!("a token, or any, for {mechanism}"),
            Mechanism::External => {
                format!("a CA of clients for {mechanism}: --tls-client-ca, Tls::client_ca()")
            }
            Mechanism::Anonymous => unreachable!("it needs no credential"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth(credentials: &[Credential]) -> Auth {
        let mut auth = Auth::default();
        credentials.iter().for_each(|credential| auth.add(credential.clone()));
        auth
    }

    fn offered(auth: &Auth) -> String {
        auth.mechanisms().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[cfg(feature = "auth")]
    #[test]
    fn what_the_credentials_can_complete_is_offered() {
        let hashed = read_password_file("ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=").expect("valid");
        assert_eq!(offered(&Auth::default()), "");
        assert_eq!(offered(&auth(&[Credential::any()])), "PLAIN LOGIN CRAM-MD5 XOAUTH2 OAUTHBEARER");
        assert_eq!(
            offered(&auth(&[Credential::user("ann", "secret")])),
            "PLAIN LOGIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256"
        );
        assert_eq!(offered(&auth(&hashed)), "PLAIN LOGIN");
        assert_eq!(offered(&auth(&[Credential::token("t")])), "XOAUTH2 OAUTHBEARER");
        let mut listed = auth(&[Credential::user("ann", "secret")]);
        listed.set_mechanisms([Mechanism::Anonymous, Mechanism::Login, Mechanism::Login]);
        assert_eq!(offered(&listed), "LOGIN ANONYMOUS");
        assert_eq!(listed.contradiction(), None);
    }

    #[cfg(feature = "auth")]
    #[test]
    fn a_mechanism_that_no_credential_can_complete_is_refused_with_the_reason() {
        let hashed = read_password_file("ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=").expect("valid");
        let user = [Credential::user("ann", "secret")];
        let cases: &[(&[Credential], Mechanism, &str)] = &[
            (&[], Mechanism::Plain, "a user with a password"),
            (&[Credential::any()], Mechanism::ScramSha256, "proves that it knows the password"),
            (&hashed, Mechanism::ScramSha1, "not hashed"),
            (&hashed, Mechanism::CramMd5, "not hashed"),
            (&user, Mechanism::XOAuth2, "a token"),
            (&[Credential::token("t")], Mechanism::Login, "a user with a password"),
        ];
        for (credentials, mechanism, reason) in cases {
            let mut auth = auth(credentials);
            auth.set_mechanisms([*mechanism]);
            let (setting, value, expected) = auth.contradiction().expect("no credential can complete it");
            assert_eq!((setting, value), ("auth_mechanisms", mechanism.to_string()));
            assert!(expected.contains(reason), "{expected}");
        }
    }

    #[test]
    fn a_user_has_one_password_and_a_requirement_somebody_who_can_meet_it() {
        let mut twice = auth(&[Credential::user("ann", "secret"), Credential::user("ann", "secret")]);
        assert_eq!(twice.contradiction(), None);
        twice.add(Credential::user("ann", "other"));
        assert!(twice.contradiction().is_some_and(|(_, name, _)| name == "ann"));
        let nobody = Auth { required: true, ..Auth::default() };
        assert!(nobody.contradiction().is_some_and(|(setting, ..)| setting == "auth_required"));
        for name in ["", "a\0", "a\n"] {
            assert!(auth(&[Credential::user(name, "x")]).contradiction().is_some(), "{name:?}");
        }
    }

    #[test]
    fn no_secret_is_shown() {
        let shown =
            format!("{:?}", auth(&[Credential::user("ann", "hunter2"), Credential::token("hunter2")]));
        assert!(shown.contains("<redacted>") && !shown.contains("hunter2"), "{shown}");
    }
}
