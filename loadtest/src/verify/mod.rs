//! Compares a capture with what was sent. Imports `account`, `load` and `report`; runs on the main thread.
//!
//! It reads the JSON lines of `smtpmock --capture`. Every message has a token whose digest covers the message and its
//! envelope, so that the capture alone proves them unaltered. The plan shows which part of an altered message
//! differs, and the run's ledger which messages must be in the capture and which must not.

mod inspect;

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::account::ledger::{Fate, Ledger};
use crate::load::envelope::Envelope;
use crate::load::part::Part as PartOfRun;
use crate::load::payload::Payload;
use crate::load::plan::Plan;
use crate::report::verification::{Alteration, Named, Part, Verification};
use inspect::{Captured, NotOurs};

/// Lines of this length are accepted in every capture, in bytes.
const LINE_LEAST: usize = 64 << 20;

/// The most bytes that a byte of a message takes in a line: a control character becomes `\u001f`.
const ESCAPED: usize = 6;

/// How long to wait for the capture to be complete: servers write it independently of their replies.
const WAIT: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The relevant fields of a line of a capture.
#[derive(Deserialize)]
struct Record {
    #[serde(default)]
    msg: bool,
    #[serde(default)]
    msg_request: String,
    #[serde(default)]
    msg_request_base64: Option<String>,
    /// In bytes; also without the text.
    #[serde(default)]
    msg_size: u64,
    #[serde(default)]
    mailfrom_request: Option<Text>,
    #[serde(default)]
    rcptto_request_response: Vec<(Text, IgnoredAny)>,
}

/// A command. If it is not UTF-8, it is an object, and has no path that was sent.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Plain(String),
    Other(IgnoredAny),
}

impl Text {
    fn plain(&self) -> Option<&str> {
        match self {
            Text::Plain(text) => Some(text),
            Text::Other(_) => None,
        }
    }
}

/// What the capture has of one message.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    times: u64,
    /// Whether a part differs, in the order of [`Part::ALL`].
    differs: [bool; Part::ALL.len()],
}

/// The state of reading a capture.
#[derive(Debug)]
struct Capture {
    run: u32,
    part: PartOfRun,
    payload: Payload,
    /// By the place among the messages of the part.
    seen: HashMap<u64, Seen>,
    intact: u64,
    /// Messages with this run's id and no valid token.
    misnamed: Named,
    /// Messages of the other parts of the run.
    of_other_parts: u64,
    foreign: u64,
    unreadable_lines: u64,
    /// Messages whose text was not captured: nothing shows which they are.
    without_text: u64,
    /// The beginning of an incomplete line.
    partial: Vec<u8>,
    /// The longest line accepted, in bytes.
    line_limit: usize,
}

/// A capture that can't be read.
#[derive(Debug)]
pub(crate) struct VerifyError {
    path: PathBuf,
    error: io::Error,
    /// Whether it could be opened.
    is_open: bool,
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, error) = (self.path.display(), &self.error);
        write!(f, "--verify {name}: {error}")?;
        if self.is_open { Ok(()) } else { write!(f, "; start the server with --capture {name}") }
    }
}

impl std::error::Error for VerifyError {}

/// Checks the capture before the run: the server creates it at its start.
///
/// # Errors
/// It is not there, or can't be read.
pub(crate) fn check(path: &Path) -> Result<(), VerifyError> {
    let metadata = std::fs::metadata(path).map_err(|error| unreadable(path, error))?;
    if metadata.is_dir() {
        return Err(unreadable(path, ErrorKind::IsADirectory.into()));
    }
    // Without a writer, opening it would block, and it can be read only once.
    if metadata.file_type().is_fifo() {
        return Err(unreadable(path, io::Error::other("it is a FIFO: expected the file of a capture")));
    }
    if metadata.is_file() { open(path).map(drop) } else { Ok(()) }
}

fn open(path: &Path) -> Result<File, VerifyError> {
    File::open(path).map_err(|error| unreadable(path, error))
}

fn unreadable(path: &Path, error: io::Error) -> VerifyError {
    VerifyError { path: path.to_owned(), error, is_open: false }
}

