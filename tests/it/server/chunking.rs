//! BDAT over real sockets (RFC 3030).

use std::time::Duration;

use smtpmock::smtp::rules::{Extension, Offer};
use smtpmock::smtp::{RecordMode, ReplyKind, Stage};
use smtpmock::{Config, Server};

use crate::support::client::{Client, End};
use crate::support::logger::{Recorder, To};
use crate::support::server::{ruled, start};
use crate::support::waiting::{PATIENCE, now};

const TAKEN: &str = "250 2.0.0 Chunk received";
const ACCEPTED: &str = "250 2.0.0 Received";
const OUT_OF_SEQUENCE: &str = "503 5.5.1 Bad sequence of commands. BDAT should be used after RCPT TO";
const AFTER_REFUSAL: &str =
    "503 5.5.1 Bad sequence of commands. A chunk was refused: RSET or MAIL FROM should follow";
const BDAT_EXPECTED: &str =
    "503 5.5.1 Bad sequence of commands. BDAT should be used after BDAT or BODY=BINARYMIME";

fn esmtp() -> Config {
    Config::default().esmtp().reply(ReplyKind::MessageReceived, ACCEPTED)
}

fn envelope(client: &mut Client) {
    mail(client, "");
    client.expect("RCPT TO:<bob@example.com>", "250 2.1.5 Received");
}

fn mail(client: &mut Client, parameters: &str) {
    client.expect(&format!("MAIL FROM:<ann@example.com>{parameters}"), "250 2.1.0 Received");
}

/// A client after an accepted RCPT.
fn with_envelope(server: &Server) -> Client {
    let mut client = Client::extended(server.local_addr());
    envelope(&mut client);
    client
}

/// Sends a chunk and returns the reply.
fn chunk(client: &mut Client, octets: impl AsRef<[u8]>) -> String {
    client.bdat(octets, "")
}

fn last(client: &mut Client, octets: impl AsRef<[u8]>) -> String {
    client.bdat(octets, " LAST")
}

fn texts(server: &Server) -> Vec<Vec<u8>> {
    server
        .messages()
        .iter()
        .filter(|message| message.is_consistent())
        .map(|message| message.body().to_vec())
        .collect()
}

/// Lines of dots, bare line ends, octets that are no text, and what looks like commands.
const CONTENT: &[u8] = b".\r\n..\r\nbare \n and \r.\r\n\0\xff\x80 QUIT\r\n.\r\nBDAT 5\r\nno end";

#[test]
fn a_message_in_chunks_is_what_was_sent() {
    let server = start(esmtp());
    let mut client = with_envelope(&server);
    let (front, back) = CONTENT.split_at(20);
    assert_eq!(chunk(&mut client, front), TAKEN);
    assert_eq!(chunk(&mut client, ""), TAKEN, "of no octets");
    assert_eq!(last(&mut client, back), ACCEPTED);
    let message = &server.messages()[0];
    assert!(message.is_consistent());
    assert_eq!(message.body(), CONTENT);
    assert_eq!((&*message.data_request(), &*message.data_response()), ("BDAT 20", TAKEN));
    assert_eq!(message.msg_response(), ACCEPTED);
    // As a single chunk, with the last one empty, with nothing at all, and by DATA in the same session.
    envelope(&mut client);
    assert_eq!(last(&mut client, CONTENT), ACCEPTED);
    envelope(&mut client);
    assert_eq!(chunk(&mut client, CONTENT), TAKEN);
    client.expect("bdat  0000 last", ACCEPTED);
    envelope(&mut client);
    client.expect("BDAT 0 LAST", ACCEPTED);
    envelope(&mut client);
    client.data();
    client.expect("by DATA\r\n.", ACCEPTED);
    assert_eq!(texts(&server)[1..], [CONTENT, CONTENT, b"", b"by DATA\r\n"]);
    let single = &server.messages()[1];
    assert_eq!(single.data_request(), format!("BDAT {} LAST", CONTENT.len()));
    assert_eq!((&*single.data_response(), &*single.msg_response()), (ACCEPTED, ACCEPTED));
    client.quit_extended();
}

