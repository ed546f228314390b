//! One exchange of messages (RFC 4954 section 4), in decoded messages: the session handles base64.

use std::hash::{DefaultHasher, Hasher as _};
use std::sync::Arc;

use super::bearer::{self, Bearer};
use super::check::{Check, Checked};
#[cfg(feature = "auth")]
use super::cram_md5::Answer;
use super::external::{self, ExternalIdentity};
use super::mechanism::Mechanism;
use super::password::Comparison;
use super::plain::Plain;
#[cfg(feature = "auth")]
use super::scram::{Expected, First, Hash};
use super::{Auth, Identity};

/// An exchange that waits for a response, or for a check.
pub(in crate::smtp) struct AuthExchange {
    mechanism: Mechanism,
    state: State,
    /// The user that the client claims to be.
    user: Option<Box<[u8]>>,
    /// A hash of the claimed user and the secret, to detect repeated attempts.
    attempt: Option<u64>,
}

/// What the next response must be.
enum State {
    /// The first message of a client-first mechanism.
    First,
    /// The authorization identity of EXTERNAL.
    External(Arc<ExternalIdentity>),
    /// The password, in LOGIN.
    Password,
    /// The answer to this challenge of CRAM-MD5.
    #[cfg(feature = "auth")]
    Cram(Vec<u8>),
    /// The client's final message of SCRAM.
    #[cfg(feature = "auth")]
    Proof(Hash, Expected),
    /// Empty, after the server's final message.
    #[cfg(feature = "auth")]
    Proven,
    /// Any, after the challenge with the reason of a refusal.
    Refused,
    /// None: a check is pending.
    Checking,
}

/// Why an exchange fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::smtp) enum Refusal {
    /// The credentials are wrong.
    Credentials,
    /// A response is not valid in this mechanism.
    Malformed,
}

/// The server's reaction to a response.
#[derive(Debug)]
pub(in crate::smtp) enum Reaction {
    /// The server sends this message.
    Challenge(Vec<u8>),
    /// The result depends on this check.
    Check(Check),
    /// The exchange is over.
    Over(Result<(), Refusal>),
}

const FAILED: Reaction = Reaction::Over(Err(Refusal::Credentials));
const MALFORMED: Reaction = Reaction::Over(Err(Refusal::Malformed));

impl std::fmt::Debug for AuthExchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthExchange").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}

impl AuthExchange {
    /// Begins an exchange, with the initial response if there is one. `nonce` is called if the mechanism needs one.
    pub(in crate::smtp) fn begin(
        mechanism: Mechanism,
        initial: Option<&[u8]>,
        auth: &Auth,
        nonce: impl FnOnce() -> String,
    ) -> (Self, Reaction) {
        let mut exchange = Self { mechanism, state: State::First, user: None, attempt: None };
        let reaction = match initial {
            Some(_) if mechanism.is_server_first() => MALFORMED,
            Some(response) => exchange.respond(response, auth, nonce),
            None => Reaction::Challenge(exchange.first_challenge(nonce)),
        };
        (exchange, reaction)
    }

    /// Begins an exchange of EXTERNAL with a client of this proven identity.
    pub(in crate::smtp) fn begin_external(
        identity: Arc<ExternalIdentity>,
        initial: Option<&[u8]>,
    ) -> (Self, Reaction) {
        let state = State::External(identity);
        let mut exchange = Self { mechanism: Mechanism::External, state, user: None, attempt: None };
        let reaction = match initial {
            Some(response) => exchange.respond(response, &Auth::default(), String::new),
            None => Reaction::Challenge(Vec::new()),
        };
        (exchange, reaction)
    }

    fn first_challenge(&mut self, nonce: impl FnOnce() -> String) -> Vec<u8> {
        match self.mechanism {
            Mechanism::Login => b"Username:".to_vec(),
            #[cfg(feature = "auth")]
            Mechanism::CramMd5 => {
                let challenge = format!("<{}@smtpmock>", nonce()).into_bytes();
                self.state = State::Cram(challenge.clone());
                challenge
            }
            _ => {
                let _ = nonce;
                Vec::new()
            }
        }
    }

