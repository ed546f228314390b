//! Comparing what was sent with what the server captured.
//!
//! Reads the JSON lines of `smtpmock --capture`. Every message carries a token whose
//! digest covers the bytes after the token's line, so the capture alone proves a message
//! unaltered; the run's ledger tells which messages must be there and which must not.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _};
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::ledger::{Fate, Ledger};
use crate::token::{HEADER, LEN, Token};

/// The longest line taken, in bytes: the largest message, escaped as JSON.
const LINE_LIMIT: u64 = 1 << 30;

/// The most tokens named per list; the counts are of all.
const NAMED_LIMIT: usize = 100;

/// How long the capture is awaited to be complete: servers write it beside the replies.
const WAIT: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Header fields a relay may put before the message (RFC 5321 section 4.4).
const TRACE_FIELDS: [&str; 3] = ["received:", "return-path:", "delivered-to:"];

/// What the comparison found. Tokens are named up to a limit, counts are of all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Verification {
    /// Messages of this run in the capture, and how many of them are whole.
    pub(crate) captured: u64,
    pub(crate) intact: u64,
    /// Accepted, and not in the capture.
    pub(crate) lost: Named,
    /// In the capture more than once.
    pub(crate) duplicated: Named,
    /// In the capture with other bytes than were sent.
    pub(crate) altered: Named,
    /// In the capture though the server had refused them, or they were not sent whole.
    pub(crate) unexpected: Named,
    /// Sent whole without a reply: captured or not, both are right.
    pub(crate) in_doubt: u64,
    /// Messages in the capture that are not of this run.
    pub(crate) foreign: u64,
    /// Lines of the capture that are no record.
    pub(crate) unreadable_lines: u64,
}

/// Some tokens, and how many there are in all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Named {
    pub(crate) count: u64,
    /// `run-seq`, in order of discovery.
    pub(crate) tokens: Vec<String>,
}

impl Named {
    fn add(&mut self, run: u32, seq: u64) {
        self.count += 1;
        if self.tokens.len() < NAMED_LIMIT {
            self.tokens.push(format!("{run:08x}-{seq:012}"));
        }
    }
}

impl Verification {
    /// Whether every message is where it belongs, once and whole.
    pub(crate) fn is_clean(&self) -> bool {
        let wrong = [&self.lost, &self.duplicated, &self.altered, &self.unexpected];
        wrong.iter().all(|named| named.count == 0) && self.unreadable_lines == 0
    }
}

/// The fields of a capture line that matter here.
#[derive(Deserialize)]
struct Record {
    #[serde(default)]
    msg: bool,
    #[serde(default)]
    msg_request: String,
    #[serde(default)]
    msg_request_base64: Option<String>,
}

/// What the capture holds of one message.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    times: u64,
    altered: bool,
}

/// What has been read of a capture.
#[derive(Debug, Default)]
struct Capture {
    seen: HashMap<u64, Seen>,
    intact: u64,
    foreign: u64,
    unreadable_lines: u64,
    /// The beginning of a line whose end has not been written yet.
    partial: Vec<u8>,
}

