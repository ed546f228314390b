//! The envelope of each message (RFC 5321 section 2.3.1): its reverse-path and its forward-paths. Pure.

use crate::load::plan::Plan;
use crate::load::template::{Template, Values};
use crate::load::token;

/// The templates of a run's envelopes.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    from: Template,
    to: Template,
    /// Forward-paths of each message; at least one.
    recipients: u16,
    /// The run's id, as in its tokens.
    run: String,
    /// The digest, if all messages have the same envelope.
    fixed: Option<u64>,
    /// A buffer, so that no message allocates.
    rendered: Vec<u8>,
}

impl Envelope {
    pub(crate) fn of(plan: &Plan) -> Envelope {
        Envelope::new(plan.from.clone(), plan.to.clone(), plan.dialect.recipients, plan.run)
    }

    pub(crate) fn new(from: Template, to: Template, recipients: u16, run: u32) -> Envelope {
        let is_fixed = !from.names_the_message() && !to.names_the_message();
        let run = format!("{run:08x}");
        let mut envelope = Envelope { from, to, recipients, run, fixed: None, rendered: Vec::new() };
        envelope.fixed = is_fixed.then(|| envelope.digest(0));
        envelope
    }

    pub(crate) fn recipients(&self) -> u16 {
        self.recipients
    }

    /// Appends the reverse-path of message `seq`, without angle brackets.
    pub(crate) fn reverse_path(&self, seq: u64, out: &mut Vec<u8>) {
        self.from.render(Values { seq, rcpt: 0, run: &self.run }, out);
    }

    /// Appends the forward-path of message `seq` at `index`, without angle brackets.
    pub(crate) fn forward_path(&self, seq: u64, index: u16, out: &mut Vec<u8>) {
        self.to.render(Values { seq, rcpt: index, run: &self.run }, out);
    }

    /// The digest of the paths of message `seq`, each followed by LF, which no path contains.
    pub(crate) fn digest(&mut self, seq: u64) -> u64 {
        if let Some(digest) = self.fixed {
            return digest;
        }
        let mut rendered = std::mem::take(&mut self.rendered);
        rendered.clear();
        self.reverse_path(seq, &mut rendered);
        rendered.push(b'\n');
        for index in 0..self.recipients {
            self.forward_path(seq, index, &mut rendered);
            rendered.push(b'\n');
        }
        let digest = token::digest_of(&rendered);
        self.rendered = rendered;
        digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(from: &str, to: &str, recipients: u16) -> Envelope {
        Envelope::new(from.parse().unwrap(), to.parse().unwrap(), recipients, 7)
    }

    #[test]
    fn the_digest_covers_every_path_and_its_place() {
        let all = [
            envelope("a@x", "b@x", 1),
            envelope("", "b@x", 1),
            envelope("b@x", "a@x", 1),
            envelope("a@x", "b@x", 2),
            envelope("a@x", "b{{rcpt}}@x", 2),
            envelope("a@x", "b{{seq}}@x", 1),
            envelope("a{{seq}}@x", "b@x", 1),
            envelope("a@x", "{{run}}@x", 1),
        ];
        let digests = all.clone().map(|mut envelope| envelope.digest(5));
        for (index, digest) in digests.iter().enumerate() {
            assert!(!digests[..index].contains(digest), "{:?}", all[index]);
        }
        let follows = all.map(|mut envelope| envelope.digest(5) != envelope.digest(6));
        assert_eq!(follows, [false, false, false, false, false, true, true, false]);
    }
}
