//! The SMTP server side as pure data: bytes in, [`Step`]s out.
//!
//! Nothing here knows a socket, a clock or a thread. A [`Session`] is fed with whatever
//! bytes have arrived, in chunks of any size, and says how many it consumed and what is
//! to be replied, how late, and whether the connection goes on. The same bytes give the
//! same steps and the same [`Record`]s however they were cut.
//!
//! ```
//! use smtpmock::smtp::{Policy, Session};
//!
//! let policy = Policy::default();
//! let mut session = Session::new();
//! assert_eq!(session.greeting(&policy).reply.text(), b"220 Welcome");
//!
//! let progress = session.advance(&policy, b"EHLO client.example\r\nNOOP\r\n");
//! assert_eq!(progress.consumed, 21); // one line at a time: NOOP is still to come
//! assert_eq!(progress.step.unwrap().reply.text(), b"250 Received");
//! ```

pub mod behaviour;

mod address;
mod answer;
mod attempt;
mod command;
mod extension;
mod incoming;
mod known;
mod letters;
mod lines;
mod lists;
mod message_id;
mod octets;
mod policy;
mod record;
mod reply;
mod scan;
mod session;
mod step;

pub use address::{AddressRules, HeloName, Path};
pub(crate) use attempt::{Mail, Tried};
pub use command::{Command, Verb};
pub use extension::Extensions;
pub use lines::Lines;
pub use lists::Lists;
pub(crate) use octets::Listed;
pub(crate) use policy::MAX_RECIPIENTS;
pub use policy::{DelayPoint, Keep, Limits, Policy, RecordMode};
pub(crate) use record::Unsent;
pub use record::{Exchange, Record};
pub use reply::{Reply, ReplyKind};
pub use scan::{DataScan, DataScanner, LineScan, LineScanner};
pub use session::Session;
pub use step::{Expect, Filing, Next, Portion, Progress, Stage, Step};
