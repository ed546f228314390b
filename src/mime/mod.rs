//! Parsed mails: header fields, texts, attachments, links and codes; by [`Message::mail`](crate::Message::mail).
//!
//! Any octets parse to a [`Mail`]; malformed input is read as far as possible. A nested message is one part and is not
//! parsed.
// Pure. Imports no other module.

mod codes;
mod fields;
mod html;
mod links;
mod structure;

use mail_parser::HeaderName;

pub use fields::Mailbox;
pub use links::Link;
use structure::{Content, Entity, Structure};

/// A parsed mail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mail {
    /// Names and values of all header fields in order, unfolded, with encoded words (RFC 2047) decoded.
    pub headers: Vec<(String, String)>,
    /// From `From:`. At most the first 1,000 addresses of each of these fields.
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
    /// From `Date:`, as RFC 3339; `None` if invalid.
    pub date: Option<String>,
    /// Without angle brackets.
    pub message_id: Option<String>,
    /// The first plain text part that is not an attachment, decoded.
    pub text: Option<String>,
    /// The first HTML part that is not an attachment, decoded.
    pub html: Option<String>,
    /// All leaf parts, in order; the first 1,000.
    pub parts: Vec<Part>,
}

/// A part of a mail. [`Message::part_content`](crate::Message::part_content) has its octets.
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
    /// Its role in the mail.
    pub kind: PartKind,
    /// Without angle brackets.
    pub content_id: Option<String>,
    /// Size in octets, decoded.
    pub size: usize,
}

/// The role of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PartKind {
    /// Displayed text.
    Text,
    /// Part of a displayed text, like an image.
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
    /// Parses a message as received.
    pub(crate) fn parse(octets: &[u8]) -> Self {
        if octets.is_empty() {
            return Self::default();
        }
        let Structure { fields, parts } = Structure::of(octets);
        let (mut text, mut html) = (None, None);
        let mut listed = Vec::new();
        for (number, entity) in (1..).zip(parts) {
            let (part, content) = shown(number, &entity);
            match content {
                Content::Text(content) if part.kind == PartKind::Text && text.is_none() => {
                    text = Some(content.into_owned());
                }
                Content::Html(content) if part.kind == PartKind::Text && html.is_none() => {
                    html = Some(content.into_owned());
                }
                _ => {}
            }
            listed.push(part);
        }
        Self {
            headers: fields.all(),
            from: fields.mailboxes(&HeaderName::From),
            to: fields.mailboxes(&HeaderName::To),
            cc: fields.mailboxes(&HeaderName::Cc),
            bcc: fields.mailboxes(&HeaderName::Bcc),
            reply_to: fields.mailboxes(&HeaderName::ReplyTo),
            subject: fields.text(&HeaderName::Subject),
            date: fields.date(),
            message_id: fields.id(&HeaderName::MessageId),
            text,
            html,
            parts: listed,
        }
    }

    /// The links of the HTML part, then the additional ones of the plain text; the first 1,000.
    pub fn links(&self) -> Vec<Link> {
        links::links(self)
    }

    /// Confirmation and login codes, the most likely first: separate words of 4 to 10 digits, or of capitals and
    /// digits. URLs, dates, times, amounts, longer numbers, and numbers of orders, invoices and the like are excluded.
    /// Codes near a word like "code" precede others; only there digits in equal groups (`482 913`, returned without the
    /// spaces) and groups of capitals (`ABCD-EFGH`) count.
    pub fn codes(&self) -> Vec<String> {
        codes::codes(self)
    }

    /// The attachments.
    pub fn attachments(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(|part| part.kind == PartKind::Attachment)
    }

    /// The text to read: without a text part that of the HTML part.
    pub fn readable(&self) -> Option<String> {
        self.text.clone().or_else(|| self.html.as_deref().map(html::to_text))
    }

    /// The HTML part as text.
    pub fn html_as_text(&self) -> Option<String> {
        self.html.as_deref().map(html::to_text)
    }
}

/// A part of a message, with its decoded octets; `None` without such a part.
pub(crate) fn part(octets: &[u8], number: usize) -> Option<(Part, Vec<u8>)> {
    let entity = Structure::of(octets).parts.into_iter().nth(number.checked_sub(1)?)?;
    let (part, content) = shown(number, &entity);
    Some((part, content.octets().to_vec()))
}

/// Calls `visit` with each part of a message and its decoded octets. The message is divided once.
#[cfg(feature = "http")]
pub(crate) fn each_part(octets: &[u8], mut visit: impl FnMut(Part, &[u8])) {
    for (number, entity) in (1..).zip(Structure::of(octets).parts) {
        let (part, content) = shown(number, &entity);
        visit(part, content.octets());
    }
}

/// The header and the body of each part, as received.
#[cfg(feature = "http")]
pub(crate) fn raw_parts(octets: &[u8]) -> Vec<(&[u8], &[u8])> {
    Structure::of(octets).parts.into_iter().map(|entity| (entity.header, entity.body)).collect()
}

