//! Domains, address literals and mailboxes by the grammar of RFC 5321 section 4.1.2.

use std::net::Ipv6Addr;

pub(super) const LETTER: u8 = 1;
pub(super) const DIGIT: u8 = 2;
pub(super) const DOT: u8 = 4;
pub(super) const HYPHEN: u8 = 8;
/// RFC 5322 section 3.2.3.
const ATEXT: u8 = 16;

/// The classes of each octet, computed once: addresses are parsed octet by octet, for every message.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut octet = 0;
    while octet < classes.len() {
        classes[octet] = classify(octet as u8);
        octet += 1;
    }
    classes
};

const fn classify(octet: u8) -> u8 {
    match octet {
        b'A'..=b'Z' | b'a'..=b'z' => LETTER | ATEXT,
        b'0'..=b'9' => DIGIT | ATEXT,
        b'.' => DOT,
        b'-' => HYPHEN | ATEXT,
        b'!' | b'#'..=b'\'' | b'*' | b'+' | b'/' | b'=' | b'?' | b'^'..=b'`' | b'{'..=b'~' => ATEXT,
        _ => 0,
    }
}

pub(super) fn class_of(octet: u8) -> u8 {
    CLASSES[usize::from(octet)]
}

pub(super) fn is_local_octet(octet: u8) -> bool {
    class_of(octet) & (DOT | ATEXT) != 0
}

/// Dotted decimal, each number of one to three digits and at most 255; leading zeros are valid in go-smtp-mock and in
/// RFC 5321 (`Snum` in section 4.1.3).
pub(super) fn is_dotted_decimal(text: &[u8]) -> bool {
    let is_octet = |part: &[u8]| {
        (1..=3).contains(&part.len())
            && part.iter().all(u8::is_ascii_digit)
            && part.iter().fold(0u32, |sum, digit| sum * 10 + u32::from(digit - b'0')) <= 255
    };
    text.split(|&octet| octet == b'.').count() == 4 && text.split(|&octet| octet == b'.').all(is_octet)
}

pub(super) fn is_rfc_mailbox(mailbox: &[u8]) -> bool {
    split_mailbox(mailbox).is_some_and(|(_, domain)| is_rfc_domain(domain) || is_address_literal(domain))
}

/// `Mailbox = Local-part "@" ( Domain / address-literal )`: a valid local part, and the text after the @.
pub(super) fn split_mailbox(mailbox: &[u8]) -> Option<(&[u8], &[u8])> {
    split_mailbox_with(mailbox, |_| false)
}

/// The same, with additional octets allowed in the local part.
fn split_mailbox_with(mailbox: &[u8], is_too: impl Fn(u8) -> bool) -> Option<(&[u8], &[u8])> {
    let at = match mailbox.first()? {
        b'"' => quoted_string_length(mailbox, &is_too)?,
        _ => memchr::memchr(b'@', mailbox)?,
    };
    let (local, domain) = (&mailbox[..at], mailbox[at..].strip_prefix(b"@")?);
    let is_atom =
        |atom: &[u8]| !atom.is_empty() && atom.iter().all(|&octet| is_atext(octet) || is_too(octet));
    let is_dot_string = || local.split(|&octet| octet == b'.').all(is_atom);
    (local.first() == Some(&b'"') || is_dot_string()).then_some((local, domain))
}

/// `Quoted-string = DQUOTE *QcontentSMTP DQUOTE`: its length, including quotes.
fn quoted_string_length(text: &[u8], is_too: impl Fn(u8) -> bool) -> Option<usize> {
    let mut at = 1;
    loop {
        match *text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' if matches!(text.get(at + 1), Some(b' '..=b'~')) => at += 2,
            b' '..=b'[' | b']'..=b'~' => at += 1,
            octet if is_too(octet) => at += 1,
            _ => return None,
        }
    }
}

/// `Mailbox` as extended by RFC 6531 section 3.3; the caller must know that it is UTF-8.
pub(super) fn is_utf8_mailbox(mailbox: &[u8]) -> bool {
    let is_beyond_ascii = |octet: u8| !octet.is_ascii();
    let is_domain = |domain: &[u8]| {
        is_domain_of(domain, |octet| octet.is_ascii_alphanumeric() || is_beyond_ascii(octet))
            || is_address_literal(domain)
    };
    split_mailbox_with(mailbox, is_beyond_ascii).is_some_and(|(_, domain)| is_domain(domain))
}

/// `atext` of RFC 5322 section 3.2.3.
fn is_atext(octet: u8) -> bool {
    class_of(octet) & ATEXT != 0
}

/// `Domain = sub-domain *("." sub-domain)`, `sub-domain = Let-dig [Ldh-str]`.
pub(super) fn is_rfc_domain(domain: &[u8]) -> bool {
    is_domain_of(domain, |octet| octet.is_ascii_alphanumeric())
}

/// The same with another set of octets for `Let-dig`.
pub(super) fn is_domain_of(domain: &[u8], is_let_dig: impl Fn(u8) -> bool) -> bool {
    let is_edge = |octet: Option<&u8>| octet.is_some_and(|&octet| is_let_dig(octet));
    let is_sub_domain = |label: &[u8]| {
        is_edge(label.first())
            && is_edge(label.last())
            && label.iter().all(|&octet| is_let_dig(octet) || octet == b'-')
    };
    domain.split(|&octet| octet == b'.').all(is_sub_domain)
}

/// `address-literal` of RFC 5321 section 4.1.3: IPv4, or IPv6, the only registered tag of the general form.
pub(super) fn is_address_literal(text: &[u8]) -> bool {
    let Some(inner) = text.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")) else {
        return false;
    };
    let Ok(inner) = std::str::from_utf8(inner) else {
        return false;
    };
    match inner.split_once(':') {
        None => is_dotted_decimal(inner.as_bytes()),
        Some((tag, ip)) => tag.eq_ignore_ascii_case("IPv6") && ip.parse::<Ipv6Addr>().is_ok(),
    }
}
