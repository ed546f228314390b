//! Rules: delays, rules and limits, applied exactly as configured.
//!
//! Imports `command` and `reply`; pure, like all of [`smtp`](super). A [`Session`](super::Session) evaluates the rules
//! of its [`Policy`](super::Policy) at every stage. The facts outside the dialogue are in an [`Environment`], the
//! counts in a [`State`]; random numbers come from streams derived from the policy's seed and the numbers of the
//! session and the step.
#![doc = include_str!("RULES.md")]

mod bucket;
mod built_in;
mod cidr;
mod contradiction;
mod delay;
mod engine;
mod feasible;
mod glob;
pub(crate) mod grammar;
mod handshake;
mod index;
mod keyword;
mod offer;
mod peer;
mod rule;
mod state;
mod stream;
mod text;
pub(crate) mod units;

pub use bucket::{RateLimit, RatePoint, RateScope};
pub use cidr::Cidr;
pub use delay::Delay;
pub use engine::Environment;
pub use glob::Glob;
#[doc(hidden)]
pub use grammar::nearest;
pub use grammar::{Fault, GrammarError, Instead};
pub use handshake::{Alert, HandshakeEnd, HandshakePlan, TlsVersion, UnknownVersion, WrongCertificate};
pub use offer::{Extension, Offer};
pub use peer::{PeerAddress, Trusted};
pub use rule::{Drop, Key, Ordinals, Rule};
pub use state::{Memory, RuleCounts, RuleTally, State, Tally};
/// Hidden: the grammar of the flags of `smtpmock` and `smtpload`; may change with any release.
#[doc(hidden)]
pub use units::{
    A_DURATION, A_SIZE, MAX_DURATION, compared_number, duration_with_units, parse_duration, parse_size,
    split_rate,
};
pub use units::{ByteRate, Chance};

pub(crate) use feasible::Feasible;

pub(super) use built_in::{BUILT_INS, BuiltIn};
pub(super) use engine::{Decision, Edition, Question, RuleBook};
pub(super) use index::Matched;
pub(super) use state::recall;
pub(super) use stream::{Impairment, Moment};
