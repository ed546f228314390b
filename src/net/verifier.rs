//! Slow checks, of passwords hashed by bcrypt: they run one after another on one thread for all shards of a server, on
//! one core at most. A check belongs to one session, which waits for it, and ends with it: the number of checks is at
//! most that of sessions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use mio::Token;

use super::control::Control;
use crate::process::lock;
use crate::smtp::auth::Check;

/// Pending checks of all shards, in the order of submission.
#[derive(Debug, Default)]
pub(crate) struct CheckQueue(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    jobs: BTreeMap<u64, Job>,
    /// Number of the next check.
    next: u64,
    /// The thread that runs the checks; it ends when none is left.
    worker: Option<JoinHandle<()>>,
}

/// A check and the connection that waits for it.
#[derive(Debug)]
struct Job {
    token: Token,
    check: Box<Check>,
    /// The connection's reactor; `None` in a simulation, which runs the checks itself.
    control: Option<Arc<Control>>,
}

impl CheckQueue {
    /// Runs checks until none is left.
    fn work(&self) {
        loop {
            let mut waiting = lock(&self.0);
            let Some((_, job)) = waiting.jobs.pop_first() else {
                // Under the lock: a later check starts another thread.
                waiting.worker = None;
                return;
            };
            drop(waiting);
            job.run();
        }
    }
}

impl Job {
    fn run(self) {
        if let Some(control) = self.control {
            control.report(self.token, self.check.run());
        }
    }
}

#[derive(Debug)]
pub(super) struct Verifier {
    queue: Arc<CheckQueue>,
    control: Option<Arc<Control>>,
}

impl Verifier {
    /// Results arrive in the mailbox of `control`. Without one, a test takes the checks from the queue and runs them.
    pub(super) fn new(queue: Arc<CheckQueue>, control: Option<Arc<Control>>) -> Self {
        Self { queue, control }
    }

    /// Queues the check, unless its ticket is dropped before it begins.
    pub(super) fn submit(&self, token: Token, check: Box<Check>) -> Ticket {
        let memory = check.memory();
        let mut waiting = lock(&self.queue.0);
        let number = waiting.next;
        waiting.next += 1;
        waiting.jobs.insert(number, Job { token, check, control: self.control.clone() });
        // A worker that has finished without leaving the queue has panicked.
        let has_worker = waiting.worker.as_ref().is_some_and(|worker| !worker.is_finished());
        let mut refused = None;
        if self.control.is_some() && !has_worker {
            let queue = Arc::clone(&self.queue);
            waiting.worker =
                thread::Builder::new().name("smtpmock-auth".into()).spawn(move || queue.work()).ok();
            if waiting.worker.is_none() {
                refused = waiting.jobs.remove(&number);
            }
        }
        drop(waiting);
        if let Some(job) = refused {
            // No thread could be started: running the check here is better than refusing the client.
            job.run();
        }
        Ticket { queue: Arc::clone(&self.queue), number, memory }
    }

    #[cfg(test)]
    pub(super) fn next(&self) -> Option<(Token, Box<Check>)> {
        lock(&self.queue.0).jobs.pop_first().map(|(_, job)| (job.token, job.check))
    }

    /// No check is pending.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        lock(&self.queue.0).jobs.is_empty()
    }
}

/// A connection's claim on its check. Dropping it drops a check that has not begun, with its password.
#[derive(Debug)]
pub(super) struct Ticket {
    queue: Arc<CheckQueue>,
    number: u64,
    memory: usize,
}

impl Ticket {
    /// The check has not begun.
    pub(super) fn is_waiting(&self) -> bool {
        lock(&self.queue.0).jobs.contains_key(&self.number)
    }

    /// Bytes of the check in memory.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let job = lock(&self.queue.0).jobs.remove(&self.number);
        drop(job);
    }
}

#[cfg(all(test, feature = "auth"))]
mod tests {
    use super::*;
    use crate::smtp::auth::a_check;

    #[test]
    fn checks_run_in_order_but_for_those_that_nobody_waits_for() {
        let queue = Arc::<CheckQueue>::default();
        let shards = [(); 2].map(|()| Verifier::new(Arc::clone(&queue), None));
        let mut tickets: Vec<_> =
            (0..6).map(|number| shards[number % 2].submit(Token(number), a_check(b"secret"))).collect();
        assert!(tickets.iter().all(|ticket| ticket.is_waiting() && ticket.memory() > "secret".len()));
        tickets.drain(1..4);
        let left = std::iter::from_fn(|| shards[1].next()).map(|(Token(number), _)| number);
        assert_eq!(left.collect::<Vec<_>>(), [0, 4, 5]);
        assert!(tickets.iter().all(|ticket| !ticket.is_waiting()));
        drop(tickets);
        assert!(shards[0].is_empty());
    }
}
