//! Parsing one command line, and the address in it.

#![allow(missing_docs, reason = "criterion_group makes functions without documentation")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use smtpmock::smtp::{AddressRules, Extensions, Grammar, LineScanner, Path, Request};

fn command(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("command");
    let offered = Extensions::default();
    let grammar = Grammar { addresses: AddressRules::default(), offered: &offered };
    for line in ["NOOP\r\n", "MAIL FROM:<sender@example.com>\r\n", "no such command at all\r\n"] {
        group.bench_function(line.trim_end(), |bencher| {
            bencher.iter(|| {
                LineScanner::default().scan(black_box(line.as_bytes()));
                Request::parse(black_box(line.as_bytes()), grammar).command.verb()
            });
        });
    }
    group.finish();
}

fn address(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("address");
    let lines = [
        ("plain", "RCPT TO:<recipient@example.com>"),
        ("display name", "RCPT TO: John Doe <recipient@mail.example.co.uk>"),
        ("beyond ASCII", "RCPT TO:<user@пример.рф>"),
        ("quoted", "RCPT TO:<\"john doe\"@example.com>"),
        ("refused", "RCPT TO:<recipient@exam_ple>"),
    ];
    for (name, line) in lines {
        group.bench_function(name, |bencher| {
            bencher.iter(|| Path::parse_forward(black_box(line.as_bytes()), AddressRules::default()));
        });
    }
    group.finish();
}

criterion_group!(benches, command, address);
criterion_main!(benches);
