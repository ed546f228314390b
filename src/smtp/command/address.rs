//! HELO names and the paths of MAIL and RCPT, under four sets of address rules.

use std::fmt;
mod grammar;

use self::grammar::{
    DIGIT, DOT, HYPHEN, LETTER, class_of, is_address_literal, is_domain_of, is_dotted_decimal,
    is_local_octet, is_rfc_domain, is_rfc_mailbox, is_utf8_mailbox, split_mailbox,
};
use crate::smtp::command::letters::is_letter;
use crate::smtp::command::octets::Octets;
use crate::smtp::command::{
    ArgumentError, Grammar, Parameters, Verb, behind_from, behind_to, starts_with_ignoring_case,
};

/// Which HELO names and addresses are valid.
///
/// ```
/// use smtpmock::smtp::{AddressRules, HeloName, Path};
///
/// let helo = |rules| HeloName::parse(b"EHLO my_service", rules).is_some();
/// assert!(helo(AddressRules::Lenient) && helo(AddressRules::Any));
/// assert!(!helo(AddressRules::Compat) && !helo(AddressRules::Rfc5321));
///
/// let path = Path::parse_reverse(b"MAIL FROM:<root@vm>", AddressRules::Lenient);
/// assert_eq!(path.unwrap().mailbox(), b"root@vm");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressRules {
    /// The union of go-smtp-mock's rules and RFC 5321 section 4.1.2: [`Compat`](Self::Compat) with every domain of the
    /// RFC, so that a host name of one label is enough (`EHLO vm`, `root@vm`). In HELO and EHLO an underscore counts as
    /// a letter, as in the names of containers.
    #[default]
    Lenient,
    /// go-smtp-mock's rules with what RFC 5321 requires of every server: the null reverse-path, `<postmaster>`, quoted
    /// local parts, address literals, source routes, A-labels.
    Compat,
    /// Exactly the grammar of RFC 5321 section 4.1.2.
    Rfc5321,
    /// No check at all.
    Any,
}

/// The name in HELO or EHLO.
///
/// ```
/// use smtpmock::smtp::{AddressRules, HeloName};
///
/// let name = HeloName::parse(b"EHLO web_1", AddressRules::Lenient).unwrap();
/// assert_eq!(name.as_bytes(), b"web_1");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HeloName<'a>(&'a [u8]);

impl fmt::Debug for HeloName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HeloName").field(&Octets(self.0)).finish()
    }
}

impl<'a> HeloName<'a> {
    /// Parses the name in a whole HELO or EHLO line, trimmed. `None` if invalid under the rules.
    pub fn parse(line: &'a [u8], rules: AddressRules) -> Option<Self> {
        Self::parse_argument(line.get(4..)?, starts_with_ignoring_case(line, b"EHLO"), rules)
    }

    /// Parses the name after the verb.
    pub(super) fn parse_argument(argument: &'a [u8], is_ehlo: bool, rules: AddressRules) -> Option<Self> {
        let name = match rules {
            AddressRules::Any => argument.trim_ascii(),
            AddressRules::Lenient => argument.strip_prefix(b" ").filter(|name| is_lenient_helo_name(name))?,
            AddressRules::Compat => argument.strip_prefix(b" ").filter(|name| is_compat_helo_name(name))?,
            AddressRules::Rfc5321 => argument
                .strip_prefix(b" ")
                .filter(|name| is_rfc_domain(name) || (is_ehlo && is_address_literal(name)))?,
        };
        Some(Self(name))
    }

    /// Whether a name from a record, which may be any text, is valid under the default rules.
    pub(crate) fn is_name(name: &[u8]) -> bool {
        is_lenient_helo_name(name)
    }

    /// The domain or address literal as sent.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

/// A reverse-path or forward-path.
///
/// ```
/// use smtpmock::smtp::{AddressRules, Path};
///
/// let path = Path::parse_reverse(b"MAIL FROM:<ann@example.com>", AddressRules::Rfc5321).unwrap();
/// assert_eq!(path.mailbox(), b"ann@example.com");
/// assert!(Path::parse_forward(b"RCPT TO:<nobody@>", AddressRules::Lenient).is_none());
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Path<'a> {
    mailbox: &'a [u8],
}

