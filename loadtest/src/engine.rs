//! A run: its threads, its end, and what they counted, put together.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use mio::{Poll, Waker};

use crate::clock::{self, Clock};
use crate::envelope::Envelope;
use crate::feed::Feed;
use crate::payload::Payload;
use crate::plan::Plan;
use crate::reactor::{Reactor, Shared, WAKER};
use crate::tally::{Interval, Tally};

/// How often the main thread looks whether it was told to stop.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What a run was, before it is made into a report.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) tally: Tally,
    /// Merged over threads, in order.
    pub(crate) intervals: Vec<Interval>,
    pub(crate) began: SystemTime,
    pub(crate) ended: SystemTime,
    pub(crate) interrupted: bool,
}

/// Runs `plan`; `on_interval` is told of every interval when all threads have ended it.
pub(crate) fn run(
    plan: &Arc<Plan>,
    interrupt: &AtomicBool,
    mut on_interval: impl FnMut(&Interval),
) -> io::Result<Finished> {
    let (sender, receiver) = channel();
    // Made before the clock starts: large messages take seconds, which are none of the run.
    let payloads = vec![Payload::new(&plan.content, Envelope::of(plan), plan.run, plan.seed); plan.threads];
    let began = clock::wall();
    let shared = Shared {
        plan: Arc::clone(plan),
        clock: Clock::start(),
        stop: Arc::new(AtomicBool::new(false)),
        intervals: sender,
    };
    let (threads, wakers) = spawn(&shared, payloads)?;
    let stop = Arc::clone(&shared.stop);
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
    Ok(Finished { tally, intervals: collector.finish(), began, ended: clock::wall(), interrupted })
}

type Worker = JoinHandle<io::Result<Tally>>;

fn spawn(shared: &Shared, payloads: Vec<Payload>) -> io::Result<(Vec<Worker>, Vec<Waker>)> {
    let next = Arc::new(AtomicU64::new(0));
    let mut threads = Vec::new();
    let mut wakers = Vec::new();
    for (index, payload) in payloads.into_iter().enumerate() {
        let poll = Poll::new()?;
        wakers.push(Waker::new(poll.registry(), WAKER)?);
        let feed = Feed::new(&shared.plan, index, &next);
        let shared = shared.clone();
        let body = move || Reactor::new(shared, index, poll, feed, payload)?.run();
        threads.push(std::thread::Builder::new().name(format!("smtpload-{index}")).spawn(body)?);
    }
    Ok((threads, wakers))
}

fn drain(from: &Receiver<Interval>, into: &mut Collector, told: &mut impl FnMut(&Interval)) {
    for part in from.try_iter() {
        into.take(part, told);
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
    Ok(whole.unwrap_or_else(|| Tally::new(plan)))
}

/// Puts the threads' parts of each interval together.
#[derive(Debug)]
struct Collector {
    threads: usize,
    /// Intervals that some threads have not ended, with how many have.
    partial: BTreeMap<u64, (usize, Interval)>,
    complete: Vec<Interval>,
}

impl Collector {
    fn new(threads: usize) -> Collector {
        Collector { threads, partial: BTreeMap::new(), complete: Vec::new() }
    }

    fn take(&mut self, part: Interval, told: &mut impl FnMut(&Interval)) {
        let index = part.index;
        match self.partial.entry(index) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert((1, part));
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                let (count, whole) = entry.get_mut();
                *count += 1;
                whole.merge(&part);
            }
        }
        if self.partial.get(&index).is_some_and(|(count, _)| *count == self.threads)
            && let Some((_, whole)) = self.partial.remove(&index)
        {
            told(&whole);
            self.complete.push(whole);
        }
    }

    /// All intervals; those that threads which ended early had no part in, too.
    fn finish(mut self) -> Vec<Interval> {
        self.complete.extend(self.partial.into_values().map(|(_, whole)| whole));
        self.complete.sort_by_key(|interval| interval.index);
        self.complete
    }
}
