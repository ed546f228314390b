//! Mails as people see them: header fields, texts, attachments, links and codes; by [`Message::mail`](crate::Message::mail).
//!
//! Whatever octets were received, they make a [`Mail`]: what is broken is read as far as it goes. A message within a message is
//! one part, which is not looked into.
// Pure; for readers, never on the way of a message. Imports no other room.

mod codes;
mod disarm;
mod html;
mod links;

use std::sync::LazyLock;

use mail_parser::parsers::MessageStream;
use mail_parser::{
    Address, Encoding, Header, HeaderName, HeaderValue, Message, MessageParser, MessagePart,
    MimeHeaders as _, PartType,
};

use disarm::{disarmed, restored, restored_text};
pub use links::Link;

/// Parts of one mail that are listed: a mail with more is made to be a burden.
const MOST_PARTS: usize = 1000;

/// Addresses of one field that are listed, and characters of their names and themselves.
const MOST_ADDRESSES: usize = 1000;
const LONGEST_ADDRESS: usize = 1000;

/// Making one fills a table.
static PARSER: LazyLock<MessageParser> = LazyLock::new(MessageParser::default);

/// A parsed mail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mail {
    /// Names and values of all header fields in order, unfolded, with encoded words (RFC 2047) decoded.
    pub headers: Vec<(String, String)>,
    /// Of `From:`. Of each of these fields, the first 1,000 addresses.
    pub from: Vec<Mailbox>,
    /// Of `To:`.
    pub to: Vec<Mailbox>,
    /// Of `Cc:`.
    pub cc: Vec<Mailbox>,
    /// Of `Bcc:`.
    pub bcc: Vec<Mailbox>,
    /// Of `Reply-To:`.
    pub reply_to: Vec<Mailbox>,
    /// Decoded.
    pub subject: Option<String>,
    /// Of `Date:`, in the form of RFC 3339; `None` where it is no date.
    pub date: Option<String>,
    /// Without angle brackets.
    pub message_id: Option<String>,
    /// The first part of plain text that is no attachment, decoded.
    pub text: Option<String>,
    /// The first part of HTML that is no attachment, decoded.
    pub html: Option<String>,
    /// All parts that have no parts, in order; the first 1,000.
    pub parts: Vec<Part>,
}

/// A name and an address of a header field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mailbox {
    /// The display name, decoded.
    pub name: Option<String>,
    /// Without angle brackets; empty where there is only a name.
    pub address: String,
}

/// What is known of a part of a mail. [`Message::part_content`](crate::Message::part_content) has its octets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Part {
    /// From 1, in the order of the mail.
    pub number: usize,
    /// Type and subtype, in lower case: `image/png`.
    pub content_type: String,
    /// The parameter of the type, in lower case.
    pub charset: Option<String>,
    /// The name of the file, decoded.
    pub name: Option<String>,
    /// What it is to its mail.
    pub kind: PartKind,
    /// Without angle brackets.
    pub content_id: Option<String>,
    /// Octets, decoded.
    pub size: usize,
}

/// What a part is to its mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PartKind {
    /// Text that is shown.
    Text,
    /// What a text shows, like an image.
    Inline,
    /// A file.
    Attachment,
}

impl PartKind {
    /// `text`, `inline` or `attachment`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Inline => "inline",
            Self::Attachment => "attachment",
        }
    }
}