impl fmt::Debug for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Path").field(&Octets(self.mailbox)).finish()
    }
}

impl<'a> Path<'a> {
    /// Parses the reverse-path in a whole MAIL line, trimmed. `None` if invalid under the rules.
    ///
    /// ESMTP parameters (RFC 5321 section 4.1.2) make a line invalid: they require an extension that was offered, see
    /// [`Request::parse`](crate::smtp::Request::parse).
    pub fn parse_reverse(line: &'a [u8], rules: AddressRules) -> Option<Self> {
        match behind_from(line.get(4..)?) {
            Some(argument) => Self::parse(argument, is_special_reverse, rules),
            None => Self::parse_unchecked(&line[4..], rules),
        }
    }

    /// Parses the forward-path in a whole RCPT line, trimmed. `None` if invalid under the rules.
    pub fn parse_forward(line: &'a [u8], rules: AddressRules) -> Option<Self> {
        match behind_to(line.get(4..)?) {
            Some(argument) => Self::parse(argument, is_special_forward, rules),
            None => Self::parse_unchecked(&line[4..], rules),
        }
    }

    /// Parses the path and the parameters after `FROM:` or `TO:`. With SMTPUTF8 the path may be UTF-8 (RFC 6531 section
    /// 3.3) under any rules.
    #[inline]
    pub(super) fn parse_argument(
        argument: &'a [u8],
        verb: Verb,
        grammar: Grammar<'_>,
    ) -> (Result<Self, ArgumentError>, Parameters<'a>) {
        // If parameters were offered, an argument with some must not be tried as a bare path first.
        if (grammar.offered.are_none() || argument.last() == Some(&b'>'))
            && let Some(path) = Self::parse(argument, special_of(verb), grammar.addresses)
            && (grammar.offered.are_none() || path.is_all_of(argument, grammar.addresses))
        {
            return (Ok(path), Parameters::default());
        }
        Self::parse_with_parameters(argument, verb, grammar)
    }

    /// Whether the argument is only a path in brackets: extensions do not change how it is parsed.
    #[inline]
    fn is_all_of(self, argument: &[u8], rules: AddressRules) -> bool {
        self.mailbox.len() + 2 == argument.len() && rules != AddressRules::Any && self.mailbox.is_ascii()
    }

