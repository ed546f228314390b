//! One run of several machines: a coordinator (`smtpload serve`) and its agents (`smtpload agent URL`).
//!
//! Imports `account`, `load`, `measure`, `report`, `run` and `time`. All modules but `serve`, `work`, `sinks` and `wire` are
//! pure: events and the time go in, replies and states come out. Those four are their sockets, on the main thread. An agent
//! has threads of their own for its plan and its run, a coordinator for replies while it writes its report.
//!
//! # Protocol
//!
//! HTTP/1.1 with JSON. Only the agent connects and requests, so that it may be behind an address translation or a
//! tunnel; a request is repeated until it is answered, and repeating it changes nothing. With a token, each has
//! `Authorization: Bearer TOKEN`. Without one, requests that a web page can send are refused: with an `Origin`, or with a
//! `Host` that a site can have.
//!
//! 1. `POST /v1/agents` with a `Hello` makes it an agent of the run: the reply has its id. An agent of another protocol
//!    or version of the program is refused, and so is one too many.
//! 2. `POST /v1/agents/ID` with an `Update`, again and again, after the time in each reply: the state of the agent, and the
//!    seconds of its run that the coordinator does not have yet. The `Answer` has all that the coordinator wants, whether
//!    the agent knows it already or not: the order (flags and part of the run), the start, the number of seconds it has,
//!    and whether to stop. Each pair of request and reply has four time stamps, from which the agent computes the offset
//!    of its clock: those of the fastest exchange determine it, with half of that exchange's round trip as the bound of
//!    the error.
//! 3. When all agents have built their plans, and all have been heard within a second, the coordinator sets the start, an
//!    instant some seconds ahead by its own clock. Each agent converts it to its own clock. One that learns of it too late
//!    sends nothing. Where the loss of an agent stops the others, they learn of the start only shortly before it, and only if
//!    none is missing by then: otherwise the run does not start. A coordinator that stood still meanwhile decides the start
//!    anew. An agent that is ready reports the digest of its plan (`run::digest`): with another one than the coordinator's
//!    the agent can't run, and the run does not start.
//! 4. The last `Update` has the whole report of the part. The agent asks until an `Answer` has the fate of that report: the
//!    coordinator has written its own (all outputs), or has none with it, for instance as it can't be added to the others. Then
//!    it ends, in the second case with a file.
//!
//! An agent that a signal ends before its run signs off with the state `Left`, and its place is free; so does one that is stopped
//! when its coordinator may believe that it has started. An agent whose run is
//! ended early (by a signal, by the coordinator, or because there is none) reports the reason in `stopped` with its next
//! update. The run does not resume.
//!
//! Each answered exchange extends the lease of an agent's run (`time::lease`), to `ORPHANED_AFTER` after the request
//! was sent. The event loops compare it with their clock before they start a message, so the run ends by itself, even if
//! the process stood still meanwhile; nothing of a message is sent after `STOPS_WITHIN`.
//! After its run it tries for `DELIVERED_WITHIN` to deliver its report, and writes it to a file if it can't. The
//! coordinator considers an agent lost after `LOST_AFTER` without a request, which is later: a lost agent has stopped.
//! One that comes back before the end of the others is an agent again, and its report is complete.
//!
//! Bounds: `AGENTS_LIMIT` agents, `BODY_LIMIT` octets for a body after the start and `UPDATE_LIMIT` before, one body of each
//! agent at a time, of long ones a bounded sum, for which they wait in turn (`bodies`); `SECONDS_AT_ONCE` seconds in an update,
//! `NAME_LIMIT` octets for a name. A body takes as long as it makes progress. A connection without a valid request ends soon, and
//! first when there are too many (`connections`). An update that can't be true, by its form, its sums or the time, is
//! refused and changes nothing (`checks`).

pub(crate) mod agent;
mod bodies;
mod checks;
mod connections;
pub(crate) mod coordinator;
mod limits;
mod offset;
pub(crate) mod protocol;
pub(crate) mod serve;
mod simulation;
pub(crate) mod sinks;
mod summary;
mod wire;
pub(crate) mod work;

pub(crate) use checks::is_name;
pub(crate) use summary::report_of;
pub(crate) use wire::parse_url;

/// `1 agent`, `3 agents`.
pub(crate) fn agents(count: u64) -> String {
    if count == 1 { "1 agent".to_owned() } else { format!("{count} agents") }
}
