//! Codes in mails, to be typed to confirm an address or to log in.

use super::Mail;
use super::links::urls;

const MOST_CODES: usize = 100;

/// Beginnings of words around a code.
const HINTS: &[&str] = &[
    "code", "pin", "otp", "password", "passcode", "token", "verif", "confirm", "login", "log in", "log-in",
    "sign in", "sign-in", "2fa", "one-time",
];
/// Hints without which grouped digits, and letters alone, are no code.
const STRONG_HINTS: &[&str] =
    &["code", "pin", "otp", "password", "passcode", "token", "verif", "2fa", "one-time"];
/// Words before "code" that exclude it.
const OTHER_CODES: &[&str] =
    &["postal", "post", "zip", "area", "country", "dial", "dialling", "bar", "source", "colour"];
/// Words before a number that exclude it.
const OTHER_NUMBERS: &[&str] = &[
    "order",
    "invoice",
    "total",
    "ticket",
    "customer",
    "reference",
    "ref",
    "case",
    "tracking",
    "phone",
    "tel",
    "fax",
    "iban",
    "vat",
    "po",
];
/// Words between these and the number.
const FILLERS: &[&str] = &["number", "no", "nr", "id", "is", "was"];
/// Distance in octets at which a hint counts.
const REACH: usize = 80;

/// See [`Mail::codes`].
pub(super) fn codes(mail: &Mail) -> Vec<String> {
    let texts = [mail.subject.clone(), mail.readable()];
    let mut found: Vec<(bool, String)> = Vec::new();
    for text in texts.into_iter().flatten() {
        let text = without_urls(&text);
        let mut taken = 0;
        for (at, word) in words(&text) {
            if found.len() == MOST_CODES {
                break;
            }
            if at < taken {
                continue;
            }
            let (length, code) = match grouped(&text, at, word) {
                Some(length) => (length, text[at..at + length].replace(is_gap, "")),
                None if is_code(word, &text[..at], &text[at + word.len()..]) => (word.len(), word.to_owned()),
                None if is_letters(&text, at, word) => (word.len(), word.to_owned()),
                None => continue,
            };
            taken = at + length;
            if !is_of_another(&text[..at]) && !found.iter().any(|(_, other)| *other == code) {
                found.push((is_hinted(&text, at, length, HINTS), code));
            }
        }
    }
    // A stable sort: codes of each kind remain in the order of the mail.
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

/// The words of letters, digits and hyphens, with their positions.
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

/// A space within a number.
fn is_gap(c: char) -> bool {
    matches!(c, ' ' | '\u{a0}' | '\u{202f}' | '\u{2009}')
}

/// The length of digits in equal groups that begin with this word, like `482 913` or `48 29 13`, near a strong hint.
fn grouped(text: &str, at: usize, word: &str) -> Option<usize> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let size = word.len();
    let is_continued =
        text[..at].strip_suffix(is_gap).is_some_and(|before| before.ends_with(|c: char| c.is_ascii_digit()));
    if !(2..=4).contains(&size) || digits(word) != size || is_continued {
        return None;
    }
    let (mut end, mut groups) = (at + size, 1);
    while let Some(rest) = text[end..].strip_prefix(is_gap).filter(|rest| digits(rest) > 0) {
        if digits(rest) != size {
            return None;
        }
        end = text.len() - rest.len() + size;
        groups += 1;
    }
    let code = &text[at..end];
    let (before, behind) = (&text[..at], &text[end..]);
    let is_amount = code.ends_with("00")
        || behind
            .trim_start_matches(is_gap)
            .split(|c: char| !c.is_alphabetic())
            .next()
            .is_some_and(|unit| unit.len() == 3 && unit.bytes().all(|octet| octet.is_ascii_uppercase()));
    let joined = code.replace(is_gap, "");
    let has_year = size == 4 && code.split(is_gap).any(is_date);
    let is_one = groups > 1
        && (6..=10).contains(&joined.len())
        && !is_amount
        && !has_year
        && is_code(&joined, before, behind);
    (is_one && is_hinted(text, at, end - at, STRONG_HINTS)).then_some(end - at)
}

