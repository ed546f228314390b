//! All counts and measurements of one thread.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::account::accounting::{Abort, Accounting, Outcome};
use crate::account::ledger::{Fate, Ledger};
use crate::account::texts::Texts;
use crate::client::phase::Phase;
use crate::client::sasl::Mechanism;
use crate::load::feed::Arrival;
use crate::load::part::Part;
use crate::load::plan::{Load, Plan};
use crate::measure::interval::Interval;
use crate::measure::metrics::{End, Metrics, Pair, record};
use crate::measure::outlook::Outlook;
use crate::measure::punctuality::Punctuality;
use crate::measure::steps::{StepCounts, Steps};
use crate::measure::work::Work;
use crate::time::clock::Moment;

/// A message in flight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    pub(crate) seq: u64,
    pub(crate) intended: Moment,
    pub(crate) started: Moment,
    /// Whether it is measured, or belongs to the warm-up.
    pub(crate) measured: bool,
    /// Whether it was counted as late.
    pub(crate) judged_late: bool,
}

/// What a TLS handshake has agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Secured {
    pub(crate) is_resumed: bool,
    /// Whether the version is TLS 1.3; it is 1.2 otherwise.
    pub(crate) is_1_3: bool,
}

/// TLS handshakes: `full` and `resumed` are all that are complete, and so are both versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Handshakes {
    pub(crate) full: u64,
    pub(crate) resumed: u64,
    /// Those that were begun and ended by either side, or by a timeout, before they were complete.
    pub(crate) failed: u64,
    pub(crate) tls_1_2: u64,
    pub(crate) tls_1_3: u64,
}

impl Handshakes {
    pub(crate) fn add(&mut self, secured: Secured) {
        *(if secured.is_resumed { &mut self.resumed } else { &mut self.full }) += 1;
        *(if secured.is_1_3 { &mut self.tls_1_3 } else { &mut self.tls_1_2 }) += 1;
    }

    fn merge(&mut self, other: &Handshakes) {
        self.full += other.full;
        self.resumed += other.resumed;
        self.failed += other.failed;
        self.tls_1_2 += other.tls_1_2;
        self.tls_1_3 += other.tls_1_3;
    }
}

/// Counts of connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sessions {
    /// Connection attempts.
    pub(crate) dialed: u64,
    /// Sessions with a positive reply to EHLO, and to AUTH where it is requested.
    pub(crate) established: u64,
    /// Sessions that the server ended without a message in flight.
    pub(crate) ended_idle: u64,
    /// Sessions closed because of what the server sent without a message in flight.
    pub(crate) protocol_errors: u64,
    /// Sessions with a successful AUTH, by [`Mechanism::index`].
    pub(crate) authenticated: [u64; Mechanism::COUNT],
    /// Sessions with a refused AUTH, likewise.
    pub(crate) auth_refused: [u64; Mechanism::COUNT],
    pub(crate) handshakes: Handshakes,
    /// Sessions with `--starttls opportunistic` in the clear, as STARTTLS was not offered.
    pub(crate) without_starttls: u64,
    /// Likewise, as it was refused.
    pub(crate) starttls_refused: u64,
    /// Sessions begun with HELO, as the server refused EHLO.
    pub(crate) without_ehlo: u64,
    /// Sessions with PIPELINING requested and not offered.
    pub(crate) without_pipelining: u64,
    /// Sessions with CHUNKING requested and not offered.
    pub(crate) without_chunking: u64,
    /// Sessions with DSN requested and not offered.
    pub(crate) without_dsn: u64,
    /// The most connections open at once (the sum of each thread's maximum).
    pub(crate) most_open: u64,
}

impl Sessions {
    pub(crate) fn merge(&mut self, other: &Sessions) {
        self.dialed += other.dialed;
        self.established += other.established;
        self.ended_idle += other.ended_idle;
        self.protocol_errors += other.protocol_errors;
        for (mine, theirs) in self.authenticated.iter_mut().zip(other.authenticated) {
            *mine += theirs;
        }
        for (mine, theirs) in self.auth_refused.iter_mut().zip(other.auth_refused) {
            *mine += theirs;
        }
        self.handshakes.merge(&other.handshakes);
        self.without_starttls += other.without_starttls;
        self.starttls_refused += other.starttls_refused;
        self.without_ehlo += other.without_ehlo;
        self.without_pipelining += other.without_pipelining;
        self.without_chunking += other.without_chunking;
        self.without_dsn += other.without_dsn;
        self.most_open += other.most_open;
    }
}

