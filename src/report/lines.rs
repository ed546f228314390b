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
