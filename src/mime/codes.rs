//! Codes in mails: what is to be typed to confirm an address or to log in.

use super::Mail;
use super::links::urls;

/// Codes of one mail that are listed.
const MOST_CODES: usize = 100;

/// Words around a code.
const HINTS: &[&str] =
    &["code", "pin", "otp", "password", "passcode", "token", "verif", "confirm", "login", "log in", "2fa"];

/// See [`Mail::codes`].
pub(super) fn codes(mail: &Mail) -> Vec<String> {
    let texts = [mail.subject.clone(), mail.readable()];
    let mut found: Vec<(bool, String)> = Vec::new();
    for text in texts.into_iter().flatten() {
        let text = without_urls(&text);
        for (at, word) in words(&text) {
            if found.len() < MOST_CODES && is_code(word, &text[..at], &text[at + word.len()..]) {
                let code = word.to_owned();
                if !found.iter().any(|(_, other)| *other == code) {
                    found.push((is_hinted(&text, at, word.len()), code));
                }
            }
        }
    }
    // A stable sort: the order within each kind is that of the mail.
    found.sort_by_key(|(is_hinted, _)| !is_hinted);
    found.into_iter().map(|(_, code)| code).collect()
}

fn without_urls(text: &str) -> String {
    let mut left = String::with_capacity(text.len());
    let mut end = 0;
    for url in urls(text) {
        let start = url.as_ptr().addr() - text.as_ptr().addr();
        left.push_str(&text[end..start]);
        left.push(' ');
        end = start + url.len();
    }
    left + &text[end..]
}

/// The words of letters, digits and hyphens, and where they begin.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_part = |c: char| c.is_alphanumeric() || c == '-';
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + text[from..].find(is_part)?;
        let end = text[start..].find(|c| !is_part(c)).map_or(text.len(), |length| start + length);
        from = end;
        let word = text[start..end].trim_matches('-');
        Some((start + (text[start..end].len() - text[start..end].trim_start_matches('-').len()), word))
    })
}

fn is_code(word: &str, before: &str, behind: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let letters = word.bytes().filter(u8::is_ascii_uppercase).count();
    let hyphens = word.bytes().filter(|octet| *octet == b'-').count();
    let is_plain = digits + letters + hyphens == word.len();
    let length = digits + letters;
    if !is_plain || digits == 0 || !(4..=10).contains(&length) || hyphens > 2 || is_date(word) {
        return false;
    }
    // Part of an amount, a time, an address, or a longer number.
    let joins = |c: char| matches!(c, '.' | ',' | ':' | '/' | '@' | '_' | '+' | '$' | '€' | '£' | '%');
    let joined_before = before.chars().next_back().is_some_and(joins)
        && (!before.ends_with(':') || before.trim_end_matches(':').ends_with(|c: char| c.is_ascii_digit()))
        && !before.ends_with([',', '.']);
    let number_before =
        before.ends_with([',', '.']) && before[..before.len() - 1].ends_with(|c: char| c.is_ascii_digit());
    let mut next = behind.chars();
    let joined_behind = match (next.next(), next.next()) {
        (Some('@' | '%' | '_' | '/' | '€' | '$'), _) => true,
        (Some('.' | ',' | ':'), Some(c)) => c.is_alphanumeric(),
        _ => false,
    };
    !joined_before && !number_before && !joined_behind
}

/// A year, or a date with hyphens.
fn is_date(word: &str) -> bool {
    let is_year = |text: &str| {
        text.len() == 4
            && (text.starts_with("19") || text.starts_with("20"))
            && text.bytes().all(|octet| octet.is_ascii_digit())
    };
    is_year(word) || (word.matches('-').count() == 2 && word.split('-').any(is_year))
}

/// Whether a word like "code" stands within a line's length of it.
fn is_hinted(text: &str, at: usize, length: usize) -> bool {
    const REACH: usize = 80;
    let mut start = at.saturating_sub(REACH);
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let mut end = (at + length + REACH / 2).min(text.len());
    while !text.is_char_boundary(end) {
        end += 1;
    }
    let around = format!("{} {}", &text[start..at], &text[at + length..end]).to_lowercase();
    HINTS.iter().any(|hint| around.contains(hint))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> Vec<String> {
        codes(&Mail { text: Some(text.to_owned()), ..Mail::default() })
    }

    #[test]
    fn codes_are_found_and_what_only_looks_like_one_is_not() {
        for (text, expected) in [
            ("Your code is 123456.", &["123456"][..]),
            ("Code:482913", &["482913"]),
            ("482913 is your login code, valid for 10 minutes", &["482913"]),
            ("Use ABC-123 or G-558213 to verify", &["ABC-123", "G-558213"]),
            (
                "Order 20241 of 2026-11-27 came to 1,234.50 EUR at 12:3000; your PIN is 0042",
                &["0042", "20241"],
            ),
            ("https://a.example/verify/123456 only", &[]),
            ("ann1234@example.com, 1234@example.com, tel +491234567, 12345678901234", &[]),
            ("from 1999 to 2026", &[]),
            ("no digits HERE", &[]),
            ("1234 5678 1234", &["1234", "5678"]),
        ] {
            assert_eq!(of(text), expected, "{text}");
        }
        let mail = Mail { subject: Some("771133 is your code".to_owned()), ..Mail::default() };
        assert_eq!(codes(&mail), ["771133"]);
        let html = Mail { html: Some("<p>Code <b>9<i></i>31445</b></p>".to_owned()), ..Mail::default() };
        assert!(!codes(&html).is_empty());
    }

    proptest! {
        #[test]
        fn any_text_is_read_to_its_end(text in "([0-9]{3,8}|[A-Z]{1,3}|-|\\PC|[ .,:@]){0,40}") {
            for code in of(&text) {
                prop_assert!(text.contains(&code) && code.bytes().any(|octet| octet.is_ascii_digit()));
            }
        }
    }
}
