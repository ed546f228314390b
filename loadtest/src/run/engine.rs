//! Starts the threads of a run, ends it, and merges their counts.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mio::{Poll, Waker};

use crate::load::envelope::Envelope;
use crate::load::payload::Payload;
use crate::load::plan::Plan;
use crate::load::start::StartAt;
use crate::measure::interval::Interval;
use crate::measure::tally::Tally;
use crate::reactor::{Reactor, Shared, WAKER};
use crate::report::series::Series;
use crate::time::clock::{self, Clock};
use crate::time::lease::Lease;

/// How often the main thread checks for an interrupt.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The result of a run, input of its report.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) tally: Tally,
    /// Merged over threads.
    pub(crate) intervals: Series,
    pub(crate) began: SystemTime,
    pub(crate) ended: SystemTime,
    pub(crate) interrupted: bool,
    /// If the run was given up: the time without a success.
    pub(crate) given_up: Option<Duration>,
}

/// What lets a run go on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Permit<'a> {
    /// Set when it must end.
    pub(crate) interrupt: &'a AtomicBool,
    /// It ends by itself when this is over.
    pub(crate) lease: Option<&'a Lease>,
}

impl Permit<'_> {
    /// The permission of a run that only an interrupt ends early.
    pub(crate) fn until(interrupt: &AtomicBool) -> Permit<'_> {
        Permit { interrupt, lease: None }
    }
}

/// The time before the start at which the threads are started.
const AHEAD: Duration = Duration::from_millis(100);

/// The time from now until an instant; `Err` has the time since then if it is past.
pub(crate) fn until(start: StartAt) -> Result<Duration, Duration> {
    let (start, now) = (start.elapsed(), clock::since_1970());
    start.checked_sub(now).ok_or(now.saturating_sub(start))
}

/// Waits until shortly before `start`, by the time of day, which may be set meanwhile. Returns `false` after a signal.
fn await_start(start: StartAt, interrupt: &AtomicBool) -> bool {
    while let Ok(left) = until(start)
        && left > AHEAD
    {
        if interrupt.load(Ordering::Relaxed) {
            return false;
        }
        std::thread::sleep(LOOK_EVERY.min(left - AHEAD));
    }
    true
}