/// Compares the capture at `path` with the ledger. Waits a little for a capture that is
/// still being written, until every accepted message is in it.
pub(crate) fn verify(path: &Path, run: u32, ledger: &Ledger) -> Result<Verification, String> {
    let name = path.display();
    let file = File::open(path)
        .map_err(|error| format!("--verify {name}: {error}; start the server with --capture {name}"))?;
    let mut reader = BufReader::new(file);
    let mut capture = Capture::default();
    let looks = WAIT.as_millis() / LOOK_EVERY.as_millis();
    for _ in 0..=looks {
        capture.read(&mut reader, run).map_err(|error| format!("--verify {name}: {error}"))?;
        if capture.partial.is_empty() && capture.has_all(ledger) {
            break;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(capture.compare(run, ledger))
}

impl Capture {
    /// Reads the lines that are complete so far.
    fn read(&mut self, reader: &mut BufReader<File>, run: u32) -> std::io::Result<()> {
        loop {
            let left = LINE_LIMIT.saturating_sub(self.partial.len() as u64);
            if left == 0 {
                return Err(std::io::Error::new(ErrorKind::InvalidData, "a line is longer than any record"));
            }
            reader.by_ref().take(left).read_until(b'\n', &mut self.partial)?;
            if !self.partial.ends_with(b"\n") {
                if (self.partial.len() as u64) < LINE_LIMIT {
                    return Ok(());
                }
                continue;
            }
            let line = std::mem::take(&mut self.partial);
            self.take_line(&line, run);
            self.partial = line;
            self.partial.clear();
        }
    }

    fn take_line(&mut self, line: &[u8], run: u32) {
        if line.trim_ascii().is_empty() {
            return;
        }
        let Ok(record) = serde_json::from_slice::<Record>(line) else {
            self.unreadable_lines += 1;
            return;
        };
        if !record.msg {
            return;
        }
        let decoded = record.msg_request_base64.map(|text| STANDARD.decode(text));
        let message = match decoded {
            None => record.msg_request.into_bytes(),
            Some(Ok(bytes)) => bytes,
            Some(Err(_)) => {
                self.unreadable_lines += 1;
                return;
            }
        };
        self.take_message(&message, run);
    }

    fn take_message(&mut self, message: &[u8], run: u32) {
        let Some(found) = find_token(message).filter(|found| found.token.run == run) else {
            self.foreign += 1;
            return;
        };
        let whole = is_trace(found.before) && matches(&found);
        let seen = self.seen.entry(found.token.seq).or_default();
        seen.times += 1;
        seen.altered |= !whole;
        self.intact += u64::from(whole);
    }

    fn has_all(&self, ledger: &Ledger) -> bool {
        (0..ledger.end()).all(|seq| ledger.get(seq) != Fate::Accepted || self.seen.contains_key(&seq))
    }

    fn compare(self, run: u32, ledger: &Ledger) -> Verification {
        let mut result = Verification {
            captured: self.seen.values().map(|seen| seen.times).sum(),
            intact: self.intact,
            foreign: self.foreign,
            unreadable_lines: self.unreadable_lines,
            ..Verification::default()
        };
        // What lies in the capture's end unfinished is no record either.
        result.unreadable_lines += u64::from(!self.partial.is_empty());
        for seq in 0..ledger.end() {
            let fate = ledger.get(seq);
            result.in_doubt += u64::from(fate == Fate::InDoubt);
            if fate == Fate::Accepted && !self.seen.contains_key(&seq) {
                result.lost.add(run, seq);
            }
        }
        let mut seen: Vec<_> = self.seen.into_iter().collect();
        seen.sort_by_key(|(seq, _)| *seq);
        for (seq, seen) in seen {
            if seen.times > 1 {
                result.duplicated.add(run, seq);
            }
            if seen.altered {
                result.altered.add(run, seq);
            }
            if matches!(ledger.get(seq), Fate::NotDelivered | Fate::Unsent) {
                result.unexpected.add(run, seq);
            }
        }
        result
    }
}

/// A token and what stands around its line.
struct Found<'a> {
    token: Token,
    before: &'a [u8],
    after: &'a [u8],
}

/// Finds the token's line among the first lines of a message.
fn find_token(message: &[u8]) -> Option<Found<'_>> {
    let mut at = 0;
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        let text = line.trim_ascii_end();
        if text.is_empty() {
            return None;
        }
        if let Some(value) = text.strip_prefix(HEADER.as_bytes()) {
            let token = Token::parse(std::str::from_utf8(value.get(..LEN)?).ok()?)?;
            // What is put on the token's own line counts as what follows it.
            let end = if value.len() == LEN { at + line.len() } else { at + HEADER.len() + LEN };
            return Some(Found { token, before: &message[..at], after: &message[end..] });
        }
        at += line.len();
    }
    None
}

/// Whether the message after the token is what was sent. A record may leave out the line
/// end before the final dot, which is as much the dot's as the message's.
fn matches(found: &Found<'_>) -> bool {
    found.token.matches(found.after) || found.token.matches(&[found.after, b"\r\n"].concat())
}

/// Whether everything before the token's line was put there by relays.
fn is_trace(before: &[u8]) -> bool {
    let text = String::from_utf8_lossy(before).to_ascii_lowercase();
    let mut lines = text.lines();
    let first_is_field = lines.next().is_none_or(is_trace_field);
    first_is_field && lines.all(|line| line.starts_with([' ', '\t']) || is_trace_field(line))
}

fn is_trace_field(line: &str) -> bool {
    TRACE_FIELDS.iter().any(|field| line.starts_with(field))
}
