//! The message data being received.

use std::fmt;

use crate::smtp::command::octets::Octets;
use crate::smtp::policy::{Keep, Policy};
use crate::smtp::receive::lines::{LineInspector, Lines};
use crate::smtp::receive::retry_key::RetryKeys;
use crate::smtp::receive::scan::{DataScan, DataScanner};
use crate::smtp::reply::ReplyKind;

/// The message that is being received.
#[derive(Default)]
pub(in crate::smtp) struct Incoming {
    scanner: DataScanner,
    /// Octets of content so far, retained or not.
    pub(in crate::smtp) size: usize,
    /// Empty unless the policy retains messages; released as soon as the message cannot be accepted.
    pub(in crate::smtp) text: Vec<u8>,
    pub(in crate::smtp) refusal: Option<ReplyKind>,
    /// `None` if the lines are not inspected.
    lines: Option<LineInspector>,
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scanner, size, text, refusal, lines } = self;
        f.debug_struct("Incoming")
            .field("scanner", scanner)
            .field("size", size)
            .field("text", &Octets(text))
            .field("refusal", refusal)
            .field("lines", lines)
            .finish()
    }
}

impl Incoming {
    /// A message before its first octet.
    pub(in crate::smtp) fn new(looks_at_lines: bool) -> Self {
        Self { lines: looks_at_lines.then(LineInspector::default), ..Self::default() }
    }

    /// Processes data up to its end. A message that will be refused is discarded.
    pub(in crate::smtp) fn take(
        &mut self,
        policy: &Policy,
        memory_left: Option<usize>,
        mut retry_keys: Option<&mut RetryKeys>,
        input: &[u8],
    ) -> DataScan {
        let Self { scanner, size, text, refusal, lines } = self;
        let ceiling = memory_left.map_or(usize::MAX, |left| text.capacity().saturating_add(left));
        scanner.scan(input, |run| {
            *size = size.saturating_add(run.len());
            if let Some(lines) = lines {
                lines.inspect(run);
            }
            if let Some(keys) = &mut retry_keys {
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
        })
    }

    /// The result of inspecting its lines, if they were inspected.
    pub(in crate::smtp) fn lines(&self) -> Option<Lines> {
        self.lines.map(LineInspector::finish)
    }
}

/// Makes room for more octets, which fit under the ceiling. The capacity doubles, so that the text is seldom moved, but takes
/// in advance at most a quarter of the memory left up to the ceiling.
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
