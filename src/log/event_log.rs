//! The event log: reactors note events, and a separate thread formats them as log lines. Without a logger there is no
//! event log, and nothing is noted.

use std::borrow::Cow;
use std::fmt::Write;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use crate::log::{HeaderFault, SharedLogger};
use crate::output::PATIENCE;
use crate::output::write_queue::{Batch, WriteQueue};
use crate::smtp::Reply;
use crate::text::escape::escape_octets;

/// The maximum weight of queued events, in bytes. Further events are dropped and counted, and a log line reports the
/// count.
const QUEUE_LIMIT: usize = 32 << 20;
/// The weight of events, in bytes, at which a thread queues its notes: a turn may produce any number of events, and
/// only the queue is bounded.
const NOTES_LIMIT: usize = 256 << 10;

/// The maximum number of octets logged of a line or reply; for a longer one the number of omitted octets is logged.
/// Commands are shorter.
const LONGEST: usize = 16 << 10;
/// The maximum number of bytes in a log line in addition to the text of a client, a reply or an error.
const AROUND: usize = 128;
/// The maximum number of bytes of an [escaped](escape_octets) octet.
const ESCAPED: usize = 6;

#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// The address of the first listener: `port: 2525`, as in go-smtp-mock, or `unix:/run/mock.sock`.
    Started(String),
    SessionStarted,
    Request(Box<[u8]>),
    /// Number of received lines of message data, including the final dot's.
    DataLines(u64),
    Delay(Duration),
    Response(Reply),
    /// Why a connection ends before its session: a failed read, a timeout, or the end of the input.
    ConnectionFailed(String),
    /// Why no connections are accepted at present.
    AcceptRests(String),
    /// Why a connection is closed instead of beginning a session.
    HeaderRefused(String),
    /// The result of a TLS handshake.
    Encrypted(String),
    SessionFinished,
    Stopping,
    Stopped,
    ForceStopped,
    Failed(String),
}

impl Event {
    /// An upper bound of the bytes written for the event, so that the queue can be written in a bounded time.
    fn weight(&self) -> usize {
        let text = match self {
            Self::Request(line) => line,
            Self::Response(reply) => reply.text(),
            Self::Started(text)
            | Self::Encrypted(text)
            | Self::ConnectionFailed(text)
            | Self::AcceptRests(text)
            | Self::HeaderRefused(text)
            | Self::Failed(text) => text.as_bytes(),
            _ => b"",
        };
        let text = &text[..text.len().min(LONGEST)];
        let escaped = text.iter().filter(|octet| !matches!(octet, b' '..=b'~')).count();
        AROUND + text.len() + escaped * (ESCAPED - 1)
    }
}

type Entry = (SystemTime, Event);

/// The queue of events; shared by all shards of a server.
#[derive(Clone, Debug)]
pub(crate) struct EventLog {
    queue: Arc<WriteQueue<Entry>>,
    /// Number of entries dropped because the queue was full.
    dropped: Arc<AtomicU64>,
    /// Set once a pause of accepting was logged, for all shards.
    has_rested: Arc<Once>,
    /// Set once a connection was refused because of its PROXY header, by reason, for all shards.
    has_refused: Arc<[AtomicBool; HeaderFault::COUNT]>,
}

/// The events of one thread that are not queued yet.
#[derive(Debug)]
pub(crate) struct Notes {
    event_log: EventLog,
    entries: Vec<Entry>,
    weight: usize,
}

impl EventLog {
    /// Starts the thread that formats and logs events.
    pub(crate) fn start(logger: SharedLogger) -> io::Result<(Self, JoinHandle<()>)> {
        let queue = Arc::new(WriteQueue::new(QUEUE_LIMIT));
        let dropped = Arc::<AtomicU64>::default();
        let event_log = Self {
            queue: Arc::clone(&queue),
            dropped: Arc::clone(&dropped),
            has_rested: Arc::new(Once::new()),
            has_refused: Arc::default(),
        };
        let thread = thread::Builder::new().name("smtpmock-log".into()).spawn(move || {
            let mut text = String::new();
            queue.write_all(|batch| {
                dropped.fetch_add(batch.dropped, Ordering::Relaxed);
                log_batch(&logger, &mut text, &batch, || queue.note_progress());
            });
        })?;
        Ok((event_log, thread))
    }

