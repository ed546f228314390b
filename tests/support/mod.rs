//! Helpers that several tests share, here and in `loadtest`.
#![cfg_attr(
    not(all(feature = "cli", feature = "report")),
    allow(dead_code, reason = "what the tests of the program and of reports use")
)]

// A server in this process, the SMTP client, and waiting.
pub(crate) mod client; // an SMTP client on a blocking socket
#[cfg(feature = "tls")]
pub(crate) mod encrypted; // a client within TLS, which verifies the server's certificate
pub(crate) mod figures; // waits for a server's figures
#[cfg(feature = "tls")]
pub(crate) mod hellos; // octets in place of a hello, also fuzzed
#[cfg(feature = "http")]
pub(crate) mod http; // an HTTP client on a blocking socket, and a server with a control plane
pub(crate) mod logger; // loggers that retain their lines, or pass each to a test
pub(crate) mod sasl; // lines of AUTH
pub(crate) mod server; // a server on a free port, with or without rules, and whether an address accepts connections
pub(crate) mod waiting; // the client's clock, its longest wait, waiting without an event

// The programs.
pub(crate) mod alone; // runs a test in a separate process
pub(crate) mod browser; // inspects a page with an installed browser
pub(crate) mod process; // a process: waiting for its output, stopping it, measuring it
#[cfg(feature = "cli")]
pub(crate) mod program; // the built `smtpmock`: run to its end, or started until it listens
pub(crate) mod terminal; // the output of a program on a terminal

// The recorded dialogues of `tests/transcripts/`.
pub(crate) mod dialogue; // performs one over real sockets
pub(crate) mod expectations; // what is expected of each, and that none is omitted
pub(crate) mod performance; // performs all of them with a given server
pub(crate) mod records; // records in the form of the transcripts
pub(crate) mod transcript; // parses them

// The sources.
pub(crate) mod rooms; // which rooms import which

// Independent definitions of the expected behaviour.
pub(crate) mod chunks; // dialogues with BDAT, worked out in the simplest way
pub(crate) mod normal; // the normal distribution function
pub(crate) mod oracle; // message data and lines, split in the simplest way
pub(crate) mod peer; // the smallest possible server around a pure session
pub(crate) mod reference; // what go-smtp-mock accepts, as patterns
