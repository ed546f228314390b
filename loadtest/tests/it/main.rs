//! Behaviour of the program `smtpload`, through real sockets and its exit codes.

mod accounting;
mod architecture;
mod auth;
mod chunking;
mod endings;
mod esmtp;
mod exit_codes;
#[cfg(feature = "fleet")]
mod fleet;
#[cfg(feature = "fleet")]
mod fleet_before;
#[cfg(feature = "fleet")]
mod fleet_ends;
#[cfg(feature = "fleet")]
mod fleet_signals;
#[cfg(feature = "fleet")]
mod fleet_wire;
mod giving_up;
mod input;
#[cfg(feature = "fleet")]
mod kubernetes;
mod liars;
mod lmtp;
mod mock;
mod mock_esmtp;
mod mock_tls;
mod output;
mod outputs;
mod own_doing;
mod parts;
#[cfg(feature = "fleet")]
mod servers;
mod session;
mod steps;
#[cfg(feature = "fleet")]
mod sums;
mod support;
mod targets;
mod truth;
mod verify;
