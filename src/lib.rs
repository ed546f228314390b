//! A mock SMTP server for tests: it accepts mail and discards it or shows it, replies exactly as configured and exactly
//! as late as configured, and is never the bottleneck of the test that sends to it.
//!
//! # In a test
//!
//! ```
//! use std::time::Duration;
//! use smtpmock::{Config, Server};
//! # fn sign_up(smtp: std::net::SocketAddr, address: &str) -> std::io::Result<()> {
//! #     use std::io::{Read as _, Write as _};
//! #     let mail = format!("HELO app.example\r\nMAIL FROM:<app@example.com>\r\nRCPT TO:<{address}>\r\nDATA\r\n\
//! #         Subject: =?utf-8?Q?Sch=C3=B6n,_dass_du_da_bist?=\r\n\r\nWelcome!\r\n.\r\nQUIT\r\n");
//! #     let mut client = std::net::TcpStream::connect(smtp)?;
//! #     client.write_all(mail.as_bytes())?;
//! #     client.read_to_string(&mut String::new()).map(drop)
//! # }
//!
//! let server = Server::start(Config::default())?; // a free port of 127.0.0.1
//! sign_up(server.local_addr(), "bob@example.com")?; // what is tested
//!
//! let messages = server.wait_for_messages(1, Duration::from_secs(5))?;
//! assert_eq!(messages[0].forward_paths(), ["bob@example.com"]);
//! assert_eq!(messages[0].subject().as_deref(), Some("Schön, dass du da bist"));
//! assert!(messages[0].msg_request().ends_with("Welcome!\r\n"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Server::wait_for`] waits for one message that matches, and [`Server::take`] removes those of one test. Tests that
//! share a server know their own mail by its [inboxes](Message::inboxes). With the feature `mime`, which is one of the
//! default ones, mails are parsed and searched:
//!
//! ```
//! # #[cfg(feature = "mime")] {
//! # use std::time::Duration;
//! # use smtpmock::{Config, Server};
//! # let server = Server::start(Config::default())?;
//! # let mut client = std::net::TcpStream::connect(server.local_addr())?;
//! # std::io::Write::write_all(&mut client, b"HELO a.example\r\nMAIL FROM:<app@example.com>\r\n\
//! #     RCPT TO:<bob@example.com>\r\nDATA\r\nSubject: Welcome\r\n\r\nYour code is 482913, or follow \
//! #     https://app.example/confirm?t=7\r\n.\r\n")?;
//! let is_welcome = |mail: &smtpmock::Message| mail.subject().as_deref() == Some("Welcome");
//! let mail = server.wait_for(is_welcome, Duration::from_secs(5))?.mail();
//! assert!(mail.text.as_deref().is_some_and(|text| text.contains("Your code is")));
//! assert_eq!(mail.codes(), ["482913"]);
//! assert_eq!(mail.links()[0].href, "https://app.example/confirm?t=7");
//! assert_eq!(server.search("to:bob subject:invoice has:attachment")?.len(), 0);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A wait is woken by each arrival, and a message is visible before its sender has read the 250: no test needs to
//! sleep. The error of a wait has the messages that did arrive. Dropping the server stops it.
//!
//! - Refusals, texts, delays and limits are settings of [`Config`]; faults of every kind are
//!   [rules](smtp::rules):
//!
//!   ```
//!   use smtpmock::{Config, Server, smtp::ReplyKind};
//!
//!   let server = Server::start(
//!       Config::default()
//!           .blacklisted_rcptto_emails(["full@example.com"])
//!           .reply(ReplyKind::RcptBlacklisted, "452 4.2.2 Mailbox full")
//!           .rule("message every=3 reply=\"451 4.3.0 Try again\"".parse()?),
//!   )?;
//!   # Ok::<(), Box<dyn std::error::Error>>(())
//!   ```
//! - [`Server::reconfigure`] replaces the settings while the server runs: the first mail is accepted, and then the
//!   mailbox is full.
//! - [`Config::auth`] lets clients authenticate, and [`Message::auth_user`] is the authenticated user.
//! - `Config::tls` encrypts sessions, by STARTTLS or from the first octet, with a certificate that clients can verify.
//! - [`Server::stats`] counts what clients did, how long they took between two commands and where they gave up, with
//!   [findings](Stats::findings).
//! - [`Message`] has the envelope, the header fields and the text of one mail, and the dialogue that brought it.
//!
//! # Tokio
//!
//! `#[tokio::test]` runs the test and what it tests on one thread. [`Server::wait_for_messages`] would block that
//! thread, and the sending code, until the timeout; [`Server::wait_for_messages_async`] does not:
//!
//! ```
//! use std::time::Duration;
//! use smtpmock::{Config, Server};
//! # async fn sign_up(smtp: std::net::SocketAddr) -> std::io::Result<()> {
//! #     use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
//! #     let mail = b"HELO a.example\r\nMAIL FROM:<app@example.com>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\n.\r\nQUIT\r\n";
//! #     let mut client = tokio::net::TcpStream::connect(smtp).await?;
//! #     client.write_all(mail).await?;
//! #     client.read_to_end(&mut Vec::new()).await.map(drop)
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!
//! let server = Server::start(Config::default())?;
//! tokio::spawn(sign_up(server.local_addr()));
//!
//! let messages = server.wait_for_messages_async(1, Duration::from_secs(5)).await?;
//! assert_eq!(messages[0].forward_paths(), ["bob@example.com"]);
//! # Ok(())
//! # }
//! ```
//!
//! The server has threads of its own and needs no runtime, nor does the future: it runs under async-std, smol or a bare
//! `block_on` as well. Of the other methods only a stop takes time worth awaiting: it waits for sessions in the middle
//! of a mail, for [`Config::shutdown_timeout`] at most.
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | none | the server, its messages and figures |
//! | `auth` (default) | authentication by hashes: CRAM-MD5, SCRAM, and files of hashed passwords. PLAIN, LOGIN and tokens need no feature |
//! | `tls` (default) | STARTTLS, listeners for TLS, and certificates made at the start, by rustls with aws-lc-rs: building it needs a C compiler |
//! | `report` (default) | module `report`: the figures as text, JSON, a page with plots, and an interval log |
//! | `mime` (default) | parsed mails (`Message::mail`: subject, texts, attachments, links and codes) and searching (`Server::search`), by mail-parser |
//! | `http` (default) | `ControlPlane`: messages over HTTP, with waiting, searching and taking |
//! | `cli` (default) | the program `smtpmock`; nothing to the library |
//!
//! For a test, `smtpmock = { version = "4", default-features = false }` among the `dev-dependencies` is enough.
//!
//! # How it is built
//!
//! ## Threads
//!
//! ```text
//!  caller ──── Server ─── start, stop ──▶ shard 0 … shard N: one reactor thread each, all on one port
//!                 │                          │ push a record   │ queue a batch
//!                 │ messages(), waits        ▼                 ▼
//!                 ├───────────────────────▶ store      log, capture and display threads
//!                 │
//!                 └─ stats(), reconfigure() ─ wake each shard, which hands its figures over, or takes other settings,
//!                                              between two turns
//! ```
//!
//! A shard owns its connections and its figures; nothing of a session is shared. Shards share the counters of sessions
//! and milestones, the memory budget, the counts of rules, the deferred messages, and the store, in which each shard
//! has its own part. The first wait that is a future starts one more thread, which wakes such waits at their deadlines.
//! A control plane (`http`) has four: one serves all its connections, and three parse, search and reconfigure.
//!
//! The program adds threads of its own, all in `program`. The main thread decides and stops the server (`lifetime`);
//! one receives signals, and ends the program at the second one even if other threads block (`interrupts`); one waits
//! for the time of `--exit-after`; one makes reports, progress and interval logs (`reporter`); and each output has a
//! writer thread (`output`), so that a stuck reader does not block the main thread. All of them are started before the
//! server is ready, so that the end of a run needs no new thread. The first check of a password hashed by bcrypt, which
//! takes long, starts one more thread (`net::verifier`).
//!
//! ## The way of a byte
//!
//! `net::reactor` polls and dispatches → `net::connection` reads from its transport (`net::stream`) into a reused
//! buffer → [`smtp::Session`] finds the end of the line or of the data, decides, and returns a step → the step is
//! measured (`measure`, [`stats`]) and its record filed (`records`) → its reply is appended, and written at the end of
//! the turn, or held back by `net::wheel` → once all of it has left, the message is accepted and its record captured
//! (`records`). `src/net/LIFECYCLE.md` has the details.
//!
//! The SMTP part, [`smtp`], is pure: it can be used without the server, in a simulation or a fuzzer.

