//! The first lines of a message's text.

use memchr::{memchr, memmem};

use super::charset::{Charset, Quoted, from_base64, unquoted};
use super::header::{body, field};

/// Most lines.
const LINES: usize = 12;
/// Most characters of a line.
const WIDTH: usize = 160;
/// Most octets that are read: enough for these lines after most header sections.
const REACH: usize = 64 * 1024;
/// Greatest depth of nested parts.
const DEPTH: usize = 8;

/// The first lines of a text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Preview {
    /// The lines without their ends. A truncated line ends with `…`.
    pub(crate) lines: Vec<String>,
    /// More lines follow.
    pub(crate) is_cut: bool,
}

/// Previews the first text part of this message (RFC 2046); `None` without one.
pub(super) fn of(message: &[u8]) -> Option<Preview> {
    let front = &message[..message.len().min(REACH)];
    let part = first_text(front, DEPTH)?;
    // A part that ends before the limit is whole, even if more text follows it.
    let is_whole = front.len() == message.len() || part.as_ptr_range().end < front.as_ptr_range().end;
    let text = decoded(part);
    let mut lines = text.trim().lines().map(cut);
    let shown = lines.by_ref().take(LINES).collect();
    Some(Preview { lines: shown, is_cut: lines.next().is_some() || !is_whole })
}

fn cut(line: &str) -> String {
    match line.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

fn first_text(entity: &[u8], depth: usize) -> Option<&[u8]> {
    let content_type = field(entity, "Content-Type").unwrap_or_default().trim_start().to_owned();
    let is = |kind: &str| content_type.get(..kind.len()).is_some_and(|own| own.eq_ignore_ascii_case(kind));
    if content_type.is_empty() || is("text/") {
        return Some(entity);
    }
    let boundary = parameter(&content_type, "boundary").filter(|_| is("multipart/"))?;
    parts(body(entity), &boundary).find_map(|part| first_text(part, depth.checked_sub(1)?))
}

/// The parts between delimiter lines. The last may be incomplete.
fn parts<'a>(body: &'a [u8], boundary: &str) -> impl Iterator<Item = &'a [u8]> {
    let delimiter = format!("--{boundary}");
    let behind = |at: &usize| body.get(at + delimiter.len());
    let mut starts: Vec<usize> = memmem::find_iter(body, delimiter.as_bytes())
        .filter(|at| *at == 0 || body[at - 1] == b'\n')
        // Otherwise it is another's delimiter: a boundary may be a prefix of another.
        .filter(|at| matches!(behind(at), None | Some(b'\r' | b'\n' | b'-' | b' ' | b'\t')))
        .collect();
    starts.push(body.len());
    let own = delimiter.len();
    let parts = (1..starts.len()).map(move |at| &body[starts[at - 1] + own..starts[at]]);
    parts.take_while(|part| !part.starts_with(b"--")).map(|part| {
        // The rest of the delimiter's line is padding.
        let line_end = memchr(b'\n', part);
        line_end.map_or(&part[part.len()..], |end| &part[end + 1..])
    })
}

/// The body of a text part as text.
fn decoded(entity: &[u8]) -> String {
    let body = body(entity);
    let encoding = field(entity, "Content-Transfer-Encoding").unwrap_or_default();
    let octets = match encoding.to_ascii_lowercase().as_str() {
        "quoted-printable" => unquoted(body, Quoted::Body),
        "base64" => {
            let mut digits: Vec<u8> =
                body.iter().copied().filter(|octet| !octet.is_ascii_whitespace()).collect();
            // The base64 may be truncated.
            digits.truncate(digits.len() / 4 * 4);
            from_base64(&digits).unwrap_or_else(|| body.to_vec())
        }
        _ => body.to_vec(),
    };
    let content_type = field(entity, "Content-Type").unwrap_or_default();
    let charset = parameter(&content_type, "charset").and_then(|name| Charset::named(name.as_bytes()));
    let mut text = String::with_capacity(octets.len());
    charset.unwrap_or(Charset::Utf8).decode(&octets, &mut text);
    text
}

