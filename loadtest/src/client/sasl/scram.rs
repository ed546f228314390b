//! SCRAM-SHA-1 and SCRAM-SHA-256 without channel binding (RFC 5802, RFC 7677). Passwords are used as given, without
//! SASLprep.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::Hmac;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Login;
use super::exchange::{BadChallenge, saslname};

/// The most iterations that are computed: about 50 ms, which the event loop spends for each new salt.
const ITERATIONS_LIMIT: u32 = 100_000;

/// The most keys retained. A server has one salt per user; one that sends a new salt each time is computed for each
/// time.
const DERIVED_LIMIT: usize = 16;

/// The keys of a password, a salt and a number of iterations.
#[derive(Clone)]
pub(super) struct Derived {
    is_sha256: bool,
    salt: Vec<u8>,
    iterations: u32,
    client: Vec<u8>,
    server: Vec<u8>,
}

/// The state of an exchange.
#[derive(Debug)]
pub(super) struct Scram {
    is_sha256: bool,
    nonce: String,
    /// The client's first message without the header of GS2.
    first_bare: String,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The server's first message is due.
    First,
    /// The server's last message is due, with this signature.
    Last(Vec<u8>),
    /// The server has proven that it knows the password.
    Proven,
}

impl Scram {
    /// An exchange, and its first message.
    pub(super) fn begin(login: &Login, is_sha256: bool) -> (Scram, Vec<u8>) {
        let number = login.next_nonce();
        // Unique, which is all that a load needs; it protects nothing.
        let drawn = xxh3_64_with_seed(login.secret.as_bytes(), number);
        Scram::with_nonce(login, is_sha256, format!("{number:016x}{drawn:016x}"))
    }

    pub(super) fn with_nonce(login: &Login, is_sha256: bool, nonce: String) -> (Scram, Vec<u8>) {
        let first_bare = format!("n={},r={nonce}", saslname(&login.user));
        let message = format!("n,,{first_bare}").into_bytes();
        (Scram { is_sha256, nonce, first_bare, stage: Stage::First }, message)
    }

    pub(super) fn is_proven(&self) -> bool {
        matches!(self.stage, Stage::Proven)
    }

    /// The response to a message of the server; empty to its last.
    pub(super) fn respond(&mut self, login: &Login, message: &[u8]) -> Result<Vec<u8>, BadChallenge> {
        let message = std::str::from_utf8(message).map_err(|_| BadChallenge)?;
        match &self.stage {
            Stage::First => self.last_message(login, message),
            Stage::Last(signature) => {
                let proof =
                    message.split(',').find_map(|part| part.strip_prefix("v=")).ok_or(BadChallenge)?;
                if STANDARD.decode(proof).ok().as_ref() != Some(signature) {
                    return Err(BadChallenge);
                }
                self.stage = Stage::Proven;
                Ok(Vec::new())
            }
            Stage::Proven => Err(BadChallenge),
        }
    }

    fn last_message(&mut self, login: &Login, message: &str) -> Result<Vec<u8>, BadChallenge> {
        let mut parts = message.split(',');
        let mut part = |name: &str| parts.next().and_then(|part| part.strip_prefix(name)).ok_or(BadChallenge);
        let (nonce, salt, iterations) = (part("r=")?, part("s=")?, part("i=")?);
        let iterations: u32 = iterations.parse().map_err(|_| BadChallenge)?;
        let salt = STANDARD.decode(salt).map_err(|_| BadChallenge)?;
        if !nonce.starts_with(&self.nonce) || !(1..=ITERATIONS_LIMIT).contains(&iterations) {
            return Err(BadChallenge);
        }
        let keys = self.derived(login, &salt, iterations);
        let without_proof = format!("c=biws,r={nonce}");
        let signed = format!("{},{message},{without_proof}", self.first_bare);
        let stored = self.hash(&keys.client);
        let signature = self.mac(&stored, &[signed.as_bytes()]);
        let proof: Vec<u8> = keys.client.iter().zip(signature).map(|(key, byte)| key ^ byte).collect();
        self.stage = Stage::Last(self.mac(&keys.server, &[signed.as_bytes()]));
        Ok(format!("{without_proof},p={}", STANDARD.encode(proof)).into_bytes())
    }

    /// The keys, which are derived once for each salt.
    fn derived(&self, login: &Login, salt: &[u8], iterations: u32) -> Derived {
        let mut all = login.derived.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let is_it = |one: &&Derived| {
            (one.is_sha256, &*one.salt, one.iterations) == (self.is_sha256, salt, iterations)
        };
        if let Some(found) = all.iter().find(is_it) {
            return found.clone();
        }
        let salted = self.salted(login.secret.as_bytes(), salt, iterations);
        let derived = Derived {
            is_sha256: self.is_sha256,
            salt: salt.to_vec(),
            iterations,
            client: self.mac(&salted, &[b"Client Key"]),
            server: self.mac(&salted, &[b"Server Key"]),
        };
        if all.len() == DERIVED_LIMIT {
            all.remove(0);
        }
        all.push(derived.clone());
        derived
    }

    /// `Hi` (RFC 5802 section 2.2): PBKDF2 of one block.
    fn salted(&self, password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
        let first = [salt, &[0, 0, 0, 1]];
        if self.is_sha256 {
            pbkdf2(&keyed::<Hmac<Sha256>>(password), &first, iterations)
        } else {
            pbkdf2(&keyed::<Hmac<Sha1>>(password), &first, iterations)
        }
    }

    fn mac(&self, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        if self.is_sha256 {
            mac(keyed::<Hmac<Sha256>>(key), parts)
        } else {
            mac(keyed::<Hmac<Sha1>>(key), parts)
        }
    }

    fn hash(&self, bytes: &[u8]) -> Vec<u8> {
        if self.is_sha256 { Sha256::digest(bytes).to_vec() } else { Sha1::digest(bytes).to_vec() }
    }
}

fn keyed<M: hmac::Mac + hmac::KeyInit>(key: &[u8]) -> M {
    <M as hmac::KeyInit>::new_from_slice(key).unwrap_or_else(|_| unreachable!("a key has any length"))
}

fn mac<M: hmac::Mac>(mut mac: M, parts: &[&[u8]]) -> Vec<u8> {
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

fn pbkdf2<M: hmac::Mac + Clone>(keyed: &M, first: &[&[u8]], iterations: u32) -> Vec<u8> {
    let mut block = mac(keyed.clone(), first);
    let mut sum = block.clone();
    for _ in 1..iterations {
        block = mac(keyed.clone(), &[&block]);
        sum.iter_mut().zip(&block).for_each(|(sum, byte)| *sum ^= byte);
    }
    sum
}
