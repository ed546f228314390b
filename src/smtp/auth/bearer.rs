//! The messages of XOAUTH2 and OAUTHBEARER (RFC 7628): a bearer token, and the error that the server sends as a
//! challenge.

use std::borrow::Cow;

/// Separates the parts of a message.
const SEPARATOR: u8 = 1;

pub(super) struct Bearer<'m> {
    /// Empty if the message has none.
    pub(super) user: Cow<'m, [u8]>,
    pub(super) token: &'m [u8],
}

impl<'m> Bearer<'m> {
    /// `user=NAME ^A auth=Bearer TOKEN ^A ^A`, as Google and Microsoft document it.
    pub(super) fn parse_xoauth2(message: &'m [u8]) -> Option<Self> {
        let pairs = message.strip_suffix(&[SEPARATOR, SEPARATOR])?;
        let mut pairs = pairs.split(|&octet| octet == SEPARATOR);
        let user = pairs.next()?.strip_prefix(b"user=")?;
        Some(Self { user: user.into(), token: token_of(pairs)? })
    }

    /// A GS2 header, then `^A key=value` for each pair, then `^A ^A` (RFC 7628 section 3.1).
    pub(super) fn parse_oauthbearer(message: &'m [u8]) -> Option<Self> {
        let pairs = message.strip_suffix(&[SEPARATOR, SEPARATOR])?;
        let mut pairs = pairs.split(|&octet| octet == SEPARATOR);
        let (user, rest) = super::gs2::header(pairs.next()?)?;
        let token = token_of(pairs)?;
        rest.is_empty().then_some(Self { user: user.unwrap_or_default(), token })
    }
}

/// The token of the pair `auth`, whose scheme is compared in any case (RFC 7628 section 3.1).
fn token_of<'m>(mut pairs: impl Iterator<Item = &'m [u8]>) -> Option<&'m [u8]> {
    let value = pairs.find_map(|pair| pair.strip_prefix(b"auth="))?;
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    let is_token = scheme.eq_ignore_ascii_case(b"Bearer ") && token.iter().all(u8::is_ascii_graphic);
    (is_token && !token.is_empty()).then_some(token)
}

/// The challenges that give the reason of a refusal.
pub(super) const XOAUTH2_ERROR: &[u8] =
    br#"{"status":"401","schemes":"bearer","scope":"https://mail.example/"}"#;
pub(super) const OAUTHBEARER_ERROR: &[u8] = br#"{"status":"invalid_token","scope":"mail"}"#;

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bearer: Option<Bearer<'_>>) -> Option<(String, String)> {
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        bearer.map(|bearer| (text(&bearer.user), text(bearer.token)))
    }

    fn pair(user: &str, token: &str) -> Option<(String, String)> {
        Some((user.to_owned(), token.to_owned()))
    }

    #[test]
    fn messages_of_the_documents_are_read() {
        let xoauth2 =
            b"user=someuser@example.com\x01auth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg\x01\x01";
        let token = "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg";
        assert_eq!(shown(Bearer::parse_xoauth2(xoauth2)), pair("someuser@example.com", token));
        // RFC 7628 section 4.1.
        let bearer = b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01\
            auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01";
        let token = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==";
        assert_eq!(shown(Bearer::parse_oauthbearer(bearer)), pair("user@example.com", token));
        assert_eq!(shown(Bearer::parse_oauthbearer(b"n,,\x01auth=bearer t\x01\x01")), pair("", "t"));
        assert_eq!(
            shown(Bearer::parse_oauthbearer(b"n,a=a=2Cb=3D,\x01auth=Bearer t\x01\x01")),
            pair("a,b=", "t")
        );
    }

    #[test]
    fn other_messages_are_not() {
        for wrong in [
            "",
            "\x01\x01",
            "user=a",
            "user=a\x01auth=Bearer t\x01",
            "user=a\x01auth=Basic t\x01\x01",
            "user=a\x01auth=Bearer \x01\x01",
        ] {
            assert!(Bearer::parse_xoauth2(wrong.as_bytes()).is_none(), "{wrong:?}");
        }
        for wrong in [
            "n,,",
            "n,\x01auth=Bearer t\x01\x01",
            "n,,x\x01auth=Bearer t\x01\x01",
            "p=tls,,\x01auth=Bearer t\x01\x01",
        ] {
            assert!(Bearer::parse_oauthbearer(wrong.as_bytes()).is_none(), "{wrong:?}");
        }
        for (_, error) in [("XOAUTH2", XOAUTH2_ERROR), ("OAUTHBEARER", OAUTHBEARER_ERROR)] {
            assert!(serde_json::from_slice::<serde_json::Value>(error).is_ok());
        }
    }
}
