//! What a session asks of whoever drives it: one [`Step`] for each line, and what it is about.

use std::time::Duration;

use crate::smtp::reply::{Next, Portion, Reply, Stage};

/// What a step means for whoever keeps the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filing {
    /// Nothing.
    Unchanged,
    /// [`Session::record`](crate::smtp::Session::record) holds a message accepted just now: it is to be seen before the reply is.
    Accepted,
    /// [`Session::record`](crate::smtp::Session::record) was seen before and has changed.
    Changed,
    /// [`Session::take_finished`](crate::smtp::Session::take_finished) has a record that is complete and will not change.
    Finished,
}

/// One reply and what goes with it.
#[derive(Clone, Copy, Debug)]
pub struct Step<'p> {
    /// What is answered.
    pub stage: Stage,
    /// The answer.
    pub reply: &'p Reply,
    /// How much of it is sent.
    pub portion: Portion,
    /// The command, or the message, is accepted, provided that all of the reply is sent. Unknown lines are neither;
    /// they count as refused.
    pub accepted: bool,
    /// How long to hold it back; nothing else of this session happens meanwhile.
    pub delay: Duration,
    /// Whether the connection goes on.
    pub next: Next,
    /// What it means for the records.
    pub filing: Filing,
}

/// What [`Session::advance`](crate::smtp::Session::advance) did with the input.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'p> {
    /// Octets used up, from the front. The rest must stand at the front of the next input.
    pub consumed: usize,
    /// What is to be done; `None` when more input is needed.
    pub step: Option<Step<'p>>,
}

/// What the server waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// A command line.
    Command,
    /// Message data, up to its final dot.
    Data,
}