/// Runs `plan` from its start on; calls `on_start` when it has started, and `on_interval` for every interval that all threads
/// have ended. `None` if it was interrupted before.
pub(crate) fn run(
    plan: &Arc<Plan>,
    permit: Permit<'_>,
    on_start: impl FnOnce(),
    mut on_interval: impl FnMut(&Interval),
) -> io::Result<Option<Finished>> {
    let Permit { interrupt, lease } = permit;
    let (sender, receiver) = channel();
    // Built before the clock starts: large messages take seconds that do not belong to the run.
    let payloads = vec![Payload::new(&plan.content, Envelope::of(plan), plan.run, plan.seed); plan.threads];
    let began = match plan.start_at {
        Some(start) if !await_start(start, interrupt) => return Ok(None),
        Some(start) => UNIX_EPOCH + start.elapsed(),
        None => clock::wall(),
    };
    let clock = plan.start_at.map_or_else(Clock::start, |start| Clock::starting_at(start.elapsed()));
    let shared = Shared {
        plan: Arc::clone(plan),
        clock,
        term: lease.map(|lease| lease.of_run(&clock)),
        stop: Arc::new(AtomicBool::new(false)),
        give_up: Arc::default(),
        next_client: Arc::default(),
        next: plan.targets.iter().map(|_| Arc::default()).collect(),
        intervals: sender,
    };
    let (threads, wakers) = spawn(&shared, payloads)?;
    on_start();
    let stop = Arc::clone(&shared.stop);
    let give_up = Arc::clone(&shared.give_up);
    drop(shared);
    let mut collector = Collector::new(plan.threads);
    let mut interrupted = false;
    loop {
        match receiver.recv_timeout(LOOK_EVERY) {
            Ok(part) => collector.take(part, &mut on_interval),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if interrupt.load(Ordering::Relaxed) && !interrupted {
            interrupted = true;
            stop.store(true, Ordering::Relaxed);
            wakers.iter().try_for_each(Waker::wake)?;
        }
    }
    drain(&receiver, &mut collector, &mut on_interval);
    let tally = join(threads, plan)?;
    Ok(Some(Finished {
        tally,
        intervals: collector.finish(),
        began,
        ended: clock::wall(),
        // By the caller, or by an event loop whose lease is over.
        interrupted: stop.load(Ordering::Relaxed),
        given_up: give_up.given_up.get().copied(),
    }))
}

impl Finished {
    /// Of a run that was interrupted before its start.
    #[cfg(feature = "fleet")]
    pub(crate) fn before_the_start(plan: &Plan) -> Finished {
        let now = clock::wall();
        Finished {
            tally: Tally::new(plan),
            intervals: Series::new(),
            began: now,
            ended: now,
            interrupted: true,
            given_up: None,
        }
    }
}

type Worker = JoinHandle<io::Result<Tally>>;

fn spawn(shared: &Shared, payloads: Vec<Payload>) -> io::Result<(Vec<Worker>, Vec<Waker>)> {
    let mut threads = Vec::new();
    let mut wakers = Vec::new();
    for (index, payload) in payloads.into_iter().enumerate() {
        let poll = Poll::new()?;
        wakers.push(Waker::new(poll.registry(), WAKER)?);
        let shared = shared.clone();
        let body = move || Reactor::new(shared, index, poll, payload)?.run();
        let thread = std::thread::Builder::new().name(format!("smtpload-{index}")).spawn(body);
        let no_thread = |error: io::Error| {
            io::Error::new(error.kind(), format!("starting a thread for event loop {index}: {error}"))
        };
        threads.push(thread.map_err(no_thread)?);
    }
    Ok((threads, wakers))
}

fn drain(from: &Receiver<Interval>, into: &mut Collector, on_interval: &mut impl FnMut(&Interval)) {
    for part in from.try_iter() {
        into.take(part, on_interval);
    }
}

fn join(threads: Vec<Worker>, plan: &Plan) -> io::Result<Tally> {
    let mut whole: Option<Tally> = None;
    for thread in threads {
        let tally = thread.join().map_err(|_| io::Error::other("a thread of the generator panicked"))??;
        match &mut whole {
            None => whole = Some(tally),
            Some(whole) => whole.merge(&tally),
        }
    }
    let whole = whole.unwrap_or_else(|| Tally::new(plan));
    debug_assert!(whole.measured.balances() && whole.warmup.balances(), "{whole:?}");
    Ok(whole)
}

/// Merges the threads' parts of each interval.
#[derive(Debug)]
struct Collector {
    threads: usize,
    /// The last interval of each thread that has ended.
    ended: Vec<u64>,
    /// Intervals that some threads have not ended yet, with the number of those that have.
    partial: BTreeMap<u64, (usize, Interval)>,
    complete: Series,
}

impl Collector {
    fn new(threads: usize) -> Collector {
        Collector { threads, ended: Vec::new(), partial: BTreeMap::new(), complete: Series::new() }
    }

    fn take(&mut self, part: Interval, on_interval: &mut impl FnMut(&Interval)) {
        if part.is_last {
            self.ended.push(part.index);
        }
        match self.partial.entry(part.index) {
            Entry::Vacant(entry) => {
                entry.insert((1, part));
            }
            Entry::Occupied(mut entry) => {
                let (count, whole) = entry.get_mut();
                *count += 1;
                whole.merge(&part);
            }
        }
        while let Some(entry) = self.partial.first_entry() {
            let (count, whole) = entry.get();
            let missing = self.ended.iter().filter(|last| **last < whole.index).count();
            if count + missing < self.threads {
                break;
            }
            let (_, whole) = entry.remove();
            on_interval(&whole);
            self.complete.push(whole.into());
        }
    }

    /// All intervals; each is complete unless a thread panicked.
    fn finish(mut self) -> Series {
        for (_, whole) in self.partial.into_values() {
            self.complete.push(whole.into());
        }
        self.complete
    }
}

#[cfg(test)]
#[allow(dead_code, reason = "shared with the tests of the program, which use the rest")]
#[path = "../../tests/it/support/sink.rs"]
mod sink; // an SMTP server that follows a test's script

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use clap::Parser as _;

    use super::sink::{Act, Sink, Verb};
    use super::*;
    use crate::program::cli::Cli;
    use crate::report::{Report, text};
    use crate::run::build;
    #[cfg(feature = "fleet")]
    use crate::time::clock::Moment;

    /// Runs a load on a name with these addresses.
    fn run_on(addresses: &[SocketAddr], load: &str) -> Report {
        let typed = ["smtpload", "trio:25"].into_iter().chain(load.split_ascii_whitespace());
        let cli = Cli::try_parse_from(typed).unwrap();
        let plan = Arc::new(cli.run.plan_with(|| 1, |_| Ok(addresses.to_vec())).unwrap());
        let run = run(&plan, Permit::until(&AtomicBool::new(false)), || {}, |_| {}).unwrap().unwrap();
        build::report(&plan, run)
    }

    fn counts(report: &Report) -> Vec<(u64, u64)> {
        report.addresses.iter().map(|one| (one.dialed, one.connected)).collect()
    }

    #[test]
    #[cfg(target_os = "linux")] // where all of 127.0.0.0/8 is this machine
    fn every_address_of_a_name_is_tried_until_one_answers() {
        let sink = Sink::usual();
        let alive: SocketAddr = sink.address().parse().unwrap();
        let dead = |host: u8| SocketAddr::from(([127, 0, 0, host], alive.port()));
        let report = run_on(&[dead(2), dead(3), alive, dead(4)], "-c 1 --count 5 --messages-per-session 1");
        assert_eq!(report.accounting.measured.accepted, 5);
        assert_eq!(counts(&report), [(1, 0), (1, 0), (5, 5), (0, 0)], "what answered comes first then");
        assert_eq!((report.latency.connect.ok.count(), report.latency.connect.failed.count()), (5, 2));
        let shown = text::render(&report);
        for line in [
            format!("address     {}: 1 dialed, 0 connected (last: connection refused)", dead(2)),
            format!("address     {alive}: 5 dialed, 5 connected"),
        ] {
            assert!(shown.contains(&line), "{line} in {shown}");
        }
    }

    #[test]
    fn a_refusing_greeting_leads_to_the_next_address_of_the_same_message() {
        let address = |sink: &Sink| sink.address().parse::<SocketAddr>().unwrap();
        for (greeting, quits) in [(Act::Say("554 no\r\n"), 1), (Act::SayAndClose("421 full\r\n"), 0)] {
            let (refusing, serving) = (Sink::answering(Verb::Banner, greeting), Sink::usual());
            let closing = Sink::answering(Verb::Banner, Act::Close);
            let all = [address(&refusing), address(&closing), address(&serving)];
            let report = run_on(&all, "-c 1 --count 3 --messages-per-session 1");
            assert_eq!(report.accounting.measured.accepted, 3);
            assert_eq!(report.accounting.measured.errors(), 0);
            assert_eq!(counts(&report), [(1, 1), (1, 1), (3, 3)]);
            let ungreeted: Vec<u64> = report.addresses.iter().map(|one| one.ungreeted).collect();
            assert_eq!(ungreeted, [1, 1, 0]);
            let banner = &report.latency.banner;
            assert_eq!((banner.ok.count(), banner.failed.count()), (3, 2), "every greeting is measured");
            let code = if quits == 1 { 554 } else { 421 };
            let line = format!("{}: 1 dialed, 1 connected, 1 without a good", all[0]);
            let shown = text::render(&report);
            assert!(
                shown.contains(&line) && shown.contains(&format!("(last: greeting {code})")),
                "{line} in {shown}"
            );
        }
    }

    #[test]
    fn a_message_is_refused_by_the_last_address_when_all_greetings_refuse() {
        let sinks = ["421 full\r\n", "554 no\r\n"].map(|text| Sink::answering(Verb::Banner, Act::Say(text)));
        let all = sinks.each_ref().map(|sink| sink.address().parse().unwrap());
        let report = run_on(&all, "-c 1 --count 4");
        assert_eq!((report.accounting.measured.started, report.accounting.measured.accepted), (4, 0));
        let refused: u64 = report.accounting.measured.refused.values().sum();
        assert_eq!(refused, 4, "once each: {:?}", report.accounting.measured);
        assert_eq!(counts(&report), [(4, 4), (4, 4)]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_message_is_aborted_when_no_address_answers() {
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).unwrap().port();
        let dead = [2, 3].map(|host| SocketAddr::from(([127, 0, 0, host], port)));
        let report = run_on(&dead, "-c 1 --count 4");
        assert_eq!(report.accounting.measured.aborted_total(), 4);
        assert_eq!(counts(&report), [(4, 0), (4, 0)]);
    }

    /// Runs a load with a lease that ends so long after this call; messages in flight then have no time.
    #[cfg(feature = "fleet")]
    fn run_within(lease: Duration, sink: &Sink, load: &str) -> Report {
        let typed = ["smtpload", "localhost:25"].into_iter().chain(load.split_ascii_whitespace());
        let cli = Cli::try_parse_from(typed).unwrap();
        let address = sink.address().parse().unwrap();
        let plan = Arc::new(cli.run.plan_with(|| 1, |_| Ok(vec![address])).unwrap());
        let lease = Lease::new(Clock::start(), Moment::ZERO.after(lease), Duration::ZERO);
        let permit = Permit { interrupt: &AtomicBool::new(false), lease: Some(&lease) };
        build::report(&plan, run(&plan, permit, || {}, |_| {}).unwrap().unwrap())
    }

    #[test]
    #[cfg(feature = "fleet")]
    fn a_run_whose_lease_is_over_starts_no_message_without_an_interrupt() {
        let sink = Sink::usual();
        for load in ["--rate 5000/s --duration 10m", "-c 9 --duration 10m"] {
            let report = run_within(Duration::ZERO, &sink, load);
            assert!(report.interrupted);
            assert_eq!((report.accounting.measured.started, report.sessions.dialed), (0, 0));
        }
    }

    #[test]
    #[cfg(feature = "fleet")]
    fn messages_that_wait_when_the_lease_is_over_are_ended() {
        // Nothing comes from the server, and the run itself would wait for minutes.
        let sink = Sink::answering(Verb::Rcpt, Act::Silence);
        let report = run_within(Duration::from_secs(1), &sink, "-c 3 --count 9 --grace 10m --timeout 10m");
        assert!(report.interrupted);
        let account = &report.accounting.measured;
        assert_eq!((account.started, account.in_flight), (3, 3));
    }

    #[test]
    fn an_interval_is_complete_when_every_thread_that_runs_has_ended_it() {
        let mut collector = Collector::new(2);
        let mut seen = Vec::new();
        let parts = [(0, false), (0, true), (1, false), (2, false), (3, true)];
        for (index, is_last) in parts {
            let part = Interval { is_last, started: 1, ..Interval::new(index) };
            collector.take(part, &mut |whole| seen.push((whole.index, whole.started)));
            assert!(collector.partial.len() <= 1, "a thread that has ended is not awaited");
        }
        assert_eq!(seen, [(0, 2), (1, 1), (2, 1), (3, 1)]);
        assert_eq!(collector.finish().into_rows().len(), 4);
    }
}
