//! The pending events of a client, within a bound. Pure.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use hyper::body::Bytes;

/// Largest number of pending events.
pub(super) const MOST_EVENTS: usize = 1024;
/// Largest number of their octets.
const MOST_OCTETS: usize = 512 << 10;
/// Octets that are sent at once, approximately.
const AT_ONCE: usize = 16 << 10;

/// Events as octets, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Queue {
    frames: VecDeque<Bytes>,
    /// Not an event; sent before the events.
    comment: Option<Bytes>,
    octets: usize,
    /// Older ones that were dropped since the client was last sent their number.
    missed: u64,
    waker: Option<Waker>,
    is_closed: bool,
    /// Nothing was taken since the last check.
    is_untaken: bool,
}

impl Queue {
    /// Adds an event. At the bound it replaces the oldest.
    pub(super) fn push(&mut self, frame: Bytes) {
        if self.is_closed {
            return;
        }
        self.octets += frame.len();
        self.frames.push_back(frame);
        self.drop_surplus();
        self.wake();
    }

    /// Adds events that are older than all others, after the count of those that were older still and are not sent.
    pub(super) fn prepend(&mut self, missed: u64, frames: Vec<Bytes>) {
        if self.is_closed {
            return;
        }
        if self.missed > 0 {
            // Newer events were dropped already, and the count leaves first.
            self.missed += missed + frames.len() as u64;
        } else {
            self.missed = missed;
            self.octets += frames.iter().map(Bytes::len).sum::<usize>();
            self.frames = frames.into_iter().chain(self.frames.drain(..)).collect();
            self.drop_surplus();
        }
        self.wake();
    }

    fn drop_surplus(&mut self) {
        while self.frames.len() > MOST_EVENTS || self.octets > MOST_OCTETS {
            let Some(oldest) = self.frames.pop_front() else { break };
            self.octets -= oldest.len();
            self.missed += 1;
        }
    }

    /// Sends this next, unless something else waits: it is no event, and none is dropped or counted for it.
    pub(super) fn comment(&mut self, text: Bytes) {
        if !self.is_closed && self.frames.is_empty() && self.missed == 0 {
            // A heartbeat must not replace the first comment of a client whose backlog is read.
            self.comment.get_or_insert(text);
            self.wake();
        }
    }

    /// Counts dropped events that are older than those added from now on.
    pub(super) fn miss(&mut self, count: u64) {
        if count > 0 && !self.is_closed {
            // Pending events are older still, and would follow the count.
            self.missed += count + self.frames.len() as u64;
            self.frames.clear();
            self.octets = 0;
            self.wake();
        }
    }

    /// Closes the queue: pending events are dropped.
    pub(super) fn close(&mut self) {
        *self = Self { is_closed: true, waker: self.waker.take(), ..Self::default() };
        self.wake();
    }

    /// Whether something is pending, and nothing was taken since the last call.
    pub(super) fn is_untaken(&mut self) -> bool {
        std::mem::replace(&mut self.is_untaken, true) && (self.comment.is_some() || !self.frames.is_empty())
    }

