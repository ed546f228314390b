//! Messages from other threads to a reactor. A sender puts a message into the reactor's mailbox and wakes the reactor,
//! which reads the mailbox in order, between two turns. Serving a mail takes no lock.

use std::collections::VecDeque;
use std::sync::mpsc::{self, Receiver, SendError, Sender};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, ThreadId};
use std::time::Duration;

use mio::{Token, Waker};

use super::context::Service;
use super::open_session::{Farewell, OpenSession};
#[cfg(feature = "http")]
use super::passages::Listeners;
use crate::process::lock;
use crate::smtp::auth::Checked;
use crate::stats::{Additive, Stats};

/// A request to a reactor.
#[derive(Debug)]
pub(crate) enum Message {
    /// Stop. The strictest of several requests applies.
    Stop(StopOrder),
    /// Send the figures measured since the last request.
    Figures(Sender<Box<Stats>>),
    /// Use this service from the next line of each session, and confirm it.
    Replace(Arc<Service>, Sender<()>),
    /// Stop or resume accepting connections, and confirm it.
    Pause(bool, Sender<()>),
    /// Send the state of these sessions.
    Sessions(SessionRange, Sender<Sessions>),
    /// End these sessions.
    End(EndOrder, Sender<Ended>),
    /// Announce the beginning and end of sessions to these listeners only.
    #[cfg(feature = "http")]
    Announce(Listeners),
    /// The result of a check for this connection.
    Checked(Token, Checked),
}

/// A part of the sessions, by number: copying a hundred thousand in one turn would stall the shard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionRange {
    /// Only sessions with a greater number.
    pub(crate) after: u64,
    /// At most this many, those with the smallest numbers.
    pub(crate) most: usize,
}

/// The sessions of a range.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    pub(crate) sessions: Vec<OpenSession>,
    /// All connections.
    pub(crate) total: usize,
    /// The greatest number of a session; 0 without sessions.
    pub(crate) newest: u64,
}

/// Sessions to end. Each takes a write: ending all at once would stall the shard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EndOrder {
    pub(crate) range: SessionRange,
    /// Only sessions up to this number.
    pub(crate) up_to: u64,
    pub(crate) farewell: Farewell,
}

/// The sessions that were ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ended {
    pub(crate) count: usize,
    /// The number after which to continue; `None` if none are left.
    pub(crate) last: Option<u64>,
}

/// How a server stops.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StopOrder {
    /// How long sessions may continue.
    pub(crate) timeout: Duration,
    /// Idle sessions may continue too.
    pub(crate) spares_idle: bool,
}

impl StopOrder {
    /// Stops without waiting.
    pub(crate) const AT_ONCE: Self = Self { timeout: Duration::ZERO, spares_idle: false };
}

/// The handle of a reactor for other threads.
#[derive(Debug)]
pub(crate) struct Control {
    mailbox: Arc<Mailbox>,
    waker: Waker,
    /// The reactor's thread, once it runs.
    thread: OnceLock<ThreadId>,
}

impl Control {
    pub(super) fn new(mailbox: Arc<Mailbox>, waker: Waker) -> Self {
        Self { mailbox, waker, thread: OnceLock::new() }
    }

    /// The reactor runs on this thread from now on.
    pub(super) fn begin(&self) {
        self.thread.get_or_init(|| thread::current().id());
    }

    /// This is the reactor's thread, as in a hook: it must not wait for the reactor to end.
    pub(crate) fn is_on_this_thread(&self) -> bool {
        self.thread.get() == Some(&thread::current().id())
    }

    /// This is the reactor's thread and the reactor runs: waiting here for its answer would deadlock.
    pub(crate) fn would_wait_for_itself(&self) -> bool {
        self.is_on_this_thread() && !lock(&self.mailbox.0).is_closed
    }

    /// The reactor has ended without a request; its failure has been reported, or will be.
    pub(crate) fn has_died(&self) -> bool {
        lock(&self.mailbox.0).has_died
    }

