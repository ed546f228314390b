//! CRAM-MD5 (RFC 2195): the client proves that it has the password by a digest of it and the server's challenge.

use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::Md5;

/// The answer to a challenge: a user, and a digest in hexadecimal digits.
#[derive(Clone, Copy)]
pub(super) struct Answer<'m> {
    pub(super) user: &'m [u8],
    digest: [u8; 16],
}

impl<'m> Answer<'m> {
    /// `None` if invalid. A name may contain spaces.
    pub(super) fn parse(message: &'m [u8]) -> Option<Self> {
        let space = memchr::memrchr(b' ', message)?;
        let (user, digits) = (&message[..space], &message[space + 1..]);
        let digits: &[u8; 32] = digits.try_into().ok()?;
        let mut digest = [0; 16];
        for (octet, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16);
            *octet = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
        }
        (!user.is_empty()).then_some(Self { user, digest })
    }

    /// Whether it was made with this password. Compares in constant time.
    pub(super) fn proves(&self, password: &[u8], challenge: &[u8]) -> bool {
        let mac = Hmac::<Md5>::new_from_slice(password).expect("a key of any length is valid");
        mac.chain_update(challenge).verify_slice(&self.digest).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_is_right() {
        // RFC 2195 section 2.
        let challenge = b"<1896.697170952@postoffice.reston.mci.net>";
        let answer = Answer::parse(b"tim b913a602c7eda7a495b4e6e7334d3890").expect("an answer");
        assert_eq!(answer.user, b"tim");
        assert!(answer.proves(b"tanstaaftanstaaf", challenge));
        assert!(!answer.proves(b"tanstaaftanstaaf", b"<1896.697170952@postoffice.reston.mci.ne>"));
        assert!(!answer.proves(b"tanstaaftanstaa", challenge));
    }

    #[test]
    fn other_messages_are_no_answer() {
        for wrong in [
            "",
            "tim",
            "tim ",
            " b913a602c7eda7a495b4e6e7334d3890",
            "tim b913a602c7eda7a495b4e6e7334d389",
            "tim b913a602c7eda7a495b4e6e7334d38900",
            "tim g913a602c7eda7a495b4e6e7334d3890",
        ] {
            assert!(Answer::parse(wrong.as_bytes()).is_none(), "{wrong}");
        }
        assert!(
            Answer::parse(b"ann b B913A602C7EDA7A495B4E6E7334D3890")
                .is_some_and(|answer| answer.user == b"ann b")
        );
    }
}
