//! TLS handshakes of the reactor. They take turns, so that replies of other connections are read in time.

use std::io;

use super::{HANDSHAKES, Reactor};
use crate::account::accounting::Abort;
use crate::client::phase::Phase;
use crate::measure::metrics::End;
use crate::reactor::stream::Stream;
use crate::reactor::tls::Tls;
use crate::time::clock::Moment;

impl Reactor {
    /// Lays TLS over the socket of a slot; its session waits for that.
    pub(super) fn begin_handshake(&mut self, index: usize, now: Moment) {
        let slot = &mut self.slots[index];
        slot.since = now;
        slot.may_write = true;
        let target = &self.shared.plan.targets[self.lanes[slot.lane].target];
        let (Some(security), true) = (&target.security, slot.has_sent()) else {
            debug_assert!(false, "the plan has TLS, and a new socket takes a PROXY header");
            return self.fail(index, Abort::Network, now);
        };
        let Some(below) = slot.stream.take() else { return };
        match Tls::new(below, &security.config, &security.name) {
            Ok(tls) => {
                slot.stream = Some(Stream::Tls(Box::new(tls)));
                self.extend_deadline(index, now);
                self.queue_handshake(index);
            }
            Err((below, reason)) => {
                slot.stream = Some(below);
                self.fail(index, reason, now);
            }
        }
    }

    /// The handshake of a slot can go on, in its turn.
    pub(super) fn queue_handshake(&mut self, index: usize) {
        let generation = self.slots[index].generation();
        if !std::mem::replace(&mut self.slots[index].has_turn, true) {
            self.securing.push_back((index, generation, self.latest));
        }
    }

    /// Counts the handshake of a slot as failed, if one has begun and is not complete.
    pub(super) fn note_handshake(&mut self, index: usize) {
        self.tally.sessions.handshakes.failed += u64::from(self.slots[index].session.is_securing());
    }

    /// Continues the handshakes whose turn it is.
    pub(super) fn secure(&mut self) -> io::Result<()> {
        for _ in 0..HANDSHAKES {
            let Some((index, generation, since)) = self.securing.pop_front() else { break };
            let slot = &mut self.slots[index];
            if slot.generation() != generation {
                continue;
            }
            slot.has_turn = false;
            if slot.stream.is_some() && slot.session.is_securing() {
                self.shake_hands(index, since)?;
            }
        }
        Ok(())
    }

    fn shake_hands(&mut self, index: usize, since: Moment) -> io::Result<()> {
        let now = self.read_clock();
        let slot = &mut self.slots[index];
        if let Some(flight) = &mut slot.flight {
            self.tally.punctuality.judge_queued(flight, since, now);
        }
        let Some(tls) = slot.stream.as_mut().and_then(Stream::tls) else { return Ok(()) };
        let result = tls.shake_hands();
        let now = self.read_clock();
        match result {
            Ok(None) => Ok(()),
            Ok(Some(secured)) => {
                self.tally.sessions.handshakes.add(secured);
                self.note_phase(index, Phase::Tls, End::Ok, now);
                match self.slots[index].session.on_secured() {
                    Some(command) => self.send(index, command, now),
                    None => {
                        self.slots[index].since = now;
                        self.extend_deadline(index, now);
                    }
                }
                // The greeting may have come with the handshake.
                self.on_readable(index, false)?;
                self.go_on_writing(index)?;
                self.dispatch(self.latest)
            }
            Err(reason) => {
                self.fail(index, reason, now);
                self.dispatch(self.latest)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Duration;

    use mio::Events;

    use super::*;
    use crate::reactor::alone::reactor;

    /// More than a turn has room for.
    const SESSIONS: usize = HANDSHAKES + 2;

    #[test]
    fn a_turn_continues_so_many_handshakes_and_what_waited_longer_than_may_be_is_late_once() {
        // Its queue accepts connections; no one answers a hello.
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = format!("smtps://{}", server.local_addr().unwrap());
        let mut reactor =
            reactor(&[&target, "--insecure", "-c", &SESSIONS.to_string(), "--late-after", "10ms"]);
        reactor.dispatch(Moment::ZERO).unwrap();
        let mut events = Events::with_capacity(SESSIONS);
        while reactor.securing.len() < SESSIONS {
            reactor.poll.poll(&mut events, None).unwrap();
            events.iter().for_each(|event| reactor.on_event(event).unwrap());
        }
        let late = Moment::ZERO.after(Duration::from_millis(11));
        while reactor.read_clock() < late {}
        // Three could go on at the start, the others not before the end.
        let end = Moment::ZERO.after(Duration::from_secs(3600));
        for (place, (_, _, since)) in reactor.securing.iter_mut().enumerate() {
            *since = if [0, 1, SESSIONS - 1].contains(&place) { Moment::ZERO } else { end };
        }
        reactor.secure().unwrap();
        assert_eq!((reactor.securing.len(), reactor.tally.punctuality.late), (SESSIONS - HANDSHAKES, 2));
        reactor.secure().unwrap();
        assert_eq!((reactor.securing.len(), reactor.tally.punctuality.late), (0, 3));
        // Once more for one that is late already.
        reactor.queue_handshake(0);
        reactor.securing[0].2 = Moment::ZERO;
        reactor.secure().unwrap();
        assert_eq!(reactor.tally.punctuality.late, 3);
        assert_eq!(reactor.tally.sessions.handshakes.failed, 0, "they are under way");
    }
}