/// Chunks, their commands and what follows arrive together, in pieces, or octet by octet.
#[test]
fn a_pipelined_dialogue_is_answered_in_order_however_it_is_cut() {
    let server = start(esmtp());
    let dialogue = [
        &b"MAIL FROM:<ann@example.com>\r\nRCPT TO:<bob@example.com>\r\nBDAT 5\r\n.\r\n.\rBDAT 0\r\nBDAT 6 LAST\r\n"[..],
        b"\nNOOP\n",
        b"MAIL FROM:<>\r\nRCPT TO:<bob@example.com>\r\nBDAT 4 LAST\r\nhi\r\nNOOP\r\n",
    ]
    .concat();
    for size in [1, 2, 7, 40, 4096] {
        let mut client = Client::extended(server.local_addr());
        for piece in dialogue.chunks(size) {
            client.send(piece);
        }
        let replies: Vec<String> = (0..9).map(|_| client.reply()).collect();
        let [mail, rcpt] = ["250 2.1.0 Received", "250 2.1.5 Received"];
        assert_eq!(
            replies,
            [mail, rcpt, TAKEN, TAKEN, ACCEPTED, mail, rcpt, ACCEPTED, "250 2.0.0 Ok"],
            "{size}"
        );
    }
    assert_eq!(texts(&server), [&b".\r\n.\r\nNOOP\n"[..], b"hi\r\n"].repeat(5));
}

