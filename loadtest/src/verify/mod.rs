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
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
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

/// What all captures have of the run.
#[derive(Debug)]
struct Captures {
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

/// Checks the captures before the run: servers create them at their start.
///
/// # Errors
/// One is not there, can't be read, or is given twice.
pub(crate) fn check(paths: &[PathBuf]) -> Result<(), VerifyError> {
    let mut seen = Vec::new();
    for path in paths {
        let metadata = std::fs::metadata(path).map_err(|error| unreadable(path, error))?;
        let other = |why: &str| Err(unreadable(path, io::Error::other(why.to_owned())));
        if metadata.is_dir() {
            return Err(unreadable(path, ErrorKind::IsADirectory.into()));
        }
        // Without a writer, opening it would block, and it can be read only once.
        if metadata.file_type().is_fifo() {
            return other("it is a FIFO: expected the file of a capture");
        }
        let file = (metadata.dev(), metadata.ino());
        if seen.contains(&file) {
            return other("this capture is given twice: each of its messages would count as duplicated");
        }
        seen.push(file);
        if metadata.is_file() {
            open(path)?;
        }
    }
    Ok(())
}

fn open(path: &Path) -> Result<File, VerifyError> {
    File::open(path).map_err(|error| unreadable(path, error))
}

fn unreadable(path: &Path, error: io::Error) -> VerifyError {
    VerifyError { path: path.to_owned(), error, is_open: false }
}

/// Compares the captures at `paths`, one of each server, with the ledger of the run of `plan`. Waits a bounded time
/// until every accepted message is in one of them.
pub(crate) fn verify(paths: &[PathBuf], plan: &Plan, ledger: &Ledger) -> Result<Verification, VerifyError> {
    let mut files = paths.iter().map(|path| CaptureFile::open(path)).collect::<Result<Vec<_>, _>>()?;
    let mut captures = Captures::of(plan);
    let looks = WAIT.as_millis() / LOOK_EVERY.as_millis();
    for _ in 0..=looks {
        for file in &mut files {
            file.read(&mut captures).map_err(|error| file.failed(error))?;
        }
        if files.iter().all(|file| file.partial.is_empty()) && captures.has_all(ledger) {
            break;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    if let Some(file) = files.iter().find(|file| file.without_text > 0)
        && !captures.has_all(ledger)
    {
        let reason = format!(
            "{} of its messages have no text, so that they can't be compared; start the server without \
             --capture-content envelope",
            file.without_text
        );
        return Err(file.failed(io::Error::new(ErrorKind::InvalidData, reason)));
    }
    // An incomplete last line is not a record either.
    captures.unreadable_lines += files.iter().filter(|file| !file.partial.is_empty()).count() as u64;
    Ok(captures.compare(ledger))
}

/// The capture of one server.
#[derive(Debug)]
struct CaptureFile {
    path: PathBuf,
    reader: BufReader<File>,
    /// The beginning of an incomplete line.
    partial: Vec<u8>,
    /// Messages whose text was not captured: nothing shows which they are.
    without_text: u64,
}

impl CaptureFile {
    fn open(path: &Path) -> Result<CaptureFile, VerifyError> {
        let reader = BufReader::new(open(path)?);
        Ok(CaptureFile { path: path.to_owned(), reader, partial: Vec::new(), without_text: 0 })
    }

    fn failed(&self, error: io::Error) -> VerifyError {
        VerifyError { path: self.path.clone(), error, is_open: true }
    }

    /// Reads the lines that are complete.
    fn read(&mut self, into: &mut Captures) -> io::Result<()> {
        loop {
            let limit = into.line_limit;
            let left = limit.saturating_sub(self.partial.len()) as u64;
            if left == 0 {
                return Err(io::Error::new(
                    ErrorKind::InvalidData,
                    format!("a line is longer than {limit} bytes: records are shorter"),
                ));
            }
            if self.reader.by_ref().take(left).read_until(b'\n', &mut self.partial)? == 0 {
                return Ok(());
            }
            if !self.partial.ends_with(b"\n") {
                continue;
            }
            self.without_text += u64::from(into.take_line(&self.partial) == Line::WithoutText);
            self.partial.clear();
        }
    }
}

/// What a line of a capture was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Taken,
    WithoutText,
}

impl Captures {
    fn of(plan: &Plan) -> Captures {
        let payload = Payload::new(&plan.content, Envelope::of(plan), plan.run, plan.seed);
        Captures {
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
        }
    }

    fn take_line(&mut self, line: &[u8]) -> Line {
        if line.trim_ascii().is_empty() {
            return Line::Taken;
        }
        let Ok(mut record) = serde_json::from_slice::<Record>(line) else {
            self.unreadable_lines += 1;
            return Line::Taken;
        };
        if !record.msg {
            return Line::Taken;
        }
        let message = match record.msg_request_base64.take().map(|text| STANDARD.decode(text)) {
            None => std::mem::take(&mut record.msg_request).into_bytes(),
            Some(Ok(bytes)) => bytes,
            Some(Err(_)) => {
                self.unreadable_lines += 1;
                return Line::Taken;
            }
        };
        if message.is_empty() && record.msg_size > 0 {
            return Line::WithoutText;
        }
        self.take_message(&message, &record);
        Line::Taken
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
