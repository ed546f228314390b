//! The instructions of a session to its driver: one [`Step`] for each line. A step is an owned value, which the driver can
//! carry out without the session, the policy or the input.

use std::ops::Deref;
use std::time::Duration;

use crate::smtp::receive::{LineScanner, Lines, RetryKey};
use crate::smtp::record::Filing;
use crate::smtp::reply::{Next, Portion, Reply, Stage};

/// The replies of one step, in order, at least one. A group of them answers one message where each recipient gets a reply
/// of its own (RFC 2033 section 4.2). Cloning shares their octets.
#[derive(Clone, Debug)]
pub struct Replies(Count);

#[derive(Clone, Debug)]
enum Count {
    One(Reply),
    /// At least one.
    Group(Box<[Reply]>),
}

impl Deref for Replies {
    type Target = [Reply];

    fn deref(&self) -> &[Reply] {
        match &self.0 {
            Count::One(reply) => std::slice::from_ref(reply),
            Count::Group(replies) => replies,
        }
    }
}

impl Replies {
    /// A group of replies, in order.
    pub fn group(first: Reply, others: impl IntoIterator<Item = Reply>) -> Self {
        Self(Count::Group(std::iter::once(first).chain(others).collect()))
    }

    /// The octets of each that go on the wire, where this portion of all of them is sent.
    pub fn wire(&self, portion: Portion) -> impl Iterator<Item = &[u8]> {
        let mut left = match portion {
            Portion::Whole => usize::MAX,
            Portion::Nothing => 0,
            Portion::First(octets) => octets,
        };
        self.iter().map(move |reply| {
            let sent = Portion::First(left).of(reply);
            left -= sent.len();
            sent
        })
    }
}

impl From<Reply> for Replies {
    fn from(reply: Reply) -> Self {
        Self(Count::One(reply))
    }
}

/// A message that was received to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    /// Octets of its text, retained or not.
    pub size: usize,
    /// What was seen in its lines; `None` where they were not looked at. They are in the first message of a session, and
    /// then in every 16th.
    pub lines: Option<Lines>,
    /// It came in chunks, by BDAT.
    pub is_chunked: bool,
}

/// The result of one line or of the end of a message.
#[derive(Clone, Debug)]
pub struct Step {
    /// The stage that is answered.
    pub stage: Stage,
    /// The answer.
    pub replies: Replies,
    /// Number of the first of the replies within the session; the greeting's is 1. The others follow.
    pub number: u32,
    /// How much of the replies is sent.
    pub portion: Portion,
    /// The command, or the message, is accepted, provided that all of the reply is sent. Unknown lines are neither
    /// accepted nor refused; they count as refused.
    pub accepted: bool,
    /// How long to hold the replies back; nothing else of this session happens meanwhile.
    pub delay: Duration,
    /// Whether the connection goes on.
    pub next: Next,
    /// A mail transaction is open now (RFC 5321 section 3.3): MAIL was accepted, and neither its message has come nor was
    /// the transaction given up.
    pub is_in_transaction: bool,
    /// The message that is answered.
    pub message: Option<Received>,
    /// Identifies a retry by the client.
    pub(crate) retry_key: RetryKey,
    /// The effect on the records. Records are filed before the replies are sent, so that a client that has read the reply can
    /// see them.
    pub filing: Filing,
}

impl Step {
    /// The only reply, or the first of a group.
    pub fn reply(&self) -> &Reply {
        &self.replies[0]
    }

    /// The octets to send, in one piece for each reply.
    pub fn wire(&self) -> impl Iterator<Item = &[u8]> {
        self.replies.wire(self.portion)
    }
}

/// What [`Session::advance`](crate::smtp::Session::advance) did with the input.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Octets used up, from the front. The rest must be at the front of the next input.
    pub consumed: usize,
    /// The command line among them; `None` for message data. That of BDAT is at the front, before octets of the chunk. Of a line that is longer than
    /// [`LineScanner::LIMIT`](crate::smtp::LineScanner::LIMIT) it is the front, with the first octets that are used up.
    pub line: Option<CommandLine>,
    /// What the server waits for from now on. Before the first input it is a command.
    pub expects: Expect,
    /// The step to carry out; `None` if more input is needed.
    pub step: Option<Step>,
}

/// Where a command line is in the input, as far as a log may show it: the session decides that, as it knows the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandLine {
    start: u16,
    length: u16,
}

impl CommandLine {
    /// `line` as a part of `input`.
    #[inline]
    pub(in crate::smtp) fn of(line: &[u8], input: &[u8]) -> Self {
        let start = line.as_ptr().addr().wrapping_sub(input.as_ptr().addr());
        debug_assert!(start + line.len() <= LineScanner::LIMIT, "a line is short, and at the front");
        Self { start: start as u16, length: line.len() as u16 }
    }

    /// The line without white space around it, where `input` is what [`advance`](crate::smtp::Session::advance) was given,
    /// or as much of it as was [consumed](Progress::consumed).
    pub fn within<'i>(&self, input: &'i [u8]) -> &'i [u8] {
        let start = usize::from(self.start);
        input.get(start..start + usize::from(self.length)).unwrap_or_default()
    }
}

/// What the server waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expect {
    /// A command line.
    Command,
    /// Message data, up to its final dot.
    Data,
    /// Octets of a chunk, of which the number is known.
    Chunk,
    /// A command line in the middle of a message that comes in chunks, most likely that of the next chunk.
    NextChunk,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_portion_of_a_group_is_one_of_all_its_replies_together() {
        let group = Replies::group(Reply::new("250 a"), [Reply::new("550 b")]);
        let sent =
            |replies: &Replies, portion| -> Vec<u8> { replies.wire(portion).flatten().copied().collect() };
        let whole = b"250 a\r\n550 b\r\n";
        assert_eq!(sent(&group, Portion::Whole), whole);
        assert_eq!(sent(&group, Portion::Nothing), b"");
        for octets in 0..=whole.len() {
            assert_eq!(sent(&group, Portion::First(octets)), whole[..octets]);
        }
        assert_eq!(sent(&group, Portion::First(100)), whole);
        let pieces: Vec<&[u8]> = group.wire(Portion::First(9)).collect();
        assert_eq!(pieces, [&b"250 a\r\n"[..], b"55"], "a piece for each reply");
        let one = Replies::from(Reply::new("250 a"));
        assert_eq!((one.len(), sent(&one, Portion::First(3))), (1, b"250".to_vec()));
    }
}
