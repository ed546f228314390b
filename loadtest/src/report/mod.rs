//! The report of a run, the merge of several, and their forms: table, JSON, page, interval log. Pure: the caller
//! reads and writes files. Imports `account`, `client`, `measure` and `time`; runs on the main thread.

pub(crate) mod accounts;
pub(crate) mod agents;
pub(crate) mod counts;
pub(crate) mod distribution;
pub(crate) mod failure;
pub(crate) mod hlog;
pub(crate) mod html;
pub(crate) mod json;
pub(crate) mod merge;
pub(crate) mod parts;
pub(crate) mod pieces;
pub(crate) mod plans;
pub(crate) mod series;
pub(crate) mod sinks;
pub(crate) mod sound;
pub(crate) mod span;
pub(crate) mod steps;
pub(crate) mod stopped;
pub(crate) mod summary;
pub(crate) mod targets;
pub(crate) mod text;
pub(crate) mod verdicts;
pub(crate) mod verification;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use smtpmock::units::duration;

use crate::account::accounting::{Accounting, add as add_count};
use crate::client::phase::Phase;
use crate::measure::interval::{INTERVAL, Interval};
use crate::report::agents::{AgentRow, Delivered};
use crate::report::distribution::{Distribution, Packed};
use crate::report::parts::{Missing, PartRow};
use crate::report::pieces::Pieces;
use crate::report::plans::PlanRow;
use crate::report::sinks::Sinks;
use crate::report::span::Span;
use crate::report::steps::StepRow;
use crate::report::targets::TargetRow;
use crate::report::verdicts::{Judgement, Move};
use crate::report::verification::Verification;

/// The schema's name and version; the number is raised by changes that break readers.
pub(crate) const SCHEMA: &str = "smtpload-report/1";

/// A run, or several merged.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) schema: String,
    pub(crate) version: String,
    /// Milliseconds since 1970-01-01 UTC.
    pub(crate) started_at_ms: u64,
    pub(crate) ended_at_ms: u64,
    /// Whether the run was ended by a signal.
    pub(crate) interrupted: bool,
    /// Why the run was given up, if it was.
    #[serde(default)]
    pub(crate) gave_up: Option<String>,
    pub(crate) settings: Settings,
    /// The parts of runs that are cut, and instants of starts that were set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) parts: Vec<PartRow>,
    /// The plans of the runs that are cut, by the id of the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) plans: Vec<PlanRow>,
    /// Parts of these runs that are not in a merged report.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) missing: Vec<Missing>,
    /// The agents of a run that was coordinated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) agents: Vec<AgentRow>,
    /// How many messages the servers have received from these agents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) delivered: Option<Delivered>,
    /// The same of each of several merged runs, by its id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) delivered_by_run: BTreeMap<String, Delivered>,
    /// What the servers report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sinks: Option<Sinks>,
    /// One entry per machine.
    pub(crate) machines: Vec<Machine>,
    pub(crate) generator: Generator,
    pub(crate) sessions: SessionCounts,
    /// The addresses of the target's name; absent in older reports.
    #[serde(default)]
    pub(crate) addresses: Vec<AddressCounts>,
    /// The accounts of several targets; absent with one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) targets: Vec<TargetRow>,
    pub(crate) accounting: Accounts,
    /// The text of the first reply of each kind that refused something; absent in older reports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) refusal_texts: Vec<RefusalText>,
    /// Seconds in which at least one run offered load: of one run, from the end of the warm-up to the end of
    /// `--duration`, a signal, or the end of the last message of `--count`, and at least to the end of the last
    /// accepted message.
    pub(crate) measured_s: f64,
    /// Messages accepted per second of `measured_s`.
    pub(crate) rate: f64,
    /// The times of each run; absent in older reports.
    #[serde(default)]
    pub(crate) spans: Vec<Span>,
    pub(crate) latency: Latency,
    pub(crate) intervals: Vec<IntervalRow>,
    /// The steps of a changing rate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) steps: Vec<StepRow>,
    /// Where a part ended early: the beginning of the first step that it did not offer in full, in seconds from the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) steps_whole_until_s: Option<f64>,
    /// The highest rate that passed the gates, in messages per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) knee: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) verification: Option<Verification>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) gates: Vec<Judgement>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) baseline: Vec<Move>,
    /// With lost agents: the reports of which this one is the sum. As a type with `serde` a report has none, so that no
    /// reports are nested: [`json`] writes and reads them beside it.
    #[serde(default, skip_serializing, deserialize_with = "pieces::unread")]
    pub(crate) pieces: Option<Box<Pieces>>,
}

