//! The server's side of SCRAM-SHA-1 (RFC 5802) and SCRAM-SHA-256 (RFC 7677), without channel binding. Passwords and
//! names are compared octet by octet: SASLprep (RFC 4013), which does not change ASCII, is left to the client.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::digest::block_api::EagerHash;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::{Digest as _, Sha1};
use sha2::Sha256;

use super::gs2;
use super::mechanism::Mechanism;
use super::secret::is_same;

/// Rounds of the hash (RFC 7677 section 4 asks for at least 4,096). The minimum keeps tests fast.
const ITERATIONS: u32 = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Hash {
    Sha1,
    Sha256,
}

impl Hash {
    pub(super) const ALL: &'static [Self] = &[Self::Sha1, Self::Sha256];

    pub(super) fn mechanism(self) -> Mechanism {
        match self {
            Self::Sha1 => Mechanism::ScramSha1,
            Self::Sha256 => Mechanism::ScramSha256,
        }
    }

    fn digest(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => Sha1::digest(message).to_vec(),
            Self::Sha256 => Sha256::digest(message).to_vec(),
        }
    }

    fn hmac(self, key: &[u8], message: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => hmac_by::<Sha1>(key, message),
            Self::Sha256 => hmac_by::<Sha256>(key, message),
        }
    }

    /// `Hi` (RFC 5802 section 2.2).
    fn salted(self, password: &[u8], salt: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => pbkdf2::pbkdf2_hmac_array::<Sha1, 20>(password, salt, ITERATIONS).to_vec(),
            Self::Sha256 => pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password, salt, ITERATIONS).to_vec(),
        }
    }
}

fn hmac_by<H: EagerHash>(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mac = Hmac::<H>::new_from_slice(key).expect("a key of any length is valid");
    mac.chain_update(message).finalize().into_bytes().to_vec()
}

/// The salt of a user. It need not be secret; being deterministic, it makes runs repeatable.
pub(super) fn salt_of(user: &[u8]) -> [u8; 16] {
    let digest = Sha256::new().chain_update(b"smtpmock's salt for ").chain_update(user).finalize();
    let mut salt = [0; 16];
    salt.copy_from_slice(&digest[..16]);
    salt
}

/// What a server stores for a password (RFC 5802 section 3).
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Keys {
    hash: Hash,
    salt: Box<[u8]>,
    stored: Vec<u8>,
    server: Vec<u8>,
}

impl Keys {
    pub(super) fn derive(hash: Hash, password: &[u8], salt: &[u8]) -> Self {
        let salted = hash.salted(password, salt);
        let stored = hash.digest(&hash.hmac(&salted, b"Client Key"));
        Self { hash, salt: salt.into(), stored, server: hash.hmac(&salted, b"Server Key") }
    }
}

/// The client's first message.
pub(super) struct First<'m> {
    pub(super) user: Vec<u8>,
    /// The identity to act as, if the message has one.
    pub(super) authorization: Option<Vec<u8>>,
    /// The part before `bare`.
    header: &'m [u8],
    bare: &'m [u8],
    nonce: &'m [u8],
}

impl<'m> First<'m> {
    /// `None` if invalid, or if it requires an extension (`m=`, RFC 5802 section 5.1).
    pub(super) fn parse(message: &'m [u8]) -> Option<Self> {
        let (authorization, bare) = gs2::header(message)?;
        let header = &message[..message.len() - bare.len()];
        let mut attributes = bare.split(|&octet| octet == b',');
        let user = gs2::sasl_name(attributes.next()?.strip_prefix(b"n=")?)?.into_owned();
        let nonce = attributes.next()?.strip_prefix(b"r=")?;
        let is_nonce = !nonce.is_empty() && nonce.iter().all(u8::is_ascii_graphic);
        let authorization = authorization.map(std::borrow::Cow::into_owned);
        is_nonce.then_some(Self { user, authorization, header, bare, nonce })
    }

    /// The server's first message, and the expected answer to it.
    pub(super) fn challenge(&self, keys: &Keys, nonce: &str) -> (Vec<u8>, Expected) {
        let nonce = [self.nonce, nonce.as_bytes()].concat();
        let salt = BASE64.encode(&keys.salt);
        let mut challenge = b"r=".to_vec();
        challenge.extend_from_slice(&nonce);
        challenge.extend_from_slice(format!(",s={salt},i={ITERATIONS}").as_bytes());
        let mut front = [b"c=", BASE64.encode(self.header).as_bytes(), b",r="].concat();
        front.extend_from_slice(&nonce);
        let signed = [self.bare, b",", &challenge, b","].concat();
        (challenge, Expected { front, signed })
    }
}

