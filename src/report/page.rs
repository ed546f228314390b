//! What pages are made of. A page is one file: it fetches nothing, runs no script, and is light or dark as its
//! reader wants it.

use std::fmt::Write as _;

const STYLE: &str = include_str!("page.css");

/// A figure that is shown large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// What it is.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// It should not be as it is.
    pub is_bad: bool,
}

/// A whole page with this title, which is text, around this body, which is HTML.
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

/// What nobody should miss.
pub fn banner(text: &str) -> String {
    format!("<div class=\"banner\">{}</div>\n", escape(text))
}

/// Text made safe for HTML, and to show.
pub fn escape(text: &str) -> String {
    let text = crate::text::escape::escape(text);
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
