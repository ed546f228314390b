//! Mails in one file, as read by mail programs for terminals: mboxrd.

use std::time::SystemTime;

use chrono::{DateTime, Utc};
use fearless_simd::prelude::*;
use fearless_simd::{Level, Simd, dispatch};

use super::mail;
use crate::records::Message;

pub(super) fn append(file: &mut Vec<u8>, message: &Message, at: SystemTime) {
    let sender = message.reverse_path().unwrap_or_default();
    // A space would end the sender.
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

/// Whether the line begins with `From `, after any number of `>`: another `>` marks it as no beginning of a mail, and
/// can be removed again.
#[inline]
fn is_separator(line: &[u8]) -> bool {
    let begins_like_one = matches!(line.first(), Some(b'F' | b'>'));
    begins_like_one && {
        let quotes = line.iter().take_while(|octet| **octet == b'>').count();
        line[quotes..].starts_with(b"From ")
    }
}

/// Appends text with LF as line ends, as in mailbox files, and `>` before quoted lines. Everything else is unchanged.
pub(super) fn append_text(file: &mut Vec<u8>, text: &[u8], is_quoted: impl Fn(&[u8]) -> bool) {
    dispatch!(Level::new(), simd => append_lines(simd, file, text, is_quoted));
}

/// Searches whole vectors for LF: lines are short, and searching for one after another costs twice as much.
#[inline(always)]
fn append_lines<S: Simd>(simd: S, file: &mut Vec<u8>, text: &[u8], is_quoted: impl Fn(&[u8]) -> bool) {
    // Lines become shorter, except quoted ones.
    file.reserve(text.len() + 64);
    let width = S::u8s::LEN;
    let mut start = 0;
    for (number, octets) in text.chunks_exact(width).enumerate() {
        let mut ends = S::u8s::from_slice(simd, octets).simd_eq(b'\n').to_bitmask();
        while ends != 0 {
            let behind = number * width + ends.trailing_zeros() as usize + 1;
            append_line(file, &text[start..behind], &is_quoted);
            start = behind;
            ends &= ends - 1;
        }
    }
    for line in text[start..].split_inclusive(|octet| *octet == b'\n') {
        append_line(file, line, &is_quoted);
    }
}

#[inline(always)]
fn append_line(file: &mut Vec<u8>, line: &[u8], is_quoted: impl Fn(&[u8]) -> bool) {
    if is_quoted(line) {
        file.push(b'>');
    }
    match line {
        // The LF replaces the CR that was copied.
        [with_cr @ .., b'\n'] if with_cr.ends_with(b"\r") => {
            file.extend_from_slice(with_cr);
            if let Some(last) = file.last_mut() {
                *last = b'\n';
            }
        }
        line => file.extend_from_slice(line),
    }
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
            pieces in prop::collection::vec(prop::sample::select(vec!["From ", ">", "x", "\r\n", "\n", "\r"]), 0..40),
            repeats in 1..4_usize,
        ) {
            // Longer than any vector, too.
            let text = pieces.concat().repeat(repeats);
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