/// Only letters in equal groups with hyphens, like `ABCD-EFGH`, near a strong hint, in a text that is not in capitals.
fn is_letters(text: &str, at: usize, word: &str) -> bool {
    let groups: Vec<_> = word.split('-').collect();
    let size = groups[0].len();
    let is_capital = |text: &str| !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_uppercase());
    let is_shape = (2..=3).contains(&groups.len())
        // Two groups of three letters are probably words: OPT-OUT.
        && (if groups.len() == 2 { 4..=5 } else { 3..=5 }).contains(&size)
        && groups.iter().all(|group| group.len() == size && is_capital(group));
    let (before, behind) = (&text[..at], &text[at + word.len()..]);
    let shouts = |near: Option<&str>| near.is_some_and(|near| near.len() > 1 && is_capital(near));
    let letters = |c: char| !c.is_alphabetic();
    is_shape
        && !shouts(before.trim_end_matches(letters).rsplit(letters).next())
        && !shouts(behind.trim_start_matches(letters).split(letters).next())
        && is_hinted(text, at, word.len(), STRONG_HINTS)
}

/// Whether the text before a number shows that it is another one, such as an order number.
fn is_of_another(before: &str) -> bool {
    let line = before.rsplit('\n').next().unwrap_or_default();
    let mut words = line.rsplit(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
    // Words further away belong to another sentence.
    let near = line.len() - line.trim_end_matches(|c: char| !c.is_alphabetic()).len() <= 4;
    let of = words.find(|word| !FILLERS.contains(&&*word.to_lowercase()));
    near && of.is_some_and(|of| OTHER_NUMBERS.contains(&&*of.to_lowercase()))
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

/// Whether a word that begins like one of these hints is within a line's length of it.
fn is_hinted(text: &str, at: usize, length: usize, hints: &[&str]) -> bool {
    let mut start = at.saturating_sub(REACH);
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let mut end = (at + length + REACH / 2).min(text.len());
    while !text.is_char_boundary(end) {
        end += 1;
    }
    let around = format!("{} {}", &text[start..at], &text[at + length..end]).to_lowercase();
    let is_other = |before: &str| {
        let word = before.trim_end().rsplit(|c: char| !c.is_alphabetic()).next().unwrap_or_default();
        OTHER_CODES.contains(&word)
    };
    hints.iter().any(|hint| {
        around.match_indices(hint).any(|(at, _)| {
            let before = &around[..at];
            !before.ends_with(char::is_alphabetic) && !is_other(before)
        })
    })
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
            ("Order 20241 of 2026-11-27 came to 1,234.50 EUR at 12:3000; your PIN is 0042", &["0042"]),
            ("https://a.example/verify/123456 only", &[]),
            ("ann1234@example.com, 1234@example.com, tel +491234567, 12345678901234", &[]),
            ("from 1999 to 2026", &[]),
            ("no digits HERE", &[]),
            ("1234 5678 1234", &["1234", "5678"]),
            // Grouped digits, and letters.
            ("Your code is 482 913", &["482913"]),
            ("Your code is\u{a0}482\u{a0}913.", &["482913"]),
            ("48 29 13 is your one-time password", &["482913"]),
            ("PIN: 4829 1375", &["48291375"]),
            ("Use ABCD-EFGH as your code.", &["ABCD-EFGH"]),
            ("Verification code: WXY-ZAB-CDE", &["WXY-ZAB-CDE"]),
            ("Sign in with 482913", &["482913"]),
            ("Confirmation number 482913", &["482913"]),
            // None of these is a code.
            ("482 913", &[]),
            ("Please confirm the payment of 482 913 EUR", &[]),
            ("Your code gives you 100 000 points", &[]),
            ("Shipping to postal code 110 001, or zip code 482 913", &[]),
            ("Barcode 482 913, shopping list 482 913", &[]),
            ("Call +49 171 234 567 for your code", &[]),
            ("The code of 12 345 678 users", &[]),
            ("Your code of 2024 2025", &[]),
            ("ENTER YOUR CODE BY HAND-HELD SCANNER", &[]),
            ("The OPT-OUT code, an ALL-OUT-effort, the TWO-STEP code", &[]),
            ("HAND-HELD devices", &[]),
            ("order 12345678, total 19990", &[]),
            ("Invoice no. 482913, Order number: 482914, Tel: 482915", &[]),
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
                prop_assert!(text.replace(is_gap, "").contains(&code) && code.bytes().any(|octet| octet.is_ascii_digit()));
            }
        }
    }
}
