//! Command lines to typed commands: verbs, names and paths, ESMTP parameters (RFC 5321 section 4.1). Each line is
//! parsed once, and borrowed. Pure; imports no other module.

pub(super) mod address;
mod chunk;
mod declared;
pub(super) mod extension;
mod inbox;
mod letters;
pub(super) mod octets;
mod parameters;
mod secrets;
mod value;
mod xclient;

pub use address::{AddressRules, HeloName, Path};
pub use chunk::Chunk;
pub(super) use declared::Declared;
pub use extension::Extensions;
pub(crate) use inbox::inboxes_of;
pub(crate) use octets::Listed;
pub(super) use parameters::GivenParameters;
pub use parameters::{Parameter, Parameters};
pub use secrets::{Authenticate, InitialResponse};
pub(in crate::smtp) use secrets::{REDACTED, resembles_auth, shown_part};
pub use value::{Body, Notify, OriginalRecipient, Ret, decode_xtext};
pub(in crate::smtp) use xclient::ATTRIBUTES;
pub use xclient::ClientAttributes;

use std::fmt;
use std::num::NonZeroU16;

use crate::smtp::command::octets::Octets;

/// The commands the server knows (RFC 5321 section 4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verb {
    /// HELO.
    Helo,
    /// EHLO.
    Ehlo,
    /// LHLO (RFC 2033 section 4.1).
    Lhlo,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// BDAT.
    Bdat,
    /// RSET.
    Rset,
    /// NOOP.
    Noop,
    /// QUIT.
    Quit,
    /// VRFY.
    Vrfy,
    /// EXPN.
    Expn,
    /// HELP.
    Help,
    /// XCLIENT.
    Xclient,
    /// AUTH.
    Auth,
    /// STARTTLS.
    Starttls,
}

/// Why an argument of MAIL or RCPT is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArgumentError {
    /// The path is invalid under the address rules.
    Path,
    /// The path is invalid under these rules, but valid in UTF-8 under RFC 6531 section 3.3.
    Utf8,
    /// The path is valid, but a parameter is not offered or has an invalid value.
    Parameter,
    /// The path is valid, but a parameter is not offered.
    NotOffered,
}

/// The grammar of a session's lines in addition to the commands.
#[derive(Clone, Copy, Debug)]
pub struct Grammar<'g> {
    /// Which names and addresses are valid.
    pub addresses: AddressRules,
    /// The service extensions that the client was offered.
    pub offered: &'g Extensions,
}

