//! A scripted server, a way to run the program against it, and helpers shared with the tests of the server.

pub(crate) mod files; // paths in a temporary folder, and JSON in them
pub(crate) mod program; // `smtpload`, run with its report read
#[cfg(feature = "fleet")]
pub(crate) mod relay; // between an agent and its coordinator
pub(crate) mod sink; // an SMTP server that follows a test's script

#[allow(dead_code, reason = "shared with the tests of `smtpmock`, which use the rest")]
#[path = "../../../../tests/support/process.rs"]
pub(crate) mod process; // a server as a process of its own
#[path = "../../../../tests/support/rooms.rs"]
pub(crate) mod rooms; // which rooms import which
#[allow(dead_code, reason = "shared with the tests of `smtpmock`, which use the rest")]
#[path = "../../../../tests/support/waiting.rs"]
pub(crate) mod waiting; // patience, and waiting without an event

pub(crate) use program::{Load, Outcome};
pub(crate) use sink::{Act, Sink, Turn, Verb};