impl Report {
    /// One line for each address that was dialed, with the result; none if the target is its own address and nothing
    /// failed.
    pub(crate) fn dialed(&self) -> Vec<String> {
        let is_target =
            |one: &AddressCounts| self.settings.target.split(", ").any(|target| one.address == target);
        if self.addresses.iter().all(|one| is_target(one) && one.last_failure.is_none()) {
            return Vec::new();
        }
        let is_implicit = self.settings.shape.tls.as_ref().is_some_and(|tls| tls.mode == IMPLICIT);
        let greeting = if is_implicit { "TLS and a good greeting" } else { "a good greeting" };
        self.addresses
            .iter()
            .map(|one| {
                let why = one.last_failure.as_ref().map_or_else(String::new, |why| format!(" (last: {why})"));
                let ungreeted = match one.ungreeted {
                    0 => String::new(),
                    count => format!(", {count} without {greeting}"),
                };
                format!("{}: {} dialed, {} connected{ungreeted}{why}", one.address, one.dialed, one.connected)
            })
            .collect()
    }

    /// Computes the derived fields.
    pub(crate) fn derive(&mut self) {
        self.measured_s = span::measured_s(&self.spans);
        self.rate = span::rate(self.accounting.measured.accepted, &self.spans);
        self.sessions.most_open = span::most_open(&self.spans);
        self.delivered = self.delivered.map(|_| Delivered::of(self));
        self.steps = std::mem::take(&mut self.steps).into_iter().map(StepRow::derived).collect();
    }
}

/// The settings of the run. Runs with different `shape`s are not compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) target: String,
    pub(crate) shape: Shape,
    pub(crate) count: Option<u64>,
    pub(crate) duration_s: Option<f64>,
    pub(crate) warmup_s: f64,
    pub(crate) grace_s: f64,
    pub(crate) timeouts_s: Vec<(Phase, f64)>,
    pub(crate) late_after_ms: f64,
    pub(crate) threads: usize,
    pub(crate) sources: Vec<String>,
    /// With `--proxy-protocol`: the range of the clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) clients: Option<String>,
    pub(crate) helo: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) seed: u64,
    /// The ids of the runs, as in their tokens.
    pub(crate) runs: Vec<String>,
}

/// The settings that must be equal for a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Shape {
    /// `closed`, or the rate of an open loop, like `open 5000/s constant`.
    pub(crate) load: String,
    pub(crate) connections: usize,
    pub(crate) messages_per_session: Option<u64>,
    pub(crate) rcpts: u16,
    pub(crate) pipelining: bool,
    /// `smtp` if absent.
    #[serde(default)]
    pub(crate) protocol: Protocol,
    /// With `--chunking`: `whole` messages, or the octets of a chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) chunking: Option<String>,
    #[serde(default)]
    pub(crate) smtputf8: bool,
    #[serde(default)]
    pub(crate) dsn: bool,
    #[serde(default)]
    pub(crate) proxy_protocol: bool,
    /// With `--auth`: the mechanism, or `strongest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) auth: Option<String>,
    /// Absent if nothing is encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<TlsShape>,
    /// `1024`, `1024..65536` or `file NAME (N bytes)`.
    pub(crate) message: String,
}

/// How sessions are encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TlsShape {
    /// `opportunistic`, `required` or `implicit`.
    pub(crate) mode: String,
    /// Whose certificates are accepted: `system`, `ca`, or `any`.
    pub(crate) trust: String,
    /// The only version, if one is set: `1.2` or `1.3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<String>,
    pub(crate) resumption: bool,
    pub(crate) client_certificate: bool,
}

/// The mode of TLS from the start.
pub(crate) const IMPLICIT: &str = "implicit";

/// Accepts any certificate.
pub(crate) const ANY: &str = "any";

impl TlsShape {
    /// For people: `STARTTLS required (certificates are not verified, no resumption)`.
    fn text(&self) -> String {
        let mut notes = Vec::new();
        if self.trust == ANY {
            notes.push("certificates are not verified".to_owned());
        }
        notes.extend(self.version.as_ref().map(|version| format!("{version} only")));
        if !self.resumption {
            notes.push("no resumption".to_owned());
        }
        if self.client_certificate {
            notes.push("with a client certificate".to_owned());
        }
        let mode = if self.mode == IMPLICIT { "TLS".to_owned() } else { format!("STARTTLS {}", self.mode) };
        if notes.is_empty() { mode } else { format!("{mode} ({})", notes.join(", ")) }
    }
}

/// The protocol of the sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    #[default]
    Smtp,
    Lmtp,
}

