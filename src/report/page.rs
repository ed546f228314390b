//! Parts of HTML pages. A page is one file without scripts and external resources, with a light and a dark theme.

use std::fmt::Write as _;
use std::time::SystemTime;

use chrono::{DateTime, Utc};

const STYLE: &str = concat!(include_str!("common.css"), include_str!("page.css"));

/// A figure in large type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// Whether the value indicates a problem.
    pub is_bad: bool,
}

/// A page with this title (text) and body (HTML).
pub fn document(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style></head><body><main>\n{body}</main></body></html>\n"
    )
}

/// Figures side by side.
pub fn tiles(tiles: &[Tile]) -> String {
    let mut out = "<div class=\"tiles\">".to_owned();
    for Tile { name, value, is_bad } in tiles {
        let class = if *is_bad { "tile bad" } else { "tile" };
        let _ =
            write!(out, "<div class=\"{class}\"><b>{}</b><span>{}</span></div>", escape(value), escape(name));
    }
    out.push_str("</div>\n");
    out
}

/// A prominent message.
pub fn banner(text: &str) -> String {
    format!("<div class=\"banner\">{}</div>\n", escape(text))
}

/// A count with a comma between thousands: `1,234,567`.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut shown = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// A text whose words that are counts are grouped, but not the numbers of standards.
pub fn with_groups(text: &str) -> String {
    let mut shown: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let is_standard = shown.last().is_some_and(|before| before.ends_with("RFC"));
        let count = word.parse().ok().filter(|_| !is_standard);
        shown.push(count.map_or_else(|| word.to_owned(), grouped));
    }
    shown.join(" ")
}

/// A time of the day, in UTC: `2026-11-27 19:16:17 UTC`.
pub fn date(at: SystemTime) -> String {
    DateTime::<Utc>::from(at).format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Escapes text for HTML, including hidden characters.
pub fn escape(text: &str) -> String {
    let text = crate::text::escape::escape(text);
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([0, 12, 999, 1000, 1_234_567].map(grouped), ["0", "12", "999", "1,000", "1,234,567"]);
        assert_eq!(grouped(u64::MAX), "18,446,744,073,709,551,615");
        assert_eq!(
            with_groups("in 12345 of 9999 (RFC 5321), by RFC 1870, 1.5"),
            "in 12,345 of 9,999 (RFC 5321), by RFC 1870, 1.5"
        );
        assert_eq!(date(SystemTime::UNIX_EPOCH), "1970-01-01 00:00:00 UTC");
    }
}
