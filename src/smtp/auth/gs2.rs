//! The GS2 header that begins messages of SCRAM and OAUTHBEARER (RFC 5801 section 4).

use std::borrow::Cow;

/// The authorization identity in the header, if any, and the rest of the message.
type Header<'m> = (Option<Cow<'m, [u8]>>, &'m [u8]);

/// `None` without a header, or if it requires channel binding, which is not offered.
pub(super) fn header(message: &[u8]) -> Option<Header<'_>> {
    let rest = message.strip_prefix(b"n,").or_else(|| message.strip_prefix(b"y,"))?;
    let comma = memchr::memchr(b',', rest)?;
    let (name, rest) = (&rest[..comma], &rest[comma + 1..]);
    match name.strip_prefix(b"a=") {
        Some(name) => Some((Some(sasl_name(name)?), rest)),
        None => name.is_empty().then_some((None, rest)),
    }
}

/// A name in which `=2C` stands for a comma and `=3D` for `=` (RFC 5802 section 5.1).
pub(super) fn sasl_name(name: &[u8]) -> Option<Cow<'_, [u8]>> {
    if name.is_empty() || name.contains(&0) {
        return None;
    }
    if !name.contains(&b'=') {
        return Some(name.into());
    }
    let (mut decoded, mut rest) = (Vec::with_capacity(name.len()), name);
    while let Some((&octet, behind)) = rest.split_first() {
        let (octet, behind) = match (octet, behind) {
            (b'=', [b'2', b'C', behind @ ..]) => (b',', behind),
            (b'=', [b'3', b'D', behind @ ..]) => (b'=', behind),
            (b'=', _) => return None,
            other => other,
        };
        decoded.push(octet);
        rest = behind;
    }
    Some(decoded.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_name_an_identity_or_none() {
        let parsed = |message: &'static str| {
            let (name, rest) = header(message.as_bytes())?;
            let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
            Some((name.map(|name| text(&name)), text(rest)))
        };
        let some = |name: Option<&str>, rest: &str| Some((name.map(str::to_owned), rest.to_owned()));
        assert_eq!(parsed("n,,n=user"), some(None, "n=user"));
        assert_eq!(parsed("y,a=ann,"), some(Some("ann"), ""));
        assert_eq!(parsed("n,a=a=2Cb=3Dc,x"), some(Some("a,b=c"), "x"));
        for wrong in ["", "n", "n,", "n,a=,x", "n,a=a=2c,", "n,a==,", "x,,", "p=tls-unique,,", "n,b=c,"] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }
}
