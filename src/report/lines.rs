//! Line breaking of text for a terminal.

/// The maximum width of text reports, in characters.
pub const WIDTH: usize = 80;

/// Appends the words of `text` in lines of at most [`WIDTH`] characters. The first line begins with `mark`, the
/// others are indented by its width. A word wider than a line has its own line.
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

/// The text with lines wider than [`WIDTH`] broken at the last blank that fits, or within a word without one.
/// Continuation lines begin with `indent` blanks.
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
        // `lead`: blanks before a continuation line. `least`: no break within the blanks at the beginning of the line.
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
