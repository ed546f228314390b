//! The structure of a mail: entities with a header and a body, by the boundaries of multiparts (RFC 2046 section 5.1).
//! Iterative and bounded for any input: senders may be hostile.

use std::borrow::Cow;
use std::rc::Rc;

use mail_parser::ContentType;
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::parsers::MessageStream;
use memchr::memmem;

use super::fields::Fields;

pub(super) const MOST_PARTS: usize = 1000;
/// Greatest depth of multiparts that are divided. Each is searched for its boundary once.
const DEEPEST: usize = 32;

/// A leaf entity: a part (RFC 2045 section 2.4).
pub(super) struct Entity<'x> {
    pub(super) fields: Rc<Fields<'x>>,
    /// The fields as received.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only the control plane shows them"))]
    pub(super) header: &'x [u8],
    /// As received.
    pub(super) body: &'x [u8],
    /// Type and subtype, in lower case; the default type if the field is missing (RFC 2045 section 5.2, RFC 2046
    /// section 5.1.5).
    pub(super) content_type: String,
    /// The field in the header, with its parameters.
    pub(super) given: Option<ContentType<'static>>,
}

pub(super) struct Structure<'x> {
    /// The header of the mail itself.
    pub(super) fields: Rc<Fields<'x>>,
    /// In order, at most [`MOST_PARTS`]. A nested message is one part, and is not divided.
    pub(super) parts: Vec<Entity<'x>>,
}

/// The decoded content of a body.
pub(super) enum Content<'x> {
    Text(Cow<'x, str>),
    Html(Cow<'x, str>),
    Octets(Cow<'x, [u8]>),
}

impl Content<'_> {
    pub(super) fn octets(&self) -> &[u8] {
        match self {
            Self::Text(text) | Self::Html(text) => text.as_bytes(),
            Self::Octets(octets) => octets,
        }
    }

    pub(super) fn is_text(&self) -> bool {
        matches!(self, Self::Text(_) | Self::Html(_))
    }
}

/// Octets of an entity to be divided.
struct Piece<'x> {
    octets: &'x [u8],
    /// Depth of multiparts around it.
    depth: usize,
    /// It belongs to a digest, whose parts are messages.
    is_of_digest: bool,
}

impl<'x> Structure<'x> {
    pub(super) fn of(octets: &'x [u8]) -> Self {
        let (mut own, mut parts) = (None, Vec::new());
        let mut pieces = vec![Piece { octets, depth: 0, is_of_digest: false }];
        while let Some(piece) = pieces.pop() {
            if parts.len() == MOST_PARTS {
                break;
            }
            let (fields, body) = Fields::read(piece.octets);
            let fields = Rc::new(fields);
            own.get_or_insert_with(|| Rc::clone(&fields));
            let given = fields.content_type();
            let named = given.as_ref().map(|of| match of.subtype() {
                Some(subtype) => format!("{}/{subtype}", of.ctype()).to_ascii_lowercase(),
                None => of.ctype().to_ascii_lowercase(),
            });
            let usual = if piece.is_of_digest { "message/rfc822" } else { "text/plain" };
            let content_type = named.unwrap_or_else(|| usual.to_owned());
            if let Some(boundary) = given.as_ref().and_then(|of| of.attribute("boundary"))
                && content_type.starts_with("multipart/")
                && piece.depth < DEEPEST
            {
                let is_of_digest = content_type == "multipart/digest";
                let found = divided(body, boundary.as_bytes(), MOST_PARTS - parts.len());
                if !found.is_empty() {
                    let depth = piece.depth + 1;
                    pieces.extend(found.into_iter().rev().map(|octets| Piece {
                        octets,
                        depth,
                        is_of_digest,
                    }));
                    continue;
                }
            }
            let header = &piece.octets[..piece.octets.len() - body.len()];
            parts.push(Entity { fields, header, body, content_type, given });
        }
        Self { fields: own.expect("the mail itself was read first"), parts }
    }
}

/// The parts between the lines of this boundary, at most `most`; the last one ends with the body if the closing line is
/// missing.
fn divided<'x>(body: &'x [u8], boundary: &[u8], most: usize) -> Vec<&'x [u8]> {
    let delimiter = [b"--", boundary].concat();
    let mut parts = Vec::new();
    // The start of the open part.
    let mut open = None;
    for at in memmem::find_iter(body, &delimiter) {
        let is_at_margin = at == 0 || body[at - 1] == b'\n';
        let Some((end, is_last)) = end_of_delimiter(body, at + delimiter.len()).filter(|_| is_at_margin)
        else {
            continue;
        };
        if let Some(start) = open {
            parts.push(without_line_end(&body[start..at.max(start)]));
        }
        open = (!is_last && parts.len() < most).then_some(end);
        if open.is_none() {
            break;
        }
    }
    parts.extend(open.map(|start| &body[start..]));
    parts
}

/// After a boundary: the end of its line, and whether it is the closing one; `None` if more than white space follows,
/// as in a longer boundary.
fn end_of_delimiter(body: &[u8], behind: usize) -> Option<(usize, bool)> {
    let rest = &body[behind..];
    let is_last = rest.starts_with(b"--");
    let rest = if is_last { &rest[2..] } else { rest };
    let blank = rest.iter().position(|octet| !matches!(octet, b' ' | b'\t' | b'\r')).unwrap_or(rest.len());
    match rest.get(blank) {
        None => Some((body.len(), is_last)),
        Some(b'\n') => Some((body.len() - rest.len() + blank + 1, is_last)),
        Some(_) => None,
    }
}

/// The line end before a boundary belongs to the boundary (RFC 2046 section 5.1.1).
fn without_line_end(octets: &[u8]) -> &[u8] {
    let octets = octets.strip_suffix(b"\n").unwrap_or(octets);
    octets.strip_suffix(b"\r").unwrap_or(octets)
}

impl<'x> Entity<'x> {
    /// The body without its transfer encoding (RFC 2045 section 6); text in UTF-8. Wrongly encoded bodies are returned
    /// as received.
    pub(super) fn content(&self) -> Content<'x> {
        let encoding = self.fields.transfer_encoding();
        let decoded = match encoding.as_deref() {
            Some("base64") => decoded(MessageStream::new(self.body).decode_base64_mime(b"")),
            Some("quoted-printable") => {
                decoded(MessageStream::new(self.body).decode_quoted_printable_mime(b""))
            }
            _ => None,
        };
        let octets = decoded.unwrap_or(Cow::Borrowed(self.body));
        // A multipart that could not be divided is returned undivided.
        if !["text/", "multipart/"].iter().any(|kind| self.content_type.starts_with(kind)) {
            return Content::Octets(octets);
        }
        let charset = self.given.as_ref().and_then(|of| of.attribute("charset"));
        let text = match charset.and_then(|charset| charset_decoder(charset.as_bytes())) {
            Some(decode) => Cow::Owned(decode(&octets)),
            None => match octets {
                Cow::Borrowed(octets) => String::from_utf8_lossy(octets),
                Cow::Owned(octets) => match String::from_utf8(octets) {
                    Ok(text) => Cow::Owned(text),
                    Err(error) => Cow::Owned(String::from_utf8_lossy(error.as_bytes()).into_owned()),
                },
            },
        };
        if self.content_type == "text/html" { Content::Html(text) } else { Content::Text(text) }
    }
}

/// `None` if the decoder failed.
fn decoded<'x>((end, octets): (usize, Cow<'x, [u8]>)) -> Option<Cow<'x, [u8]>> {
    (end != usize::MAX).then_some(octets)
}
