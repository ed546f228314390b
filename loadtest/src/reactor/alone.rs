//! A reactor before its run, for tests that call its parts themselves.

#![cfg(test)]

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::channel;

use clap::Parser as _;
use mio::Poll;

use super::{Reactor, Shared};
use crate::load::envelope::Envelope;
use crate::load::payload::Payload;
use crate::time::clock::Clock;

/// The first thread of a run with these arguments.
pub(super) fn reactor(args: &[&str]) -> Reactor {
    let typed = [&["smtpload"], args].concat();
    let cli = crate::program::cli::Cli::try_parse_from(typed).unwrap();
    let plan = Arc::new(cli.run.plan(|| 1).unwrap());
    let shared = Shared {
        plan: Arc::clone(&plan),
        clock: Clock::start(),
        term: None,
        stop: Arc::new(AtomicBool::new(false)),
        give_up: Arc::default(),
        next_client: Arc::default(),
        next: plan.targets.iter().map(|_| Arc::default()).collect(),
        intervals: channel().0,
    };
    let payload = Payload::new(&plan.content, Envelope::of(&plan), plan.run, plan.seed);
    Reactor::new(shared, 0, Poll::new().unwrap(), payload).unwrap()
}
