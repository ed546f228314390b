//! One test for each mended bug, named after what went wrong.

use smtpmock::smtp::{Policy, Record};

use crate::support::peer::Peer;

/// Sends `dialogue` and gives the replies, the records, and whether the server closed.
fn talk(policy: &Policy, dialogue: &str) -> (Vec<String>, Vec<Record>, bool) {
    let mut peer = Peer::connect(policy);
    let mut records = Vec::new();
    peer.receive(dialogue.as_bytes(), &mut records);
    let closed = peer.closed;
    peer.close(&mut records);
    let output = String::from_utf8(peer.output).expect("replies are text here");
    (output.lines().map(str::to_owned).collect(), records, closed)
}

#[test]
fn fail_fast_waited_for_the_end_of_an_oversize_message() {
    let mut policy = Policy::default();
    policy.fail_fast = true;
    policy.set_message_size_limit(10);
    let dialogue = "HELO example.com\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n\
                    longer than ten octets\r\n";
    let (replies, records, closed) = talk(&policy, dialogue);
    assert_eq!(
        replies.last().unwrap(),
        "552 Message exceeded max size of 10 bytes"
    );
    assert!(closed);
    assert!(records[0].data && !records[0].msg);
}
