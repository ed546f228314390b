//! One test for each corrected fault, named after the fault.

use smtpmock::smtp::{Policy, Record, RecordMode};

use crate::support::peer::Peer;

/// Sends `dialogue` and returns the replies, the records, and whether the server closed.
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
    assert_eq!(replies.last().unwrap(), "552 Message exceeded max size of 10 bytes");
    assert!(closed);
    assert!(records[0].data && !records[0].msg);
}

/// What `multiple_message_receiving` retains over RSET: one accepted message.
const ACCEPTED_MESSAGE: &str = "HELO example.com\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\n\
                                DATA\r\nx\r\n.\r\n";

fn keeps_over_rset() -> Policy {
    let mut policy = Policy::default();
    policy.records = RecordMode::Session;
    policy.multiple_rcptto = true;
    policy.multiple_message_receiving = true;
    policy
}

#[test]
fn rset_lost_the_accepted_rcpt_of_the_record_that_it_retained() {
    let dialogue = format!("{ACCEPTED_MESSAGE}RSET\r\nRCPT TO:<late@example.com>\r\n");
    let (replies, records, _) = talk(&keeps_over_rset(), &dialogue);
    assert!(replies.last().unwrap().starts_with("503 "));
    assert_eq!(records[0].rcptto_exchanges.len(), 2);
    assert!(records[0].rcptto && records[0].is_consistent());
}

#[test]
fn rset_let_a_record_grow_beyond_the_limit_of_recipients() {
    const LIMIT: usize = 10_000; // the policy's limit
    let many = "RCPT TO:<late@example.com>\r\n".repeat(LIMIT);
    let dialogue = format!("{ACCEPTED_MESSAGE}RSET\r\n{many}RSET\r\n{many}");
    let (_, records, _) = talk(&keeps_over_rset(), &dialogue);
    assert_eq!(records[0].rcptto_exchanges.len(), LIMIT);
}

#[test]
fn mail_alone_was_no_command_together_with_a_reset_with_a_long_s() {
    let (replies, ..) = talk(&Policy::default(), "MAIL r\u{17f}et\r\n");
    assert!(replies[1].starts_with("503 "), "{replies:?}");
}

#[test]
fn an_address_literal_with_a_leading_zero_was_refused() {
    let (replies, ..) = talk(&Policy::default(), "EHLO example.com\r\nMAIL FROM:<a@[192.0.2.01]>\r\n");
    assert_eq!(replies[2], "250 Received");
}

#[test]
fn the_size_of_a_message_refused_under_fail_fast_depended_on_how_it_was_split() {
    let mut policy = Policy::default();
    policy.fail_fast = true;
    policy.set_message_size_limit(10);
    for length in [11, 500] {
        let envelope = "HELO a.example\r\nMAIL FROM:<>\r\nRCPT TO:<postmaster>\r\nDATA\r\n";
        let (_, records, _) = talk(&policy, &format!("{envelope}{}", "x".repeat(length)));
        assert_eq!(records[0].msg_size, 11);
    }
}
