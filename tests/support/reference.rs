//! What go-smtp-mock accepts, as patterns for the regex crate, and what is accepted in addition.

use std::net::Ipv6Addr;
use std::sync::LazyLock;

use regex::bytes::{Captures, Regex};

/// Letters, digits and single joints, then a dot and letters; or `localhost`. Case-insensitive as a whole.
const DOMAIN: &str = r"(?i:[\p{L}0-9]+(?:[\-.][\p{L}0-9]+)*\.\p{L}{2,63}|localhost)";
const LOCAL: &str = r"[a-zA-Z0-9.!#$%&'*+\-/=?^_`{|}~]";
/// The reference's white space: ASCII, without the vertical tab.
const SPACE: &str = r"[\t\n\x0c\r ]";

fn ipv4() -> String {
    r"(?:(?-u:\b)25[0-5]|(?-u:\b)2[0-4][0-9]|(?-u:\b)[01]?[0-9][0-9]?)(?:\.(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)){3}"
        .to_owned()
}

fn path_pattern(command: &str, domain: &str) -> Regex {
    let pattern = format!(
        r"\A(?i:{command}){SPACE}*(?i:(?:(?:[\p{{L}}\p{{N}}]|{SPACE})*?<?)*?({LOCAL}+(?:\.{LOCAL}+)*@{domain}))>*\z"
    );
    Regex::new(&pattern).expect("a valid pattern")
}

static HELO: LazyLock<Regex> = LazyLock::new(|| {
    let ipv4 = ipv4();
    Regex::new(&format!(r"\A(?i:helo|ehlo) ({DOMAIN}|{ipv4}|\[{ipv4}\])\z")).expect("a valid pattern")
});
static MAIL: LazyLock<Regex> = LazyLock::new(|| path_pattern("mail from:", DOMAIN));
static RCPT: LazyLock<Regex> = LazyLock::new(|| path_pattern("rcpt to:", DOMAIN));
static KNOWN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)helo|ehlo|mail from:|rcpt to:|data|rset|noop|quit").expect("a valid pattern")
});

fn group(captures: Option<Captures<'_>>) -> Option<Vec<u8>> {
    Some(captures?.get(1)?.as_bytes().to_vec())
}

/// The HELO name, if go-smtp-mock accepts the line.
pub(crate) fn helo_name(line: &[u8]) -> Option<Vec<u8>> {
    group(HELO.captures(line))
}

/// The mailbox of a MAIL line, if go-smtp-mock accepts it.
pub(crate) fn reverse_path(line: &[u8]) -> Option<Vec<u8>> {
    group(MAIL.captures(line))
}

/// The mailbox of a RCPT line, if go-smtp-mock accepts it.
pub(crate) fn forward_path(line: &[u8]) -> Option<Vec<u8>> {
    group(RCPT.captures(line))
}

/// The word by which go-smtp-mock would select a command's handler; `None` if it has no handler.
pub(crate) fn handler(trimmed_line: &str) -> Option<&'static str> {
    const HANDLERS: [&str; 8] = ["HELO", "EHLO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT"];
    if !KNOWN.is_match(trimmed_line.as_bytes()) {
        return None;
    }
    let word = trimmed_line.split(' ').next()?.to_uppercase();
    HANDLERS.into_iter().find(|handler| *handler == word)
}

/// What is accepted in addition to the reference's lines: see the table of differences in the README.
pub(crate) mod additions {
    use super::{DOMAIN, Ipv6Addr, LazyLock, Regex, SPACE};

