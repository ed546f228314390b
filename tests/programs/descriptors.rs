//! What the program does when it runs out of file descriptors.

use std::time::Duration;

use crate::support::client::Client;
use crate::support::process::limited;
use crate::support::program::{command, start_command};

#[test]
fn a_server_without_descriptors_goes_on_when_one_is_free() {
    const DESCRIPTORS: usize = 32;
    let program = start_command(&mut limited(DESCRIPTORS, &command(["-shutdownTimeout=-1"])));
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
    let before = program.cpu_time();
    std::thread::sleep(Duration::from_millis(300));
    let spent = program.cpu_time() - before;
    assert!(spent < Duration::from_millis(50), "spins while it can't accept: {spent:?} in 300 ms");
    drop(greeted);
    for mut client in waiting {
        assert_eq!(client.reply(), "220 Welcome");
        client.quit();
    }
    assert!(program.stopped().status.success());
}
