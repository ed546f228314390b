//! The timing wheel with few and with very many timers waiting: the cost of a timer must not depend on it.

#![allow(missing_docs, reason = "criterion_group makes functions without documentation")]

// The wheel is no part of the public interface: its sources are compiled in here.
#[allow(dead_code, reason = "the benchmark uses less of it than the reactor")]
#[path = "../src/net/clock.rs"]
mod clock;
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "the benchmark uses less of it than the reactor"
)]
#[path = "../src/net/wheel.rs"]
mod wheel;

use std::hint::black_box;

use clock::Tick;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use wheel::Wheel;

const WAITING: [u64; 5] = [100, 1_000, 10_000, 100_000, 1_000_000];
/// Deadlines spread over ten minutes, in ticks.
const SPREAD: u64 = 10 * 60 * 4000;

/// The same scattered deadlines each time.
fn deadlines() -> impl FnMut() -> u64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % SPREAD + 1
    }
}

fn filled(waiting: u64) -> Wheel<u64> {
    let mut wheel = Wheel::new();
    let mut deadline = deadlines();
    for value in 0..waiting {
        wheel.insert(Tick::new(deadline()), value);
    }
    wheel
}

fn insert_and_cancel(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wheel, insert and cancel");
    for waiting in WAITING {
        let mut wheel = filled(waiting);
        let mut deadline = deadlines();
        group.bench_with_input(BenchmarkId::from_parameter(waiting), &waiting, |bencher, _| {
            bencher.iter(|| {
                let timer = wheel.insert(Tick::new(black_box(deadline())), 0);
                wheel.cancel(timer)
            });
        });
    }
    group.finish();
}

/// Each expired timer is started anew, so that as many wait afterwards.
fn expire_and_restart(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wheel, expire and restart");
    for waiting in WAITING {
        let mut wheel = filled(waiting);
        let mut deadline = deadlines();
        group.bench_with_input(BenchmarkId::from_parameter(waiting), &waiting, |bencher, _| {
            bencher.iter(|| {
                let next = wheel.next_deadline().expect("timers wait");
                while let Some(value) = wheel.pop(next) {
                    wheel.insert(Tick::new(next.get() + deadline()), value);
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, insert_and_cancel, expire_and_restart);
criterion_main!(benches);