impl Shape {
    /// What is used besides plain SMTP, for people: empty, or like `, LMTP, pipelining`.
    pub(crate) fn extras(&self) -> String {
        let mut text = String::new();
        if self.protocol == Protocol::Lmtp {
            text.push_str(", LMTP");
        }
        let flags = [
            (self.proxy_protocol, ", PROXY headers"),
            (self.pipelining, ", pipelining"),
            (self.smtputf8, ", SMTPUTF8"),
            (self.dsn, ", DSN"),
        ];
        flags.iter().filter(|(is_set, _)| *is_set).for_each(|(_, name)| text.push_str(name));
        match self.chunking.as_deref() {
            None => {}
            Some(WHOLE) => text.push_str(", chunking"),
            Some(size) => text.push_str(&format!(", chunks of {size}")),
        }
        if let Some(tls) = &self.tls {
            text.push_str(&format!(", {}", tls.text()));
        }
        if let Some(mechanism) = &self.auth {
            text.push_str(&format!(", AUTH {mechanism}"));
        }
        text
    }
}

/// The mechanism of AUTH where none is named.
pub(crate) const STRONGEST: &str = "strongest";

/// The size of the chunks where each message is one.
pub(crate) const WHOLE: &str = "whole";

/// The machine of a generator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) os: String,
    pub(crate) arch: String,
    pub(crate) cpus: usize,
    pub(crate) kernel: Option<String>,
    pub(crate) cpu_model: Option<String>,
}

/// The generator's own performance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Generator {
    /// The generator missed its schedule, or a closed loop stalled: the figures are not only the target's.
    pub(crate) saturated: bool,
    /// A closed loop used all of its processor time: the rate may be the generator's limit.
    pub(crate) cpu_bound: bool,
    /// Messages that the generator delayed: started late, never started, or with an unread reply.
    pub(crate) late: u64,
    /// Those of them that were never started.
    #[serde(default)]
    pub(crate) late_unsent: u64,
    /// Seconds of stalls, of all event loops.
    #[serde(default, rename = "stood_still_s")]
    pub(crate) stalled_s: f64,
    /// Intervals of threads without processor time left, of those judged. None judged: the system has no figures, or
    /// the run was shorter than an interval.
    pub(crate) starved_intervals: u64,
    pub(crate) judged_intervals: u64,
    /// Processor seconds of the event loops; `None` where the system has no figures.
    pub(crate) cpu_s: Option<f64>,
    pub(crate) cpu_wait_s: Option<f64>,
    /// Delays of starts by the generator itself.
    pub(crate) lag: Distribution,
}

impl Generator {
    /// The evidence of saturation; `None` if not saturated.
    pub(crate) fn saturation(&self) -> Option<String> {
        if !self.saturated {
            return None;
        }
        let mut evidence = Vec::new();
        if self.late > 0 {
            evidence.push(format!("{} messages were late because of it", self.late));
        }
        if self.stalled_s > 0.0 || self.late == 0 {
            evidence.push(format!("it stalled for {}", show_ns((self.stalled_s * 1e9) as u64)));
        }
        Some(evidence.join(", "))
    }
}

/// Counts of connections.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SessionCounts {
    pub(crate) dialed: u64,
    pub(crate) established: u64,
    pub(crate) ended_idle: u64,
    #[serde(default)]
    pub(crate) protocol_errors: u64,
    /// Absent if there are none.
    #[serde(default, skip_serializing_if = "HandshakeCounts::is_none")]
    pub(crate) handshakes: HandshakeCounts,
    #[serde(default)]
    pub(crate) without_starttls: u64,
    #[serde(default)]
    pub(crate) starttls_refused: u64,
    /// Sessions with a successful AUTH, by mechanism.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) authenticated: BTreeMap<String, u64>,
    /// Sessions with a refused AUTH, by mechanism.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) auth_refused: BTreeMap<String, u64>,
    #[serde(default)]
    pub(crate) without_ehlo: u64,
    pub(crate) without_pipelining: u64,
    #[serde(default)]
    pub(crate) without_chunking: u64,
    #[serde(default)]
    pub(crate) without_dsn: u64,
    pub(crate) most_open: u64,
}

/// TLS handshakes: complete ones by kind and by version, and failed ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HandshakeCounts {
    pub(crate) full: u64,
    pub(crate) resumed: u64,
    /// Absent in older reports.
    #[serde(default)]
    pub(crate) failed: u64,
    pub(crate) tls_1_2: u64,
    pub(crate) tls_1_3: u64,
}

impl HandshakeCounts {
    pub(crate) fn is_none(&self) -> bool {
        *self == HandshakeCounts::default()
    }

    /// All that were begun and have ended.
    pub(crate) fn total(&self) -> u64 {
        self.full.saturating_add(self.resumed).saturating_add(self.failed)
    }
}

