//! Replies, rendered as octets once unless they have places; the kinds of replies, the stages of a session, and record
//! ids in replies. Imports `command`; pure.

mod id;
mod kind;
mod places;
mod stage;
mod wire;

pub use id::{NoRecordId, RecordId, ServerTag};
pub use kind::ReplyKind;
pub(in crate::smtp) use places::Values;
pub use stage::{Next, Portion, Stage};

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::smtp::command::Extensions;
use crate::smtp::command::octets::Octets;
use places::Places;
use wire::Wire;

const CRLF: &[u8] = b"\r\n";

/// Prefix of a text whose octets are sent unchanged.
const RAW: &[u8] = b"raw:";

const A_CODE: &str = "a reply with a code, like reply=\"451 try later\"";
const ONE_CODE: &str =
    "the code of the first line in every line of a reply, or raw: in front to send it unchanged";
const A_HYPHEN: &str = "a hyphen behind the code in every line of a reply but the last, like 250-first, \
                        or raw: in front to send it unchanged";
const NO_HYPHEN: &str = "a space behind the code in the last line of a reply, as a hyphen announces \
                         another line, or raw: in front to send it unchanged";

const A_KNOWN_CODE: &str =
    "a code in front that a reply can have, like 250 or 451 (RFC 5321 section 4.2), or raw:";

/// One reply as sent, including line ends. Cloning shares the bytes.
///
/// It is made from a text of one line or more, each with the code (RFC 5321 section 4.2.1). Lines may end with CRLF, LF
/// or CR; CRLF is sent after each, and empty lines at the end are dropped. The octets after `raw:` are sent unchanged;
/// a CRLF is added only if they end without a line end.
///
/// A reply to EHLO offers extensions in its lines after the first, see [`Extensions`]. HELO gets only the first line
/// (RFC 5321 section 3.2), unless it is raw.
///
/// After the code a text may have places, unless it is raw: `{{to}}`, `{{from}}`, `{{helo}}`, `{{ip}}`, `{{id}}`,
/// `{{plain_id}}`, `{{session}}`, `{{size}}`, `{{limit}}` and `{{commands}}`; [the rules'
/// guide](crate::smtp::rules#places) explains them. A session fills them in its [steps](crate::smtp::Step); anything
/// else in braces is unchanged.
///
/// ```
/// use smtpmock::smtp::Reply;
///
/// assert_eq!(Reply::new("250-mx.example\n250 PIPELINING\n").wire(), b"250-mx.example\r\n250 PIPELINING\r\n");
/// assert_eq!(Reply::new("raw:250-first\n550 second").wire(), b"250-first\n550 second\r\n");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Reply(Arc<Rendered>);

#[derive(PartialEq, Eq)]
struct Rendered {
    /// Always ends with LF; with CRLF unless it is raw.
    wire: Wire,
    origin: Origin,
    /// Places for values; `None` without any.
    places: Option<Places>,
    /// The first line of a positive reply of several lines: the reply to HELO.
    for_helo: Option<Reply>,
    /// The reply to EHLO of a trusted peer, if different.
    for_trusted: Option<Reply>,
    /// The reply to EHLO within TLS, if different.
    for_encrypted: Option<Reply>,
    /// The reply to EHLO of a client with a proven identity, if different.
    for_external: Option<Reply>,
    /// The extensions that it offers to EHLO.
    offers: Extensions,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// Lines of text.
    Text,
    /// Octets after `raw:`.
    Raw,
    /// A text with its places filled for one command.
    Filled,
}

impl Reply {
    /// Renders `text`, which includes the code. [`Config::validate`](crate::Config::validate) checks that its lines
    /// form one reply.
    pub fn new(text: impl AsRef<[u8]>) -> Self {
        let text = text.as_ref();
        let raw = text.strip_prefix(RAW);
        let wire = match raw {
            Some(octets) if octets.ends_with(b"\n") => octets.to_vec(),
            Some(octets) => [octets, CRLF].concat(),
            None => with_line_ends(text),
        };
        let (origin, for_helo, places) = match raw {
            Some(_) => (Origin::Raw, None, None),
            None => (Origin::Text, first_line_alone(&wire), Places::in_text(&wire)),
        };
        let offers = Extensions::in_reply(without_line_end(&wire));
        let (wire, for_trusted, for_encrypted, for_external) = (wire[..].into(), None, None, None);
        Self(Arc::new(Rendered {
            wire,
            origin,
            places,
            for_helo,
            for_trusted,
            for_encrypted,
            for_external,
            offers,
        }))
    }

