//! How other threads reach a reactor: they leave a message in its mailbox and wake it. It reads them between two turns,
//! in their order, and answers those that are to be answered; nothing on the way of a mail is locked.

use std::collections::VecDeque;
use std::sync::mpsc::{self, Receiver, SendError, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mio::Waker;

use super::context::Service;
use crate::process::lock;
use crate::stats::{Additive, Stats};

/// What a reactor is asked for.
#[derive(Debug)]
pub(crate) enum Message {
    /// To stop; the strictest of several counts.
    Stop(StopOrder),
    /// To hand over what it has measured since the last time.
    Figures(Sender<Box<Stats>>),
    /// To serve by this from the next line of each session on, and to confirm it.
    Replace(Arc<Service>, Sender<()>),
}

/// How a server is to stop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StopOrder {
    /// How long sessions may go on.
    pub(crate) timeout: Duration,
    /// Those in which nothing is under way too.
    pub(crate) spares_idle: bool,
}

impl StopOrder {
    /// As soon as possible.
    pub(crate) const AT_ONCE: Self = Self { timeout: Duration::ZERO, spares_idle: false };
}

/// A reactor, for other threads.
#[derive(Debug)]
pub(crate) struct Control {
    mailbox: Arc<Mailbox>,
    waker: Waker,
}

impl Control {
    pub(super) fn new(mailbox: Arc<Mailbox>, waker: Waker) -> Self {
        Self { mailbox, waker }
    }

    /// Asks the reactor to stop. A reactor that is gone is not an error.
    pub(crate) fn stop(&self, order: StopOrder) {
        self.send(Message::Stop(order));
    }

    /// What the shard has measured since the last call; that takes as long as its present turn. `None` when it has ended
    /// and all was taken. One caller at a time.
    pub(crate) fn take_stats(&self) -> Option<Box<Stats>> {
        let (sender, receiver) = mpsc::channel();
        self.send(Message::Figures(sender));
        receiver.recv().ok().or_else(|| self.mailbox.take_rest())
    }

    /// Has all sessions served by this. The receiver gets a confirmation, or fails when the shard has ended.
    pub(crate) fn replace(&self, service: Arc<Service>) -> Receiver<()> {
        let (sender, receiver) = mpsc::channel();
        self.send(Message::Replace(service, sender));
        receiver
    }

    fn send(&self, message: Message) {
        self.mailbox.put(message);
        // A waker that fails is one whose reactor is gone.
        let _ = self.waker.wake();
    }
}

/// What was sent to a reactor and not read yet.
#[derive(Debug, Default)]
pub(super) struct Mailbox(Mutex<Mail>);

#[derive(Debug, Default)]
struct Mail {
    messages: VecDeque<Message>,
    /// The reactor has ended: nothing is read any more.
    is_closed: bool,
    /// What it had measured then, until it is taken.
    rest: Option<Box<Stats>>,
}

impl Mailbox {
    /// Where nobody will read it any more it is dropped, and with it the sender that an answer would be sent by.
    fn put(&self, message: Message) {
        let mut mail = lock(&self.0);
        if !mail.is_closed {
            mail.messages.push_back(message);
        }
    }

    /// The message that was left first, for the reactor. One at a time: those behind it stay where they are if it
    /// panics.
    pub(super) fn next(&self) -> Option<Message> {
        lock(&self.0).messages.pop_front()
    }

    fn take_rest(&self) -> Option<Box<Stats>> {
        lock(&self.0).rest.take()
    }

    /// The reactor ends. A caller that waits for an answer gets none, and finds the rest here.
    fn close(&self, rest: Box<Stats>) {
        let mut mail = lock(&self.0);
        debug_assert!(!mail.is_closed, "a reactor ends once");
        mail.is_closed = true;
        mail.rest = Some(rest);
        mail.messages.clear();
    }
}

/// What a shard gathers. When it is dropped, at the end or in a panic, what is left goes to the mailbox, which closes.
#[derive(Debug)]
pub(super) struct Gathering {
    pub(super) stats: Box<Stats>,
    mailbox: Arc<Mailbox>,
}

impl Gathering {
    pub(super) fn new(mailbox: Arc<Mailbox>) -> Self {
        Self { stats: Box::default(), mailbox }
    }

    /// Gives away what has gathered, and begins anew.
    pub(super) fn give(&mut self, to: &Sender<Box<Stats>>) {
        if let Err(SendError(unwanted)) = to.send(std::mem::take(&mut self.stats)) {
            self.stats.merge(&unwanted);
        }
    }
}

impl Drop for Gathering {
    fn drop(&mut self) {
        self.mailbox.close(std::mem::take(&mut self.stats));
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// A reactor that does nothing but read its mailbox.
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
    fn a_reader_gets_what_has_gathered_and_after_the_end_what_was_left() {
        let mailbox = Arc::<Mailbox>::default();
        let mut gathering = Gathering::new(Arc::clone(&mailbox));
        gathering.stats.sessions.opened += 2;
        obey(&mut gathering, &mailbox);
        assert_eq!(gathering.stats.sessions.opened, 2, "nobody asked");
        let asked = ask(&mailbox);
        obey(&mut gathering, &mailbox);
        assert_eq!(asked.recv().expect("what has gathered").sessions.opened, 2);
        gathering.stats.sessions.opened += 3;
        let [unread, late] = [(); 2].map(|()| ask(&mailbox));
        drop(gathering);
        assert!(unread.recv().is_err() && late.recv().is_err() && ask(&mailbox).recv().is_err());
        assert_eq!(mailbox.take_rest().expect("the rest").sessions.opened, 3);
        assert!(mailbox.take_rest().is_none());
    }

    #[test]
    fn what_a_reader_no_longer_wants_is_not_lost() {
        let mailbox = Arc::<Mailbox>::default();
        let mut gathering = Gathering::new(Arc::clone(&mailbox));
        gathering.stats.sessions.opened += 2;
        drop(ask(&mailbox));
        obey(&mut gathering, &mailbox);
        assert_eq!(gathering.stats.sessions.opened, 2);
    }

    #[test]
    fn a_reader_who_waits_for_a_dying_shard_is_not_left_waiting() {
        let mailbox = Arc::<Mailbox>::default();
        let gathering = Gathering::new(Arc::clone(&mailbox));
        let asked = ask(&mailbox);
        let dying = thread::spawn(move || drop(gathering));
        assert!(asked.recv().is_err());
        assert!(mailbox.take_rest().is_some_and(|stats| *stats == Stats::default()), "it was there before");
        dying.join().expect("it ends");
    }
}