impl Mail {
    /// Parses a message as it was received.
    pub(crate) fn parse(octets: &[u8]) -> Self {
        let disarmed = disarmed(octets);
        let Some(message) = PARSER.parse(&disarmed) else { return Self::default() };
        let mailboxes = |address: Option<&Address<'_>>| -> Vec<Mailbox> {
            address.into_iter().flat_map(Address::iter).filter_map(mailbox).take(MOST_ADDRESSES).collect()
        };
        let (mut text, mut html) = (None, None);
        let mut parts = Vec::new();
        for (number, part) in leaves(&message) {
            let shown = of_part(number, part);
            match &part.body {
                PartType::Text(content) if shown.kind == PartKind::Text && text.is_none() => {
                    text = Some(restored_text(content.clone().into_owned()));
                }
                PartType::Html(content) if shown.kind == PartKind::Text && html.is_none() => {
                    html = Some(restored_text(content.clone().into_owned()));
                }
                _ => {}
            }
            parts.push(shown);
        }
        Self {
            headers: message.headers().iter().map(|header| field(octets, header)).collect(),
            from: mailboxes(message.from()),
            to: mailboxes(message.to()),
            cc: mailboxes(message.cc()),
            bcc: mailboxes(message.bcc()),
            reply_to: mailboxes(message.reply_to()),
            subject: message.subject().map(str::to_owned),
            date: message.date().filter(|date| date.is_valid()).map(mail_parser::DateTime::to_rfc3339),
            message_id: message.message_id().map(str::to_owned),
            text,
            html,
            parts,
        }
    }

    /// The links of the HTML part, and then those of the plain text that are not among them; the first 1,000.
    pub fn links(&self) -> Vec<Link> {
        links::links(self)
    }

    /// What is to be typed to confirm an address or to log in, the likeliest first: words of 4 to 10 digits, or of capitals and
    /// digits, on their own. URLs, dates, times, amounts and longer numbers are none. One that stands near a word like "code" is in
    /// front of others.
    pub fn codes(&self) -> Vec<String> {
        codes::codes(self)
    }

    /// The parts that are files.
    pub fn attachments(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(|part| part.kind == PartKind::Attachment)
    }

    /// The text to be read: that of the HTML part where there is no other.
    pub fn readable(&self) -> Option<String> {
        self.text.clone().or_else(|| self.html.as_deref().map(html::to_text))
    }

    /// The HTML part as text.
    pub fn html_as_text(&self) -> Option<String> {
        self.html.as_deref().map(html::to_text)
    }
}

/// The octets of a part of a message, decoded, and what is known of it; `None` where there is no such part.
pub(crate) fn part(octets: &[u8], number: usize) -> Option<(Part, Vec<u8>)> {
    let disarmed = disarmed(octets);
    let message = PARSER.parse(&disarmed)?;
    let (_, part) = leaves(&message).find(|(own, _)| *own == number)?;
    let shown = of_part(number, part);
    // What is not encoded is as it was received.
    let range = part.raw_body_offset() as usize..part.raw_end_offset() as usize;
    let content = match part.encoding {
        Encoding::None if !matches!(part.body, PartType::Text(_) | PartType::Html(_)) => {
            octets.get(range).unwrap_or_default().to_vec()
        }
        _ => match &part.body {
            PartType::Text(text) | PartType::Html(text) => restored_text(text.to_string()).into_bytes(),
            _ => content(part).to_vec(),
        },
    };
    Some((shown, content))
}

fn content<'p>(part: &'p MessagePart<'_>) -> &'p [u8] {
    match &part.body {
        PartType::Text(text) | PartType::Html(text) => text.as_bytes(),
        PartType::Binary(octets) | PartType::InlineBinary(octets) => octets,
        // Messages within it are not parsed.
        PartType::Message(_) | PartType::Multipart(_) => &[],
    }
}

/// The parts without parts, each with its number.
fn leaves<'m, 'x>(message: &'m Message<'x>) -> impl Iterator<Item = (usize, &'m MessagePart<'x>)> {
    let leaves = message.parts.iter().filter(|part| !matches!(part.body, PartType::Multipart(_)));
    (1..).zip(leaves).take(MOST_PARTS)
}

fn of_part(number: usize, part: &MessagePart<'_>) -> Part {
    let content_type = part.content_type();
    let given = content_type.map(|of| match of.subtype() {
        Some(subtype) => format!("{}/{}", of.ctype(), restored(subtype)).to_ascii_lowercase(),
        None => of.ctype().to_ascii_lowercase(),
    });
    let (is_text, usual) = match part.body {
        PartType::Text(_) => (true, "text/plain"),
        PartType::Html(_) => (true, "text/html"),
        _ => (false, "application/octet-stream"),
    };
    let disposition = part.content_disposition().map(|of| of.ctype().to_ascii_lowercase());
    let name = part.attachment_name().map(str::to_owned);
    let content_id = part.content_id().map(str::to_owned);
    let kind = match disposition.as_deref() {
        Some("attachment") => PartKind::Attachment,
        Some("inline") if !is_text => PartKind::Inline,
        _ if is_text && name.is_none() => PartKind::Text,
        _ if content_id.is_some() => PartKind::Inline,
        _ => PartKind::Attachment,
    };
    Part {
        number,
        content_type: given.unwrap_or_else(|| usual.to_owned()),
        charset: content_type.and_then(|of| of.attribute("charset")).map(str::to_ascii_lowercase),
        name,
        kind,
        content_id,
        size: content(part).len(),
    }
}

