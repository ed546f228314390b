//! Finding the end of message data: the scanner, compared with memchr and memcpy over the same bytes.

#![allow(missing_docs, reason = "criterion_group makes functions without documentation")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use smtpmock::smtp::DataScanner;

mod mail;

const SIZES: [usize; 2] = [64 * 1024, 10 * 1024 * 1024];

/// Message data of about `size` octets, without its final dot.
fn shapes(size: usize) -> [(&'static str, Vec<u8>); 8] {
    let repeated = |unit: &[u8]| unit.iter().copied().cycle().take(size).collect();
    [
        ("text lines", mail::text_lines(size)),
        ("one endless line", vec![b'x'; size]),
        ("all dots", vec![b'.'; size]),
        ("all LFs", vec![b'\n'; size]),
        // All of the end except its CR, repeatedly.
        ("LF and dot", repeated(b"\n.")),
        ("blank lines", repeated(b"\r\n")),
        ("all CRs", vec![b'\r'; size]),
        // A stuffed dot on each line: as many runs as there are lines.
        ("lines of a dot", repeated(b"\r\n..")),
    ]
}

fn scan(criterion: &mut Criterion) {
    for size in SIZES {
        for (name, bytes) in shapes(size) {
            let mut group = criterion.benchmark_group(format!("end of data, {name}"));
            group.throughput(Throughput::Bytes(size as u64));
            group.bench_with_input(BenchmarkId::new("scanner", size), &bytes, |bencher, bytes| {
                bencher.iter(|| DataScanner::default().scan(black_box(bytes), |run| _ = black_box(run)));
            });
            // An absent octet: memchr must inspect every octet, like the scanner.
            group.bench_with_input(BenchmarkId::new("memchr", size), &bytes, |bencher, bytes| {
                bencher.iter(|| memchr::memchr(0, black_box(bytes)));
            });
            let mut copy = vec![0; size];
            group.bench_with_input(BenchmarkId::new("memcpy", size), &bytes, |bencher, bytes| {
                bencher.iter(|| copy.copy_from_slice(black_box(bytes)));
            });
            group.finish();
        }
    }
}

criterion_group!(benches, scan);
criterion_main!(benches);