#[test]
fn a_message_of_many_octets_in_chunks_of_many_sizes_is_complete() {
    let server = start(esmtp());
    let text: Vec<u8> =
        (0..1_000_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for size in [999, 16 * 1024, 70_000, 1_000_000] {
        let mut client = with_envelope(&server);
        let chunks: Vec<&[u8]> = text.chunks(size).collect();
        let (end, front) = chunks.split_last().unwrap();
        let input: Vec<u8> = front
            .iter()
            .flat_map(|part| [format!("BDAT {}\r\n", part.len()).into_bytes(), part.to_vec()])
            .flatten()
            .collect();
        let mut writer = client.writer();
        std::thread::scope(|scope| {
            scope.spawn(|| std::io::Write::write_all(&mut writer, &input).unwrap());
            (0..front.len()).for_each(|_| assert_eq!(client.reply(), TAKEN));
        });
        assert_eq!(last(&mut client, end), ACCEPTED);
        let messages = server.wait_for_messages_and_purge(1, PATIENCE).unwrap();
        assert_eq!(messages[0].body(), text, "chunks of {size}");
    }
}

#[test]
fn chunks_without_a_message_to_take_them_are_swallowed() {
    let server = start(esmtp());
    let mut client = Client::extended(server.local_addr());
    assert_eq!(chunk(&mut client, "MAIL FROM:<eve@example.com>\r\n"), OUT_OF_SEQUENCE);
    assert_eq!(last(&mut client, "QUIT\r\n"), OUT_OF_SEQUENCE);
    client.expect("NOOP", "250 2.0.0 Ok");
    // Without a recipient: the last chunk ends the transaction, and one before it refuses the rest.
    mail(&mut client, "");
    assert_eq!(last(&mut client, "hi\r\n"), OUT_OF_SEQUENCE);
    assert!(client.command("RCPT TO:<bob@example.com>").starts_with("503 5.5.1 "));
    mail(&mut client, "");
    assert_eq!(chunk(&mut client, "hi\r\n"), OUT_OF_SEQUENCE);
    client.expect("RCPT TO:<bob@example.com>", AFTER_REFUSAL);
    client.expect("DATA", AFTER_REFUSAL);
    assert_eq!(chunk(&mut client, "hi\r\n"), AFTER_REFUSAL);
    assert_eq!(last(&mut client, "hi\r\n"), AFTER_REFUSAL);
    assert_eq!(last(&mut client, "hi\r\n"), OUT_OF_SEQUENCE, "that ended the transaction");
    // Behind the last chunk (RFC 3030 section 2).
    envelope(&mut client);
    assert_eq!(last(&mut client, "one\r\n"), ACCEPTED);
    assert_eq!(last(&mut client, "two\r\n"), OUT_OF_SEQUENCE);
    envelope(&mut client);
    assert_eq!(last(&mut client, "three\r\n"), ACCEPTED);
    assert_eq!(texts(&server), [&b"one\r\n"[..], b"three\r\n"]);
    client.quit_extended();
}

#[test]
fn rset_mail_and_ehlo_drop_what_was_sent_in_chunks() {
    let server = start(esmtp());
    for reset in ["RSET", "MAIL FROM:<ann@example.com>", "HELO again.example", "RSET\r\nNOOP"] {
        let mut client = with_envelope(&server);
        assert_eq!(chunk(&mut client, "dropped\r\n"), TAKEN);
        for line in reset.split("\r\n") {
            assert!(client.command(line).starts_with("250 "), "{reset}");
        }
        client.expect("BDAT 0 LAST", match reset {
            line if line.starts_with("HELO") => "502 Command unrecognized. Available commands: HELO, EHLO, MAIL FROM:, RCPT TO:, DATA, RSET, NOOP, QUIT, VRFY, EXPN, HELP",
            _ => OUT_OF_SEQUENCE,
        });
        client.last_line("EHLO client.example");
        envelope(&mut client);
        assert_eq!(last(&mut client, "sent\r\n"), ACCEPTED);
        client.quit_extended();
    }
    assert_eq!(texts(&server), [b"sent\r\n"; 4]);
}

#[test]
fn data_behind_bdat_and_for_a_binary_message_are_out_of_sequence() {
    let server = start(esmtp());
    let mut client = with_envelope(&server);
    assert_eq!(chunk(&mut client, "one\r\n"), TAKEN);
    client.expect("DATA", BDAT_EXPECTED);
    client.expect("RCPT TO:<carol@example.com>", BDAT_EXPECTED);
    // The message goes on.
    assert_eq!(last(&mut client, "two\r\n"), ACCEPTED);
    mail(&mut client, " BODY=BINARYMIME");
    client.expect("RCPT TO:<bob@example.com>", "250 2.1.5 Received");
    client.expect("DATA", BDAT_EXPECTED);
    assert_eq!(last(&mut client, CONTENT), ACCEPTED);
    // In another transaction of the session DATA is as good as ever.
    mail(&mut client, " BODY=8BITMIME");
    client.expect("RCPT TO:<bob@example.com>", "250 2.1.5 Received");
    client.data();
    client.expect("three\r\n.", ACCEPTED);
    assert_eq!(texts(&server), [&b"one\r\ntwo\r\n"[..], CONTENT, b"three\r\n"]);
}

#[test]
fn a_chunk_of_unknown_length_ends_the_session() {
    let server = start(esmtp());
    for line in [
        "BDAT",
        "BDAT LAST",
        "BDAT x",
        "BDAT -1",
        "BDAT 5 FIRST",
        "BDAT 9223372036854775809",
        "BDAT 5 LAST 5",
    ] {
        let mut client = with_envelope(&server);
        client.expect(
            line,
            "501 5.5.4 BDAT requires the number of octets in its chunk, and LAST or nothing behind it",
        );
        // What follows is not known to be a command.
        let _ = client.try_send("NOOP\r\nNOOP\r\n");
        assert_eq!(client.end(), (String::new(), End::Fin), "{line}");
    }
    assert_eq!(texts(&server), [b""; 0]);
}

/// The size is counted before a chunk is taken in; the octets of one that is refused are swallowed.
#[test]
fn a_message_beyond_the_size_limit_is_refused_before_its_chunk_is_taken_in() {
    const TOO_BIG: &str = "552 5.3.4 Message exceeded max size of 20 bytes";
    let server = start(esmtp().message_size_limit(20));
    let mut client = with_envelope(&server);
    assert_eq!(chunk(&mut client, "x".repeat(15)), TAKEN);
    assert_eq!(last(&mut client, "x".repeat(5)), ACCEPTED, "up to the limit");
    envelope(&mut client);
    assert_eq!(chunk(&mut client, "x".repeat(20)), TAKEN);
    assert_eq!(chunk(&mut client, "QUIT\r\n"), TOO_BIG);
    assert_eq!(chunk(&mut client, "QUIT\r\n"), AFTER_REFUSAL, "the rest is refused too");
    client.expect("RSET", "250 2.0.0 Ok");
    envelope(&mut client);
    assert_eq!(chunk(&mut client, "x".repeat(20)), TAKEN);
    assert_eq!(last(&mut client, "x"), TOO_BIG);
    envelope(&mut client);
    assert_eq!(last(&mut client, "x".repeat(100_000)), TOO_BIG);
    client.expect("NOOP", "250 2.0.0 Ok");
    let stats = server.stats();
    assert_eq!(stats.stages[Stage::Bdat].refused[&552], 1);
    assert_eq!(stats.stages[Stage::Message].refused[&552], 2);
    assert_eq!((stats.messages.accepted, stats.messages.refused), (1, 3));
    assert_eq!(stats.stages[Stage::Bdat].transactions_refused[&552], 1, "not by what was refused behind it");
    let refused = &server.messages()[1];
    assert_eq!((&*refused.data_response(), &*refused.msg_response()), (TAKEN, TOO_BIG));
    assert!(!refused.is_consistent() && refused.body().is_empty());
}

#[test]
fn under_fail_fast_a_chunk_that_is_refused_is_not_waited_for() {
    let server = start(esmtp().message_size_limit(20).fail_fast(true));
    for line in ["BDAT 21", "BDAT 9223372036854775808 LAST", "RSET\r\nBDAT 5"] {
        let mut client = with_envelope(&server);
        client.send(format!("{line}\r\n"));
        let reply = if line.starts_with("RSET") {
            format!("250 2.0.0 Ok\r\n{OUT_OF_SEQUENCE}\r\n")
        } else {
            "552 5.3.4 Message exceeded max size of 20 bytes\r\n".to_owned()
        };
        assert_eq!(client.rest(), reply);
    }
}

#[test]
fn chunks_that_were_not_offered_are_swallowed() {
    let unknown = "502 5.5.1 Command unrecognized. Available commands: HELO, EHLO, MAIL FROM:, RCPT TO:, DATA, RSET, NOOP, QUIT, VRFY, EXPN, HELP";
    let server = start(esmtp().extensions(Offer::without([Extension::Chunking])));
    let mut client = with_envelope(&server);
    assert_eq!(chunk(&mut client, "QUIT\r\n"), unknown);
    assert_eq!(last(&mut client, "QUIT\r\n"), unknown);
    assert_eq!(
        client.command("MAIL FROM:<a@example.com> BODY=BINARYMIME"),
        "501 5.5.4 Syntax error in parameters"
    );
    // The transaction is as it was before.
    envelope(&mut client);
    client.data();
    client.expect("by DATA\r\n.", ACCEPTED);
    assert_eq!(texts(&server), [b"by DATA\r\n"]);
    // Without Extended SMTP it is no command, unless a configured text offers it.
    let server = start(Config::default());
    let mut client = Client::with_envelope(server.local_addr());
    client.send("BDAT 6\r\nNOOP\r\n");
    assert!(client.reply().starts_with("502 "));
    let text = "250-mx.example\n250-CHUNKING\n250 BINARYMIME";
    let server = start(Config::default().reply(ReplyKind::EhloReceived, text));
    let mut client = Client::extended(server.local_addr());
    client.envelope("ann@example.com", "bob@example.com");
    assert_eq!(chunk(&mut client, "NOOP\r\n"), "250 Chunk received");
    assert_eq!(last(&mut client, ""), "250 Received");
}

#[test]
fn a_client_that_leaves_in_a_message_leaves_none() {
    let server = start(esmtp());
    for sent in ["BDAT 8\r\nhalf", "BDAT 8\r\n12345678", "BDAT 8 LAST\r\n1234567"] {
        let mut client = with_envelope(&server);
        client.send(sent);
        client.half_close();
        let _ = client.rest();
        assert_eq!(texts(&server), [b""; 0], "{sent}");
    }
    let stats = crate::support::figures::after_sessions(&server, 3);
    assert_eq!((stats.messages.broken_off, stats.messages.aborted), (3, 3));
    let messages = server.messages();
    assert_eq!((&*messages[0].data_request(), &*messages[0].data_response()), ("BDAT 8", ""));
    assert_eq!((&*messages[1].data_request(), &*messages[1].data_response()), ("BDAT 8", TAKEN));
}

/// The time for a message begins with its first chunk, whatever comes between.
#[test]
fn the_data_timeout_bounds_the_time_from_the_first_chunk_to_the_last() {
    let config = esmtp().data_timeout(Duration::from_secs(1)).session_timeout(PATIENCE);
    let server = start(config);
    let goodbye = "421 4.3.2 Service closing transmission channel\r\n";
    let mut client = with_envelope(&server);
    client.send("BDAT 8\r\nhalf");
    assert_eq!(client.rest(), goodbye);
    let mut client = with_envelope(&server);
    assert_eq!(chunk(&mut client, "hi\r\n"), TAKEN);
    client.expect("NOOP", "250 2.0.0 Ok");
    assert_eq!(chunk(&mut client, "ho\r\n"), TAKEN);
    assert_eq!(client.rest(), goodbye, "it is long before the session timeout");
    assert_eq!(server.stats().messages.accepted, 0);
}

#[test]
fn a_rule_at_bdat_refuses_delays_and_ends() {
    let server = start(ruled(
        esmtp(),
        &[
            "bdat from=later@* nth=2 reply=\"452 4.3.1 Disk full\"",
            "bdat to=slow@* delay=50ms",
            "bdat from=cut@* cut=4",
            "bdat from=rst@* drop=rst",
            "bdat from=close@* reply=\"421 4.3.2 going\" close",
            "bdat from=yes@* reply=\"250 1.2.3 mine\"",
            "message from=no@* reply=\"554 5.6.0 No\"",
        ],
    ));
    let client = |from: &str, to: &str| {
        let mut client = Client::extended(server.local_addr());
        client.expect(&format!("MAIL FROM:<{from}@example.com>"), "250 2.1.0 Received");
        client.expect(&format!("RCPT TO:<{to}@example.com>"), "250 2.1.5 Received");
        client
    };
    let mut later = client("later", "bob");
    assert_eq!(chunk(&mut later, "one"), TAKEN);
    later.send("BDAT 3\r\ntwoBDAT 5\r\nthreeBDAT 4 LAST\r\nfourNOOP\r\n");
    assert_eq!(
        [later.reply(), later.reply(), later.reply(), later.reply()],
        ["452 4.3.1 Disk full", AFTER_REFUSAL, AFTER_REFUSAL, "250 2.0.0 Ok"]
    );
    let mut slow = client("ann", "slow");
    let sent = now();
    slow.send("BDAT 2\r\nhiBDAT 0 LAST\r\n");
    assert_eq!(slow.reply(), TAKEN);
    assert!(sent.elapsed() >= Duration::from_millis(50));
    assert_eq!(slow.reply(), ACCEPTED);
    for (from, sent) in [("cut", "250 "), ("close", "421 4.3.2 going\r\n")] {
        let mut client = client(from, "bob");
        client.send("BDAT 2\r\nhi");
        assert_eq!(client.end(), (sent.to_owned(), End::Fin), "{from}");
    }
    let mut reset = client("rst", "bob");
    reset.send("BDAT 2\r\nhi");
    assert_eq!(reset.end(), (String::new(), End::Reset));
    let mut yes = client("yes", "bob");
    assert_eq!(chunk(&mut yes, "hi"), "250 1.2.3 mine");
    assert_eq!(last(&mut yes, "ho"), ACCEPTED);
    let mut no = client("no", "bob");
    assert_eq!(chunk(&mut no, "hi"), TAKEN);
    assert_eq!(last(&mut no, "ho"), "554 5.6.0 No");
    assert_eq!(texts(&server), [b"hi", b"hiho".as_slice()]);
}

#[test]
fn the_log_has_the_commands_and_not_the_octets() {
    let log = Recorder::default();
    let server = start(esmtp().logger(To(log.clone())));
    let mut client = with_envelope(&server);
    assert_eq!(chunk(&mut client, "secret\r\n"), TAKEN);
    client.send("bdat 16 LAST\r\nse");
    client.send("cret\r\nsecret\r\n");
    assert_eq!(client.reply(), ACCEPTED);
    client.quit_extended();
    server.stop();
    let lines: Vec<_> = log.lines().into_iter().filter(|line| line.starts_with("INFO")).collect();
    let at = lines.iter().position(|line| line.contains("BDAT")).expect("the first chunk");
    assert_eq!(
        lines[at..][..6],
        [
            "INFO: SMTP request: BDAT 8",
            &format!("INFO: SMTP response: {TAKEN}"),
            "INFO: SMTP request: bdat 16 LAST",
            &format!("INFO: SMTP response: {ACCEPTED}"),
            "INFO: SMTP request: QUIT",
            "INFO: SMTP response: 221 2.0.0 Closing connection",
        ]
    );
}

/// go-smtp-mock's records know DATA; a first BDAT is in its place.
#[test]
fn records_of_a_session_have_messages_in_chunks_too() {
    let server = start(esmtp().records(RecordMode::Session).multiple_message_receiving(true));
    let mut client = with_envelope(&server);
    assert_eq!(chunk(&mut client, "one"), TAKEN);
    assert_eq!(last(&mut client, "two"), ACCEPTED);
    assert_eq!(texts(&server), [b"onetwo"]);
    client.expect("RSET", "250 2.0.0 Ok");
    envelope(&mut client);
    assert_eq!(last(&mut client, "three"), ACCEPTED);
    assert_eq!(texts(&server), [&b"onetwo"[..], b"three"]);
    assert_eq!(last(&mut client, "four"), OUT_OF_SEQUENCE);
    client.quit_extended();
}

/// A dialogue behind EHLO, sent at once.
struct Case {
    name: &'static str,
    rules: &'static [&'static str],
    sent: &'static str,
    /// Of the replies to it.
    codes: &'static [&'static str],
    accepted: &'static [&'static str],
}

