//! AUTH and its redaction: logs and records must not contain passwords.

use std::fmt;

/// Replaces a secret.
pub(in crate::smtp) const REDACTED: &[u8] = b" <redacted>";

/// Longest name of a mechanism (RFC 4422 section 3.1).
const MAX_MECHANISM: usize = 20;

/// The arguments of AUTH (RFC 4954 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Authenticate<'a> {
    /// The name of the mechanism, in any case, known or unknown.
    pub mechanism: &'a str,
    /// The initial response, if any.
    pub initial: Option<InitialResponse<'a>>,
}

/// The base64 of an initial response, or `=` for an empty one. `Debug` omits it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct InitialResponse<'a>(pub &'a [u8]);

impl fmt::Debug for InitialResponse<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

impl<'a> Authenticate<'a> {
    /// The mechanism and at most one more word.
    #[cold]
    pub(super) fn parse(arguments: &'a [u8]) -> Option<Self> {
        let mut words = arguments.split(|&octet| octet == b' ').filter(|word| !word.is_empty());
        let mechanism = words.next().filter(|word| is_mechanism(word))?;
        let mechanism = std::str::from_utf8(mechanism).ok()?;
        let initial = words.next().map(InitialResponse);
        words.next().is_none().then_some(Self { mechanism, initial })
    }
}

/// Letters, digits, `-` and `_` (RFC 4422 section 3.1).
fn is_mechanism(word: &[u8]) -> bool {
    let is_letter = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
    !word.is_empty() && word.len() <= MAX_MECHANISM && word.iter().all(is_letter)
}

/// The end of AUTH in a line that is or resembles an AUTH command, even if unknown, invalid or incomplete: within its
/// first word, like `XAUTH` or `AUTHPLAIN`, or as a word after octets that are no command. `None` for other lines.
#[cold]
fn end_of_auth(line: &[u8]) -> Option<usize> {
    const AUTH: &[u8] = b"AUTH";
    let is_auth = |part: &[u8]| part.eq_ignore_ascii_case(AUTH);
    let first = line.split(u8::is_ascii_whitespace).next()?;
    let within_first = || first.windows(AUTH.len()).position(is_auth);
    let is_end = |at: usize| line.get(at).is_none_or(u8::is_ascii_whitespace);
    let is_word = |&at: &usize| line[at - 1].is_ascii_whitespace() && is_end(at + AUTH.len());
    let as_other = || {
        let mut places = (first.len() + 1)..=line.len().checked_sub(AUTH.len())?;
        places.find(|at| is_word(at) && is_auth(&line[*at..at + AUTH.len()]))
    };
    within_first().or_else(as_other).map(|start| start + AUTH.len())
}

/// The line is or resembles an AUTH command: responses of an exchange may follow, and be secrets.
#[cold]
pub(in crate::smtp) fn resembles_auth(line: &[u8]) -> bool {
    end_of_auth(line).is_some()
}

/// The part of a line that may be logged if the rest may be a secret: up to the mechanism of AUTH, valid or not. `None`
/// if the whole line may be logged.
#[cold]
pub(in crate::smtp) fn shown_part(line: &[u8]) -> Option<&[u8]> {
    let auth = end_of_auth(line)?;
    let arguments = &line[auth..];
    let is_letter = |octet: &u8| octet.is_ascii_alphanumeric();
    let skipped = arguments.iter().position(is_letter)?;
    if skipped == 0 {
        return Some(&line[..auth]);
    }
    let start = auth + skipped;
    let end = start + line[start..].iter().position(u8::is_ascii_whitespace).unwrap_or(line.len() - start);
    match is_mechanism(&line[start..end]) {
        true if line[end..].trim_ascii().is_empty() => None,
        true => Some(&line[..end]),
        false => Some(&line[..auth]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_mechanism_is_not_shown() {
        let shown =
            |line: &'static str| shown_part(line.as_bytes()).map(|part| str::from_utf8(part).unwrap());
        for (line, part) in [
            ("AUTH PLAIN AGFubgBzZWNyZXQ=", Some("AUTH PLAIN")),
            ("auth  plain  AGFubgBzZWNyZXQ=", Some("auth  plain")),
            ("AUTH\tPLAIN\tAGFubgBzZWNyZXQ=", Some("AUTH\tPLAIN")),
            ("AUTH=PLAIN AGFubgBzZWNyZXQ=", Some("AUTH=PLAIN")),
            ("AUTH X-OWN a b c", Some("AUTH X-OWN")),
            ("AUTH AGFubgBzZWNyZXQ=", Some("AUTH")),
            ("AUTH AGFubgBzZWNyZXRzZWNyZXQ", Some("AUTH")),
            ("AUTH PLAIN =", Some("AUTH PLAIN")),
            ("AUTH PLAIN", None),
            ("AUTH PLAIN ", None),
            ("AUTH", None),
            ("AUTH ", None),
            ("AUTHPLAIN AGFubgBzZWNyZXQ=", Some("AUTH")),
            ("authAGFubgBzZWNyZXQ=", Some("auth")),
            ("XAUTH PLAIN AGFubgBzZWNyZXQ=", Some("XAUTH PLAIN")),
            ("\0AUTH PLAIN AGFubgBzZWNyZXQ=", Some("\0AUTH PLAIN")),
            ("XAUTH", None),
            ("\0\0 AUTH PLAIN AGFubgBzZWNyZXQ=", Some("\0\0 AUTH PLAIN")),
            ("a b\tauth plain AGFubgBzZWNyZXQ=", Some("a b\tauth plain")),
            ("a AUTH", None),
            ("a AUTHOR x", None),
            ("VRFY author@x.example y", None),
            ("", None),
        ] {
            assert_eq!(shown(line), part, "{line:?}");
        }
    }

    #[test]
    fn a_line_that_was_meant_as_auth_is_one() {
        for line in
            ["AUTH", "auth login", "XAUTH", "AUTHLOGIN", "\0AUTH LOGIN", "a AUTH", "a auth LOGIN", " AUTH"]
        {
            assert!(resembles_auth(line.as_bytes()), "{line:?}");
        }
        for line in ["", "AUT", "A UTH", "NOOP", "a AUTHOR", "a XAUTH", "a"] {
            assert!(!resembles_auth(line.as_bytes()), "{line:?}");
        }
    }

    #[test]
    fn auth_has_a_mechanism_and_at_most_one_word_behind_it() {
        let parsed = |arguments: &'static str| {
            let parsed = Authenticate::parse(arguments.as_bytes())?;
            Some((parsed.mechanism, parsed.initial.map(|initial| initial.0)))
        };
        assert_eq!(parsed(" PLAIN"), Some(("PLAIN", None)));
        assert_eq!(parsed("  plain  ="), Some(("plain", Some(&b"="[..]))));
        for wrong in ["", " ", " PLAIN a b", " A+B", " ABCDEFGHIJKLMNOPQRSTU", " \u{e9}"] {
            assert_eq!(parsed(wrong), None, "{wrong:?}");
        }
        let shown = format!("{:?}", Authenticate::parse(b" PLAIN c2VjcmV0"));
        assert!(shown.contains("<redacted>") && !shown.contains("c2VjcmV0"), "{shown}");
    }
}
