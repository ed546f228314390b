//! The capture: every finished record as a JSON line, or every mail in a mailbox format, written on a separate thread.

mod folder;
mod json;
mod mail;
mod mbox;
mod target;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{fmt, io};

use crate::output::write_queue::WriteQueue;
use crate::output::{PATIENCE, Pulse, no_thread};
use crate::process::lock;
use crate::records::Message;
use crate::records::budget::Charge;

/// The part of each record that is captured.
///
/// ```
/// use smtpmock::{CaptureContent, Config};
///
/// let config = Config::default().capture("mail.jsonl").capture_content(CaptureContent::Envelope);
/// # assert!(config.validate().is_ok());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CaptureContent {
    /// Everything, including the message text.
    #[default]
    Message,
    /// Everything except the message text.
    Envelope,
}

/// The format of a capture.
///
/// All except the first contain only accepted messages. Each begins with its envelope in the format of Postfix's
/// `smtp-sink -d`: `X-Client-Addr`, `X-Client-Proto`, `X-Helo-Args`, `X-Mail-Args`, an `X-Rcpt-Args` for each accepted
/// recipient; then `Return-Path` and `Received`.
///
/// ```
/// use smtpmock::{CaptureFormat, Config};
///
/// let config = Config::default().capture("Mail/test").capture_format(CaptureFormat::Maildir);
/// # assert!(config.validate().is_ok());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CaptureFormat {
    /// A file with one line of JSON for each record.
    #[default]
    JsonLines,
    /// One file in the mboxrd format: each mail begins with a `From ` line, lines end with LF, and lines of a mail that
    /// begin with `From `, after any number of `>`, get another `>`.
    Mbox,
    /// A maildir, created if necessary: a file for each mail in its `new`, written atomically. Lines end with LF.
    Maildir,
    /// A folder, created if necessary, with a file for each mail, written atomically:
    /// `20261127T012443.123456Z-4711-1.eml`, by time of acceptance, process and number. Lines end as received.
    Eml,
}

impl CaptureFormat {
    /// It is a folder with a file for each mail.
    pub fn is_folder(self) -> bool {
        matches!(self, Self::Maildir | Self::Eml)
    }
}

/// Bytes of records that may be queued.
const QUEUE_LIMIT: usize = 64 << 20;

pub(crate) use target::Target;

/// A record in the queue, with the charge for the memory of its text.
type Item = (Message, Option<Charge>);

/// Why a capture is incomplete. Compared by text: system errors can't be compared.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CaptureFailure {
    /// Writing failed.
    Write(Arc<io::Error>),
    /// Its reader accepted nothing for this long.
    Stalled(Duration),
}

impl fmt::Display for CaptureFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(error) => error.fmt(f),
            Self::Stalled(time) => write!(f, "its reader took nothing for {time:?}"),
        }
    }
}

impl std::error::Error for CaptureFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Write(error) => Some(error),
            Self::Stalled(_) => None,
        }
    }
}

impl PartialEq for CaptureFailure {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for CaptureFailure {}

/// Called with the reason when the capture has become incomplete, on the thread that notices, possibly more than once.
pub(crate) type OnFailure = Arc<dyn Fn(CaptureFailure) + Send + Sync>;

/// The queue of finished records, shared by all shards of a server.
#[derive(Clone)]
pub(crate) struct Capture {
    queue: Arc<WriteQueue<Item>>,
    on_failure: OnFailure,
    /// A request to open the file again.
    reopens: Arc<AtomicBool>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Capture {
    /// Starts the thread that writes to `target`. Later errors are reported to `on_failure`.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub(crate) fn start(target: Target, on_failure: OnFailure) -> io::Result<Self> {
        let_memory_be_reused();
        let pulse = Arc::<Pulse>::default();
        target.shown_by(&pulse);
        let capture = Self {
            queue: Arc::new(WriteQueue::with_pulse(QUEUE_LIMIT, Arc::clone(&pulse))),
            on_failure,
            reopens: Arc::default(),
            thread: Arc::default(),
        };
        let writer = capture.clone();
        let write = move || writer.write_all(target, &pulse);
        let thread =
            thread::Builder::new().name("smtpmock-capture".into()).spawn(write).map_err(no_thread)?;
        *lock(&capture.thread) = Some(thread);
        Ok(capture)
    }

    /// Queues a finished record. Waits while the queue is full: no record may be missing from a capture.
    pub(crate) fn push(&self, message: Message, charge: Option<Charge>) {
        let weight = message.memory();
        if !self.queue.push((message, charge), weight, PATIENCE) {
            self.give_up();
        }
    }

    /// Requests that the file is opened again by its name, for later records.
    pub(crate) fn reopen(&self) {
        self.reopens.store(true, Ordering::Relaxed);
        self.queue.nudge();
    }

    /// Waits until everything pushed so far is written.
    pub(crate) fn finish(&self) {
        self.queue.close();
        if !self.queue.wait_until_gone(PATIENCE) {
            self.give_up();
        } else if let Some(thread) = lock(&self.thread).take() {
            let _ = thread.join();
        }
    }

    /// A capture whose reader accepts nothing for so long has failed: it must not block sessions, or a stop, forever.
    fn give_up(&self) {
        self.queue.abandon();
        // The thread is within a write; it is detached.
        drop(lock(&self.thread).take());
        (self.on_failure)(CaptureFailure::Stalled(PATIENCE));
    }

    fn write_all(&self, target: Target, pulse: &Pulse) {
        self.queue.write_to(
            target,
            |target, batch| self.write_batch(target, batch.items, pulse),
            Target::check,
            |error| (self.on_failure)(CaptureFailure::Write(Arc::new(error))),
        );
    }

    /// An empty batch has no effect.
    fn write_batch(&self, target: &mut Target, items: Vec<Item>, pulse: &Pulse) -> io::Result<()> {
        if self.reopens.swap(false, Ordering::Relaxed) {
            target.reopen(pulse)?;
        }
        if items.is_empty() {
            return target.flush(pulse);
        }
        // Each is freed as soon as it is written: there may be many large ones.
        items.into_iter().try_for_each(|(message, _charge)| target.put(&message, pulse))
    }
}

/// Lets malloc reuse the memory of earlier messages. glibc returns memory to the system as soon as 128 KiB are
/// contiguous, and faulting each page in again costs more than processing a message; but it adapts its threshold to the
/// largest block ever freed, up to 32 MiB. The pages of this block are never touched.
fn let_memory_be_reused() {
    const LARGE: usize = 16 << 20;
    drop(std::hint::black_box(Vec::<u8>::with_capacity(LARGE)));
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Capture")
    }
}
