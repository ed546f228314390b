//! The message being received.

use std::fmt;

use crate::smtp::command::octets::Octets;
use crate::smtp::policy::{Keep, Policy};
use crate::smtp::receive::lines::{BareCrFinder, LineInspector, Lines};
use crate::smtp::receive::retry_key::RetryKeys;
use crate::smtp::receive::scan::{DataScan, DataScanner};
use crate::smtp::reply::ReplyKind;

/// The content of a message being received by DATA or in chunks.
#[derive(Default)]
pub(in crate::smtp) struct Content {
    /// Octets so far, including those not retained.
    pub(in crate::smtp) size: usize,
    /// Empty unless the policy retains messages; released as soon as the message cannot be accepted.
    pub(in crate::smtp) text: Vec<u8>,
    pub(in crate::smtp) refusal: Option<ReplyKind>,
    /// `None` if the lines are not inspected.
    lines: Option<LineInspector>,
    /// For a message in chunks, likewise.
    bare_cr: Option<BareCrFinder>,
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { size, text, refusal, lines, bare_cr } = self;
        f.debug_struct("Content")
            .field("size", size)
            .field("text", &Octets(text))
            .field("refusal", refusal)
            .field("lines", lines)
            .field("bare_cr", bare_cr)
            .finish()
    }
}

/// How message text is processed.
#[derive(Debug)]
pub(in crate::smtp) struct Intake<'t> {
    pub(in crate::smtp) policy: &'t Policy,
    /// Octets of text that may still be stored; `None`: unlimited.
    pub(in crate::smtp) memory_left: Option<usize>,
    /// `None` if nothing can be deferred.
    pub(in crate::smtp) retry_keys: Option<&'t mut RetryKeys>,
}

impl Content {
    /// Message data before the first octet.
    pub(in crate::smtp) fn new(inspects_lines: bool) -> Self {
        Self { lines: inspects_lines.then(LineInspector::default), ..Self::default() }
    }

    /// A message in chunks before its first octet.
    pub(in crate::smtp) fn in_chunks(inspects_lines: bool) -> Self {
        Self { bare_cr: inspects_lines.then(BareCrFinder::default), ..Self::new(inspects_lines) }
    }

    /// The largest size that memory allows.
    fn ceiling(&self, intake: &Intake<'_>) -> usize {
        intake.memory_left.map_or(usize::MAX, |left| self.text.capacity().saturating_add(left))
    }

    /// Takes octets of a chunk. A message that will be refused is discarded.
    pub(in crate::smtp) fn take(&mut self, intake: &mut Intake<'_>, run: &[u8]) {
        if let Some(bare_cr) = &mut self.bare_cr {
            bare_cr.search(run);
        }
        let ceiling = self.ceiling(intake);
        self.add(intake, ceiling, run);
    }

    #[inline]
    fn add(&mut self, intake: &mut Intake<'_>, ceiling: usize, run: &[u8]) {
        let Self { size, text, refusal, lines, bare_cr: _ } = self;
        let Intake { policy, retry_keys, .. } = intake;
        *size = size.saturating_add(run.len());
        if let Some(lines) = lines {
            lines.inspect(run);
        }
        if let Some(keys) = retry_keys {
            keys.note_text(run);
        }
        if *size > policy.message_size_limit() {
            *refusal = Some(ReplyKind::MessageTooBig);
        } else if policy.keep == Keep::Message && *size > ceiling {
            refusal.get_or_insert(ReplyKind::InsufficientStorage);
        }
        if refusal.is_some() {
            *text = Vec::new();
        } else if policy.keep == Keep::Message {
            make_room(text, run.len(), ceiling);
            text.extend_from_slice(run);
        }
    }

    /// Discards the text: the message can't be accepted any more.
    pub(in crate::smtp) fn refuse(&mut self, kind: ReplyKind) {
        self.refusal = Some(kind);
        self.text = Vec::new();
    }

    /// The result of inspecting its lines, if they were inspected.
    pub(in crate::smtp) fn lines(&self) -> Option<Lines> {
        let has_bare_cr = self.bare_cr.is_some_and(BareCrFinder::finish);
        self.lines.map(|lines| Lines { has_bare_cr, ..lines.finish() })
    }
}

/// Message data being received (RFC 5321 section 4.1.1.4).
#[derive(Debug)]
pub(in crate::smtp) struct Incoming {
    scanner: DataScanner,
    pub(in crate::smtp) content: Content,
}

impl Incoming {
    /// Message data before the first octet.
    pub(in crate::smtp) fn new(content: Content) -> Self {
        Self { scanner: DataScanner::default(), content }
    }

    /// Processes data up to its end.
    pub(in crate::smtp) fn take(&mut self, mut intake: Intake<'_>, input: &[u8]) -> DataScan {
        let Self { scanner, content } = self;
        let ceiling = content.ceiling(&intake);
        scanner.scan(input, |run| content.add(&mut intake, ceiling, run))
    }
}

/// Makes room for more octets, which stay below the ceiling. The capacity doubles, so that the text is seldom moved,
/// but reserves at most a quarter of the memory left up to the ceiling.
fn make_room(text: &mut Vec<u8>, more: usize, ceiling: usize) {
    let needed = text.len() + more;
    if needed > text.capacity() {
        let most = needed + ceiling.saturating_sub(needed) / 4;
        let capacity = text.capacity().saturating_mul(2).clamp(needed, most);
        match text.is_empty() {
            true => *text = Vec::with_capacity(capacity),
            false => text.reserve_exact(capacity - text.len()),
        }
    }
}