    /// Queues one event from a thread without [`Notes`].
    pub(crate) fn post(&self, at: SystemTime, event: Event) {
        let weight = event.weight();
        self.queue.offer(&mut vec![(at, event)], weight);
    }

    pub(crate) fn notes(&self) -> Notes {
        Notes { event_log: self.clone(), entries: Vec::new(), weight: 0 }
    }

    /// Number of entries dropped because the logger was too slow.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Lets the thread end after it has logged all queued events.
    pub(crate) fn close(&self) {
        self.queue.close();
    }

    /// Waits until the thread ends. False if its logger accepted no line for [`PATIENCE`]: the remaining lines are
    /// lost, and the thread is abandoned.
    pub(crate) fn finish(&self) -> bool {
        let has_ended = self.queue.wait_until_gone(PATIENCE);
        if !has_ended {
            self.queue.abandon();
        }
        has_ended
    }
}

impl Notes {
    /// Notes an event; it is logged after the next [`post`](Self::post).
    pub(crate) fn note(&mut self, at: SystemTime, event: Event) {
        self.weight += event.weight();
        self.entries.push((at, event));
        if self.weight >= NOTES_LIMIT {
            self.post();
        }
    }

    /// Notes why no connections are accepted, once in this server.
    pub(crate) fn note_rest(&mut self, at: SystemTime, why: impl FnOnce() -> String) {
        let has_rested = Arc::clone(&self.event_log.has_rested);
        has_rested.call_once(|| self.note(at, Event::AcceptRests(why())));
    }

    /// Notes why a connection is refused because of its PROXY header, once for each fault in this server.
    pub(crate) fn note_header(&mut self, at: SystemTime, fault: HeaderFault, why: impl FnOnce() -> String) {
        if !self.event_log.has_refused[fault as usize].swap(true, Ordering::Relaxed) {
            self.note(at, Event::HeaderRefused(why()));
        }
    }

    /// Queues the noted events.
    pub(crate) fn post(&mut self) {
        if !self.entries.is_empty() {
            self.event_log.queue.offer(&mut self.entries, std::mem::take(&mut self.weight));
        }
    }
}

/// Logs a batch; `note` is called after each line.
fn log_batch(logger: &SharedLogger, text: &mut String, batch: &Batch<Entry>, note: impl Fn()) {
    for (at, event) in &batch.items {
        guard(|| log_event(logger, text, *at, event));
        note();
    }
    if batch.dropped > 0 {
        let lost = format!("{} log entries were dropped: the logger was too slow", batch.dropped);
        let at = batch.items.last().map_or(SystemTime::UNIX_EPOCH, |(at, _)| *at);
        guard(|| logger.warning(at, &lost));
    }
    if batch.items.is_empty() {
        guard(|| logger.flush());
    }
}

/// Catches a panic of the logger: only that line is lost.
fn guard(log: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(log));
}

fn log_event(logger: &SharedLogger, text: &mut String, at: SystemTime, event: &Event) {
    text.clear();
    let activity = match event {
        Event::Stopping => {
            let warning = "SMTP mock server is in the shutdown mode and won't accept new connections";
            return logger.warning(at, warning);
        }
        Event::AcceptRests(why) | Event::HeaderRefused(why) => {
            return logger.warning(at, &shown(why.as_bytes()));
        }
        Event::ConnectionFailed(error) | Event::Failed(error) => {
            return logger.error(at, &shown(error.as_bytes()));
        }
        Event::DataLines(1) => write!(text, "SMTP request: message binary data portion (1 line)"),
        Event::DataLines(count) => {
            write!(text, "SMTP request: message binary data portion ({count} lines)")
        }
        Event::Started(place) => write!(text, "SMTP mock server started on {}", shown(place.as_bytes())),
        Event::SessionStarted => write!(text, "SMTP session started"),
        Event::Request(line) => write!(text, "SMTP request: {}", shown(line)),
        Event::Delay(delay) => write!(text, "SMTP response delay: {} sec", delay.as_secs_f64()),
        Event::Response(reply) => write!(text, "SMTP response: {}", shown(reply.text())),
        Event::Encrypted(agreed) => write!(text, "TLS handshake: {}", shown(agreed.as_bytes())),
        Event::SessionFinished => write!(text, "SMTP session finished"),
        Event::Stopped => write!(text, "SMTP mock server was stopped successfully"),
        Event::ForceStopped => write!(text, "SMTP mock server was force stopped by timeout"),
    };
    debug_assert!(activity.is_ok(), "writing to a String can't fail");
    logger.info_activity(at, text);
}