/// Connections to one address of the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Address {
    /// Connection attempts, and connections made.
    pub(crate) dialed: u64,
    pub(crate) connected: u64,
    /// Connections without a good greeting.
    pub(crate) ungreeted: u64,
    /// Why the last attempt had no good greeting.
    pub(crate) last_failure: Option<Miss>,
}

/// Why no session came about at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Miss {
    Failed(Abort),
    TimedOut,
    /// The greeting had this code.
    Refused(u16),
}

impl Miss {
    /// Whether this machine is at its limit: another address of the target would not help.
    pub(crate) fn is_own(self) -> bool {
        matches!(self, Miss::Failed(reason) if reason.is_own())
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Miss::Failed(reason) => reason.fmt(f),
            Miss::TimedOut => f.write_str("timed out"),
            Miss::Refused(code) => write!(f, "greeting {code}"),
        }
    }
}

/// Sessions with one of several targets, and its measured messages, without recipients.
#[derive(Clone, Debug)]
pub(crate) struct TargetCounts {
    pub(crate) established: u64,
    pub(crate) account: Accounting,
    /// From the intended start to the end.
    pub(crate) message: Pair,
}

impl TargetCounts {
    fn new() -> TargetCounts {
        TargetCounts { established: 0, account: Accounting::default(), message: Pair::new() }
    }
}

/// All counts and measurements of one thread.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) measured: Accounting,
    pub(crate) warmup: Accounting,
    pub(crate) metrics: Metrics,
    pub(crate) ledger: Option<Ledger>,
    pub(crate) sessions: Sessions,
    /// By index in the plan.
    pub(crate) addresses: Vec<Address>,
    /// By index in the plan; empty if there is one target only.
    pub(crate) targets: Vec<TargetCounts>,
    pub(crate) punctuality: Punctuality,
    pub(crate) outlook: Outlook,
    pub(crate) steps: Steps,
    /// What servers wrote in refusals.
    pub(crate) texts: Texts,
    /// The last message that failed.
    pub(crate) last_failure: Option<(Moment, Outcome)>,
    /// Messages without a final reply when the run ended, including the warm-up, by the phase in which they waited.
    pub(crate) waiting: BTreeMap<Phase, u64>,
    /// The end of the last measured message, or of the run if it was in flight.
    pub(crate) last_end: Moment,
    /// The end of the time over which the rate is computed: of the offered load, or of the last accepted message.
    pub(crate) offered_until: Moment,
    /// When the event loop began: later than the start of the run if the thread was late.
    pub(crate) began: Moment,
    pub(crate) work: Option<Work>,
    pub(crate) interval: Interval,
    /// The accounts at the end of the last interval: of measured messages, and of the warm-up.
    reported: [Accounting; 2],
    open_loop: bool,
    part: Part,
    measured_from: Moment,
}

impl Tally {
    pub(crate) fn new(plan: &Plan) -> Tally {
        Tally {
            measured: Accounting::default(),
            warmup: Accounting::default(),
            metrics: Metrics::new(),
            ledger: plan.has_ledger.then(Ledger::default),
            sessions: Sessions::default(),
            addresses: vec![Address::default(); plan.addresses.len()],
            targets: match plan.targets.len() {
                1 => Vec::new(),
                several => vec![TargetCounts::new(); several],
            },
            punctuality: Punctuality::new(plan),
            outlook: Outlook::new(plan),
            steps: Steps::new(plan),
            texts: Texts::default(),
            last_failure: None,
            waiting: BTreeMap::new(),
            last_end: Moment::ZERO,
            offered_until: Moment::ZERO,
            began: Moment::ZERO,
            work: None,
            interval: Interval::new(0),
            reported: Default::default(),
            open_loop: matches!(plan.load, Load::Open { .. }),
            part: plan.part,
            measured_from: Moment::ZERO.after(plan.warmup),
        }
    }

