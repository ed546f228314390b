//! Displays mails as readable text, formatted and written on a separate thread. It never delays a session: if the queue
//! is full a mail is counted but not shown.

use std::fmt::{self, Write as _};
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use chrono::{DateTime, Local};

use crate::output::write_queue::{Batch, WriteQueue};
use crate::output::{PATIENCE, Writer, no_thread};
use crate::records::Message;
use crate::text::escape::escape;
use crate::text::units;

/// Bytes of messages that may be queued.
const QUEUE_LIMIT: usize = 32 << 20;
/// Most characters of a field.
const WIDTH: usize = 500;
/// Most recipients listed.
const NAMED: usize = 10;

/// A display of mails.
#[derive(Clone, Debug)]
pub struct Display {
    to: Writer,
    has_colours: bool,
}

impl Display {
    /// Displays on this output.
    pub fn on(to: Writer, has_colours: bool) -> Self {
        Self { to, has_colours }
    }
}

/// A shard's handle of the display thread.
#[derive(Clone)]
pub(crate) struct Show {
    queue: Arc<WriteQueue<Message>>,
    to: Writer,
}

impl Show {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub(crate) fn start(display: &Display) -> io::Result<(Self, JoinHandle<()>)> {
        let Display { to, has_colours } = display.clone();
        let show = Self { queue: Arc::new(WriteQueue::new(QUEUE_LIMIT)), to };
        let Self { queue, to } = show.clone();
        let mut page = Page { text: String::new(), count: 0, has_colours };
        let thread = thread::Builder::new()
            .name("smtpmock-show".into())
            .spawn(move || {
                queue.write_all(|batch| {
                    page.show(&batch, |text| {
                        // Blocks while the output is full; nothing else waits for this thread.
                        to.push(text);
                        queue.note_progress();
                    });
                });
            })
            .map_err(no_thread)?;
        Ok((show, thread))
    }

    /// Queues a mail. A record without an accepted message is skipped.
    pub(crate) fn offer(&self, message: &Message) {
        if message.msg() {
            self.queue.offer(&mut vec![message.clone()], message.memory());
        }
    }

    /// Ends the display. Waits until the output has accepted all mails; false if it no longer accepts any.
    pub(crate) fn finish(&self) -> bool {
        self.to.widen();
        self.queue.close();
        let has_ended = self.queue.wait_until_gone(PATIENCE);
        if !has_ended {
            self.queue.abandon();
        }
        has_ended
    }
}

impl fmt::Debug for Show {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Show")
    }
}

struct Page {
    text: String,
    /// Mails so far, including those not shown.
    count: u64,
    has_colours: bool,
}

/// The style of text on a colour terminal: ANSI select graphic rendition.
#[derive(Clone, Copy)]
enum Look {
    Plain,
    Heading,
    Faint,
    Strong,
}

impl Page {
    /// Writes each mail, then how many were lost after them.
    fn show(&mut self, batch: &Batch<Message>, mut put: impl FnMut(String)) {
        for message in &batch.items {
            self.add(message);
            put(std::mem::take(&mut self.text));
        }
        if batch.dropped > 0 {
            self.note_dropped(batch.dropped);
            put(std::mem::take(&mut self.text));
        }
    }

    fn note_dropped(&mut self, count: u64) {
        self.count += count;
        let line = format!("{count} mails are not shown: this output did not keep up");
        self.line(Look::Heading, "", &line);
        self.text.push('\n');
    }

    fn add(&mut self, message: &Message) {
        self.count += 1;
        let at = message.arrived_at();
        let time = DateTime::<Local>::from(at).format("%H:%M:%S");
        let (session, peer) = (message.session_id(), message.peer_addr());
        let heading =
            format!("Mail {} at {time}, session {session} from {peer}, id {}", self.count, message.id());
        self.line(Look::Heading, "", &heading);
        self.line(Look::Plain, "From:", &sender(message));
        self.line(Look::Plain, "To:", &recipients(message));
        self.line(Look::Strong, "Subject:", &message.subject().unwrap_or_default());
        self.line(Look::Plain, "Size:", &units::octets(message.record().msg_size as u64));
        self.text.push('\n');
        match message.preview() {
            None => self.line(Look::Faint, "", "  (no text in it)"),
            Some(preview) => {
                // Indented, so that no line of a message looks like one of the display.
                for line in &preview.lines {
                    self.line(Look::Plain, "", &format!("  {}", line.replace('\t', "    ")));
                }
                if preview.is_cut {
                    self.line(Look::Faint, "", "  …");
                }
            }
        }
        self.text.push('\n');
    }

    /// One line with an optional label; the value may contain anything.
    fn line(&mut self, look: Look, label: &str, value: &str) {
        if !label.is_empty() {
            self.piece(Look::Faint, &format!("{label:<9}"));
        }
        let end = value.char_indices().nth(WIDTH).map_or(value.len(), |(end, _)| end);
        self.piece(look, &escape(&value[..end]));
        if end < value.len() {
            self.piece(Look::Faint, "…");
        }
        self.text.push('\n');
    }