/// A parameter of a field (RFC 2045 section 5.1), without quotes around it.
fn parameter(value: &str, name: &str) -> Option<String> {
    let mut in_quotes = false;
    let parameters = value.split(move |c| {
        in_quotes ^= c == '"';
        c == ';' && !in_quotes
    });
    parameters.skip(1).find_map(|parameter| {
        let (own, value) = parameter.split_once('=')?;
        own.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(message: &str) -> Vec<String> {
        of(message.as_bytes()).expect("a text part").lines
    }

    #[test]
    fn the_text_of_a_plain_message_is_its_body() {
        assert_eq!(lines("Subject: hi\r\n\r\n\r\nHello\r\n\r\nBob\r\n\r\n"), ["Hello", "", "Bob"]);
        assert_eq!(lines("\r\nno header\r\n"), ["no header"]);
        assert_eq!(lines("Content-Type: text/plain; charset=iso-8859-1\r\n\r\nx"), ["x"]);
        assert_eq!(lines(""), Vec::<String>::new());
    }

    #[test]
    fn it_is_decoded() {
        let quoted = "Content-Type: text/plain; charset=\"UTF-8\"\r\nContent-Transfer-Encoding: Quoted-Printable\r\n\
            \r\nGr=C3=B6=\r\n=C3=9Fe =3D_=\r\n";
        assert_eq!(lines(quoted), ["Größe =_"]);
        let base64 = "Content-Transfer-Encoding: base64\r\n\r\nR3LDtsOf\r\nZQ==\r\n";
        assert_eq!(lines(base64), ["Größe"]);
        let cut = "Content-Transfer-Encoding: base64\r\n\r\nR3LDtsOfZ";
        assert_eq!(lines(cut), ["Größ"]);
        let wrong = "Content-Transfer-Encoding: base64\r\n\r\nno, base64\r\n";
        assert_eq!(lines(wrong), ["no, base64"]);
    }

    #[test]
    fn of_parts_the_first_text_is_shown() {
        let message = "Content-Type: multipart/mixed;\r\n boundary=\"a;=b\"\r\n\r\npreamble\r\n\
            --a;=b\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n\
            --c\r\nContent-Type: image/png\r\n\r\nPNG\r\n--co\r\n\r\nno part\r\n\
            --c\r\nContent-Type: TEXT/Plain; charset=windows-1252\r\n\r\nyes\r\n--c--\r\n\
            --a;=b--\r\n";
        assert_eq!(lines(message), ["yes"]);
        assert_eq!(of(b"Content-Type: image/png\r\n\r\nPNG"), None);
        assert_eq!(of(b"Content-Type: multipart/mixed\r\n\r\n--\r\n\r\nno boundary"), None);
        let nested = |parts: usize| {
            let heads =
                (0..parts).map(|n| format!("Content-Type: multipart/mixed; boundary={n}\r\n\r\n--{n}\r\n"));
            heads.collect::<String>() + "\r\nhi"
        };
        assert_eq!(lines(&nested(DEPTH)), ["hi"]);
        assert_eq!(of(nested(DEPTH + 1).as_bytes()), None);
    }

    #[test]
    fn it_is_cut() {
        let text = |count: usize| format!("\r\n{}", "line\r\n".repeat(count));
        let preview = of(text(LINES).as_bytes()).unwrap();
        assert_eq!((preview.lines.len(), preview.is_cut), (LINES, false));
        let preview = of(text(LINES + 1).as_bytes()).unwrap();
        assert_eq!((preview.lines.len(), preview.is_cut), (LINES, true));
        let preview = of(&[&b"\r\n"[..], &vec![b'x'; 2 * REACH]].concat()).unwrap();
        assert_eq!((preview.lines, preview.is_cut), (vec!["x".repeat(WIDTH) + "…"], true));
        let with_attachment = |text: &str| {
            let attachment = "x".repeat(2 * REACH);
            let mail = format!(
                "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n{text}\r\n\
                 --b\r\nContent-Type: image/png\r\n\r\n{attachment}\r\n--b--\r\n"
            );
            of(mail.as_bytes()).unwrap()
        };
        let preview = with_attachment("whole");
        assert_eq!((preview.lines, preview.is_cut), (vec!["whole".to_owned()], false));
        // The part continues after the limit, although its visible text fits.
        assert!(with_attachment(&format!("x{}y", " ".repeat(REACH))).is_cut);
    }

    proptest! {
        #[test]
        fn any_message_may_come(
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    "Content-Type: ", "multipart/mixed; boundary=", "text/plain", "a", "\"", ";", "--a", "--", "\r\n",
                    "\n", "Content-Transfer-Encoding: base64\r\n", "quoted-printable", "=", "\u{fc}", ": ",
                ]),
                0..60,
            )
        ) {
            of(pieces.concat().as_bytes());
        }
    }
}
