//! Running text for a terminal: broken where a line would be too wide.

/// The width of reports for people, in characters: what every terminal has.
pub const WIDTH: usize = 80;

/// Appends the words of `text` in lines of at most [`WIDTH`] characters, the first with `mark` in front, the others
/// indented as far. A word that is wider than a line has one of its own.
///
/// ```
/// # use smtpmock::report::lines::paragraph;
/// let mut out = String::new();
/// paragraph("  * ", &"word ".repeat(20), &mut out);
/// let lines: Vec<_> = out.lines().map(str::len).collect();
/// assert_eq!(lines, [78, 28]);
/// ```
pub fn paragraph(mark: &str, text: &str, out: &mut String) {
    let indent = mark.chars().count();
    let mut used = indent;
    out.push_str(mark);
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if used > indent && used + 1 + length > WIDTH {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            used = indent;
        } else if used > indent {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += length;
    }
    out.push('\n');
}

/// The text with each line that is wider than [`WIDTH`] broken at its last blank before that, or within a word where
/// there is none; what is left begins with `indent` blanks.
///
/// ```
/// # use smtpmock::report::lines::{WIDTH, fitted};
/// let text = format!("one\n{} {}\n", "wide ".repeat(20), "x".repeat(100));
/// let fit = fitted(&text, 4);
/// assert!(fit.lines().all(|line| line.chars().count() <= WIDTH));
/// assert_eq!(fit.replace(['\n', ' '], ""), text.replace(['\n', ' '], ""));
/// ```
pub fn fitted(text: &str, indent: usize) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let mut rest = line.trim_end();
        // Blanks in front of what is left, and a break within those that it begins with itself gains nothing.
        let (mut lead, mut least) = (0, rest.len() - rest.trim_start().len());
        while let Some((limit, _)) = rest.char_indices().nth(WIDTH - lead) {
            let blank = rest[..limit].rfind(' ').filter(|at| *at > least);
            let (head, tail) = rest.split_at(blank.unwrap_or(limit));
            out.extend(std::iter::repeat_n(' ', lead));
            out.push_str(head.trim_end());
            out.push('\n');
            (rest, lead, least) = (tail.trim_start(), indent, 0);
        }
        out.extend(std::iter::repeat_n(' ', lead));
        out.push_str(rest);
        out.push_str(if line.ends_with('\n') { "\n" } else { "" });
    }
    out
}