    /// Requests a stop. It is not an error if the reactor has ended.
    pub(crate) fn stop(&self, order: StopOrder) {
        self.send(Message::Stop(order));
    }

    /// The figures that the shard measured since the last call. Waits until the shard's current turn ends. `None` when
    /// the shard has ended and all figures were returned. One caller at a time.
    pub(crate) fn take_stats(&self) -> Option<Box<Stats>> {
        let (sender, receiver) = mpsc::channel();
        self.send(Message::Figures(sender));
        receiver.recv().ok().or_else(|| self.mailbox.take_rest())
    }

    /// Replaces the service of all sessions. The receiver gets a confirmation, or an error if the shard has ended.
    pub(crate) fn replace(&self, service: Arc<Service>) -> Receiver<()> {
        self.ask(|sender| Message::Replace(service, sender))
    }

    /// Pauses accepting, or resumes it. The receiver gets a confirmation, or an error if the shard has ended.
    pub(crate) fn pause(&self, is_paused: bool) -> Receiver<()> {
        self.ask(|sender| Message::Pause(is_paused, sender))
    }

    /// Requests the state of open sessions.
    pub(crate) fn sessions(&self, range: SessionRange) -> Receiver<Sessions> {
        self.ask(|sender| Message::Sessions(range, sender))
    }

    pub(crate) fn end(&self, order: EndOrder) -> Receiver<Ended> {
        self.ask(|sender| Message::End(order, sender))
    }

    /// Announces the beginning and end of sessions to these listeners only. Does not wait for confirmation.
    #[cfg(feature = "http")]
    pub(crate) fn announce(&self, to: Listeners) {
        self.send(Message::Announce(to));
    }

    fn ask<A>(&self, message: impl FnOnce(Sender<A>) -> Message) -> Receiver<A> {
        let (sender, receiver) = mpsc::channel();
        self.send(message(sender));
        receiver
    }

    /// Reports the result of a check. Dropped if the reactor has ended.
    pub(super) fn report(&self, token: Token, checked: Checked) {
        self.send(Message::Checked(token, checked));
    }

    fn send(&self, message: Message) {
        self.mailbox.put(message);
        // A waker fails only if its reactor has ended.
        let _ = self.waker.wake();
    }
}

/// Messages that the reactor has not read yet.
#[derive(Debug, Default)]
pub(super) struct Mailbox(Mutex<Mail>);

#[derive(Debug, Default)]
struct Mail {
    messages: VecDeque<Message>,
    /// The reactor has ended and reads no more messages.
    is_closed: bool,
    /// It ended without having been asked to.
    has_died: bool,
    /// The figures that were unsent when it ended, until they are taken.
    rest: Option<Box<Stats>>,
}

impl Mailbox {
    /// Puts a message. A closed mailbox drops it, and with it the sender of its answer.
    fn put(&self, message: Message) {
        let mut mail = lock(&self.0);
        if !mail.is_closed {
            mail.messages.push_back(message);
        }
    }

    /// Takes the oldest message. One at a time, so that later ones stay in the mailbox if the reactor panics.
    pub(super) fn next(&self) -> Option<Message> {
        lock(&self.0).messages.pop_front()
    }

    fn take_rest(&self) -> Option<Box<Stats>> {
        lock(&self.0).rest.take()
    }

    /// Closes the mailbox of a reactor that ends. A caller that waits for an answer gets an error and finds the
    /// remaining figures here.
    fn close(&self, rest: Box<Stats>, has_died: bool) {
        let mut mail = lock(&self.0);
        debug_assert!(!mail.is_closed, "a reactor ends once");
        mail.is_closed = true;
        mail.has_died = has_died;
        mail.rest = Some(rest);
        mail.messages.clear();
    }
}

