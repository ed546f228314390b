//! The timing wheel with few and with very many timers: the cost of a timer must not depend on their number.

#![allow(missing_docs, reason = "criterion_group makes functions without documentation")]

// The wheel is not public: its sources are included here.
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "the benchmark uses less of it than the reactor"
)]
#[path = "../src/time/mod.rs"]
mod time;
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "the benchmark uses less of it than the reactor"
)]
#[path = "../src/net/wheel.rs"]
mod wheel;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use time::Timestamp;
use wheel::{TICK, Wheel};

const WAITING: [u64; 5] = [100, 1_000, 10_000, 100_000, 1_000_000];
/// Deadlines spread over ten minutes, in ticks.
const SPREAD: u64 = 10 * 60 * 4000;

/// The same scattered deadlines each time.
struct Deadlines(u64);

impl Deadlines {
    fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    fn next(&mut self) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Duration::from_nanos((self.0 % SPREAD + 1) * TICK.as_nanos() as u64)
    }
}

/// Runs an operation on wheels with ever more timers.
fn with_waiting<R>(
    criterion: &mut Criterion,
    name: &str,
    step: impl Fn(&mut Wheel<u64>, &mut Deadlines) -> R,
) {
    let mut group = criterion.benchmark_group(name);
    for waiting in WAITING {
        let (mut wheel, mut filling) = (Wheel::new(), Deadlines::new());
        for value in 0..waiting {
            wheel.insert(Timestamp::at(filling.next()), value);
        }
        let mut deadlines = Deadlines::new();
        group.bench_with_input(BenchmarkId::from_parameter(waiting), &waiting, |bencher, _| {
            bencher.iter(|| step(&mut wheel, &mut deadlines));
        });
    }
    group.finish();
}

fn insert_and_cancel(criterion: &mut Criterion) {
    with_waiting(criterion, "wheel, insert and cancel", |wheel, deadlines| {
        let timer = wheel.insert(Timestamp::at(black_box(deadlines.next())), 0);
        wheel.cancel(timer)
    });
}

/// Each expired timer is restarted, so that their number is constant.
fn expire_and_restart(criterion: &mut Criterion) {
    with_waiting(criterion, "wheel, expire and restart", |wheel, deadlines| {
        let next = wheel.next_deadline().expect("timers wait");
        while let Some(value) = wheel.pop(next) {
            wheel.insert(next.after(deadlines.next()), value);
        }
    });
}

criterion_group!(benches, insert_and_cancel, expire_and_restart);
criterion_main!(benches);
