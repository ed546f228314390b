//! Hellos of real clients that were changed: cut, swapped, longer than they are.

use proptest::prelude::RngExt;
use proptest::test_runner::{RngAlgorithm, TestRng};

use super::{hello, old_hello, padded};
use crate::support::figures::once;
use crate::support::hellos::Encrypting;

const HELLOS: usize = 600;

#[test]
fn changed_hellos_are_answered_or_refused_and_disturb_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let encrypting = Encrypting::at(folder.path().join("smtps.sock"));
    let real = hello(&encrypting.server);
    let originals = [real.clone(), padded(&real, 300), super::handshake(1, &old_hello(3))];
    assert_eq!(encrypting.feed(&real)[0], super::HANDSHAKE);
    let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, b"hellos of clients, and changes..");
    let mut answered = 0;
    for number in 0..HELLOS {
        let mut octets = originals[number % originals.len()].clone();
        for _ in 0..rng.random_range(1..4) {
            change(&mut rng, &mut octets);
        }
        let answer = encrypting.feed(&octets);
        answered += usize::from(answer.first() == Some(&super::HANDSHAKE));
    }
    println!("{answered} of {HELLOS} were answered by a hello");
    assert!((1..HELLOS).contains(&answered), "{answered}");
    let stats = once(&encrypting.server, |stats| stats.sessions.closed > HELLOS as u64);
    let failed = super::failures(&stats).iter().sum::<u64>();
    assert_eq!((stats.tls.handshakes, failed), (0, HELLOS as u64 + 1), "each has one reason");
}

fn change(rng: &mut TestRng, octets: &mut Vec<u8>) {
    if octets.is_empty() {
        return;
    }
    let at = rng.random_range(0..octets.len());
    match rng.random_range(0..6) {
        0 => octets[at] = rng.random(),
        1 => octets[at] ^= 1 << rng.random_range(0..8),
        2 => octets.truncate(at),
        3 => drop(octets.drain(at..(at + rng.random_range(1..8)).min(octets.len()))),
        4 => {
            let part = octets[at..].iter().copied().take(rng.random_range(1..100)).collect::<Vec<_>>();
            octets.splice(at..at, part);
        }
        // Lengths are in the front.
        _ => octets[at % 48] = [0, 1, 0x7f, 0xff][rng.random_range(0..4)],
    }
}
