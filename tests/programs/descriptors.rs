//! What the program does when it runs out of file descriptors.

use std::time::Duration;

use crate::support::client::Client;
use crate::support::program::Program;

#[test]
fn a_server_without_descriptors_goes_on_when_one_is_free() {
    const DESCRIPTORS: usize = 32;
    let program = Program::start_with_descriptors(DESCRIPTORS, "-shutdownTimeout=-1");
    let mut clients: Vec<_> = (0..DESCRIPTORS * 2).map(|_| Client::connect(program.address())).collect();
    // The kernel connects all of them; those that the server has accepted are greeted, in order.
    let waiting = clients.split_off(DESCRIPTORS);
    let mut greeted = Vec::new();
    for mut client in clients {
        if client.silence(Duration::from_millis(100)).is_ok() {
            break;
        }
        greeted.push(client);
    }
    assert!(!greeted.is_empty() && greeted.len() < DESCRIPTORS, "{} were greeted", greeted.len());
    let start = cpu_time(&program);
    std::thread::sleep(Duration::from_millis(300));
    let spent = cpu_time(&program) - start;
    assert!(spent < Duration::from_millis(50), "spins while it can't accept: {spent:?} in 300 ms");
    drop(greeted);
    for mut client in waiting {
        assert_eq!(client.reply(), "220 Welcome");
        client.quit();
    }
    assert!(program.stop().status.success());
}

/// User and system time of a process, from `/proc`.
fn cpu_time(program: &Program) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", program.pid())).expect("Linux");
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    // Fields 14 and 15 of proc(5), in ticks of a hundredth of a second.
    let ticks = |field: usize| fields[field - 3].parse::<u64>().expect("a number");
    Duration::from_millis((ticks(14) + ticks(15)) * 10)
}
