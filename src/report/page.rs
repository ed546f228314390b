//! Parts of HTML pages. A page is one file without scripts and external resources, with a light and a dark theme.

use std::fmt::Write as _;

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

/// Escapes text for HTML, hidden characters included.
pub fn escape(text: &str) -> String {
    let text = crate::text::escape::escape(text);
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