    /// Not inlined, so that a valid path without parameters pays nothing for it.
    #[inline(never)]
    fn parse_with_parameters(
        argument: &'a [u8],
        verb: Verb,
        Grammar { addresses, offered }: Grammar<'_>,
    ) -> (Result<Self, ArgumentError>, Parameters<'a>) {
        let is_special = special_of(verb);
        let (bare, accepted) = Parameters::split_off(argument, |parameter| offered.allow(parameter, verb));
        let utf8 = |bare: &'a [u8]| {
            let path = trim_regex_space(bare);
            std::str::from_utf8(path).ok()?;
            Some(Self { mailbox: bracketed(path, is_special, is_utf8_mailbox)? })
        };
        // Tried first, as go-smtp-mock's pattern would begin after the last non-ASCII letter.
        let path_of = |bare: &'a [u8]| {
            let utf8 = if offered.include("SMTPUTF8") { utf8(bare) } else { None };
            utf8.or_else(|| Self::parse(bare, is_special, addresses))
        };
        if let Some(path) = path_of(bare) {
            return (Ok(path), accepted);
        }
        if let Some(path) = Self::parse(argument, is_special, addresses) {
            return (Ok(path), Parameters::default());
        }
        let (bare, all) = Parameters::split_off(argument, |_| true);
        if path_of(bare).is_some() {
            return (Err(ArgumentError::Parameter), all);
        }
        let error = match (utf8(bare), bracketed_front(argument).and_then(path_of)) {
            (Some(_), _) => ArgumentError::Utf8,
            // The words after the path are not parameters.
            (None, Some(_)) => ArgumentError::Parameter,
            (None, None) => ArgumentError::Path,
        };
        (Err(error), Parameters::default())
    }

    /// Parses the path after a verb without `FROM:` or `TO:`.
    #[inline(never)]
    pub(super) fn parse_half_named(
        rest: &'a [u8],
        verb: Verb,
        Grammar { addresses, offered }: Grammar<'_>,
    ) -> (Result<Self, ArgumentError>, Parameters<'a>) {
        let (bare, accepted) = Parameters::split_off(rest, |parameter| offered.allow(parameter, verb));
        (Self::parse_unchecked(bare, addresses).ok_or(ArgumentError::Path), accepted)
    }

    fn parse_unchecked(rest: &'a [u8], rules: AddressRules) -> Option<Self> {
        (rules == AddressRules::Any).then(|| Self { mailbox: rest.trim_ascii() })
    }

    /// The mailbox without angle brackets and source route; empty for the null reverse-path.
    pub fn mailbox(&self) -> &'a [u8] {
        self.mailbox
    }

    /// Parses the path after `FROM:` or `TO:`.
    fn parse(argument: &'a [u8], is_special: fn(&[u8]) -> bool, rules: AddressRules) -> Option<Self> {
        let mailbox = match rules {
            AddressRules::Any => unchecked_mailbox(argument),
            AddressRules::Lenient => {
                let strict = || bracketed(trim_regex_space(argument), is_special, is_lenient_mailbox);
                reference_mailbox(argument, is_lenient_domain, is_part_of_word).or_else(strict)?
            }
            AddressRules::Compat => {
                let strict = || bracketed(trim_regex_space(argument), is_special, is_compat_mailbox);
                reference_mailbox(argument, is_reference_domain, |_| false).or_else(strict)?
            }
            AddressRules::Rfc5321 => bracketed(argument, is_special, is_rfc_mailbox)?,
        };
        Some(Self { mailbox })
    }
}

/// A path in brackets followed by a space.
fn bracketed_front(argument: &[u8]) -> Option<&[u8]> {
    let end = memchr::memmem::find(argument, b"> ")?;
    Some(&argument[..=end])
}

/// The special paths of the verb that are not mailboxes of the usual form.
fn special_of(verb: Verb) -> fn(&[u8]) -> bool {
    if verb == Verb::Mail { is_special_reverse } else { is_special_forward }
}

/// The null reverse-path.
fn is_special_reverse(path: &[u8]) -> bool {
    path.is_empty()
}

/// The mailbox that needs no domain (RFC 5321 section 4.1.1.3).
fn is_special_forward(path: &[u8]) -> bool {
    path.eq_ignore_ascii_case(b"postmaster")
}

/// The text between the brackets, or all of it without brackets.
fn unchecked_mailbox(argument: &[u8]) -> &[u8] {
    let argument = argument.trim_ascii();
    let inside = argument.strip_prefix(b"<").and_then(|rest| {
        let end = memchr::memchr(b'>', rest)?;
        Some(&rest[..end])
    });
    inside.unwrap_or(argument)
}

/// `Path = "<" [ A-d-l ":" ] Mailbox ">"` (RFC 5321 section 4.1.2). The source route is ignored (section 4.1.1.3).
fn bracketed(
    argument: &[u8],
    is_special: impl Fn(&[u8]) -> bool,
    is_mailbox: impl Fn(&[u8]) -> bool,
) -> Option<&[u8]> {
    let path = argument.strip_prefix(b"<")?.strip_suffix(b">")?;
    if is_special(path) {
        return Some(path);
    }
    let mailbox = without_source_route(path)?;
    is_mailbox(mailbox).then_some(mailbox)
}

fn without_source_route(path: &[u8]) -> Option<&[u8]> {
    if path.first() != Some(&b'@') {
        return Some(path);
    }
    let colon = memchr::memchr(b':', path)?;
    let hops = &path[..colon];
    let is_hop = |hop: &[u8]| hop.strip_prefix(b"@").is_some_and(is_rfc_domain);
    hops.split(|&octet| octet == b',').all(is_hop).then_some(&path[colon + 1..])
}