/// A command with its arguments, borrowed from its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command<'a> {
    /// HELO; `None` for an invalid name.
    Helo(Option<HeloName<'a>>),
    /// EHLO.
    Ehlo(Option<HeloName<'a>>),
    /// LHLO, LMTP's replacement of both.
    Lhlo(Option<HeloName<'a>>),
    /// MAIL.
    Mail {
        /// The reverse-path.
        path: Result<Path<'a>, ArgumentError>,
        /// The offered parameters after a valid path, or all of them if one is invalid. Without brackets around the
        /// path they are part of it, unless they were offered.
        parameters: Parameters<'a>,
    },
    /// RCPT.
    Rcpt {
        /// The forward-path.
        path: Result<Path<'a>, ArgumentError>,
        /// As for MAIL.
        parameters: Parameters<'a>,
    },
    /// DATA.
    Data {
        /// Nothing follows the verb.
        is_bare: bool,
    },
    /// BDAT (RFC 3030 section 2); `None` if its argument is invalid. The octets of the chunk follow the line.
    Bdat(Option<Chunk>),
    /// RSET.
    Rset {
        /// Nothing follows the verb.
        is_bare: bool,
    },
    /// NOOP. Its argument is ignored (RFC 5321 section 4.1.1.9).
    Noop,
    /// QUIT.
    Quit {
        /// Nothing follows the verb.
        is_bare: bool,
    },
    /// VRFY (RFC 5321 section 4.1.1.6).
    Vrfy {
        /// Something follows the verb.
        has_argument: bool,
    },
    /// EXPN (RFC 5321 section 4.1.1.7).
    Expn {
        /// Something follows the verb.
        has_argument: bool,
    },
    /// HELP, with or without an argument (RFC 5321 section 4.1.1.8).
    Help,
    /// Postfix's XCLIENT.
    Xclient {
        /// The text after the verb: see [`ClientAttributes::parse`].
        arguments: &'a [u8],
    },
    /// AUTH (RFC 4954); `None` if the mechanism or the initial response is invalid.
    Auth(Option<Authenticate<'a>>),
    /// STARTTLS (RFC 3207).
    Starttls {
        /// Nothing follows the verb.
        is_bare: bool,
    },
    /// An unknown command.
    Unknown,
}

impl Command<'_> {
    /// `None` for an unknown command.
    pub fn verb(&self) -> Option<Verb> {
        Some(match self {
            Self::Helo(_) => Verb::Helo,
            Self::Ehlo(_) => Verb::Ehlo,
            Self::Lhlo(_) => Verb::Lhlo,
            Self::Mail { .. } => Verb::Mail,
            Self::Rcpt { .. } => Verb::Rcpt,
            Self::Data { .. } => Verb::Data,
            Self::Bdat(_) => Verb::Bdat,
            Self::Rset { .. } => Verb::Rset,
            Self::Noop => Verb::Noop,
            Self::Quit { .. } => Verb::Quit,
            Self::Vrfy { .. } => Verb::Vrfy,
            Self::Expn { .. } => Verb::Expn,
            Self::Help => Verb::Help,
            Self::Xclient { .. } => Verb::Xclient,
            Self::Auth(_) => Verb::Auth,
            Self::Starttls { .. } => Verb::Starttls,
            Self::Unknown => return None,
        })
    }
}

/// One command line, borrowed from the input.
///
/// ```
/// use smtpmock::smtp::{AddressRules, Command, Extensions, Grammar, Request};
///
/// let grammar = Grammar { addresses: AddressRules::Rfc5321, offered: &Extensions::default() };
/// let request = Request::parse(b"rcpt TO:<bob@example.com>\r\n", grammar);
/// assert_eq!(request.line, b"rcpt TO:<bob@example.com>");
/// let Command::Rcpt { path, parameters } = request.command else { panic!("{request:?}") };
/// assert_eq!(path.unwrap().mailbox(), b"bob@example.com");
/// assert_eq!(parameters.iter().count(), 0);
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// The whole line without surrounding white space, as recorded and logged.
    pub line: &'a [u8],
    /// The command in it.
    pub command: Command<'a>,
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, command } = self;
        let shown = match shown_part(line) {
            Some(shown) => [shown, REDACTED].concat().into(),
            None => std::borrow::Cow::Borrowed(*line),
        };
        f.debug_struct("Request").field("line", &Octets(&shown)).field("command", command).finish()
    }
}

impl<'a> Request<'a> {
    /// Parses a line, with or without its line end. Verbs are case-insensitive and end at a space.
    #[inline(always)]
    pub fn parse(line: &'a [u8], grammar: Grammar<'_>) -> Self {
        let line = trim(line);
        Self { line, command: command(line, grammar) }
    }
}

/// The position of a name or mailbox in its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::smtp) struct Part {
    /// Never 0: names and mailboxes follow a verb.
    start: NonZeroU16,
    length: u16,
}

impl Part {
    /// The position of `part`, a slice of `line`; `None` if it is not.
    pub(in crate::smtp) fn of(line: &[u8], part: &[u8]) -> Option<Self> {
        let start = match part.is_empty() {
            true => 1,
            false => part.as_ptr().addr().checked_sub(line.as_ptr().addr())?,
        };
        let is_inside = part.is_empty() || start + part.len() <= line.len();
        let length = u16::try_from(part.len()).ok().filter(|_| is_inside)?;
        Some(Self { start: NonZeroU16::new(u16::try_from(start).ok()?)?, length })
    }

    pub(in crate::smtp) fn within(self, line: &[u8]) -> &[u8] {
        let start = usize::from(self.start.get());
        line.get(start..start + usize::from(self.length)).unwrap_or_default()
    }
}

/// Length of all verbs except XCLIENT and STARTTLS.
const VERB_LENGTH: usize = 4;
/// In each of the four octets, the bit that distinguishes lower-case from capital ASCII letters.
const CASE: u32 = 0x2020_2020;

