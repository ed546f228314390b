//! Command lines: which command a line is, by its first word.

pub(super) mod address;
pub(super) mod letters;
pub(super) mod octets;

pub use address::{AddressRules, HeloName, Path};
pub(crate) use octets::Listed;

use std::fmt;

use crate::smtp::command::octets::Octets;

/// The commands the server knows (RFC 5321 section 4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// HELO or EHLO: they differ in what is offered, see [`Extensions`](crate::smtp::Extensions).
    Helo,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// RSET.
    Rset,
    /// NOOP.
    Noop,
    /// QUIT.
    Quit,
}

/// One command line, borrowed from the input.
///
/// ```
/// use smtpmock::smtp::{Command, Verb};
///
/// let command = Command::parse(b"rcpt TO:<bob@example.com>\r\n");
/// assert_eq!(command.verb, Some(Verb::Rcpt));
/// assert_eq!(command.line, b"rcpt TO:<bob@example.com>");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Command<'a> {
    /// What it asks for; `None` for a line that is no known command.
    pub verb: Option<Verb>,
    /// The whole line without white space around it, as it is recorded.
    pub line: &'a [u8],
}

impl fmt::Debug for Command<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, line } = self;
        f.debug_struct("Command").field("verb", verb).field("line", &Octets(line)).finish()
    }
}

impl<'a> Command<'a> {
    /// Reads a line, with or without its line end. Verbs are case-insensitive and end at a space.
    pub fn parse(line: &'a [u8]) -> Self {
        let line = trim(line);
        Self { verb: verb(line), line }
    }

    /// The line is the verb and nothing else.
    pub fn is_bare(&self) -> bool {
        self.line.len() == VERB_LENGTH || self.line == RSET_LONG_S.as_bytes()
    }
}

/// Every verb has four letters.
const VERB_LENGTH: usize = 4;
/// In each of the four, the bit that is set in a small letter of ASCII.
const CASE: u32 = 0x2020_2020;

/// U+017F folds to S, and go-smtp-mock folds by Unicode's rules.
const RSET_LONG_S: &str = "r\u{17f}et";

fn verb(line: &[u8]) -> Option<Verb> {
    let (word, rest) = line.split_at_checked(VERB_LENGTH)?;
    if !rest.is_empty() && rest[0] != b' ' {
        return is_long_s_rset(line).then_some(Verb::Rset);
    }
    let word: [u8; VERB_LENGTH] = word.try_into().ok()?;
    // Without the bit that tells small letters from capitals; nothing but a letter becomes one by that.
    match &(u32::from_ne_bytes(word) & !CASE).to_ne_bytes() {
        b"HELO" | b"EHLO" => Some(Verb::Helo),
        // "MAIL" and "RCPT" alone are only half the command's name: such a line is a command only when
        // the name of some command stands in it somewhere, which go-smtp-mock's users see as 501 or 502.
        b"MAIL" => {
            (starts_with_ignoring_case(rest, b" from:") || names_a_command(line)).then_some(Verb::Mail)
        }
        b"RCPT" => (starts_with_ignoring_case(rest, b" to:") || names_a_command(line)).then_some(Verb::Rcpt),
        b"DATA" => Some(Verb::Data),
        b"RSET" => Some(Verb::Rset),
        b"NOOP" => Some(Verb::Noop),
        b"QUIT" => Some(Verb::Quit),
        _ => None,
    }
}

fn is_long_s_rset(line: &[u8]) -> bool {
    let first = line.split(|&octet| octet == b' ').next().unwrap_or_default();
    std::str::from_utf8(first).is_ok_and(|word| word.to_lowercase() == RSET_LONG_S)
}

fn names_a_command(line: &[u8]) -> bool {
    const NAMES: [&[u8]; 9] = [
        b"mail from:",
        b"rcpt to:",
        b"helo",
        b"ehlo",
        b"data",
        b"rset",
        RSET_LONG_S.as_bytes(),
        b"noop",
        b"quit",
    ];
    NAMES.iter().any(|name| line.windows(name.len()).any(|part| part.eq_ignore_ascii_case(name)))
}

pub(in crate::smtp) fn starts_with_ignoring_case(line: &[u8], prefix: &[u8]) -> bool {
    line.get(..prefix.len()).is_some_and(|front| front.eq_ignore_ascii_case(prefix))
}

/// Removes white space (Unicode's, where the text is UTF-8) from both ends.
fn trim(line: &[u8]) -> &[u8] {
    let line = trim_ascii(line);
    let edges_are_ascii = line.first().is_none_or(u8::is_ascii) && line.last().is_none_or(u8::is_ascii);
    if edges_are_ascii { line } else { trim_unicode(line) }
}

/// Like `<[u8]>::trim_ascii`, and the vertical tab.
fn trim_ascii(mut line: &[u8]) -> &[u8] {
    while let [front @ .., b'\t'..=b'\r' | b' '] = line {
        line = front;
    }
    while let [b'\t'..=b'\r' | b' ', back @ ..] = line {
        line = back;
    }
    line
}

/// Trims what is white space; an octet that is not UTF-8 ends the trimming.
fn trim_unicode(line: &[u8]) -> &[u8] {
    let leading = match line.utf8_chunks().next() {
        Some(chunk) => chunk.valid().len() - chunk.valid().trim_start().len(),
        None => 0,
    };
    let line = &line[leading..];
    let trailing = match line.utf8_chunks().last() {
        Some(chunk) if chunk.invalid().is_empty() => chunk.valid().len() - chunk.valid().trim_end().len(),
        _ => 0,
    };
    &line[..line.len() - trailing]
}