fn shown<'x>(number: usize, entity: &Entity<'x>) -> (Part, Content<'x>) {
    let content = entity.content();
    let disposition = entity.fields.disposition();
    let parameter = |name| entity.given.as_ref().and_then(|of| of.attribute(name));
    let file = disposition.as_ref().and_then(|of| of.attribute("filename"));
    let name = file.or_else(|| parameter("name")).map(str::to_owned);
    let content_id = entity.fields.id(&HeaderName::ContentId);
    let kind = match disposition.as_ref().map(|of| of.ctype().to_ascii_lowercase()).as_deref() {
        Some("attachment") => PartKind::Attachment,
        Some("inline") if !content.is_text() => PartKind::Inline,
        _ if content.is_text() && name.is_none() => PartKind::Text,
        _ if content_id.is_some() => PartKind::Inline,
        _ => PartKind::Attachment,
    };
    let part = Part {
        number,
        content_type: entity.content_type.clone(),
        charset: parameter("charset").map(str::to_ascii_lowercase),
        name,
        kind,
        content_id,
        size: content.octets().len(),
    };
    (part, content)
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
        /// Parsing of malformed messages ends, and their parts can be read.
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

    /// Parses on a thread with a small stack.
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
        // With white space within the name, as the parser allows it.
        let spaced = |name: &str| format!("{name}: message/rfc822\r\n\r\n").repeat(DEPTH) + "hi";
        let spaced =
            ["Con tent-Type", "Content -Type", "Content-\tType", "C o n t e n t - T y p e", "Content\r-Type"]
                .map(spaced);
        let unclosed = "--x\r\nContent-Type: multipart/mixed; boundary=nope\r\n\r\n".repeat(DEPTH);
        let whole = [
            encode(&nested),
            encode(&encode(&nested)),
            mixed.repeat(DEPTH),
            nested,
            folded,
            digest,
            unclosed,
        ];
        for octets in whole.into_iter().chain(spaced) {
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
        for name in ["Content-Type", "content - type", "Con\tTent-Type"] {
            let parameters = format!("{name}: text/plain{}\r\n\r\nhi", ";a*1*=b".repeat(1 << 20));
            assert_eq!(parsed_in_little_room(parameters.into_bytes()).text.as_deref(), Some("hi"), "{name}");
        }
    }

    #[test]
    fn fields_that_were_made_to_be_slow_are_read() {
        for name in ["To", "Subject", "Date", "Message-ID", "Content-Type", "X"] {
            for repeated in [
                "(",
                ")",
                "<",
                "\"",
                "a,",
                "a@b,",
                "a:",
                ";",
                "=?utf-8?q?a?= ",
                "=?",
                "[",
                "a b <c@d>,",
                "a\r\n ",
            ] {
                let mail = format!("{name}: {}\r\n\r\nhi", repeated.repeat((1 << 20) / repeated.len()));
                let parsed = parsed_in_little_room(mail.into_bytes());
                assert!(parsed.to.len() <= 1000 && parsed.headers.len() == 1, "{name}: {repeated}");
            }
        }
        let mail = format!("{}\r\nhi", "a: b\r\n".repeat(1 << 19));
        let parsed = parsed_in_little_room(mail.into_bytes());
        assert_eq!((parsed.headers.len(), parsed.text.as_deref()), (10_000, Some("hi")));
    }

    #[test]
    fn boundaries_are_lines_of_their_own() {
        let mail = "Content-Type: multipart/mixed; boundary=\"x\"\r\n\r\n--x\r\n\r\na --x\r\n--xy\r\n --x\r\n--x \t\r\n\r\nb\r\n--x--\r\nepilogue";
        let parts: Vec<_> = (1..=3).map(|number| part(mail.as_bytes(), number)).collect();
        let texts: Vec<_> = parts.into_iter().flatten().map(|(_, octets)| octets).collect();
        assert_eq!(texts, [&b"a --x\r\n--xy\r\n --x"[..], b"b"]);
        let unended = "Content-Type: multipart/mixed; boundary=x\n\n--x\n\na\n--x\n\nb\n";
        assert_eq!(part(unended.as_bytes(), 2).expect("a part").1, b"b\n");
        // Without its boundary it is a single part.
        let undivided = Mail::parse(b"Content-Type: multipart/mixed; boundary=y\r\n\r\n--x\r\n");
        assert_eq!(
            (undivided.parts[0].content_type.as_str(), undivided.text.as_deref()),
            ("multipart/mixed", Some("--x\r\n"))
        );
    }

    #[test]
    fn parts_and_depth_are_bounded() {
        let many =
            format!("Content-Type: multipart/mixed; boundary=x\r\n\r\n{}", "--x\r\n\r\n\r\n".repeat(10_000));
        assert_eq!(Mail::parse(many.as_bytes()).parts.len(), 1000);
        let deeper =
            |depth| format!("Content-Type: multipart/mixed; boundary=x{depth}\r\n\r\n--x{depth}\r\n");
        let nested: String = (0..1000).map(deeper).collect();
        assert_eq!(Mail::parse(nested.as_bytes()).parts.len(), 1);
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
