//! Whole mail transactions over a loopback socket with a client that waits for each reply. It mostly measures the
//! kernel and the client, and shows additional costs.

#![allow(missing_docs, reason = "criterion_group makes functions without documentation")]

use std::io::Write;
use std::net::TcpStream;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use smtpmock::{Config, Server};

mod mail;

fn exchange(client: &mut TcpStream, request: &[u8], code: &[u8]) {
    client.write_all(request).expect("the server reads");
    mail::expect(client, code).expect("the server replies");
}

fn loopback(criterion: &mut Criterion) {
    let server = Server::start(Config::default().keep_records(false)).expect("a free port");
    let mut group = criterion.benchmark_group("loopback transaction");
    for size in [1024, 64 * 1024] {
        let data = mail::data(&b"x".repeat(size));
        let mut client = TcpStream::connect(server.local_addr()).expect("the server listens");
        client.set_nodelay(true).expect("TCP");
        exchange(&mut client, b"", b"220");
        exchange(&mut client, mail::EHLO, b"250");
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| {
                for (request, code) in mail::ENVELOPE {
                    exchange(&mut client, request, code);
                }
                exchange(&mut client, &data, b"250");
            });
        });
    }
    group.finish();
}

criterion_group!(benches, loopback);
criterion_main!(benches);
