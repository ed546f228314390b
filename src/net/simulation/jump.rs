//! A clock that jumps.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use mio::Token;

use super::wire::{Mailroom, ServerEnd, Wire};
use super::{ROUNDING, context, resources};
use crate::measure::Stamp;
use crate::net::connection::{Connection, Fate, Origin};
use crate::smtp::{DelayPoint, Policy};
use crate::store::Store;

/// A machine that slept: the delayed client gets its reply and goes on, the idle one is told to go.
#[test]
fn a_clock_that_jumps_a_year() {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    let clock = Arc::new(AtomicU64::new(1));
    let mut policy = Policy::default();
    policy.set_delay(DelayPoint::Noop, Duration::from_secs(1));
    let timeout = Duration::from_secs(30);
    let store = Arc::new(Store::new(1, usize::MAX, usize::MAX));
    let context = context(policy, timeout, timeout, None, &store);
    let mut resources = resources(&clock, 100);
    let mailroom = Rc::new(RefCell::new(Mailroom { store, records: Vec::new() }));
    let wires = [0, 1].map(|session| {
        let wire = Wire::new(&clock, 1000, Vec::new(), session, &mailroom);
        Rc::new(RefCell::new(wire))
    });
    let origin = Origin {
        session_id: 1,
        peer_addr: ([127, 0, 0, 1], 1).into(),
        local_addr: ([127, 0, 0, 1], 25).into(),
        connected_at: SystemTime::UNIX_EPOCH,
    };
    let [mut delayed, mut idle] = [0, 1].map(|index| {
        let stream = ServerEnd(Rc::clone(&wires[index]));
        Connection::new(stream, Token(index), origin, Stamp::at(Duration::ZERO))
    });
    assert_eq!(delayed.open(&context, &mut resources), Fate::Waits);
    assert_eq!(idle.open(&context, &mut resources), Fate::Waits);
    wires[0].borrow_mut().send(b"NOOP\r\n");
    let event = wires[0].borrow_mut().event().expect("something to read");
    assert_eq!(delayed.on_event(event, &context, &mut resources), Fate::Waits);

    clock.store(YEAR.as_nanos() as u64, Ordering::Relaxed);
    resources.begin_turn();
    let mut fates = Vec::new();
    while let Some(Token(index)) = resources.wheel.pop(resources.now) {
        let connection = if index == 0 { &mut delayed } else { &mut idle };
        fates.push((index, connection.on_timer(&context, &mut resources)));
    }
    assert_eq!(fates, [(0, Fate::Waits), (1, Fate::Over)]);
    assert!(wires[0].borrow().written.ends_with(b"250 Ok\r\n"));
    assert!(wires[1].borrow().written.ends_with(b"421 Service closing transmission channel\r\n"));
    let next = resources.wheel.next_deadline().expect("the session's timeout");
    assert!(next.after_moment(resources.clock.elapsed()) <= timeout + ROUNDING);
}