const XCLIENT: &[u8] = b"XCLIENT";
const STARTTLS: &[u8] = b"STARTTLS";

/// U+017F folds to S, and go-smtp-mock folds by Unicode's rules.
const RSET_LONG_S: &str = "r\u{17f}et";

#[inline(always)]
fn command<'a>(line: &'a [u8], grammar: Grammar<'_>) -> Command<'a> {
    let Some((word, rest)) = line.split_at_checked(VERB_LENGTH) else { return Command::Unknown };
    if !rest.is_empty() && rest[0] != b' ' {
        return of_longer_word(line);
    }
    let Ok(word) = <[u8; VERB_LENGTH]>::try_from(word) else { return Command::Unknown };
    let is_bare = rest.is_empty();
    // "MAIL" and "RCPT" alone are only half the command's name: such a line is a command only if it contains the name
    // of any command, which go-smtp-mock's users see as 501 or 502.
    let mail = |(path, parameters)| Command::Mail { path, parameters };
    let rcpt = |(path, parameters)| Command::Rcpt { path, parameters };
    // Without the bit of lower case; only letters become capitals by that.
    match &(u32::from_ne_bytes(word) & !CASE).to_ne_bytes() {
        b"HELO" => Command::Helo(HeloName::parse_argument(rest, false, grammar.addresses)),
        b"EHLO" => Command::Ehlo(HeloName::parse_argument(rest, true, grammar.addresses)),
        b"LHLO" => Command::Lhlo(HeloName::parse_argument(rest, true, grammar.addresses)),
        b"MAIL" => match behind_from(rest) {
            Some(argument) => mail(Path::parse_argument(argument, Verb::Mail, grammar)),
            None if names_a_command(line) => mail(Path::parse_half_named(rest, Verb::Mail, grammar)),
            None => Command::Unknown,
        },
        b"RCPT" => match behind_to(rest) {
            Some(argument) => rcpt(Path::parse_argument(argument, Verb::Rcpt, grammar)),
            None if names_a_command(line) => rcpt(Path::parse_half_named(rest, Verb::Rcpt, grammar)),
            None => Command::Unknown,
        },
        b"DATA" => Command::Data { is_bare },
        b"BDAT" => Command::Bdat(Chunk::parse_argument(rest)),
        b"RSET" => Command::Rset { is_bare },
        b"NOOP" => Command::Noop,
        b"QUIT" => Command::Quit { is_bare },
        b"VRFY" => Command::Vrfy { has_argument: !is_bare },
        b"EXPN" => Command::Expn { has_argument: !is_bare },
        b"HELP" => Command::Help,
        b"AUTH" => Command::Auth(Authenticate::parse(rest)),
        _ => Command::Unknown,
    }
}

/// The text after `FROM:`, compared in machine words: it is needed for each message.
#[inline]
pub(super) fn behind_from(rest: &[u8]) -> Option<&[u8]> {
    let (&[b' ', one, two, three, four, b':'], behind) = rest.split_first_chunk()? else { return None };
    let word = u32::from_ne_bytes([one, two, three, four]) & !CASE;
    (word == u32::from_ne_bytes(*b"FROM")).then_some(behind)
}

#[inline]
pub(super) fn behind_to(rest: &[u8]) -> Option<&[u8]> {
    let (&[b' ', one, two, b':'], behind) = rest.split_first_chunk()? else { return None };
    [one, two].eq_ignore_ascii_case(b"TO").then_some(behind)
}

/// The command of a line whose first word is longer than four octets.
fn of_longer_word(line: &[u8]) -> Command<'_> {
    let behind = |verb: &[u8]| match line.split_at_checked(verb.len()) {
        Some((word, rest @ ([] | [b' ', ..]))) if word.eq_ignore_ascii_case(verb) => Some(rest),
        _ => None,
    };
    match (behind(XCLIENT), behind(STARTTLS)) {
        (Some(arguments), _) => Command::Xclient { arguments },
        (_, Some(rest)) => Command::Starttls { is_bare: rest.is_empty() },
        _ if is_long_s_rset(line) => Command::Rset { is_bare: line == RSET_LONG_S.as_bytes() },
        _ => Command::Unknown,
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

/// Trims Unicode white space; an octet that is not UTF-8 ends the trimming.
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
