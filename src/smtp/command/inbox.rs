//! Inboxes of recipients: names by which tests that share a server find their own mail.

use memchr::{memchr, memrchr};

/// The inboxes of a path: its domain, and its tag after the first `+` of its local part (the detail of RFC 5233).
pub(crate) fn inboxes_of(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (local, domain) = match memrchr(b'@', path) {
        Some(at) => (&path[..at], Some(&path[at + 1..])),
        None => (path, None),
    };
    let unquoted = local.strip_prefix(b"\"").and_then(|local| local.strip_suffix(b"\""));
    let local = unquoted.unwrap_or(local);
    let tag = memchr(b'+', local).map(|plus| &local[plus + 1..]);
    [domain, tag].into_iter().flatten().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_belongs_to_its_domain_and_its_tag() {
        for (path, expected) in [
            ("bob@example.com", &["example.com"][..]),
            ("bob+test-1@example.com", &["example.com", "test-1"]),
            ("bob+a+b@[127.0.0.1]", &["[127.0.0.1]", "a+b"]),
            ("\"bob+x@y\"@example.com", &["example.com", "x@y"]),
            ("bob+@example.com", &["example.com"]),
            ("+@", &[]),
            ("postmaster", &[]),
            ("\"", &[]),
            ("", &[]),
        ] {
            let found: Vec<_> = inboxes_of(path.as_bytes()).map(String::from_utf8_lossy).collect();
            assert_eq!(found, expected, "{path}");
        }
    }
}