    /// A copy that shares nothing with this reply: threads that send the same one would contend for its reference
    /// count.
    pub(in crate::smtp) fn unshared(&self) -> Self {
        let Rendered { wire, origin, places, for_helo, for_trusted, for_encrypted, for_external, offers } =
            &*self.0;
        let form = |reply: &Option<Self>| reply.as_ref().map(Self::unshared);
        Self(Arc::new(Rendered {
            wire: wire.clone(),
            origin: *origin,
            places: places.clone(),
            for_helo: form(for_helo),
            for_trusted: form(for_trusted),
            for_encrypted: form(for_encrypted),
            for_external: form(for_external),
            offers: offers.clone(),
        }))
    }

    /// It has places, and must be [filled](Self::filled) before it is sent.
    #[inline]
    pub(in crate::smtp) fn has_places(&self) -> bool {
        self.0.places.is_some()
    }

    /// The reply with these values in its places.
    pub(in crate::smtp) fn filled(&self, values: &impl Values) -> Self {
        let Rendered { wire, places, offers, .. } = &*self.0;
        let Some(places) = places else { return self.clone() };
        Self(Arc::new(Rendered {
            wire: places.fill(wire, values),
            origin: Origin::Filled,
            places: None,
            for_helo: None,
            for_trusted: None,
            for_encrypted: None,
            for_external: None,
            offers: offers.clone(),
        }))
    }

    /// Bytes in memory if made for one command; zero if shared.
    pub(in crate::smtp) fn memory(&self) -> usize {
        match self.0.origin {
            Origin::Text | Origin::Raw => 0,
            Origin::Filled => 2 * size_of::<usize>() + size_of::<Rendered>() + self.0.wire.heap(),
        }
    }

    /// The bytes to write.
    pub fn wire(&self) -> &[u8] {
        &self.0.wire
    }

