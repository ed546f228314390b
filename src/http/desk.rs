//! Threads for what takes long: parsing and searching. They are started with the control plane, so that no request needs a new
//! one.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use tokio::sync::{Semaphore, oneshot};

use crate::http::budget::Budget;
use crate::http::reply::{Refusal, broken};
use crate::process::lock;

/// One searches, one waits for reactors, and one is free for what is short meanwhile.
const THREADS: usize = 3;

type Job = Box<dyn FnOnce() + Send>;

/// Runs jobs on threads of its own.
#[derive(Debug)]
pub(super) struct Desk {
    queue: Arc<Queue>,
    budget: Arc<Budget>,
    /// For what looks at all mails. The job itself has the permit: one whose client has gone goes on.
    searching: Arc<Semaphore>,
    /// For what waits for reactors.
    asking: Arc<Semaphore>,
}

#[derive(Default)]
struct Queue {
    jobs: Mutex<Jobs>,
    arrival: Condvar,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Queue")
    }
}

/// At most one for each connection.
#[derive(Default)]
struct Jobs {
    waiting: std::collections::VecDeque<Job>,
    is_closed: bool,
}

impl Desk {
    /// # Errors
    /// The system refuses a thread.
    pub(super) fn start(budget: Arc<Budget>) -> io::Result<Self> {
        let one = || Arc::new(Semaphore::new(1));
        let desk = Self { queue: Arc::default(), budget, searching: one(), asking: one() };
        for _ in 0..THREADS {
            let queue = Arc::clone(&desk.queue);
            thread::Builder::new().name("smtpmock-mime".into()).spawn(move || queue.work())?;
        }
        Ok(desk)
    }

    /// Runs what is short: the looks at a few mails.
    ///
    /// # Errors
    /// The reply where there is no room for another reply, or a bug ended the job.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        // Until the reply that is made is counted, which is as soon as it is here.
        let _reserved = self.budget.reserve().await?;
        self.run(job).await
    }

    async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
        let (done, result) = oneshot::channel();
        let job = move || {
            // Whoever asked may have gone.
            if !done.is_closed() {
                let _ = done.send(job());
            }
        };
        lock(&self.queue.jobs).waiting.push_back(Box::new(job));
        self.queue.arrival.notify_one();
        // A job that panicked has dropped the sender.
        result.await.map_err(|_| broken())
    }

    /// Runs what may take long: what looks at all mails.
    pub(super) async fn search<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let job = take_turn(&self.searching, job).await?;
        self.look(job).await
    }

    /// Runs what waits for the reactors. One that waits for a slow capture is waited for. Its reply is small: it needs no room.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let job = take_turn(&self.asking, job).await?;
        self.run(job).await
    }
}

/// A job that has the only turn, until it is done.
async fn take_turn<T>(
    of: &Arc<Semaphore>,
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<impl FnOnce() -> T + Send + 'static, Refusal> {
    let turn = Arc::clone(of).acquire_owned().await.map_err(|_| broken())?;
    Ok(move || {
        let _turn = turn;
        job()
    })
}

impl Drop for Desk {
    fn drop(&mut self) {
        lock(&self.queue.jobs).is_closed = true;
        self.queue.arrival.notify_all();
    }
}

impl Queue {
    /// A thread of the desk.
    fn work(&self) {
        let mut jobs = lock(&self.jobs);
        while !jobs.is_closed {
            let Some(job) = jobs.waiting.pop_front() else {
                jobs = self.arrival.wait(jobs).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(jobs);
            // A mail that a parser fails on costs one request its reply, and not the others theirs.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
            jobs = lock(&self.jobs);
        }
    }
}