#[cfg(not(unix))]
compile_error!(
    "smtpmock needs a Unix system: descriptors, names of Unix sockets and signals. src/process/SYSTEMS.md lists them"
);

pub mod smtp;
pub mod stats;

mod config;
#[cfg(feature = "http")]
mod http;
mod log;
#[cfg(feature = "manual")]
#[doc(hidden)]
pub mod manual;
mod measure;
#[cfg(feature = "mime")]
pub mod mime;
mod net;
#[doc(hidden)]
pub mod output;
mod process;
mod records;
#[cfg(feature = "report")]
pub mod report;
#[cfg(feature = "mime")]
mod search;
mod server;
mod text;
mod time;
mod tls;

pub use config::{Config, ConfigError, Milestone, OverLimit, Settings, StartError, StartSettings};
#[cfg(feature = "http")]
pub use http::{ControlPlane, HttpSettings};
pub use log::{Logger, StdLogger};
pub use net::{Farewell, Listening, OpenSession, SessionState};
#[doc(hidden)]
pub use process::{build, raise_descriptor_limit, read_bounded, signals};
#[doc(hidden)]
pub use records::Display;
pub use records::{CaptureContent, CaptureFormat, Endpoint, Message, WaitError};
#[cfg(feature = "mime")]
pub use search::{Query, QueryError};
pub use server::{CaptureFailure, ReconfigureError, Server, ServerFailure, ShardFailure, StopOutcome};
pub use smtp::Protocol;
pub use stats::Stats;
/// Hidden: shared with `smtpload`'s reports; may change with any release.
#[doc(hidden)]
pub use text::{escape, hosts, units};
pub use tls::{ClientCertificate, TlsSession, TlsVersion, UnknownVersion};
#[cfg(feature = "tls")]
pub use tls::{Pem, Tls};

/// The README's examples are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
