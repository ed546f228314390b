//! Single connections within TLS, cut at chosen points, and handshakes that end early.

use std::cell::RefCell;
use std::time::Duration;

use proptest::test_runner::{RngAlgorithm, TestRng};

use super::ROUNDING;
use super::cipher::Begin;
use super::encrypted::EncryptedEnd;
use super::moments::Bench;
use super::script::{self, Model};
use super::wire::{End, Wire};
use crate::net::connection::{Connection, Fate};
use crate::smtp::{Esmtp, Policy, Protocol};
use crate::stats::TlsStats;

const TIMEOUT: Duration = Duration::from_secs(30);

fn policy() -> Policy {
    let mut policy = Policy::default();
    policy.set_esmtp(Some(Esmtp::default()));
    script::encrypting(policy)
}

fn bench() -> Bench {
    Bench::with_timeout(policy(), TIMEOUT).encrypting(EncryptedEnd::tls())
}

/// The start of TLS of the client with this number.
fn begin(number: usize) -> Begin {
    EncryptedEnd::ciphers()(number)
}

/// Moves octets and gives the connection its turns until nothing moves. Returns the client's input.
fn exchange(
    bench: &mut Bench,
    wire: &RefCell<Wire>,
    connection: &mut Connection<EncryptedEnd>,
    input: &[u8],
) -> (Vec<u8>, Fate) {
    let (mut sent, mut received, mut fate) = (0, Vec::new(), Fate::Waits);
    while fate != Fate::Over {
        {
            let mut wire = wire.borrow_mut();
            wire.send_encrypted();
            received.extend(wire.receive(usize::MAX));
            sent += wire.send(&input[sent..]);
            if sent == input.len() {
                wire.finish();
            }
        }
        let has_moved = wire.borrow_mut().has_moved();
        let event = wire.borrow_mut().event();
        fate = match event {
            Some(event) => connection.on_event(event, &bench.context, &mut bench.resources),
            None if fate == Fate::Again => connection.run(&bench.context, &mut bench.resources),
            None if has_moved => continue,
            None => break,
        };
        if fate == Fate::Blocked && connection.stream_to_watch().is_some() {
            wire.borrow_mut().watch_for_room();
        }
        bench.resources.begin_turn();
    }
    received.extend(wire.borrow_mut().receive(usize::MAX));
    (received, fate)
}

#[test]
fn any_pieces_of_the_ciphertext_give_the_replies_and_messages_of_a_session_in_clear() {
    for seed in 0..6_u8 {
        let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
        let input = script::input(&mut rng);
        let model = Model::new((Protocol::Smtp, true), &policy(), 1, &input);
        // From one octet at a time to all at once, both ways.
        for (number, capacity) in [1, 2, 5, 23, 1000, 1 << 20].into_iter().enumerate() {
            let mut bench = bench();
            let (wire, mut connection) = bench.connection_of::<EncryptedEnd>(0, capacity, true);
            bench.pass(Duration::ZERO);
            let fate = connection.open(&bench.context, &mut bench.resources);
            assert_eq!(fate, Fate::Waits, "the client has sent nothing");
            wire.borrow_mut().encrypt(begin(number), true);
            let (received, fate) = exchange(&mut bench, &wire, &mut connection, &input);
            let (received, expected) = (received.escape_ascii(), model.output.escape_ascii());
            assert_eq!(received.to_string(), expected.to_string(), "{seed}: {capacity} octets at a time");
            assert_eq!(fate, Fate::Over);
            connection.close(&bench.context, &mut bench.resources);
            bench.mailroom.borrow_mut().collect();
            assert_eq!(bench.mailroom.borrow().accepted(0), model.messages, "{seed}: {capacity}");
            assert_eq!(bench.resources.gathering.stats.tls.handshakes, 1);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    Waits,
    HalfCloses,
    Resets,
}

/// A client sends part or all of its hello and then stops.
#[test]
fn handshakes_that_stop_end_in_time_and_are_counted_by_their_reason() {
    for number in [0, 1] {
        let hello = begin(number)().take_output();
        for length in [0, 1, 5, 6, 100, hello.len() - 1, hello.len()] {
            for leaving in [Leaving::Waits, Leaving::HalfCloses, Leaving::Resets] {
                stop_in_handshake(&hello[..length], leaving);
            }
        }
    }
}

fn stop_in_handshake(octets: &[u8], leaving: Leaving) {
    let what = format!("{} octets, {leaving:?}", octets.len());
    let mut bench = bench();
    let (wire, mut connection) = bench.connection_of::<EncryptedEnd>(0, 1 << 20, true);
    bench.pass(Duration::ZERO);
    let mut fate = connection.open(&bench.context, &mut bench.resources);
    if !octets.is_empty() {
        wire.borrow_mut().send_before_session(octets);
        fate = bench.turn(&wire, &mut connection);
        while fate == Fate::Again {
            fate = connection.run(&bench.context, &mut bench.resources);
        }
    }
    assert!(matches!(fate, Fate::Waits | Fate::Blocked), "{what}: {fate:?}");
    match leaving {
        Leaving::Waits => {}
        Leaving::HalfCloses => wire.borrow_mut().finish(),
        Leaving::Resets => wire.borrow_mut().reset(),
    }
    let reasons = if leaving == Leaving::Waits {
        // Not before its deadline, but with the next tick.
        bench.pass(TIMEOUT - Duration::from_millis(1));
        assert!(bench.resources.wheel.pop(bench.resources.now).is_none(), "{what}: early");
        bench.pass(Duration::from_millis(1) + ROUNDING);
        assert!(bench.resources.wheel.pop(bench.resources.now).is_some(), "{what}: late");
        fate = connection.on_timer(&bench.context, &mut bench.resources);
        (0, 1)
    } else {
        fate = bench.turn(&wire, &mut connection);
        (1, 0)
    };
    // A client that stops within its hello may send later: its input is dropped for a while.
    if fate != Fate::Over {
        assert_eq!(leaving, Leaving::Waits, "{what}: {fate:?}");
        wire.borrow_mut().finish();
        fate = bench.turn(&wire, &mut connection);
    }
    assert_eq!(fate, Fate::Over, "{what}");
    connection.close(&bench.context, &mut bench.resources);
    assert!(wire.borrow().written.is_empty(), "{what}: nobody can read a reply");
    let TlsStats { handshakes, broken_off, timed_out, malformed, failed, .. } =
        bench.resources.gathering.stats.tls;
    assert_eq!((handshakes, malformed, failed, (broken_off, timed_out)), (0, 0, 0, reasons), "{what}");
    assert_eq!(bench.context.budget.left(), usize::MAX, "{what}: memory is still charged");
}
