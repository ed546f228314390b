//! One exchange of AUTH, from the command to its last response.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::Md5;

use super::scram::Scram;
use super::{Login, Mechanism};

/// The longest command line, in octets with its line end (RFC 5321 section 4.5.3.1.4). A longer initial response
/// follows an empty challenge (RFC 4954 section 4).
const COMMAND_LIMIT: usize = 512;

/// The exchange can't go on: the server's challenge is not one of the mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadChallenge;

/// The state of an exchange: what follows the next challenge.
#[derive(Debug)]
enum Step {
    /// This response, which was too long for the command.
    Initial(Vec<u8>),
    LoginUser,
    LoginPassword,
    CramDigest,
    Scram(Scram),
    /// A response that ends an exchange with an error of the token.
    TokenError(&'static [u8]),
    /// Nothing: a further challenge is none of the mechanism.
    Done,
}

/// The exchange of one session.
#[derive(Debug)]
pub(crate) struct Exchange {
    login: Arc<Login>,
    mechanism: Mechanism,
    step: Step,
    /// What follows an initial response that was too long for the command.
    behind: Option<Step>,
}

impl Exchange {
    /// An exchange, and its AUTH command with the line end.
    pub(crate) fn begin(login: Arc<Login>, mechanism: Mechanism) -> (Exchange, Vec<u8>) {
        let (initial, behind) = first(&login, mechanism);
        let mut command = format!("AUTH {}", mechanism.name());
        let mut exchange = Exchange { login, mechanism, step: Step::Done, behind: None };
        match initial {
            Some(initial) => {
                let coded = STANDARD.encode(&initial);
                if command.len() + coded.len() + " \r\n".len() <= COMMAND_LIMIT {
                    command = format!("{command} {coded}");
                    exchange.step = behind;
                } else {
                    exchange.step = Step::Initial(initial);
                    exchange.behind = Some(behind);
                }
            }
            None => exchange.step = behind,
        }
        command.push_str("\r\n");
        (exchange, command.into_bytes())
    }

    pub(crate) fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// Whether the server may report success now. With SCRAM it has to prove first that it knows the password.
    pub(crate) fn may_succeed(&self) -> bool {
        match &self.step {
            Step::Scram(scram) => scram.is_proven(),
            _ => true,
        }
    }

    /// The response to the text of a 334, with the line end.
    pub(crate) fn respond(&mut self, challenge: &[u8]) -> Result<Vec<u8>, BadChallenge> {
        let challenge = STANDARD.decode(challenge.trim_ascii()).map_err(|_| BadChallenge)?;
        let (response, next) = match std::mem::replace(&mut self.step, Step::Done) {
            Step::Initial(initial) => (initial, self.behind.take().unwrap_or(Step::Done)),
            Step::LoginUser => (self.login.user.clone().into_bytes(), Step::LoginPassword),
            Step::LoginPassword => (self.login.secret.clone().into_bytes(), Step::Done),
            Step::CramDigest => (cram_md5(&self.login, &challenge), Step::Done),
            Step::Scram(mut scram) => (scram.respond(&self.login, &challenge)?, Step::Scram(scram)),
            Step::TokenError(response) => (response.to_vec(), Step::Done),
            Step::Done => return Err(BadChallenge),
        };
        self.step = next;
        let mut line = STANDARD.encode(response).into_bytes();
        line.extend_from_slice(b"\r\n");
        Ok(line)
    }
}

/// The initial response, if there is one, and what follows the first challenge behind it.
fn first(login: &Login, mechanism: Mechanism) -> (Option<Vec<u8>>, Step) {
    let Login { user, secret, .. } = login;
    match mechanism {
        Mechanism::Plain => (Some(format!("\0{user}\0{secret}").into_bytes()), Step::Done),
        Mechanism::Login => (None, Step::LoginUser),
        Mechanism::CramMd5 => (None, Step::CramDigest),
        Mechanism::XOAuth2 => {
            let initial = format!("user={user}\x01auth=Bearer {secret}\x01\x01");
            (Some(initial.into_bytes()), Step::TokenError(b""))
        }
        Mechanism::OAuthBearer => {
            let initial = format!("n,a={},\x01auth=Bearer {secret}\x01\x01", saslname(user));
            (Some(initial.into_bytes()), Step::TokenError(b"\x01"))
        }
        Mechanism::ScramSha1 | Mechanism::ScramSha256 => {
            let (scram, initial) = Scram::begin(login, mechanism == Mechanism::ScramSha256);
            (Some(initial), Step::Scram(scram))
        }
    }
}

/// A user's name in a message of SCRAM or OAUTHBEARER (RFC 5801 section 4).
pub(super) fn saslname(user: &str) -> String {
    user.replace('=', "=3D").replace(',', "=2C")
}

/// The user's name and the digest of the challenge (RFC 2195 section 2).
fn cram_md5(login: &Login, challenge: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Md5>::new_from_slice(login.secret.as_bytes())
        .unwrap_or_else(|_| unreachable!("a key has any length"));
    mac.update(challenge);
    let digest: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{} {digest}", login.user).into_bytes()
}