    pub(in crate::smtp) fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// The user that the client claims to be, once sent.
    pub(in crate::smtp) fn user(&self) -> Option<&[u8]> {
        self.user.as_deref()
    }

    pub(in crate::smtp) fn attempt(&self) -> Option<u64> {
        self.attempt
    }

    /// No response is expected: a check is pending.
    pub(in crate::smtp) fn is_checking(&self) -> bool {
        matches!(self.state, State::Checking)
    }

    pub(in crate::smtp) fn into_identity(self) -> Identity {
        Identity { user: self.user.unwrap_or_default(), mechanism: Some(self.mechanism) }
    }

    pub(in crate::smtp) fn memory(&self) -> usize {
        let state = match &self.state {
            #[cfg(feature = "auth")]
            State::Cram(challenge) => challenge.capacity(),
            #[cfg(feature = "auth")]
            State::Proof(_, expected) => expected.memory(),
            _ => 0,
        };
        size_of::<Self>() + state + self.user.as_deref().map_or(0, <[u8]>::len)
    }

    pub(in crate::smtp) fn respond(
        &mut self,
        response: &[u8],
        auth: &Auth,
        nonce: impl FnOnce() -> String,
    ) -> Reaction {
        match std::mem::replace(&mut self.state, State::Checking) {
            State::First => self.take_first(response, auth, nonce),
            State::External(identity) => self.take_authorization(response, &identity),
            State::Password => self.compare(auth, response),
            #[cfg(feature = "auth")]
            State::Cram(challenge) => self.take_answer(response, auth, &challenge),
            #[cfg(feature = "auth")]
            State::Proof(hash, expected) => self.take_proof(response, auth, hash, &expected),
            #[cfg(feature = "auth")]
            State::Proven => {
                Reaction::Over(if response.is_empty() { Ok(()) } else { Err(Refusal::Malformed) })
            }
            State::Refused | State::Checking => FAILED,
        }
    }

    /// Takes the result of a check.
    pub(in crate::smtp) fn conclude(checked: Checked) -> Result<(), Refusal> {
        if checked.is_right { Ok(()) } else { Err(Refusal::Credentials) }
    }

    fn take_first(&mut self, response: &[u8], auth: &Auth, nonce: impl FnOnce() -> String) -> Reaction {
        match self.mechanism {
            Mechanism::Plain => self.take_plain(response, auth),
            Mechanism::Login if response.is_empty() => MALFORMED,
            Mechanism::Login => {
                self.user = Some(response.into());
                self.state = State::Password;
                Reaction::Challenge(b"Password:".to_vec())
            }
            Mechanism::XOAuth2 => self.take_bearer(Bearer::parse_xoauth2(response), auth),
            Mechanism::OAuthBearer => self.take_bearer(Bearer::parse_oauthbearer(response), auth),
            Mechanism::Anonymous => {
                // Trace information (RFC 4505 section 2), which may be empty.
                self.user = Some(response.into());
                Reaction::Over(Ok(()))
            }
            #[cfg(feature = "auth")]
            Mechanism::ScramSha1 => self.take_scram(response, auth, Hash::Sha1, nonce),
            #[cfg(feature = "auth")]
            Mechanism::ScramSha256 => self.take_scram(response, auth, Hash::Sha256, nonce),
            // Never offered without the feature.
            _ => {
                let _ = nonce;
                FAILED
            }
        }
    }

    /// The certificate was verified: the user need not be configured.
    fn take_authorization(&mut self, response: &[u8], identity: &ExternalIdentity) -> Reaction {
        let Some(authorization) = external::parse(response) else { return MALFORMED };
        let user = identity.authorize(authorization);
        self.user = Some(user.unwrap_or(authorization).as_bytes().into());
        if user.is_some() { Reaction::Over(Ok(())) } else { FAILED }
    }

