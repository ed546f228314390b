//! One whole mail transaction through the session, without I/O: 1 KiB and 64 KiB, with no records and with complete
//! ones.

#![allow(missing_docs, reason = "criterion_group makes functions without documentation")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use smtpmock::smtp::rules::Environment;
use smtpmock::smtp::{Keep, Policy, Session};

mod mail;

/// MAIL to the final dot, as sent by a client that waits for each reply.
fn transaction(size: usize) -> Vec<Vec<u8>> {
    let commands = mail::ENVELOPE.iter().map(|(command, _)| command.to_vec());
    commands.chain([mail::data(&mail::text_lines(size))]).collect()
}

fn session(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("one transaction");
    for (keeps, keep) in [("keeping nothing", Keep::Nothing), ("keeping everything", Keep::Message)] {
        let mut policy = Policy::default();
        policy.keep = keep;
        for size in [1024, 64 * 1024] {
            let mut session = Session::new();
            session.advance(&policy, &mut Environment::alone(), mail::EHLO);
            let pieces = transaction(size);
            group.throughput(Throughput::Bytes(size as u64));
            group.bench_with_input(BenchmarkId::new(keeps, size), &pieces, |bencher, pieces| {
                bencher.iter(|| {
                    for piece in pieces {
                        let progress = session.advance(&policy, &mut Environment::alone(), black_box(piece));
                        assert!(progress.consumed == piece.len() && progress.step.is_some());
                    }
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, session);
criterion_main!(benches);
