//! Worker threads for slow jobs: parsing and searching. They are started with the control plane, so that no request needs a new
//! one.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};

use hyper::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::http::budget::{Budget, Held};
use crate::http::reply::{Refusal, broken, error};
use crate::process::lock;

/// One searches, one waits for reactors, and one is free for short jobs.
const THREADS: usize = 3;

type Job = Box<dyn FnOnce() + Send>;

/// The client of a job has disconnected: the job ends without a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Abandoned;

/// Whether the client of a job still waits for it.
#[derive(Debug)]
pub(super) struct Asker(Weak<()>);

impl Asker {
    fn check(&self) -> Result<(), Abandoned> {
        if self.0.strong_count() > 0 { Ok(()) } else { Err(Abandoned) }
    }

    /// The chosen ones of these, in their order. Each choice may take long.
    ///
    /// # Errors
    /// The client has disconnected.
    pub(super) fn filter<T>(
        &self,
        all: impl IntoIterator<Item = T>,
        is_chosen: impl Fn(&T) -> bool,
    ) -> Result<Vec<T>, Abandoned> {
        let chosen = all.into_iter().map(|one| self.check().map(|()| is_chosen(&one).then_some(one)));
        chosen.filter_map(Result::transpose).collect()
    }
}

/// The threads of a desk. They have ended when this is dropped.
#[derive(Debug)]
pub(super) struct Workers {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

/// Runs jobs on its [`Workers`].
#[derive(Debug)]
pub(super) struct Desk {
    queue: Arc<Queue>,
    budget: Arc<Budget>,
    /// Held by a job that reads all mails.
    searching: Arc<Semaphore>,
    /// Held by a job that waits for reactors.
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
    pub(super) fn start(budget: Arc<Budget>) -> io::Result<(Self, Workers)> {
        let one = || Arc::new(Semaphore::new(1));
        let desk = Self { queue: Arc::default(), budget, searching: one(), asking: one() };
        let mut workers = Workers { queue: Arc::clone(&desk.queue), threads: Vec::new() };
        for _ in 0..THREADS {
            let queue = Arc::clone(&desk.queue);
            let thread = thread::Builder::new().name("smtpmock-mime".into()).spawn(move || queue.work())?;
            workers.threads.push(thread);
        }
        Ok((desk, workers))
    }

    /// Runs a short job: one that reads a few mails.
    ///
    /// # Errors
    /// 503 without memory for another reply, 500 if a bug ended the job.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        // Until the reply is counted, which is as soon as it is returned.
        let _reserved = self.reserve().await?;
        self.run(job).await
    }

    /// Memory for a reply.
    ///
    /// # Errors
    /// 503 if none becomes free in time.
    async fn reserve(&self) -> Result<Held, Refusal> {
        self.budget.reserve().await.ok_or_else(|| {
            let hint = "retry later: unread replies use all the memory for replies";
            error(StatusCode::SERVICE_UNAVAILABLE, "busy", "", hint)
        })
    }

    /// Runs a job that needs no memory for a reply.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        self.run_for(|_| Ok(job())).await
    }

    /// Runs a job that may end when its client has disconnected.
    async fn run_for<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Asker) -> Result<T, Abandoned> + Send + 'static,
    ) -> Result<T, Refusal> {
        let (done, result) = oneshot::channel();
        let asker = Arc::new(());
        let is_wanted = Asker(Arc::downgrade(&asker));
        let job = move || {
            // The client may have disconnected.
            if !done.is_closed()
                && let Ok(result) = job(&is_wanted)
            {
                let _ = done.send(result);
            }
        };
        lock(&self.queue.jobs).waiting.push_back(Box::new(job));
        self.queue.arrival.notify_one();
        // A job that panicked has dropped the sender.
        let result = result.await.map_err(|_| broken());
        drop(asker);
        result
    }

    /// Runs a job that examines all messages, until its client disconnects. One that reads their mails may take long, and waits
    /// for its turn.
    pub(super) async fn search<T: Send + 'static>(
        &self,
        reads_mails: bool,
        job: impl FnOnce(&Asker) -> Result<T, Abandoned> + Send + 'static,
    ) -> Result<T, Refusal> {
        let turn = if reads_mails { Some(take_turn(&self.searching).await?) } else { None };
        let _reserved = self.reserve().await?;
        self.run_for(move |asker| {
            let _turn = turn;
            job(asker)
        })
        .await
    }

    /// Runs a job that waits for the reactors. If a reactor waits for a slow capture, so does the job, and all after it. Its
    /// reply is small: no memory is reserved for it.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let turn = take_turn(&self.asking).await?;
        self.run(move || {
            let _turn = turn;
            job()
        })
        .await
    }
}

