//! The fields of one header. Names are found by the parser; values are parsed on demand, within bounds.

use std::borrow::Cow;
use std::sync::LazyLock;

use mail_parser::parsers::MessageStream;
use mail_parser::{Addr, ContentType, Header, HeaderName, HeaderValue, MessageParser};
use memchr::memchr;

/// Most octets of a header that are read.
const LONGEST_HEADER: usize = 1 << 20;
/// Most octets of a field with parameters that are parsed: the parser compares each parameter with all others.
const LONGEST_WITH_PARAMETERS: usize = 16 << 10;
/// Most octets of any other field that are parsed.
const LONGEST: usize = 256 << 10;
const MOST_FIELDS: usize = 10_000;
/// Most addresses of one field, and most characters of them and their names.
const MOST_ADDRESSES: usize = 1000;
const LONGEST_ADDRESS: usize = 1000;

/// Finds fields, without parsing their values. It must have a parser for some field: without any it would parse all.
static FINDER: LazyLock<MessageParser> =
    LazyLock::new(|| MessageParser::new().ignore_header(HeaderName::Subject).default_header_ignore());

/// A name and an address of a header field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mailbox {
    /// The display name, decoded.
    pub name: Option<String>,
    /// Without angle brackets; empty if there is only a name.
    pub address: String,
}

/// The header of an entity.
pub(super) struct Fields<'x> {
    octets: &'x [u8],
    found: Vec<Header<'x>>,
}

impl<'x> Fields<'x> {
    /// The header at the start of these octets, and the body after it.
    pub(super) fn read(octets: &'x [u8]) -> (Self, &'x [u8]) {
        let read = &octets[..octets.len().min(LONGEST_HEADER)];
        let mut stream = MessageStream::new(read);
        let mut found = Vec::new();
        let is_whole = stream.parse_headers(&FINDER, &mut found) || read.len() == octets.len();
        let end = if is_whole { stream.offset() } else { end_of_header(octets, read.len()) };
        (Self { octets, found }, &octets[end..])
    }

    /// The value of the last field of this name as received, including its line end.
    fn raw(&self, name: &HeaderName<'_>) -> Option<&'x [u8]> {
        let header = self.found.iter().rev().find(|header| header.name == *name)?;
        Some(self.within(header.offset_start, header.offset_end))
    }

    fn within(&self, start: u32, end: u32) -> &'x [u8] {
        self.octets.get(start as usize..end as usize).unwrap_or_default()
    }

    /// The part of the last field of this name that is parsed. It ends with a line end, without which some parsers
    /// fail.
    fn bounded(&self, name: &HeaderName<'_>) -> Option<Cow<'x, [u8]>> {
        let most = match name {
            HeaderName::ContentType | HeaderName::ContentDisposition => LONGEST_WITH_PARAMETERS,
            _ => LONGEST,
        };
        let raw = self.raw(name)?;
        let is_ready = raw.len() <= most && raw.ends_with(b"\n");
        Some(if is_ready { raw.into() } else { [&raw[..raw.len().min(most)], b"\n"].concat().into() })
    }

    /// A field with parameters; `None` if absent or without a type.
    fn typed(&self, name: &HeaderName<'_>) -> Option<ContentType<'static>> {
        match MessageStream::new(&self.bounded(name)?).parse_content_type().into_owned() {
            HeaderValue::ContentType(content_type) => Some(content_type),
            _ => None,
        }
    }

    pub(super) fn content_type(&self) -> Option<ContentType<'static>> {
        self.typed(&HeaderName::ContentType)
    }

    pub(super) fn disposition(&self) -> Option<ContentType<'static>> {
        self.typed(&HeaderName::ContentDisposition)
    }

    /// In lower case.
    pub(super) fn transfer_encoding(&self) -> Option<String> {
        Some(self.text(&HeaderName::ContentTransferEncoding)?.trim().to_ascii_lowercase())
    }

    /// Decoded (RFC 2047).
    pub(super) fn text(&self, name: &HeaderName<'_>) -> Option<String> {
        text(MessageStream::new(&self.bounded(name)?).parse_unstructured())
    }

    /// Without angle brackets; the first one of several.
    pub(super) fn id(&self, name: &HeaderName<'_>) -> Option<String> {
        text(MessageStream::new(&self.bounded(name)?).parse_id())
    }

    /// RFC 3339.
    pub(super) fn date(&self) -> Option<String> {
        match MessageStream::new(&self.bounded(&HeaderName::Date)?).parse_date() {
            HeaderValue::DateTime(date) if date.is_valid() => Some(date.to_rfc3339()),
            _ => None,
        }
    }

    pub(super) fn mailboxes(&self, name: &HeaderName<'_>) -> Vec<Mailbox> {
        let raw = self.bounded(name).unwrap_or_default();
        match MessageStream::new(&raw).parse_address() {
            HeaderValue::Address(address) => {
                address.iter().filter_map(mailbox).take(MOST_ADDRESSES).collect()
            }
            _ => Vec::new(),
        }
    }

    /// All fields in order, unfolded and decoded.
    pub(super) fn all(&self) -> Vec<(String, String)> {
        self.found.iter().take(MOST_FIELDS).map(|header| self.listed(header)).collect()
    }

    fn listed(&self, header: &Header<'_>) -> (String, String) {
        let name = match &header.name {
            HeaderName::Other(name) => name.to_string(),
            known => {
                // As spelled by the sender.
                let name = self.within(header.offset_field, header.offset_start);
                let name = String::from_utf8_lossy(name.strip_suffix(b":").unwrap_or(name)).trim().to_owned();
                if name.is_empty() { known.as_str().to_owned() } else { name }
            }
        };
        let raw = self.within(header.offset_start, header.offset_end);
        let value = text(MessageStream::new(raw).parse_unstructured());
        (name, value.unwrap_or_else(|| String::from_utf8_lossy(raw).trim().to_owned()))
    }
}

/// The end of the first empty line after this position.
fn end_of_header(octets: &[u8], from: usize) -> usize {
    let mut end = from.saturating_sub(2);
    while let Some(found) = memchr(b'\n', &octets[end..]) {
        end += found + 1;
        match octets[end..] {
            [b'\n', ..] => return end + 1,
            [b'\r', b'\n', ..] => return end + 2,
            _ => {}
        }
    }
    octets.len()
}

fn text(value: HeaderValue<'_>) -> Option<String> {
    match value {
        HeaderValue::Text(text) => Some(text.into_owned()),
        HeaderValue::TextList(list) => list.into_iter().next().map(Cow::into_owned),
        _ => None,
    }
}

fn mailbox(of: &Addr<'_>) -> Option<Mailbox> {
    let (name, address) = (of.name().filter(|name| !name.is_empty()), of.address().unwrap_or_default());
    let is_something = name.is_some() || !address.is_empty();
    let cut = |text: &str| text.chars().take(LONGEST_ADDRESS).collect::<String>();
    is_something.then(|| Mailbox { name: name.map(cut), address: cut(address) })
}