/// The figures of a shard. When dropped, at its end or by a panic, it moves the remaining figures to the mailbox and
/// closes it.
#[derive(Debug)]
pub(super) struct Gathering {
    pub(super) stats: Box<Stats>,
    mailbox: Arc<Mailbox>,
    /// The reactor ends at a request.
    ends_as_asked: bool,
}

impl Gathering {
    pub(super) fn new(mailbox: Arc<Mailbox>) -> Self {
        Self { stats: Box::default(), mailbox, ends_as_asked: false }
    }

    /// The reactor ends at a request: otherwise dropping this is a failure.
    pub(super) fn end_as_asked(&mut self) {
        self.ends_as_asked = true;
    }

    /// Sends the figures collected so far and restarts from zero.
    pub(super) fn give(&mut self, to: &Sender<Box<Stats>>) {
        if let Err(SendError(unwanted)) = to.send(std::mem::take(&mut self.stats)) {
            self.stats.merge(&unwanted);
        }
    }
}

impl Drop for Gathering {
    fn drop(&mut self) {
        self.mailbox.close(std::mem::take(&mut self.stats), !self.ends_as_asked);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// A reactor that only reads its mailbox.
    fn obey(gathering: &mut Gathering, mailbox: &Mailbox) {
        while let Some(message) = mailbox.next() {
            if let Message::Figures(sender) = message {
                gathering.give(&sender);
            }
        }
    }

    fn ask(mailbox: &Mailbox) -> Receiver<Box<Stats>> {
        let (sender, receiver) = mpsc::channel();
        mailbox.put(Message::Figures(sender));
        receiver
    }

    #[test]
    fn a_reader_gets_the_collected_figures_and_after_the_end_the_remaining_ones() {
        let mailbox = Arc::<Mailbox>::default();
        let mut gathering = Gathering::new(Arc::clone(&mailbox));
        gathering.stats.sessions.opened += 2;
        obey(&mut gathering, &mailbox);
        assert_eq!(gathering.stats.sessions.opened, 2, "no figures were requested");
        let asked = ask(&mailbox);
        obey(&mut gathering, &mailbox);
        assert_eq!(asked.recv().expect("the collected figures").sessions.opened, 2);
        gathering.stats.sessions.opened += 3;
        let [unread, late] = [(); 2].map(|()| ask(&mailbox));
        drop(gathering);
        assert!(unread.recv().is_err() && late.recv().is_err() && ask(&mailbox).recv().is_err());
        assert_eq!(mailbox.take_rest().expect("the remaining figures").sessions.opened, 3);
        assert!(mailbox.take_rest().is_none());
    }

    #[test]
    fn a_reactor_that_was_not_asked_to_end_has_died() {
        for ends_as_asked in [true, false] {
            let mailbox = Arc::<Mailbox>::default();
            let mut gathering = Gathering::new(Arc::clone(&mailbox));
            if ends_as_asked {
                gathering.end_as_asked();
            }
            assert!(!lock(&mailbox.0).has_died, "it runs");
            drop(gathering);
            assert_eq!(lock(&mailbox.0).has_died, !ends_as_asked);
        }
    }

    #[test]
    fn figures_are_not_lost_if_their_reader_has_gone() {
        let mailbox = Arc::<Mailbox>::default();
        let mut gathering = Gathering::new(Arc::clone(&mailbox));
        gathering.stats.sessions.opened += 2;
        drop(ask(&mailbox));
        obey(&mut gathering, &mailbox);
        assert_eq!(gathering.stats.sessions.opened, 2);
    }

    #[test]
    fn a_reader_does_not_wait_for_ever_for_a_shard_that_ends() {
        let mailbox = Arc::<Mailbox>::default();
        let gathering = Gathering::new(Arc::clone(&mailbox));
        let asked = ask(&mailbox);
        let dying = thread::spawn(move || drop(gathering));
        assert!(asked.recv().is_err());
        assert!(
            mailbox.take_rest().is_some_and(|stats| *stats == Stats::default()),
            "the figures were available before the answer"
        );
        dying.join().expect("the thread ends");
    }
}