    /// A fully qualified domain by RFC 5321's grammar whose last label consists of letters or is an A-label.
    const A_LABEL_DOMAIN: &str = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?\.)+(?:[a-zA-Z]{2,63}|(?i:xn)--[a-zA-Z0-9-]*[a-zA-Z0-9])";
    const IPV4_LITERAL: &str =
        r"\[(?:25[0-5]|2[0-4][0-9]|[01]?[0-9]?[0-9])(?:\.(?:25[0-5]|2[0-4][0-9]|[01]?[0-9]?[0-9])){3}\]";
    const OTHER_LITERAL: &str = r"\[([a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?):([!-Z^-~]+)\]";
    const ATOM: &str = r"[a-zA-Z0-9!#$%&'*+\-/=?^_`{|}~]+";
    const QUOTED: &str = r#""(?:[ !#-\[\]-~]|\\[ -~])*""#;
    pub(super) const RFC_DOMAIN: &str =
        r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*";

    static HELO: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(&format!(r"\A(?i:helo|ehlo) (?:{A_LABEL_DOMAIN}|{IPV4_LITERAL}|{OTHER_LITERAL})\z"))
            .expect("a valid pattern")
    });

    /// A path in brackets, with such a domain or an address literal.
    pub(super) fn path(command: &str, special: &str, domain: &str) -> Regex {
        let mailbox =
            format!(r"(?:{ATOM}(?:\.{ATOM})*|{QUOTED})@(?:{DOMAIN}|{domain}|{IPV4_LITERAL}|{OTHER_LITERAL})");
        let route = format!(r"(?:@{RFC_DOMAIN}(?:,@{RFC_DOMAIN})*:)?");
        Regex::new(&format!(r"\A(?i:{command}){SPACE}*<(?:{special}|{route}{mailbox})>\z"))
            .expect("a valid pattern")
    }

    static MAIL: LazyLock<Regex> = LazyLock::new(|| path("mail from:", "", A_LABEL_DOMAIN));
    static RCPT: LazyLock<Regex> = LazyLock::new(|| path("rcpt to:", "(?i:postmaster)", A_LABEL_DOMAIN));

    /// The pattern matches, and a literal with a tag is a valid IPv6 address, since no other tag is registered.
    pub(super) fn accepts(pattern: &Regex, line: &[u8]) -> bool {
        pattern.captures(line).is_some_and(|captures| {
            let (Some(tag), Some(content)) = (captures.get(1), captures.get(2)) else {
                return true;
            };
            let content = std::str::from_utf8(content.as_bytes()).expect("the pattern is ASCII here");
            tag.as_bytes().eq_ignore_ascii_case(b"IPv6") && content.parse::<Ipv6Addr>().is_ok()
        })
    }

    pub(crate) fn helo(line: &[u8]) -> bool {
        accepts(&HELO, line)
    }

    pub(crate) fn mail(line: &[u8]) -> bool {
        accepts(&MAIL, line)
    }

    pub(crate) fn rcpt(line: &[u8]) -> bool {
        accepts(&RCPT, line)
    }
}

/// What the lenient rules accept: the reference's lines and the additions, with any domain of RFC 5321.
pub(crate) mod lenient {
    use super::additions::{self, RFC_DOMAIN, accepts, path};
    use super::{DOMAIN, LazyLock, Regex, path_pattern};

    /// Labels in which `_` may be used like a letter.
    const HOST_LABEL: &str = r"[a-zA-Z0-9_](?:[a-zA-Z0-9_-]*[a-zA-Z0-9_])?";

    static HELO: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(&format!(r"\A(?i:helo|ehlo) {HOST_LABEL}(?:\.{HOST_LABEL})*\z")).expect("a valid pattern")
    });
    static MAIL: LazyLock<[Regex; 2]> = LazyLock::new(|| patterns("mail from:", ""));
    static RCPT: LazyLock<[Regex; 2]> = LazyLock::new(|| patterns("rcpt to:", "(?i:postmaster)"));

    fn patterns(command: &str, special: &str) -> [Regex; 2] {
        let domain = format!("(?:{DOMAIN}|(?-i:{RFC_DOMAIN}))");
        [path_pattern(command, &domain), path(command, special, RFC_DOMAIN)]
    }

    pub(crate) fn helo(line: &[u8]) -> bool {
        super::helo_name(line).is_some() || additions::helo(line) || HELO.is_match(line)
    }

    pub(crate) fn mail(line: &[u8]) -> bool {
        MAIL[0].is_match(line) || accepts(&MAIL[1], line)
    }

    pub(crate) fn rcpt(line: &[u8]) -> bool {
        RCPT[0].is_match(line) || accepts(&RCPT[1], line)
    }
}
