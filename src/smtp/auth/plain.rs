//! The messages of PLAIN (RFC 4616).

/// `authzid NUL authcid NUL passwd`.
#[derive(Clone, Copy)]
pub(super) struct Plain<'m> {
    pub(super) authorization: &'m [u8],
    pub(super) user: &'m [u8],
    pub(super) password: &'m [u8],
}

impl<'m> Plain<'m> {
    /// `None` if invalid. Name and password have at least one octet (RFC 4616 section 2).
    pub(super) fn parse(message: &'m [u8]) -> Option<Self> {
        let mut parts = message.split(|&octet| octet == 0);
        let (authorization, user, password) = (parts.next()?, parts.next()?, parts.next()?);
        let is_valid = parts.next().is_none() && !user.is_empty() && !password.is_empty();
        is_valid.then_some(Self { authorization, user, password })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_three_parts_of_which_the_first_may_be_empty() {
        let parsed = |message: &'static str| {
            Plain::parse(message.as_bytes()).map(|plain| (plain.authorization, plain.user, plain.password))
        };
        // RFC 4616 section 4.
        assert_eq!(
            parsed("\0tim\0tanstaaftanstaaf"),
            Some((&b""[..], &b"tim"[..], &b"tanstaaftanstaaf"[..]))
        );
        assert_eq!(parsed("Ursel\0Kurt\0xipj3plmq"), Some((&b"Ursel"[..], &b"Kurt"[..], &b"xipj3plmq"[..])));
        for wrong in ["", "\0", "\0\0", "tim\0secret", "\0tim\0", "\0\0secret", "\0tim\0a\0b", "tim secret"] {
            assert_eq!(parsed(wrong), None, "{wrong:?}");
        }
    }
}