    /// Counts the start of a message. `able_since` is when the generator could have started it, had it been due.
    pub(crate) fn start(&mut self, arrival: Arrival, now: Moment, able_since: Moment) -> Flight {
        let measured = arrival.intended >= self.measured_from;
        self.account(measured).started += 1;
        self.interval.started += 1;
        if let Some(counts) = self.target(arrival.seq, measured) {
            counts.account.started += 1;
        }
        let mut judged_late = false;
        if self.open_loop && measured {
            if let Some(counts) = self.steps.at(arrival.intended) {
                counts.account.started += 1;
            }
            let (lag, late) = self.punctuality.judge_start(arrival.intended, now, able_since);
            record(&mut self.metrics.lag, lag);
            judged_late = late;
        }
        Flight { seq: arrival.seq, intended: arrival.intended, started: now, measured, judged_late }
    }

    /// Counts the end of a message. `has_left` is whether all of the message has left the process: the server can have
    /// it only then.
    pub(crate) fn settle(&mut self, flight: Flight, outcome: Outcome, has_left: bool, now: Moment) {
        self.account(flight.measured).settle(outcome, has_left);
        let end = match outcome {
            Outcome::Accepted => End::Ok,
            Outcome::Refused { .. } | Outcome::Aborted { .. } => End::Failed,
            Outcome::TimedOut { .. } => End::CutOff,
        };
        if end == End::Ok {
            self.outlook.on_success(now);
            self.interval.accepted += 1;
            record(&mut self.interval.latency, now.since(flight.intended));
            if flight.measured {
                self.offered_until = self.offered_until.max(now);
                self.steps.achieve(now);
            }
        } else {
            self.outlook.on_failure(flight.started);
            self.last_failure = Some((now, outcome));
            self.interval.errors += 1;
        }
        if let Some(counts) = self.measure(flight, end, now) {
            counts.account.settle(outcome, has_left);
        }
        if let Some(counts) = self.target(flight.seq, flight.measured) {
            counts.account.settle(outcome, has_left);
            counts.message.record(end, now.since(flight.intended));
        }
        let fate = match outcome {
            Outcome::Accepted => Fate::Accepted,
            Outcome::Refused { .. } => Fate::NotDelivered,
            Outcome::Aborted { .. } | Outcome::TimedOut { .. } => fate_of(has_left),
        };
        self.note(flight.seq, fate);
    }

    /// Counts a message without a final reply at the end of the run: an error with its age as latency.
    pub(crate) fn leave_in_flight(&mut self, flight: Flight, phase: Phase, has_left: bool, now: Moment) {
        self.account(flight.measured).leave_in_flight(has_left);
        *self.waiting.entry(phase).or_default() += 1;
        self.interval.errors += 1;
        if let Some(counts) = self.measure(flight, End::CutOff, now) {
            counts.account.leave_in_flight(has_left);
        }
        if let Some(counts) = self.target(flight.seq, flight.measured) {
            counts.account.leave_in_flight(has_left);
            counts.message.record(End::CutOff, now.since(flight.intended));
        }
        self.note(flight.seq, fate_of(has_left));
    }

    /// Measures a message that has ended or is cut off. Returns the step in which it was due.
    fn measure(&mut self, flight: Flight, end: End, now: Moment) -> Option<&mut StepCounts> {
        if !flight.measured {
            return None;
        }
        let latency = now.since(flight.intended);
        self.last_end = now;
        self.metrics.message.record(end, latency);
        if !self.open_loop {
            return None;
        }
        self.metrics.uncorrected.record(end, now.since(flight.started));
        let counts = self.steps.at(flight.intended)?;
        counts.message.record(end, latency);
        Some(counts)
    }

    /// Load was offered until `end`; later acceptances extend that.
    pub(crate) fn end_offer(&mut self, end: Moment) {
        self.offered_until = self.offered_until.max(end);
    }