// --- what go-smtp-mock accepts -------------------------------------------------------------------

/// The white space of go-smtp-mock's patterns: ASCII without the vertical tab.
fn is_regex_space(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\n' | b'\x0c' | b'\r')
}

fn trim_regex_space(argument: &[u8]) -> &[u8] {
    let start = argument.iter().position(|&octet| !is_regex_space(octet)).unwrap_or(argument.len());
    &argument[start..]
}

/// The address go-smtp-mock's pattern would capture: words, spaces and `<` in front, then `local@domain`, then any
/// number of `>`. The caller determines the valid domains, and which preceding octets belong to the local part
/// nevertheless.
fn reference_mailbox(
    argument: &[u8],
    is_domain: impl Fn(&[u8]) -> bool,
    is_local_too: impl Fn(u8) -> bool,
) -> Option<&[u8]> {
    let end = argument.iter().rposition(|&octet| octet != b'>')? + 1;
    let argument = &argument[..end];
    let at = memchr::memchr(b'@', argument)?;
    let (front, domain) = (&argument[..at], &argument[at + 1..]);
    let start = local_part_start(front)?;
    if !may_stand_before(&front[..start]) || !is_domain(domain) {
        return None;
    }
    // An ASCII letter already belongs to the local part.
    let is_cut = front[..start].last().is_some_and(|octet| !octet.is_ascii());
    let start = if is_cut { word_start(&front[..start], is_local_too) } else { start };
    Some(&argument[start..])
}

/// The start of the octets of this class that end `front`.
#[cold]
fn word_start(front: &[u8], is_of_word: impl Fn(u8) -> bool) -> usize {
    front.iter().rposition(|&octet| !is_of_word(octet)).map_or(0, |last| last + 1)
}

/// White space, `<`, letters and digits of any script.
fn may_stand_before(text: &[u8]) -> bool {
    let is_ascii_one = |octet: &u8| *octet == b'<' || octet.is_ascii_alphanumeric() || is_regex_space(*octet);
    let is_one = |c: char| {
        is_letter(c)
            || c.is_numeric()
            || c == '\u{345}'
            || u8::try_from(c).is_ok_and(|octet| is_ascii_one(&octet))
    };
    text.iter().all(is_ascii_one) || std::str::from_utf8(text).is_ok_and(|text| text.chars().all(is_one))
}

/// The start of the longest run of local-part characters that ends `front`; `None` if empty.
fn local_part_start(front: &[u8]) -> Option<usize> {
    let mut start = front.len();
    loop {
        match &front[..start] {
            [.., octet] if is_local_octet(*octet) => start -= 1,
            // The two non-ASCII letters that fold to ASCII ones: long s and the Kelvin sign.
            [.., 0xc5, 0xbf] => start -= 2,
            [.., 0xe2, 0x84, 0xaa] => start -= 3,
            _ => break,
        }
    }
    (start < front.len()).then_some(start)
}

/// Words of letters and digits joined by single dots and hyphens, the last joined by a dot and made of
/// 2 to 63 letters; or `localhost`.
fn is_reference_domain(domain: &[u8]) -> bool {
    is_plain_domain(domain) || is_unusual_domain(domain)
}

/// The same without `localhost` and non-ASCII letters, in one pass.
fn is_plain_domain(domain: &[u8]) -> bool {
    // State of the current label, and of the word in it.
    let (mut has_dot, mut is_all_letters, mut word) = (false, true, 0);
    for &octet in domain {
        let class = class_of(octet);
        if class & (LETTER | DIGIT) != 0 {
            word += 1;
            is_all_letters &= class & LETTER != 0;
        } else if class & (DOT | HYPHEN) != 0 && word > 0 {
            word = 0;
            has_dot |= class & DOT != 0;
            is_all_letters = class & DOT != 0;
        } else {
            return false;
        }
    }
    has_dot && is_all_letters && (2..=63).contains(&word)
}

