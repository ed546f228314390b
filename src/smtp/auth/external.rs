//! EXTERNAL (RFC 4422 appendix A): the client's identity was verified below SMTP.

/// The names that a client has proven below SMTP, by its TLS certificate. It may authenticate by EXTERNAL as any of
/// them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalIdentity {
    /// Not empty, and no name is empty.
    names: Box<[Box<str>]>,
}

impl ExternalIdentity {
    /// The first name is the default, for clients that request none. Empty names are ignored; `None` without any other.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Option<Self> {
        let names: Box<[Box<str>]> =
            names.into_iter().filter(|name| !name.is_empty()).map(Box::from).collect();
        (!names.is_empty()).then_some(Self { names })
    }

    /// The name for this authorization identity, which is empty by default; `None` if the client may not use it.
    pub(super) fn authorize<'a>(&'a self, authorization: &'a str) -> Option<&'a str> {
        match authorization {
            "" => self.names.first().map(|name| &**name),
            name => self.names.iter().any(|own| **own == *name).then_some(name),
        }
    }

    /// Bytes in memory, including shared ones.
    pub(in crate::smtp) fn memory(&self) -> usize {
        let names = self.names.iter().map(|name| size_of::<Box<str>>() + name.len());
        2 * size_of::<usize>() + size_of::<Self>() + names.sum::<usize>()
    }
}

/// The authorization identity in a response: UTF-8 without NUL, possibly empty.
pub(super) fn parse(response: &[u8]) -> Option<&str> {
    std::str::from_utf8(response).ok().filter(|text| !text.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_may_act_as_what_it_is_called_and_as_nobody_else() {
        let ann = ExternalIdentity::new(["ann", "", "CN=ann"]).expect("names");
        assert_eq!(ann.authorize(""), Some("ann"));
        assert_eq!(ann.authorize("CN=ann"), Some("CN=ann"));
        for other in ["bob", "Ann", "an", " ", "ann "] {
            assert_eq!(ann.authorize(other), None, "{other:?}");
        }
        assert_eq!(ExternalIdentity::new([""]), None);
        assert_eq!(
            (parse("änn".as_bytes()), parse(b""), parse(b"a\0b"), parse(b"\xff")),
            (Some("änn"), Some(""), None, None)
        );
    }
}