    fn piece(&mut self, look: Look, text: &str) {
        let code = match look {
            Look::Heading => "36",
            Look::Faint => "2",
            Look::Strong => "1",
            Look::Plain => "",
        };
        let is_written = match self.has_colours && !code.is_empty() && !text.is_empty() {
            true => write!(self.text, "\x1b[{code}m{text}\x1b[0m"),
            false => write!(self.text, "{text}"),
        };
        debug_assert!(is_written.is_ok(), "writing to a String can't fail");
    }
}

/// The envelope's sender, and the author if different.
fn sender(message: &Message) -> String {
    let path = message.reverse_path().unwrap_or_default();
    let path = if path.is_empty() { "<>" } else { &path };
    match message.header("From") {
        Some(author) if author != path && !author.is_empty() => format!("{path} ({author})"),
        _ => path.to_owned(),
    }
}

fn recipients(message: &Message) -> String {
    let paths = message.forward_paths();
    let named = paths.iter().take(NAMED).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    match paths.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::message::sample::mail;

    fn page(has_colours: bool, messages: &[Message]) -> String {
        let mut page = Page { text: String::new(), count: 0, has_colours };
        messages.iter().for_each(|message| page.add(message));
        page.text
    }

    #[test]
    fn a_mail_is_shown_in_a_few_lines() {
        let text =
            "From: Ann <ann@example.com>\r\nSubject: =?utf-8?Q?Gr=C3=B6=C3=9Fe?=\r\n\r\nHello,\r\n\tBob!\r\n";
        let shown = page(false, &[mail("ann@example.com", &["bob@example.com", "carol@example.com"], text)]);
        let (heading, rest) = shown.split_once('\n').expect("lines");
        assert!(
            heading.starts_with("Mail 1 at ")
                && heading.ends_with(", session 1 from 127.0.0.1:1, id 00000000-1-1"),
            "{heading}"
        );
        assert_eq!(
            rest,
            "From:    ann@example.com (Ann <ann@example.com>)\n\
             To:      bob@example.com, carol@example.com\n\
             Subject: Größe\n\
             Size:    84 B\n\n  Hello,\n      Bob!\n\n"
        );
    }

    #[test]
    fn mails_that_are_lost_are_named_behind_those_that_filled_the_queue() {
        let mut page = Page { text: String::new(), count: 0, has_colours: false };
        let mut shown = Vec::new();
        let sample = || mail("ann@example.com", &["bob@example.com"], "\r\nhi\r\n");
        for dropped in [3, 0] {
            page.show(&Batch { items: vec![sample(), sample()], dropped }, |text| shown.push(text));
        }
        let begins = ["Mail 1 at ", "Mail 2 at ", "3 mails are not shown: ", "Mail 6 at ", "Mail 7 at "];
        assert_eq!(shown.len(), begins.len(), "{shown:?}");
        assert!(shown.iter().zip(begins).all(|(text, begin)| text.starts_with(begin)), "{shown:?}");
    }

    #[test]
    fn nothing_of_a_mail_reaches_the_terminal_as_a_command_or_looks_like_another_mail() {
        let text = "Subject: \x1b[2J\r\n\r\nMail 2 at 12:00:00\x1b[31m\r\n\u{9b}2J\r\n";
        for has_colours in [false, true] {
            let shown = page(has_colours, &[mail("", &["a\u{7}@example.com"], text)]);
            assert!(shown.contains("Subject: \\u{1b}[2J\n") || has_colours, "{shown}");
            assert!(shown.contains("\n  Mail 2 at 12:00:00\\u{1b}[31m\n  \\u{9b}2J\n"), "{shown}");
            let own = ["\x1b[36m", "\x1b[2m", "\x1b[1m", "\x1b[0m"];
            let rest = own.iter().fold(shown.clone(), |shown, own| shown.replace(own, ""));
            assert!(!rest.contains(|c: char| c.is_control() && c != '\n'), "{rest:?}");
            assert_eq!(shown.contains('\x1b'), has_colours);
            assert!(rest.contains("From:    <>\n"), "{rest}");
        }
    }

    #[test]
    fn a_field_of_any_length_is_cut() {
        let text = format!("Subject: {}\r\n\r\n", "x".repeat(1 << 20));
        let shown = page(false, &[mail("ann@example.com", &["bob@example.com"], &text)]);
        assert!(shown.contains(&format!("Subject: {}…\n", "x".repeat(WIDTH))), "{shown}");
    }

    #[test]
    fn many_recipients_are_counted() {
        let paths: Vec<String> = (0..NAMED + 3).map(|number| format!("{number}@example.com")).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let shown = page(false, &[mail("ann@example.com", &paths, "\r\n")]);
        assert!(shown.contains(", 9@example.com and 3 more\n"), "{shown}");
    }
}
