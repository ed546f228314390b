//! The server side of SMTP and LMTP as pure data: bytes in, [`Step`]s out.
//!
//! Nothing here uses a socket, a clock or a thread. A [`Session`] processes the bytes that have arrived, in pieces of
//! any size. It returns how many it consumed, the reply and its delay, and whether the connection continues. The same
//! bytes give the same steps and [`Record`]s however they are split.
//!
//! ```
//! use smtpmock::smtp::rules::Environment;
//! use smtpmock::smtp::{Policy, Session};
//!
//! let (policy, mut environment) = (Policy::default(), Environment::alone());
//! let mut session = Session::new();
//! assert_eq!(session.greeting(&policy, &mut environment).reply.text(), b"220 Welcome");
//!
//! let progress = session.advance(&policy, &mut environment, b"EHLO client.example\r\nNOOP\r\n");
//! assert_eq!(progress.consumed, 21); // one line at a time: NOOP is still to come
//! assert_eq!(progress.step.unwrap().reply.text(), b"250 Received");
//! ```

pub mod auth;
mod command;
mod policy;
pub mod proxy;
mod receive;
mod record;
mod reply;
pub mod rules;
mod session;

pub use command::{
    AddressRules, ArgumentError, Authenticate, Body, Chunk, ClientAttributes, Command, Extensions, Grammar,
    HeloName, InitialResponse, Notify, OriginalRecipient, Parameter, Parameters, Path, Request, Ret, Verb,
    decode_xtext,
};
pub(crate) use command::{Listed, inboxes_of};
pub(crate) use policy::MAX_RECIPIENTS;
pub use policy::{DelayPoint, Esmtp, Keep, Limits, Lists, Policy, RecordMode};
pub use receive::{DataScan, DataScanner, LineScan, LineScanner, Lines};
pub(crate) use receive::{MailKey, RetryKey};
pub use record::{Authentication, Exchange, Filing, LastRecord, RecipientResponse, Record, Unsent};
pub use reply::{Next, NoRecordId, Portion, RecordId, Reply, ReplyKind, ServerTag, Stage};
pub(crate) use session::Offered;
pub use session::{AuthOutcome, AuthStep, CommandLine, Expect, Progress, Protocol, Received, Session, Step};