    fn take_plain(&mut self, response: &[u8], auth: &Auth) -> Reaction {
        let Some(plain) = Plain::parse(response) else { return MALFORMED };
        self.user = Some(plain.user.into());
        match plain.authorization.is_empty() || plain.authorization == plain.user || auth.takes_any {
            true => self.compare(auth, plain.password),
            // Acting for another user is not allowed.
            false => FAILED,
        }
    }

    /// Compares a password with the user's.
    fn compare(&mut self, auth: &Auth, password: &[u8]) -> Reaction {
        self.note_attempt(password);
        let user = self.user.as_deref().and_then(|name| auth.users.get(name));
        match user.map(|user| user.password.compare(password)) {
            _ if auth.takes_any => Reaction::Over(Ok(())),
            Some(Comparison::Same) => Reaction::Over(Ok(())),
            Some(Comparison::Pending(check)) => {
                self.state = State::Checking;
                Reaction::Check(check)
            }
            Some(Comparison::Different) | None => FAILED,
        }
    }

    /// Stores a 64-bit hash of the attempt: too short to recover a secret, long enough to avoid collisions.
    fn note_attempt(&mut self, secret: &[u8]) {
        let mut hasher = DefaultHasher::new();
        for part in [self.user.as_deref().unwrap_or_default(), secret] {
            hasher.write_usize(part.len());
            hasher.write(part);
        }
        self.attempt = Some(hasher.finish());
    }

    fn take_bearer(&mut self, bearer: Option<Bearer<'_>>, auth: &Auth) -> Reaction {
        let Some(Bearer { user, token }) = bearer else { return MALFORMED };
        self.user = Some(user.into());
        self.note_attempt(token);
        // All are compared, so that the time does not reveal which one matches.
        let is_known = auth.tokens.iter().fold(false, |found, known| found | known.is(token));
        if is_known || auth.takes_any {
            return Reaction::Over(Ok(()));
        }
        self.state = State::Refused;
        let is_xoauth2 = self.mechanism == Mechanism::XOAuth2;
        let error = if is_xoauth2 { bearer::XOAUTH2_ERROR } else { bearer::OAUTHBEARER_ERROR };
        Reaction::Challenge(error.to_vec())
    }
}

/// Challenge-response mechanisms.
#[cfg(feature = "auth")]
impl AuthExchange {
    fn take_answer(&mut self, response: &[u8], auth: &Auth, challenge: &[u8]) -> Reaction {
        let Some(answer) = Answer::parse(response) else { return MALFORMED };
        self.user = Some(answer.user.into());
        let password = auth.users.get(answer.user).and_then(|user| user.password.as_clear());
        match auth.takes_any || password.is_some_and(|password| answer.proves(password, challenge)) {
            true => Reaction::Over(Ok(())),
            false => FAILED,
        }
    }

    fn take_scram(
        &mut self,
        response: &[u8],
        auth: &Auth,
        hash: Hash,
        nonce: impl FnOnce() -> String,
    ) -> Reaction {
        let Some(first) = First::parse(response) else { return MALFORMED };
        self.user = Some(first.user.as_slice().into());
        if first.authorization.as_ref().is_some_and(|name| *name != first.user) {
            return FAILED;
        }
        let Some(keys) = auth.users.get(&*first.user).and_then(|user| user.keys(hash)) else { return FAILED };
        let (challenge, expected) = first.challenge(keys, &nonce());
        self.state = State::Proof(hash, expected);
        Reaction::Challenge(challenge)
    }

    fn take_proof(&mut self, response: &[u8], auth: &Auth, hash: Hash, expected: &Expected) -> Reaction {
        let user = self.user.as_deref().and_then(|name| auth.users.get(name));
        let Some(keys) = user.and_then(|user| user.keys(hash)) else { return FAILED };
        match expected.verify(keys, response) {
            Some(Ok(last)) => {
                self.state = State::Proven;
                Reaction::Challenge(last)
            }
            Some(Err(())) => FAILED,
            None => MALFORMED,
        }
    }
}