const MAIL: &str = "MAIL FROM:<ann@example.com>\r\nRCPT TO:<bob@example.com>\r\n";

/// What the tests of other servers ask of BDAT, with a size limit of 50 octets. Most of it is asked in go-smtp's tests: two
/// chunks, RSET between them, a client that leaves, a refusal before and within a chunk, a message that is too big, a binary
/// message.
const CASES: &[Case] = &[
    Case {
        name: "two chunks",
        rules: &[],
        sent: "BDAT 8\r\nHey <3\r\nBDAT 8 LAST\r\nHey :3\r\n",
        codes: &["250", "250"],
        accepted: &["Hey <3\r\nHey :3\r\n"],
    },
    Case {
        name: "RSET between chunks",
        rules: &[],
        sent: "BDAT 8\r\nHey <3\r\nRSET\r\n",
        codes: &["250", "250"],
        accepted: &[],
    },
    Case {
        name: "the client leaves in a chunk",
        rules: &[],
        sent: "BDAT 8\r\nHey <",
        codes: &[],
        accepted: &[],
    },
    Case {
        name: "a refusal at the first chunk",
        rules: &["bdat reply=\"555 5.0.0 I failed\""],
        sent: "BDAT 8\r\nHey <3\r\nNOOP\r\n",
        codes: &["555", "250"],
        accepted: &[],
    },
    Case {
        name: "a refusal at the second, and chunks behind it",
        rules: &["bdat nth=2 reply=\"555 5.0.0 I failed\""],
        sent: "BDAT 8\r\nHey <3\r\nBDAT 8\r\nHey <3\r\nBDAT 8 LAST\r\nHey <3\r\nNOOP\r\n",
        codes: &["250", "555", "503", "250"],
        accepted: &[],
    },
    Case {
        name: "a refusal at the end",
        rules: &["message reply=\"555 5.0.0 I failed\""],
        sent: "BDAT 8\r\nHey <3\r\nBDAT 8 LAST\r\nHey <3\r\nNOOP\r\n",
        codes: &["250", "555", "250"],
        accepted: &[],
    },
    Case {
        name: "too big",
        rules: &[],
        sent: "BDAT 30\r\nThis is a very long message.\r\nBDAT 42 LAST\r\nMuch longer than the limit of 50 octets.\r\nNOOP\r\n",
        codes: &["250", "552", "250"],
        accepted: &[],
    },
    Case {
        name: "an empty last chunk",
        rules: &[],
        sent: "BDAT 3\r\n.\r\nBDAT 0 LAST\r\n",
        codes: &["250", "250"],
        accepted: &[".\r\n"],
    },
    Case {
        name: "a line end between two chunks",
        rules: &[],
        sent: "BDAT 2\r\n.\rBDAT 3\r\n\n.\rBDAT 5 LAST\r\n\nNO\0\r",
        codes: &["250", "250", "250"],
        accepted: &[".\r\n.\r\nNO\0\r"],
    },
    Case {
        name: "RCPT between chunks",
        rules: &[],
        sent: "BDAT 3\r\none\r\nRCPT TO:<carol@example.com>\r\nBDAT 3 LAST\r\ntwo",
        codes: &["250", "502", "503", "250"],
        accepted: &["onetwo"],
    },
];

#[test]
fn a_list_of_cases_is_answered_as_by_other_servers() {
    for Case { name, rules, sent, codes, accepted } in CASES {
        for size in [1, 5, 1000] {
            let server = start(ruled(esmtp().message_size_limit(50), rules));
            let mut client = Client::extended(server.local_addr());
            let sent = format!("{MAIL}{sent}");
            sent.as_bytes().chunks(size).for_each(|piece| client.send(piece));
            client.half_close();
            let rest = client.rest();
            let answered: Vec<&str> = rest.lines().skip(2).map(|line| &line[..3]).collect();
            assert_eq!(&answered, codes, "{name}: {rest}");
            let expected: Vec<&[u8]> = accepted.iter().map(|text| text.as_bytes()).collect();
            assert_eq!(texts(&server), expected, "{name}");
        }
    }
}