/// Connections to one address of a target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AddressCounts {
    /// IP address and port, or `unix:` and the path of a socket.
    pub(crate) address: String,
    pub(crate) dialed: u64,
    pub(crate) connected: u64,
    /// Connections without a good greeting: refused, closed, timed out, or without TLS that comes before it.
    #[serde(default)]
    pub(crate) ungreeted: u64,
    /// Why the last attempt had no good greeting, for people.
    pub(crate) last_failure: Option<String>,
}

/// The text of a refusal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RefusalText {
    pub(crate) phase: Phase,
    pub(crate) code: u16,
    /// What follows the code in the last line of the reply, at most 128 octets of it.
    pub(crate) text: String,
}

/// The accounts of the measured part and of the warm-up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Accounts {
    pub(crate) measured: Accounting,
    pub(crate) warmup: Accounting,
}

/// Latencies of one kind, separately for successes and failures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Split {
    pub(crate) ok: Distribution,
    pub(crate) failed: Distribution,
    /// Right-censored samples of `failed`: the wait was cut off by a timeout or the end of the run, so they are lower
    /// bounds.
    #[serde(default)]
    pub(crate) censored: u64,
}

impl Split {
    /// Adds another.
    pub(crate) fn merge(&mut self, other: &Split) {
        self.ok.merge(&other.ok);
        self.failed.merge(&other.failed);
        add_count(&mut self.censored, other.censored);
    }
}

/// All latencies, in nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) connect: Split,
    /// Absent in older reports, like `auth` and `bdat`.
    #[serde(default)]
    pub(crate) tls: Split,
    pub(crate) banner: Split,
    pub(crate) ehlo: Split,
    #[serde(default)]
    pub(crate) auth: Split,
    pub(crate) mail: Split,
    pub(crate) rcpt: Split,
    pub(crate) data: Split,
    #[serde(default)]
    pub(crate) bdat: Split,
    pub(crate) dot: Split,
    /// From the intended start to the last reply.
    pub(crate) message: Split,
    /// From the actual start to the last reply; open loop only.
    pub(crate) uncorrected: Option<Split>,
}

impl Latency {
    pub(crate) fn phase(&self, phase: Phase) -> &Split {
        match phase {
            Phase::Connect => &self.connect,
            Phase::Tls => &self.tls,
            Phase::Banner => &self.banner,
            Phase::Ehlo => &self.ehlo,
            Phase::Auth => &self.auth,
            Phase::Mail => &self.mail,
            Phase::Rcpt => &self.rcpt,
            Phase::Data => &self.data,
            Phase::Bdat => &self.bdat,
            Phase::Dot => &self.dot,
        }
    }

    /// What messages waited for until the run ended or they timed out: `2 for the greeting`. Empty if none did.
    pub(crate) fn waited(&self) -> String {
        let waited = Phase::ALL.into_iter().map(|phase| (phase, self.phase(phase).censored));
        let waited = waited.filter(|(_, count)| *count > 0);
        waited.map(|(phase, count)| format!("{count} for {}", phase.awaited())).collect::<Vec<_>>().join(", ")
    }

    /// Every kind of latency with its name: the phases, `message`, `uncorrected`.
    pub(crate) fn named(&self) -> Vec<(&'static str, &Split)> {
        let phases = Phase::ALL.into_iter().map(|phase| (phase.name(), self.phase(phase)));
        let mut all: Vec<_> = phases.collect();
        all.push(("message", &self.message));
        all.extend(self.uncorrected.iter().map(|split| ("uncorrected", split)));
        all
    }
}

/// One interval of the series, which includes the warm-up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct IntervalRow {
    /// Seconds from the start of the run to the interval's beginning.
    pub(crate) at_s: f64,
    /// The same for all rows but the last: one second, or a power of two in a run of more than 512 seconds.
    pub(crate) length_s: f64,
    pub(crate) started: u64,
    pub(crate) accepted: u64,
    pub(crate) errors: u64,
    pub(crate) in_flight: u64,
    /// A thread had no processor time left.
    pub(crate) starved: bool,
    /// Messages accepted in the interval.
    pub(crate) latency: Packed,
}

impl From<Interval> for IntervalRow {
    fn from(interval: Interval) -> IntervalRow {
        IntervalRow {
            at_s: interval.index as f64 * INTERVAL.as_secs_f64(),
            length_s: interval.length.as_secs_f64(),
            started: interval.started,
            accepted: interval.accepted,
            errors: interval.errors,
            in_flight: interval.in_flight,
            starved: interval.starved,
            latency: Distribution(interval.latency).into(),
        }
    }
}

/// Nanoseconds as text, in a fitting unit.
pub(crate) fn show_ns(nanos: u64) -> String {
    duration(Duration::from_nanos(nanos))
}
