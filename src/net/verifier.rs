//! Runs checks that take long, passwords hashed by bcrypt, on a thread of its own: other sessions of the shard are not
//! delayed. A check belongs to one session, which waits for it, so that no more of them wait than there are sessions.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use mio::Token;

use super::control::Control;
use crate::smtp::auth::Check;

/// A check, and the connection that waits for it.
type Job = (Token, Box<Check>);

/// Gives checks to a thread, which is started with the first of them, and ends after the present one when this is dropped.
pub(super) struct Verifier {
    control: Arc<Control>,
    jobs: Option<Sender<Job>>,
}

impl Verifier {
    pub(super) fn new(control: Arc<Control>) -> Self {
        Self { control, jobs: None }
    }

    /// Runs the check. Its result comes by the mailbox.
    pub(super) fn run(&mut self, job: Job) {
        let unsent = match self.jobs.get_or_insert_with(|| start(&self.control)).send(job) {
            Ok(()) => return,
            Err(mpsc::SendError(job)) => job,
        };
        // No thread could be started: this one does it, rather than that a client is refused for it.
        self.jobs = None;
        let (token, check) = unsent;
        self.control.report(token, check.run());
    }
}

/// The way to a new thread; a closed one if there is none.
fn start(control: &Arc<Control>) -> Sender<Job> {
    let (jobs, receiver) = mpsc::channel();
    let control = Arc::clone(control);
    // An error drops the receiver.
    let _ = thread::Builder::new().name("smtpmock-auth".into()).spawn(move || work(&receiver, &control));
    jobs
}

fn work(jobs: &Receiver<Job>, control: &Control) {
    while let Ok((token, check)) = jobs.recv() {
        if control.has_ended() {
            return;
        }
        control.report(token, check.run());
    }
}