    /// The code of the reply; `None` if its text does not begin with three digits.
    pub fn code(&self) -> Option<u16> {
        let digits = code_of(self.wire())?;
        Some(digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0')))
    }

    /// The reply without its final line end.
    pub fn text(&self) -> &[u8] {
        without_line_end(self.wire())
    }

    /// It accepts the command (RFC 5321 section 4.2.1): 2yz, or 3yz to DATA.
    pub(in crate::smtp) fn accepts(&self, stage: Stage) -> bool {
        let positive = if stage == Stage::Data { 3 } else { 2 };
        self.code().is_some_and(|code| code / 100 == positive)
    }

    /// The service extensions that it offers in reply to EHLO.
    pub fn offers(&self) -> &Extensions {
        &self.0.offers
    }

    /// The reply to HELO, which must not have the form of a reply to EHLO (RFC 5321 section 3.2).
    pub(in crate::smtp) fn for_helo(&self) -> &Self {
        self.0.for_helo.as_ref().unwrap_or(self)
    }

    /// With another reply to EHLO of trusted peers.
    pub(in crate::smtp) fn with_one_for_trusted(self, other: Self) -> Self {
        self.with_forms(|rendered| rendered.for_trusted = Some(other))
    }

    /// With another reply to EHLO within TLS.
    pub(in crate::smtp) fn with_one_for_encrypted(self, other: Self) -> Self {
        self.with_forms(|rendered| rendered.for_encrypted = Some(other))
    }

    /// With another reply to EHLO of clients with a proven identity.
    pub(in crate::smtp) fn with_one_for_external(self, other: Self) -> Self {
        self.with_forms(|rendered| rendered.for_external = Some(other))
    }

    fn with_forms(mut self, change: impl FnOnce(&mut Rendered)) -> Self {
        // A shared reply is copied first, so that it can be changed.
        if Arc::get_mut(&mut self.0).is_none() {
            self = self.unshared();
        }
        if let Some(rendered) = Arc::get_mut(&mut self.0) {
            change(rendered);
        }
        self
    }

    /// The reply to EHLO of a trusted peer.
    pub(in crate::smtp) fn for_trusted(&self) -> &Self {
        self.0.for_trusted.as_ref().unwrap_or(self)
    }

    /// The reply to EHLO within TLS.
    pub(in crate::smtp) fn for_encrypted(&self) -> &Self {
        self.0.for_encrypted.as_ref().unwrap_or(self)
    }

    /// The reply to EHLO of a client with a proven identity.
    pub(in crate::smtp) fn for_external(&self) -> &Self {
        self.0.for_external.as_ref().unwrap_or(self)
    }

    /// Whether any of its forms offers this extension.
    pub(in crate::smtp) fn may_offer(&self, keyword: &str) -> bool {
        let encrypted = self.for_encrypted();
        [self, encrypted, encrypted.for_external()].iter().any(|reply| reply.offers().include(keyword))
    }

    /// It has one line: a 2yz code, and nothing else or a space after it.
    pub(in crate::smtp) fn is_acceptance_in_one_line(&self) -> bool {
        let text = self.text();
        !self.is_raw()
            && !text.contains(&b'\n')
            && matches!(self.code(), Some(200..300))
            && text.get(3).is_none_or(|&octet| octet == b' ')
    }

    /// With an enhanced status code after the code of its only line.
    pub(in crate::smtp) fn with_enhanced_code(&self, enhanced: &str) -> Self {
        let (code, words) = self.text().split_at(self.text().len().min(3));
        Self::new([code, b" ", enhanced.as_bytes(), words].concat())
    }

    fn is_raw(&self) -> bool {
        self.0.origin == Origin::Raw
    }

    /// A text that makes this reply.
    pub(crate) fn source(&self) -> Cow<'_, str> {
        match self.is_raw() {
            true => String::from_utf8_lossy(&[RAW, self.wire()].concat()).into_owned().into(),
            false => String::from_utf8_lossy(self.text()).replace("\r\n", "\n").into(),
        }
    }

    /// What is expected if its lines do not form one reply. Raw replies are never at fault.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        if self.is_raw() {
            return None;
        }
        let text = self.text();
        if text.is_empty() {
            return Some(A_CODE);
        }
        let code = code_of(text);
        let mut lines = text.split(|&octet| octet == b'\n').peekable();
        let is_one_line = !text.contains(&b'\n');
        while let Some(line) = lines.next() {
            let has_hyphen = code.is_some() && line.get(3) == Some(&b'-');
            match lines.peek() {
                _ if !is_one_line && (code.is_none() || code_of(line) != code) => return Some(ONE_CODE),
                Some(_) if !has_hyphen => return Some(A_HYPHEN),
                None if has_hyphen => return Some(NO_HYPHEN),
                _ => {}
            }
        }
        None
    }
}

impl Reply {
    /// What is expected if a client can't interpret the reply. Raw replies are never in doubt.
    pub(crate) fn doubt(&self) -> Option<&'static str> {
        let is_known =
            |[first, second, _]: &[u8; 3]| (b'2'..=b'5').contains(first) && (b'0'..=b'5').contains(second);
        let is_meant = self.is_raw() || code_of(self.text()).is_some_and(is_known);
        (!is_meant).then_some(A_KNOWN_CODE)
    }
}

fn without_line_end(wire: &[u8]) -> &[u8] {
    let text = wire.strip_suffix(b"\n").unwrap_or(wire);
    text.strip_suffix(b"\r").unwrap_or(text)
}

/// The digits of a line's code.
fn code_of(line: &[u8]) -> Option<&[u8; 3]> {
    line.first_chunk::<3>().filter(|digits| digits.iter().all(u8::is_ascii_digit))
}

/// The first line of a positive reply with several lines.
fn first_line_alone(wire: &[u8]) -> Option<Reply> {
    let end = memchr::memchr(b'\n', wire)?;
    if end + 1 == wire.len() || wire.first() != Some(&b'2') {
        return None;
    }
    let mut line = wire[..end].to_vec();
    if let Some(hyphen @ b'-') = line.get_mut(3) {
        *hyphen = b' ';
    }
    Some(Reply::new(line))
}