    /// The next events, after the count of those that were dropped before them.
    pub(super) fn poll_take(&mut self, context: &Context<'_>) -> Poll<Option<Bytes>> {
        if self.is_closed {
            return Poll::Ready(None);
        }
        if self.frames.is_empty() && self.missed == 0 && self.comment.is_none() {
            self.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        self.is_untaken = false;
        let mut taken = self.comment.take().map(Vec::from).unwrap_or_default();
        if self.missed > 0 {
            let missed = std::mem::take(&mut self.missed);
            taken.extend_from_slice(format!("event: missed\ndata: {{\"count\":{missed}}}\n\n").as_bytes());
        }
        while let Some(frame) = self.frames.front()
            && (taken.is_empty() || taken.len() + frame.len() <= AT_ONCE)
        {
            taken.extend_from_slice(frame);
            self.octets -= frame.len();
            self.frames.pop_front();
        }
        Poll::Ready(Some(taken.into()))
    }

    fn wake(&mut self) {
        self.waker.take().into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(queue: &mut Queue) -> Option<String> {
        match queue.poll_take(&Context::from_waker(Waker::noop())) {
            Poll::Ready(taken) => taken.map(|octets| String::from_utf8_lossy(&octets).into_owned()),
            Poll::Pending => Some("pending".into()),
        }
    }

    fn frame(number: usize) -> Bytes {
        Bytes::from(format!("{number};"))
    }

    #[test]
    fn events_leave_in_their_order_and_together() {
        let mut queue = Queue::default();
        assert_eq!(take(&mut queue).as_deref(), Some("pending"));
        (1..=3).for_each(|number| queue.push(frame(number)));
        assert_eq!(take(&mut queue).as_deref(), Some("1;2;3;"));
        assert_eq!(take(&mut queue).as_deref(), Some("pending"));
    }

    #[test]
    fn a_client_that_is_slow_gets_the_newest_after_the_count_of_the_others() {
        let mut queue = Queue::default();
        (0..MOST_EVENTS + 5).for_each(|number| queue.push(frame(number)));
        let taken = take(&mut queue).expect("open");
        assert!(taken.starts_with("event: missed\ndata: {\"count\":5}\n\n5;6;7;"), "{taken}");
        assert!(taken.len() <= AT_ONCE);
        // Octets are bounded too, in total and at once.
        let large = Bytes::from(vec![b'x'; MOST_OCTETS / 4]);
        (0..100).for_each(|_| queue.push(large.clone()));
        assert!(queue.octets <= MOST_OCTETS && queue.frames.len() == 4);
        let taken = take(&mut queue).expect("open");
        assert!(taken.starts_with("event: missed"), "{taken}");
        assert_eq!(take(&mut queue).map(|taken| taken.len()), Some(MOST_OCTETS / 4));
    }

    #[test]
    fn what_was_missed_is_counted_with_what_waited_before_it() {
        let mut queue = Queue::default();
        queue.push(frame(1));
        queue.miss(7);
        queue.push(frame(9));
        assert_eq!(take(&mut queue).as_deref(), Some("event: missed\ndata: {\"count\":8}\n\n9;"));
    }

    #[test]
    fn older_events_are_sent_first_within_the_bound() {
        let mut queue = Queue::default();
        queue.comment(Bytes::from_static(b"retry;"));
        queue.comment(Bytes::from_static(b"beat;"));
        queue.push(frame(3));
        queue.prepend(4, vec![frame(1), frame(2)]);
        assert_eq!(take(&mut queue).as_deref(), Some("retry;event: missed\ndata: {\"count\":4}\n\n1;2;3;"));
        // There is no room for the oldest of them.
        queue.push(frame(MOST_EVENTS));
        queue.prepend(0, (0..MOST_EVENTS).map(frame).collect());
        let taken = take(&mut queue).expect("open");
        assert!(taken.starts_with("event: missed\ndata: {\"count\":1}\n\n1;2;3;"), "{taken}");
        // Newer ones were dropped, so that none that is older is sent after their count.
        let mut queue = Queue::default();
        queue.miss(5);
        queue.push(frame(9));
        queue.prepend(1, vec![frame(1)]);
        assert_eq!(take(&mut queue).as_deref(), Some("event: missed\ndata: {\"count\":7}\n\n9;"));
    }

    #[test]
    fn a_comment_is_no_event() {
        let mut queue = Queue::default();
        queue.comment(Bytes::from_static(b"retry;"));
        (0..MOST_EVENTS).for_each(|number| queue.push(frame(number)));
        queue.comment(Bytes::from_static(b"beat;"));
        assert!(take(&mut queue).is_some_and(|taken| taken.starts_with("retry;0;1;")), "nothing was missed");
        while !queue.frames.is_empty() {
            take(&mut queue);
        }
        queue.comment(Bytes::from_static(b"beat;"));
        assert!(!queue.is_untaken() && queue.is_untaken(), "it shows whether the client reads");
        assert_eq!(take(&mut queue).as_deref(), Some("beat;"));
        assert_eq!(take(&mut queue).as_deref(), Some("pending"));
    }

    #[test]
    fn one_that_takes_nothing_is_noticed_and_ended() {
        let mut queue = Queue::default();
        assert!(!queue.is_untaken() && !queue.is_untaken(), "nothing waits");
        queue.push(frame(1));
        assert!(queue.is_untaken());
        take(&mut queue);
        queue.push(frame(2));
        assert!(!queue.is_untaken() && queue.is_untaken());
        queue.close();
        queue.push(frame(3));
        assert_eq!(take(&mut queue), None);
    }
}