/// Escapes and shortens a text for the log.
fn shown(text: &[u8]) -> Cow<'_, str> {
    match text.split_at_checked(LONGEST) {
        Some((front, rest)) if !rest.is_empty() => {
            Cow::Owned(format!("{} and {} octets more", escape_octets(front), rest.len()))
        }
        _ => escape_octets(text),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::log::Logger;

    #[test]
    fn what_one_turn_noted_grew_without_bound() {
        let event_log = EventLog {
            queue: Arc::new(WriteQueue::new(QUEUE_LIMIT)),
            dropped: Arc::default(),
            has_rested: Arc::new(Once::new()),
            has_refused: Arc::default(),
        };
        let mut notes = event_log.notes();
        let line = Event::Request(vec![b'x'; 1000].into());
        let each = line.weight();
        let mut most = 0;
        // The queue has no writer: events over its limit are dropped.
        for _ in 0..2 * QUEUE_LIMIT / each {
            notes.note(SystemTime::UNIX_EPOCH, line.clone());
            most = most.max(notes.entries.len() * each);
        }
        notes.post();
        assert!(most <= NOTES_LIMIT);
        event_log.close();
        let (mut weight, mut lost) = (0, 0);
        event_log.queue.write_all(|batch| {
            weight += batch.items.len() * each;
            lost += batch.dropped;
        });
        assert!(weight <= QUEUE_LIMIT + NOTES_LIMIT + each, "{weight} bytes were queued");
        assert!(lost > 0);
    }

    /// Collects the logged lines.
    #[derive(Default)]
    struct Written(Mutex<Vec<String>>);

    impl Logger for &'static Written {
        fn info_activity(&self, _: SystemTime, text: &str) {
            self.0.lock().expect("never poisoned").push(text.to_owned());
        }

        fn info(&self, at: SystemTime, text: &str) {
            self.info_activity(at, text);
        }

        fn warning(&self, at: SystemTime, text: &str) {
            self.info_activity(at, text);
        }

        fn error(&self, at: SystemTime, text: &str) {
            self.info_activity(at, text);
        }
    }

    #[test]
    fn entries_that_are_lost_are_named_behind_those_that_filled_the_queue() {
        let log: &'static Written = Box::leak(Box::default());
        let items =
            [Event::SessionStarted, Event::SessionFinished].map(|event| (SystemTime::UNIX_EPOCH, event));
        let batch = Batch { items: items.into(), dropped: 2 };
        log_batch(&SharedLogger::new(log), &mut String::new(), &batch, || ());
        let written = log.0.lock().expect("never poisoned");
        let lost = "2 log entries were dropped: the logger was too slow";
        assert_eq!(*written, ["SMTP session started", "SMTP session finished", lost]);
    }

    #[test]
    fn an_entry_weighs_no_less_than_what_is_written_for_it() {
        let log: &'static Written = Box::leak(Box::default());
        let logger = SharedLogger::new(log);
        let texts = [
            vec![b'x'; 4096],
            vec![0; 4096],
            vec![0xff; 4096],
            "\u{9b}\u{202e}\u{2028}\u{1b}é".repeat(300).into_bytes(),
            vec![b'\n'; 10 << 20],
        ];
        let mut events = vec![
            Event::Started(format!("port: {}", u16::MAX)),
            Event::SessionStarted,
            Event::DataLines(1),
            Event::DataLines(u64::MAX),
            Event::Delay(Duration::MAX),
            Event::SessionFinished,
            Event::Stopping,
            Event::Stopped,
            Event::ForceStopped,
        ];
        for text in &texts {
            events.push(Event::Request(text[..text.len().min(4096)].into()));
            events.push(Event::Response(Reply::new(text)));
        }
        // "WARNING: 2021/11/30 22:07:30.554827 " before it, LF after it.
        const FRAME: usize = 37;
        for event in &events {
            log_event(&logger, &mut String::new(), SystemTime::UNIX_EPOCH, event);
            let written = log.0.lock().expect("never poisoned").pop().expect("one line");
            let weight = event.weight();
            assert!(written.len() + FRAME <= weight, "{} of {weight}: {written:.80}", written.len());
            assert!(weight <= AROUND + ESCAPED * LONGEST, "{weight}: {written:.80}");
        }
    }
}