/// The text with a CRLF for each of its line ends and one at its end. CRs before an LF belong to its line end, and
/// trailing line ends are dropped.
fn with_line_ends(text: &[u8]) -> Vec<u8> {
    let is_end = |octet: &u8| matches!(octet, b'\r' | b'\n');
    let length = text.iter().rposition(|octet| !is_end(octet)).map_or(0, |last| last + 1);
    let mut wire = Vec::with_capacity(text.len() + CRLF.len());
    let mut rest = &text[..length];
    while let Some(end) = memchr::memchr2(b'\r', b'\n', rest) {
        wire.extend_from_slice(&rest[..end]);
        wire.extend_from_slice(CRLF);
        let crs = rest[end..].iter().take_while(|&&octet| octet == b'\r').count();
        rest = &rest[end + crs..];
        rest = rest.strip_prefix(b"\n").unwrap_or(rest);
    }
    wire.extend_from_slice(rest);
    wire.extend_from_slice(CRLF);
    wire
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reply").field(&Octets(self.text())).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn codes_that_no_reply_has_are_doubted() {
        for text in ["250 Ok", "220", "354 go on", "559 x", "200-a\n200 b", "250Ok", "raw:hello", "raw:"] {
            assert_eq!(Reply::new(text).doubt(), None, "{text}");
        }
        for text in ["hello", "999 x", "150 x", "600 x", "260 x", "25", "", " 250 x", "２５０ x"] {
            assert_eq!(Reply::new(text).doubt(), Some(A_KNOWN_CODE), "{text}");
        }
    }

    #[test]
    fn line_ends_of_every_kind_become_crlf_and_none_is_doubled() {
        for (text, wire) in [
            ("250 ok", "250 ok\r\n"),
            ("250-a\n250 b", "250-a\r\n250 b\r\n"),
            ("250-a\r\n250 b\r\n", "250-a\r\n250 b\r\n"),
            ("250-a\r\r\n250-b\r250 c\n\n\r", "250-a\r\n250-b\r\n250 c\r\n"),
            ("250-a\n\n250 b", "250-a\r\n\r\n250 b\r\n"),
            ("", "\r\n"),
            ("raw:250-a\n250 b", "250-a\n250 b\r\n"),
            ("raw:250 a\n", "250 a\n"),
            ("raw:", "\r\n"),
        ] {
            assert_eq!(Reply::new(text).wire(), wire.as_bytes(), "{text:?}");
        }
    }

    #[test]
    fn lines_that_are_no_reply_are_a_fault_unless_they_are_raw() {
        for text in ["250", "250 a", "250 a-b", "hello", "250-a\n250", "250-a\n250-b\n250 c", "250\tx", "25-"]
        {
            assert_eq!(Reply::new(text).fault(), None, "{text:?}");
        }
        for (text, fault) in [
            ("", A_CODE),
            ("\n", A_CODE),
            ("250-a", NO_HYPHEN),
            ("250-a\n250-b", NO_HYPHEN),
            ("250 a\n250 b", A_HYPHEN),
            ("250\n250 b", A_HYPHEN),
            ("250-a\n251 b", ONE_CODE),
            ("250-a\nb", ONE_CODE),
            ("250-a\n\n250 b", ONE_CODE),
            ("hello\nworld", ONE_CODE),
        ] {
            assert_eq!(Reply::new(text).fault(), Some(fault), "{text:?}");
            assert_eq!(Reply::new(format!("raw:{text}")).fault(), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_reply_has_no_cr_or_lf_but_in_its_line_ends(text in "[25\r\n -]{0,12}") {
            let reply = Reply::new(&text);
            let wire = String::from_utf8(reply.wire().to_vec()).expect("text");
            prop_assert!(wire.ends_with("\r\n") && !wire.ends_with("\r\n\r\n"));
            prop_assert!(!wire.replace("\r\n", "").contains(['\r', '\n']));
        }

        #[test]
        fn its_source_makes_the_same_reply(text in "(raw:)?[25\r\n -]{0,12}") {
            let reply = Reply::new(&text);
            prop_assert_eq!(&Reply::new(&*reply.source()), &reply);
        }
    }
}