fn is_unusual_domain(domain: &[u8]) -> bool {
    let Some(dot) = memchr::memrchr(b'.', domain) else {
        return is_reference_localhost(domain);
    };
    let is_word =
        |word: &[u8]| count_reference_letters(word, u8::is_ascii_digit).is_some_and(|count| count > 0);
    let top = count_reference_letters(&domain[dot + 1..], |_| false);
    top.is_some_and(|count| (2..=63).contains(&count))
        && domain[..dot].split(|&octet| matches!(octet, b'.' | b'-')).all(is_word)
}

/// Number of characters in `text`; `None` unless all are letters, or ASCII that `is_too` accepts.
fn count_reference_letters(text: &[u8], is_too: impl Fn(&u8) -> bool) -> Option<usize> {
    if text.iter().all(|octet| octet.is_ascii_alphabetic() || is_too(octet)) {
        return Some(text.len());
    }
    // The pattern is case-insensitive by Unicode's rules: U+0345 folds to a letter.
    let is_one = |c: char| {
        is_letter(c)
            || c == '\u{345}'
            || u8::try_from(c).is_ok_and(|octet| octet.is_ascii() && is_too(&octet))
    };
    let text = std::str::from_utf8(text).ok()?;
    text.chars().all(is_one).then(|| text.chars().count())
}

/// `localhost` in any case; by Unicode's rules a long s is an s.
fn is_reference_localhost(domain: &[u8]) -> bool {
    let fold = |c: char| if c == '\u{17f}' { 's' } else { c.to_ascii_lowercase() };
    std::str::from_utf8(domain).is_ok_and(|domain| domain.chars().map(fold).eq("localhost".chars()))
}

fn is_compat_helo_name(name: &[u8]) -> bool {
    let literal = name.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
    is_reference_domain(name)
        || is_dotted_decimal(name)
        || literal.is_some_and(is_dotted_decimal)
        || is_a_label_domain(name)
        || is_address_literal(name)
}

/// Domains that go-smtp-mock refuses although RFC 5321 allows them and clients need them: with runs of hyphens, as in
/// A-labels of internationalised domains. Domains without a dot and numeric top-level domains are still refused, as its
/// users expect.
fn is_a_label_domain(domain: &[u8]) -> bool {
    let Some(dot) = memchr::memrchr(b'.', domain) else {
        return false;
    };
    let top = &domain[dot + 1..];
    let is_top = (2..=63).contains(&top.len()) && top.iter().all(u8::is_ascii_alphabetic);
    is_rfc_domain(domain) && (is_top || starts_with_ignoring_case(top, b"xn--"))
}

fn is_compat_mailbox(mailbox: &[u8]) -> bool {
    let is_domain = |domain: &[u8]| {
        is_reference_domain(domain) || is_a_label_domain(domain) || is_address_literal(domain)
    };
    split_mailbox(mailbox).is_some_and(|(_, domain)| is_domain(domain))
}

// --- what both accept -------------------------------------------------------------------------

/// go-smtp-mock's dotted decimals are valid domains of the RFC, and its literals are valid literals.
fn is_lenient_helo_name(name: &[u8]) -> bool {
    is_host_name(name) || is_unusual_domain(name) || is_address_literal(name)
}

/// A domain by the RFC's grammar, but also with `_`, as in service names of container networks.
fn is_host_name(name: &[u8]) -> bool {
    is_domain_of(name, |octet| octet == b'_' || octet.is_ascii_alphanumeric())
}

/// go-smtp-mock's pattern would capture only the part after the `ü` of `<jürgen@example.com>`; the whole word is meant.
fn is_part_of_word(octet: u8) -> bool {
    octet != b'<' && !is_regex_space(octet)
}

fn is_lenient_domain(domain: &[u8]) -> bool {
    is_reference_domain(domain) || is_rfc_domain(domain)
}

fn is_lenient_mailbox(mailbox: &[u8]) -> bool {
    let is_domain = |domain: &[u8]| is_lenient_domain(domain) || is_address_literal(domain);
    split_mailbox(mailbox).is_some_and(|(_, domain)| is_domain(domain))
}
