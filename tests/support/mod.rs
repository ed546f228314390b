//! What several tests share, here and in `loadtest`.
#![cfg_attr(
    not(all(feature = "cli", feature = "report")),
    allow(dead_code, reason = "what the tests of the program and of reports use")
)]

// A server in this process, the SMTP client, and what to wait for.
pub(crate) mod client; // an SMTP client on a blocking socket
pub(crate) mod figures; // a server's figures, once they are so far
pub(crate) mod logger; // loggers that keep their lines, or do what a test says with each
pub(crate) mod server; // a server on a free port, with rules or without, and whether an address is listened on
pub(crate) mod waiting; // the client's clock, its patience, waiting without an event

// The programs.
pub(crate) mod alone; // runs a test in a process of its own
pub(crate) mod browser; // looks at a page with an installed browser
pub(crate) mod process; // a process: waited for, asked to end, looked at from outside
#[cfg(feature = "cli")]
pub(crate) mod program; // the built `smtpmock`: run to its end, or started until it listens
pub(crate) mod terminal; // what a program shows on a terminal

// The recorded dialogues of `tests/transcripts/`.
pub(crate) mod dialogue; // performs one over real sockets
pub(crate) mod expectations; // says what is right for each, and accounts for all
pub(crate) mod performance; // performs all of them with one server or another
pub(crate) mod records; // records as the transcripts write them down
pub(crate) mod transcript; // reads them into types

// The sources.
pub(crate) mod rooms; // which rooms import which

// What is right, written down another way.
pub(crate) mod normal; // the normal distribution function
pub(crate) mod oracle; // message data and lines, taken apart the plainest way
pub(crate) mod peer; // the least server around a pure session
pub(crate) mod reference; // what go-smtp-mock accepts, as patterns