/// The expected final message of the client.
pub(super) struct Expected {
    /// Its start, before extensions and the proof.
    front: Vec<u8>,
    /// The signed text before that message.
    signed: Vec<u8>,
}

impl Expected {
    pub(super) fn memory(&self) -> usize {
        self.front.capacity() + self.signed.capacity()
    }

    /// The server's final message if `message` proves the password; `Err` if the proof is wrong, `None` if the message
    /// is invalid.
    pub(super) fn verify(&self, keys: &Keys, message: &[u8]) -> Option<Result<Vec<u8>, ()>> {
        let comma = memchr::memrchr(b',', message)?;
        let (without_proof, proof) = (&message[..comma], &message[comma + 1..]);
        let proof = BASE64.decode(proof.strip_prefix(b"p=")?).ok()?;
        let extensions = without_proof.strip_prefix(&*self.front)?;
        if !(extensions.is_empty() || extensions.starts_with(b",")) || proof.len() != keys.stored.len() {
            return None;
        }
        let hash = keys.hash;
        let signed = [&*self.signed, without_proof].concat();
        let mut client_key = hash.hmac(&keys.stored, &signed);
        client_key.iter_mut().zip(&proof).for_each(|(octet, proof)| *octet ^= proof);
        if !is_same(&hash.digest(&client_key), &keys.stored) {
            return Some(Err(()));
        }
        let signature = BASE64.encode(hash.hmac(&keys.server, &signed));
        Some(Ok([b"v=", signature.as_bytes()].concat()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An exchange from an RFC.
    struct Example {
        hash: Hash,
        salt: &'static str,
        nonce: &'static str,
        messages: [&'static str; 4],
    }

    const EXAMPLES: [Example; 2] = [
        // RFC 5802 section 5.
        Example {
            hash: Hash::Sha1,
            salt: "QSXCR+Q6sek8bf92",
            nonce: "3rfcNHYJY1ZVvWVs7j",
            messages: [
                "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
                "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
                "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
                "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
            ],
        },
        // RFC 7677 section 3.
        Example {
            hash: Hash::Sha256,
            salt: "W22ZaJ0SNY7soEsUEjb6gQ==",
            nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            messages: [
                "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
                "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
                "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
                "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
            ],
        },
    ];

    #[test]
    fn the_examples_of_the_rfcs_are_right_and_another_password_is_not() {
        for Example { hash, salt, nonce, messages: [first, challenge, last, end] } in EXAMPLES {
            let salt = BASE64.decode(salt).expect("base64");
            let keys = Keys::derive(hash, b"pencil", &salt);
            let parsed = First::parse(first.as_bytes()).expect("a first message");
            assert_eq!((&*parsed.user, parsed.authorization.as_deref()), (&b"user"[..], None));
            let (sent, expected) = parsed.challenge(&keys, nonce);
            assert_eq!(String::from_utf8_lossy(&sent), challenge);
            assert_eq!(expected.verify(&keys, last.as_bytes()), Some(Ok(end.as_bytes().to_vec())));
            let other = Keys::derive(hash, b"pencils", &salt);
            assert_eq!(expected.verify(&other, last.as_bytes()), Some(Err(())));
            for wrong in
                [last.replace("c=biws", "c=eSws"), last.replace("r=", "r=x"), last.replace(",p=", ",q=")]
            {
                assert_eq!(expected.verify(&keys, wrong.as_bytes()), None, "{wrong}");
            }
        }
    }

    #[test]
    fn first_messages_that_ask_for_what_is_not_offered_are_refused() {
        for wrong in [
            "n,,n=user",
            "n,,n=,r=x",
            "n,,r=x,n=user",
            "n,,m=x,n=user,r=x",
            "p=tls-unique,,n=user,r=x",
            "n,,n=user,r=",
            "n,,n=user,r=a b",
            "",
        ] {
            assert!(First::parse(wrong.as_bytes()).is_none(), "{wrong}");
        }
        let first = First::parse(b"y,a=bob,n=ann=2C,r=x,ext=1").expect("valid");
        assert_eq!((&*first.user, first.authorization.as_deref()), (&b"ann,"[..], Some(&b"bob"[..])));
    }

    #[test]
    fn users_have_salts_of_their_own() {
        assert_eq!(salt_of(b"ann"), salt_of(b"ann"));
        assert_ne!(salt_of(b"ann"), salt_of(b"bob"));
    }
}