    /// Counts an arrival that was due and never started; its wait is the latency of a failure.
    pub(crate) fn leave_unsent(&mut self, arrival: Arrival, now: Moment) {
        let measured = arrival.intended >= self.measured_from;
        self.account(measured).unsent += 1;
        self.interval.errors += 1;
        if measured {
            let wait = now.since(arrival.intended);
            self.metrics.message.record(End::CutOff, wait);
            if let Some(counts) = self.steps.at(arrival.intended) {
                counts.account.unsent += 1;
                counts.message.record(End::CutOff, wait);
            }
            if let Some(counts) = self.target(arrival.seq, true) {
                counts.account.unsent += 1;
                counts.message.record(End::CutOff, wait);
            }
            let lag = self.punctuality.judge_unsent(arrival.intended, now);
            record(&mut self.metrics.lag, lag);
        }
    }

    /// The counts of the target of a measured message, if there are several.
    fn target(&mut self, seq: u64, measured: bool) -> Option<&mut TargetCounts> {
        let targets = self.targets.len() as u64;
        if targets == 0 || !measured {
            return None;
        }
        self.targets.get_mut((seq % targets) as usize)
    }

    /// The account of measured messages, or of the warm-up.
    pub(crate) fn account(&mut self, measured: bool) -> &mut Accounting {
        if measured { &mut self.measured } else { &mut self.warmup }
    }

    /// Ends the interval and returns it.
    pub(crate) fn end_interval(
        &mut self,
        length: Duration,
        in_flight: u64,
        starved: Option<bool>,
    ) -> Interval {
        self.punctuality.end_interval(starved);
        let following = Interval::new(self.interval.index + 1);
        let mut ended = std::mem::replace(&mut self.interval, following);
        ended.length = length;
        ended.in_flight = in_flight;
        ended.starved = starved == Some(true);
        let [measured, warmup] = &mut self.reported;
        ended.measured = self.measured.since(measured);
        ended.warmup = self.warmup.since(warmup);
        measured.clone_from(&self.measured);
        warmup.clone_from(&self.warmup);
        ended
    }

    /// Adds the counts of another thread; intervals are merged elsewhere.
    pub(crate) fn merge(&mut self, other: &Tally) {
        self.measured.merge(&other.measured);
        self.warmup.merge(&other.warmup);
        self.metrics.merge(&other.metrics);
        self.sessions.merge(&other.sessions);
        for (mine, theirs) in self.addresses.iter_mut().zip(&other.addresses) {
            mine.dialed += theirs.dialed;
            mine.connected += theirs.connected;
            mine.ungreeted += theirs.ungreeted;
            mine.last_failure = mine.last_failure.or(theirs.last_failure);
        }
        for (mine, theirs) in self.targets.iter_mut().zip(&other.targets) {
            mine.established += theirs.established;
            mine.account.merge(&theirs.account);
            mine.message.merge(&theirs.message);
        }
        self.punctuality.merge(&other.punctuality);
        self.steps.merge(&other.steps);
        self.texts.merge(&other.texts);
        let failures = self.last_failure.into_iter().chain(other.last_failure);
        self.last_failure = failures.max_by_key(|(at, _)| *at);
        for (phase, count) in &other.waiting {
            *self.waiting.entry(*phase).or_default() += count;
        }
        self.last_end = self.last_end.max(other.last_end);
        self.offered_until = self.offered_until.max(other.offered_until);
        self.began = self.began.max(other.began);
        self.work = match (self.work, other.work) {
            (Some(mine), Some(theirs)) => {
                Some(Work { ran: mine.ran + theirs.ran, waited: mine.waited + theirs.waited })
            }
            _ => None,
        };
        if let (Some(mine), Some(theirs)) = (&mut self.ledger, &other.ledger) {
            mine.merge(theirs);
        }
    }

    fn note(&mut self, seq: u64, fate: Fate) {
        if let (Some(ledger), Some(nth)) = (&mut self.ledger, self.part.nth(seq)) {
            ledger.set(nth, fate);
        }
    }
}

/// The fate of a message without a final reply.
fn fate_of(has_left: bool) -> Fate {
    if has_left { Fate::InDoubt } else { Fate::NotDelivered }
}