/// Compares the capture at `path` with the ledger of the run of `plan`. Waits a bounded time until every accepted
/// message is in the capture.
pub(crate) fn verify(path: &Path, plan: &Plan, ledger: &Ledger) -> Result<Verification, VerifyError> {
    let mut reader = BufReader::new(open(path)?);
    let mut capture = Capture::of(plan);
    let looks = WAIT.as_millis() / LOOK_EVERY.as_millis();
    let failed = |error| VerifyError { path: path.to_owned(), error, is_open: true };
    for _ in 0..=looks {
        capture.read(&mut reader).map_err(failed)?;
        if capture.partial.is_empty() && capture.has_all(ledger) {
            break;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    if capture.without_text > 0 && !capture.has_all(ledger) {
        let reason = format!(
            "{} of its messages have no text, so that they can't be compared; start the server without \
             --capture-content envelope",
            capture.without_text
        );
        return Err(failed(io::Error::new(ErrorKind::InvalidData, reason)));
    }
    Ok(capture.compare(ledger))
}

impl Capture {
    fn of(plan: &Plan) -> Capture {
        let payload = Payload::new(&plan.content, Envelope::of(plan), plan.run, plan.seed);
        Capture {
            run: plan.run,
            part: plan.part,
            line_limit: LINE_LEAST.max(payload.longest().saturating_mul(ESCAPED)),
            payload,
            seen: HashMap::new(),
            intact: 0,
            misnamed: Named::default(),
            of_other_parts: 0,
            foreign: 0,
            unreadable_lines: 0,
            without_text: 0,
            partial: Vec::new(),
        }
    }

    /// Reads the lines that are complete.
    fn read(&mut self, reader: &mut BufReader<File>) -> io::Result<()> {
        loop {
            let left = self.line_limit.saturating_sub(self.partial.len()) as u64;
            if left == 0 {
                let limit = self.line_limit;
                return Err(io::Error::new(
                    ErrorKind::InvalidData,
                    format!("a line is longer than {limit} bytes: records are shorter"),
                ));
            }
            if reader.by_ref().take(left).read_until(b'\n', &mut self.partial)? == 0 {
                return Ok(());
            }
            if !self.partial.ends_with(b"\n") {
                continue;
            }
            let mut line = std::mem::take(&mut self.partial);
            self.take_line(&line);
            line.clear();
            self.partial = line;
        }
    }

    fn take_line(&mut self, line: &[u8]) {
        if line.trim_ascii().is_empty() {
            return;
        }
        let Ok(mut record) = serde_json::from_slice::<Record>(line) else {
            self.unreadable_lines += 1;
            return;
        };
        if !record.msg {
            return;
        }
        let message = match record.msg_request_base64.take().map(|text| STANDARD.decode(text)) {
            None => std::mem::take(&mut record.msg_request).into_bytes(),
            Some(Ok(bytes)) => bytes,
            Some(Err(_)) => {
                self.unreadable_lines += 1;
                return;
            }
        };
        if message.is_empty() && record.msg_size > 0 {
            self.without_text += 1;
            return;
        }
        self.take_message(&message, &record);
    }

    fn take_message(&mut self, message: &[u8], record: &Record) {
        let captured = match Captured::find(message, self.run) {
            Ok(captured) => captured,
            Err(NotOurs::Foreign) => {
                self.foreign += 1;
                return;
            }
            Err(NotOurs::Misnamed(token)) => {
                self.misnamed.add_as(|| token);
                return;
            }
        };
        let Some(nth) = self.part.nth(captured.token.seq) else {
            self.of_other_parts += 1;
            return;
        };
        let mail = record.mailfrom_request.as_ref().and_then(Text::plain);
        let rcpts = record.rcptto_request_response.iter().map(|(rcpt, _)| rcpt.plain());
        let differences = captured.differences(&mut self.payload, mail, rcpts);
        let seen = self.seen.entry(nth).or_default();
        seen.times += 1;
        for (part, differs) in Part::ALL.iter().zip(&mut seen.differs) {
            *differs |= differences.contains(part);
        }
        self.intact += u64::from(differences.is_empty());
    }

    fn has_all(&self, ledger: &Ledger) -> bool {
        (0..ledger.end()).all(|nth| ledger.get(nth) != Fate::Accepted || self.seen.contains_key(&nth))
    }

    fn compare(self, ledger: &Ledger) -> Verification {
        let run = self.run;
        let mut result = Verification {
            captured: self.seen.values().map(|seen| seen.times).sum(),
            intact: self.intact,
            never_sent: self.misnamed,
            of_other_parts: self.of_other_parts,
            foreign: self.foreign,
            unreadable_lines: self.unreadable_lines,
            ..Verification::default()
        };
        // An incomplete last line is not a record either.
        result.unreadable_lines += u64::from(!self.partial.is_empty());
        let part = self.part;
        for nth in 0..ledger.end() {
            let fate = ledger.get(nth);
            result.in_doubt += u64::from(fate == Fate::InDoubt);
            if fate == Fate::Accepted && !self.seen.contains_key(&nth) {
                result.lost.add(run, part.seq(nth));
            }
        }
        let mut alterations = Part::ALL.map(|part| Alteration { part, messages: Named::default() });
        let mut seen: Vec<_> = self.seen.into_iter().collect();
        seen.sort_by_key(|(nth, _)| *nth);
        for (nth, seen) in seen {
            let (fate, seq) = (ledger.get(nth), part.seq(nth));
            if fate == Fate::Unsent {
                result.never_sent.add(run, seq);
                continue;
            }
            if seen.times > 1 {
                result.duplicated.add(run, seq);
            }
            if seen.differs.contains(&true) {
                result.altered.add(run, seq);
            }
            for (alteration, _) in alterations.iter_mut().zip(seen.differs).filter(|(_, differs)| *differs) {
                alteration.messages.add(run, seq);
            }
            if fate == Fate::NotDelivered {
                result.unexpected.add(run, seq);
            }
        }
        result.alterations = alterations.into_iter().filter(|of| of.messages.count > 0).collect();
        result
    }
}
