//! Mails behind each other in one file, as mail programs for terminals read them: mboxrd.

use std::time::SystemTime;

use chrono::{DateTime, Utc};
use memchr::memchr_iter;

use super::mail;
use crate::message::Message;

/// Appends a mail.
pub(super) fn append(file: &mut Vec<u8>, message: &Message, at: SystemTime) {
    let sender = message.reverse_path().unwrap_or_default();
    // A space would end it.
    let sender: String =
        sender.chars().map(|c| if c.is_control() || c.is_whitespace() { '?' } else { c }).collect();
    let sender = if sender.is_empty() { "MAILER-DAEMON" } else { &sender };
    let date = DateTime::<Utc>::from(at).format("%a %b %e %H:%M:%S %Y");
    file.extend_from_slice(format!("From {sender} {date}\n").as_bytes());
    append_text(file, &mail::head(message), is_separator);
    append_text(file, message.body(), is_separator);
    if file.last() != Some(&b'\n') {
        file.push(b'\n');
    }
    file.push(b'\n');
}

/// Whether the line begins with `From `, behind any number of `>`: one more keeps it from being taken for the front of a
/// mail, and can be taken away again.
#[inline]
fn is_separator(line: &[u8]) -> bool {
    let begins_like_one = matches!(line.first(), Some(b'F' | b'>'));
    begins_like_one && {
        let quotes = line.iter().take_while(|octet| **octet == b'>').count();
        line[quotes..].starts_with(b"From ")
    }
}

/// Appends text with LF at the end of its lines, as files of mail programs have it, and `>` in front of some. All else
/// stays as it came.
#[inline]
pub(super) fn append_text(file: &mut Vec<u8>, text: &[u8], is_quoted: impl Fn(&[u8]) -> bool) {
    // Two more than the text has room for its end, and the first lines that are quoted.
    file.reserve(text.len() + 64);
    let mut append = |line: &[u8]| {
        if is_quoted(line) {
            file.push(b'>');
        }
        match line {
            // Copied with the CR, which the LF replaces.
            [with_cr @ .., b'\n'] if with_cr.ends_with(b"\r") => {
                file.extend_from_slice(with_cr);
                if let Some(last) = file.last_mut() {
                    *last = b'\n';
                }
            }
            line => file.extend_from_slice(line),
        }
    };
    let mut start = 0;
    for end in memchr_iter(b'\n', text) {
        append(&text[start..=end]);
        start = end + 1;
    }
    append(&text[start..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(text: &str) -> String {
        let mut file = Vec::new();
        append_text(&mut file, text.as_bytes(), is_separator);
        String::from_utf8(file).expect("as it came")
    }

    #[test]
    fn lines_end_with_lf_and_none_begins_a_mail() {
        for (text, expected) in [
            ("one\r\ntwo\r\n", "one\ntwo\n"),
            ("From ann\r\n>From bob\r\n>>From \r\n", ">From ann\n>>From bob\n>>>From \n"),
            (
                "From: ann\r\n> From bob\r\nfrom bob\r\n From bob\r\n",
                "From: ann\n> From bob\nfrom bob\n From bob\n",
            ),
            ("bare\nFrom lf\r\r\n\rFrom cr", "bare\n>From lf\r\n\rFrom cr"),
            ("no end", "no end"),
            ("", ""),
        ] {
            assert_eq!(written(text), expected);
        }
    }

    proptest! {
        #[test]
        fn what_was_added_can_be_taken_away(
            pieces in prop::collection::vec(prop::sample::select(vec!["From ", ">", "x", "\r\n", "\n", "\r"]), 0..40)
        ) {
            let text = pieces.concat();
            let file = written(&text);
            prop_assert!(!file.split('\n').any(|line| line.starts_with("From ")));
            let restored: Vec<&str> = file
                .split('\n')
                .map(|line| match line.strip_prefix('>') {
                    Some(rest) if rest.trim_start_matches('>').starts_with("From ") => rest,
                    _ => line,
                })
                .collect();
            prop_assert_eq!(restored.join("\n"), text.replace("\r\n", "\n"));
        }
    }
}