/// Takes the only turn. The job itself holds it until it is done.
async fn take_turn(of: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Refusal> {
    Arc::clone(of).acquire_owned().await.map_err(|_| broken())
}

impl Drop for Workers {
    /// Waits for running jobs; queued ones are dropped.
    fn drop(&mut self) {
        let waiting = {
            let mut jobs = lock(&self.queue.jobs);
            jobs.is_closed = true;
            std::mem::take(&mut jobs.waiting)
        };
        self.queue.arrival.notify_all();
        drop(waiting);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Queue {
    /// Runs jobs until the desk is closed.
    fn work(&self) {
        let mut jobs = lock(&self.jobs);
        while !jobs.is_closed {
            let Some(job) = jobs.waiting.pop_front() else {
                jobs = self.arrival.wait(jobs).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(jobs);
            // A mail on which a parser panics costs its own request the reply, and no other.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
            jobs = lock(&self.jobs);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn with_desk(test: impl AsyncFnOnce(Desk)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let (desk, _workers) = Desk::start(Arc::new(Budget::of_replies())).expect("threads");
        runtime.block_on(test(desk));
    }

    /// Polls a job until it runs on a thread of the desk.
    async fn begin(job: &mut (impl Future + Unpin), mut running: oneshot::Receiver<()>) {
        tokio::select! {
            biased;
            _ = &mut running => {}
            _ = job => panic!("the job has ended"),
        }
    }

    #[test]
    fn short_looks_are_answered_while_one_searches_and_one_asks() {
        with_desk(async |desk| {
            let block = || {
                let (go_on, blocked) = mpsc::channel::<()>();
                let (started, running) = oneshot::channel();
                let job = move || {
                    let _ = started.send(());
                    let _ = blocked.recv();
                };
                (go_on, running, job)
            };
            let (search_on, searching, search) = block();
            let mut search = Box::pin(desk.search(true, |_| {
                search();
                Ok(())
            }));
            begin(&mut search, searching).await;
            let (ask_on, asking, ask) = block();
            let mut ask = Box::pin(desk.ask(ask));
            begin(&mut ask, asking).await;
            let mut others: Vec<_> =
                (0..10).map(|number| Box::pin(desk.search(true, move |_| Ok(number)))).collect();
            for other in &mut others {
                let polled =
                    std::future::poll_fn(|context| std::task::Poll::Ready(other.as_mut().poll(context)));
                assert!(polled.await.is_pending(), "one search at a time");
            }
            assert!(matches!(desk.look(|| 1).await, Ok(1)));
            drop((search_on, ask_on));
            assert!(search.await.is_ok() && ask.await.is_ok());
            for (number, other) in others.into_iter().enumerate() {
                assert!(matches!(other.await, Ok(own) if own == number));
            }
        });
    }

    #[test]
    fn a_search_whose_client_has_gone_ends_at_the_next_mail() {
        with_desk(async |desk| {
            let (started, running) = oneshot::channel();
            let mut endless = Box::pin(desk.search(true, move |asker| {
                let _ = started.send(());
                asker.filter(std::iter::repeat(()), |()| {
                    thread::yield_now();
                    false
                })
            }));
            begin(&mut endless, running).await;
            drop(endless);
            assert!(matches!(desk.search(true, |_| Ok(1)).await, Ok(1)));
        });
    }

    #[test]
    fn no_job_runs_when_the_workers_have_been_dropped() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let (desk, workers) = Desk::start(Arc::new(Budget::of_replies())).expect("threads");
        let (ended, is_over) = mpsc::channel();
        runtime.block_on(async {
            let (started, running) = oneshot::channel();
            let mut asked = Box::pin(desk.ask(move || {
                let _ = started.send(());
                // Without a client it runs to its end.
                (0..1000).for_each(|_| thread::yield_now());
                let _ = ended.send(());
            }));
            begin(&mut asked, running).await;
        });
        drop(workers);
        assert!(is_over.try_recv().is_ok(), "the job that ran has ended");
    }

    fn panics(_: &Asker) -> Result<(), Abandoned> {
        std::panic::resume_unwind(Box::new(()))
    }

    #[test]
    fn a_job_that_panics_costs_one_reply() {
        with_desk(async |desk| {
            for _ in 0..2 * THREADS {
                assert!(desk.search(true, panics).await.is_err());
            }
            assert!(matches!(desk.look(|| 1).await, Ok(1)));
        });
    }
}
