//! The times without an exchange after which the two sides act. They depend on each other.

use std::time::Duration;

/// An agent whose requests have not been answered for this long starts no more messages. Counted from when the last
/// answered request was sent.
pub(crate) const ORPHANED_AFTER: Duration = Duration::from_secs(10);

/// The time for a request and its reply. An agent notices within this time, and that of `ORPHANED_AFTER`, that there is no
/// coordinator.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

/// An agent without a coordinator has stopped by then, even if it stood still meanwhile: it sends nothing of a message
/// after that.
pub(crate) const STOPS_WITHIN: Duration = Duration::from_secs(13);

/// The time until then for messages in flight after `ORPHANED_AFTER`.
pub(crate) const DRAINS_WITHIN: Duration = STOPS_WITHIN.saturating_sub(ORPHANED_AFTER);

/// After this time without a request, an agent is late: the view does not wait for it. Before the start it is dropped, so
/// that another may take its place.
pub(crate) const LATE_AFTER: Duration = Duration::from_secs(5);

/// After this time without a request, an agent is lost. Longer than an agent without a coordinator goes on.
pub(crate) const LOST_AFTER: Duration = Duration::from_secs(15);

/// After this time without the report of its part, an agent that has reported the last second of it is lost, although it asks on.
/// What arrives of a long request extends it.
pub(crate) const REPORTED_WITHIN: Duration = Duration::from_secs(60);

/// How much earlier than due a second may be complete: a coordinator that was suspended has missed as much, before its agents
/// have stopped by themselves.
pub(crate) const EARLY_LIMIT: Duration = Duration::from_secs(15);

// A lost agent has stopped, and so has one whose coordinator was suspended for longer than seconds may be early.
const _: () = assert!(LOST_AFTER.as_secs() > STOPS_WITHIN.as_secs());
const _: () = assert!(EARLY_LIMIT.as_secs() > STOPS_WITHIN.as_secs());
