//! One whole mail transaction through the session, without I/O: 1 KiB and 64 KiB, keeping nothing and
//! keeping everything.

#![allow(missing_docs, reason = "criterion_group makes functions without documentation")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use smtpmock::smtp::{Keep, Policy, Session};

/// MAIL to the final dot, as a client sends it that waits for each reply.
fn transaction(size: usize) -> [Vec<u8>; 4] {
    let mut data = b"x".repeat(76);
    data.extend_from_slice(b"\r\n");
    let mut data = data.repeat(size / data.len());
    data.extend_from_slice(b".\r\n");
    [
        b"MAIL FROM:<sender@example.com>\r\n".to_vec(),
        b"RCPT TO:<recipient@example.com>\r\n".to_vec(),
        b"DATA\r\n".to_vec(),
        data,
    ]
}

fn session(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("one transaction");
    for (keeps, keep) in [("keeping nothing", Keep::Nothing), ("keeping everything", Keep::Message)] {
        let mut policy = Policy::default();
        policy.keep = keep;
        for size in [1024, 64 * 1024] {
            let mut session = Session::new();
            session.advance(&policy, b"EHLO client.example.com\r\n");
            let pieces = transaction(size);
            group.throughput(Throughput::Bytes(size as u64));
            group.bench_with_input(BenchmarkId::new(keeps, size), &pieces, |bencher, pieces| {
                bencher.iter(|| {
                    for piece in pieces {
                        let progress = session.advance(&policy, black_box(piece));
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