fn mailbox(of: &mail_parser::Addr<'_>) -> Option<Mailbox> {
    let (name, address) = (of.name().filter(|name| !name.is_empty()), of.address().unwrap_or_default());
    let is_something = name.is_some() || !address.is_empty();
    let cut = |text: &str| text.chars().take(LONGEST_ADDRESS).collect::<String>();
    is_something.then(|| Mailbox { name: name.map(cut), address: cut(address) })
}

/// The name and the decoded value of a header field.
fn field(octets: &[u8], header: &Header<'_>) -> (String, String) {
    let within = |start: u32, end: u32| octets.get(start as usize..end as usize).unwrap_or_default();
    let name = match &header.name {
        HeaderName::Other(name) => name.to_string(),
        known => {
            // In the case that it was sent in.
            let name = within(header.offset_field, header.offset_start);
            let name = String::from_utf8_lossy(name.strip_suffix(b":").unwrap_or(name)).trim().to_owned();
            if name.is_empty() { known.as_str().to_owned() } else { name }
        }
    };
    let raw = within(header.offset_start, header.offset_end);
    let value = match MessageStream::new(raw).parse_unstructured() {
        HeaderValue::Text(text) => text.into_owned(),
        _ => String::from_utf8_lossy(raw).trim().to_owned(),
    };
    (name, value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NESTED: &str = "From: =?utf-8?Q?Ann_=C3=84?= <ann@example.com>\r\n\
        To: bob@example.com, \"Doe, Carol\" <carol@example.com>\r\n\
        SUBJECT: =?utf-8?B?R3LDtsOfZQ==?=\r\n and more\r\n\
        Date: Fri, 27 Nov 2026 10:00:00 +0100\r\nMessage-ID: <1@example.com>\r\nX-Odd: a;\r\n\tb\r\n\
        Content-Type: multipart/mixed; boundary=outer\r\n\r\npreamble\r\n\
        --outer\r\nContent-Type: multipart/related; boundary=inner\r\n\r\n\
        --inner\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
        Hall=F6chen\r\n\
        --inner\r\nContent-Type: text/html\r\n\r\n<p>Hall&ouml;chen <b>du</b></p>\r\n\
        --inner\r\nContent-Type: image/png\r\nContent-ID: <logo>\r\nContent-Disposition: inline\r\n\
        Content-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n--inner--\r\n\
        --outer\r\nContent-Type: text/plain; name=\"=?utf-8?Q?gr=C3=BC=C3=9Fe.txt?=\"\r\n\
        Content-Disposition: attachment\r\n\r\nattached\r\n--outer--\r\n";

    #[test]
    fn a_mail_has_its_fields_texts_and_parts() {
        let mail = Mail::parse(NESTED.as_bytes());
        assert_eq!(mail.subject.as_deref(), Some("Größe and more"));
        assert_eq!(mail.from[0].name.as_deref(), Some("Ann Ä"));
        let to: Vec<_> = mail.to.iter().map(|of| (of.name.as_deref(), of.address.as_str())).collect();
        assert_eq!(to, [(None, "bob@example.com"), (Some("Doe, Carol"), "carol@example.com")]);
        assert_eq!(mail.date.as_deref(), Some("2026-11-27T10:00:00+01:00"));
        assert_eq!(mail.message_id.as_deref(), Some("1@example.com"));
        assert!(
            mail.headers.contains(&("SUBJECT".to_owned(), "Größe and more".to_owned())),
            "{:?}",
            mail.headers
        );
        assert!(mail.headers.contains(&("X-Odd".to_owned(), "a; b".to_owned())), "{:?}", mail.headers);
        assert_eq!(mail.text.as_deref().map(str::trim), Some("Hallöchen"));
        assert!(mail.html.as_deref().is_some_and(|html| html.contains("<b>du</b>")));
        assert!(mail.html_as_text().is_some_and(|text| text.contains("Hallöchen du")));
        let parts: Vec<_> =
            mail.parts.iter().map(|part| (part.number, part.content_type.as_str(), part.kind)).collect();
        let expected = [
            (1, "text/plain", PartKind::Text),
            (2, "text/html", PartKind::Text),
            (3, "image/png", PartKind::Inline),
            (4, "text/plain", PartKind::Attachment),
        ];
        assert_eq!(parts, expected);
        assert_eq!(mail.parts[2].content_id.as_deref(), Some("logo"));
        assert_eq!(mail.parts[3].name.as_deref(), Some("grüße.txt"));
        let (found, octets) = part(NESTED.as_bytes(), 3).expect("there");
        assert_eq!((found.size, &octets[..4]), (octets.len(), &b"\x89PNG"[..]));
        assert!(part(NESTED.as_bytes(), 5).is_none() && part(NESTED.as_bytes(), 0).is_none());
    }

    #[test]
    fn a_mail_of_one_part_has_one() {
        let mail = Mail::parse(b"Subject: hi\r\n\r\nHello\r\n");
        assert_eq!((mail.parts.len(), mail.text.as_deref()), (1, Some("Hello\r\n")));
        assert_eq!((mail.html, mail.subject.as_deref()), (None, Some("hi")));
        assert_eq!(Mail::parse(b""), Mail::default());
        assert_eq!(
            Mail::parse(b"\r\nno header\r\n").readable().map(|text| text.contains("no header")),
            Some(true)
        );
    }

    proptest! {
        /// Parsing what is broken anywhere ends, and its parts can be read.
        #[test]
        fn whatever_octets_make_a_mail(octets: Vec<u8>, at in 0..NESTED.len(), cut in 0..NESTED.len()) {
            Mail::parse(&octets);
            let mut broken = NESTED.as_bytes()[..cut].to_vec();
            let at = at.min(cut);
            broken.splice(at..at, octets.iter().copied().take(40));
            for own in Mail::parse(&broken).parts {
                let (found, content) = part(&broken, own.number).expect("a listed part");
                prop_assert_eq!(&found, &own);
                prop_assert_eq!(content.len(), own.size);
            }
        }
    }

    /// Parses on a thread with little room for recursion.
    fn parsed_in_little_room(octets: Vec<u8>) -> Mail {
        let parse = move || {
            let mail = Mail::parse(&octets);
            mail.links();
            mail.codes();
            mail.readable();
            mail
        };
        let thread = std::thread::Builder::new().stack_size(256 << 10).spawn(parse);
        thread.expect("a thread").join().expect("parsed")
    }

    #[test]
    fn messages_within_messages_end_no_stack() {
        const DEPTH: usize = 50_000;
        let nested = format!("{}hi", "Content-Type: message/rfc822\r\n\r\n".repeat(DEPTH));
        let folded = format!("{}hi", "CONTENT-TYPE :\r\n\tMessage/\r\n Global;x=y\n\n".repeat(DEPTH));
        let digest =
            format!("{}hi", "Content-Type: multipart/digest; boundary=x\r\n\r\n--x\r\n\r\n".repeat(DEPTH));
        let mixed =
            "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: message/rfc822\r\n\r\n";
        let encode = |inner: &str| {
            let encoded = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, inner);
            format!("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n{encoded}")
        };
        for octets in [encode(&nested), encode(&encode(&nested)), mixed.repeat(DEPTH), nested, folded, digest]
        {
            let front = octets[..40].to_owned();
            let mail = parsed_in_little_room(octets.into_bytes());
            assert!(!mail.parts.is_empty() || !mail.headers.is_empty(), "{front}");
        }
    }

    #[test]
    fn what_was_quadratic_is_read_to_its_end() {
        for repeated in [
            ")",
            "]",
            "(",
            "http://",
            "http://x/)",
            "<",
            "<a ",
            "&",
            "\"",
            "x@",
            "1",
            "://",
            "<a href=\"http://x/)",
        ] {
            let text = format!("http://x/{}", repeated.repeat((1 << 20) / repeated.len()));
            for kind in ["plain", "html"] {
                let mail = format!("Content-Type: text/{kind}\r\n\r\n{text}");
                assert!(parsed_in_little_room(mail.into_bytes()).parts.len() == 1, "{repeated} in {kind}");
            }
        }
        let parameters = format!("Content-Type: text/plain{}\r\n\r\nhi", ";a*1*=b".repeat(1 << 20));
        assert_eq!(parsed_in_little_room(parameters.into_bytes()).text.as_deref(), Some("hi"));
    }

    #[test]
    fn a_message_within_a_message_is_one_part_as_it_was_received() {
        let inner = "Subject: inner\r\nContent-Type: message/rfc822\r\n\r\nSubject: innermost\r\n\r\nhi";
        let mail = format!(
            "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nContent-Type: message/rfc822 is what it was\r\n\
             --x\r\nContent-Type: message/rfc822\r\n\r\n{inner}\r\n--x--\r\n"
        );
        let parsed = Mail::parse(mail.as_bytes());
        assert_eq!(parsed.text.as_deref(), Some("Content-Type: message/rfc822 is what it was"));
        assert_eq!((parsed.parts.len(), parsed.parts[1].content_type.as_str()), (2, "message/rfc822"));
        assert_eq!(part(mail.as_bytes(), 2).expect("a part").1, inner.as_bytes());
    }
}
