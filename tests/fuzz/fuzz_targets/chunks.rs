//! Dialogues with BDAT against the simplest reading of them: the same replies and messages, however the input is cut, with
//! octets in the chunks that look like anything.
//!
//! The first byte chooses the size limit, the second how the input is cut; each turn of the client is a byte, and a chunk has
//! its size and its octets behind it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smtpmock::smtp::rules::Environment;
use smtpmock::smtp::{Esmtp, Filing, Policy, Session};

use crate::chunks::Turn;

#[path = "../../support/chunks.rs"]
mod chunks;

fuzz_target!(|data: &[u8]| {
    let [limit, cut, data @ ..] = data else { return };
    let limit = if *limit < 200 { usize::from(*limit) } else { usize::MAX };
    let mut policy = Policy::default();
    policy.set_esmtp(Some(Esmtp::default()));
    policy.set_message_size_limit(limit);
    let expected = chunks::work_out(&turns(data), limit);
    for size in [expected.input.len().max(1), usize::from(*cut) + 1] {
        let (codes, messages) = talk(&policy, &expected.input, size);
        assert_eq!(codes, expected.codes, "cut into pieces of {size}");
        assert_eq!(messages, expected.messages, "cut into pieces of {size}");
    }
});

fn turns(mut data: &[u8]) -> Vec<Turn> {
    let mut turns = Vec::new();
    while let [kind, rest @ ..] = data {
        data = rest;
        turns.push(match kind % 8 {
            0 => Turn::Mail,
            1 => Turn::Rcpt,
            2 => Turn::Data,
            3 => Turn::Rset,
            4 => Turn::Noop,
            kind => {
                let size = data.first().map_or(0, |size| usize::from(*size));
                let (octets, behind) = data.get(1..).unwrap_or_default().split_at(size.min(data.len().saturating_sub(1)));
                data = behind;
                Turn::Bdat { octets: octets.to_vec(), is_last: kind == 6 }
            }
        });
    }
    turns
}

/// The codes of the replies, and the texts of accepted messages.
fn talk(policy: &Policy, input: &[u8], size: usize) -> (Vec<u16>, Vec<Vec<u8>>) {
    let mut session = Session::new();
    session.advance(policy, &mut Environment::alone(), b"EHLO c.example\r\n");
    let (mut codes, mut messages, mut waiting) = (Vec::new(), Vec::new(), Vec::new());
    for piece in input.chunks(size) {
        waiting.extend_from_slice(piece);
        while !waiting.is_empty() {
            let progress = session.advance(policy, &mut Environment::alone(), &waiting);
            waiting.drain(..progress.consumed);
            let Some(step) = progress.step else { break };
            codes.extend(step.reply.code());
            if let Filing::Finished(record) = step.filing
                && record.is_consistent()
            {
                messages.push(record.msg_text().to_vec());
            }
        }
    }
    (codes, messages)
}
