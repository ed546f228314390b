//! Queries, compared with a naive search.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::records::message::sample;

fn found(query: &str, message: &Message) -> bool {
    let index = Index::of(message);
    query
        .parse::<Query>()
        .unwrap_or_else(|error| panic!("{error}"))
        .selects(Candidate { message, index: &index })
}

const MAIL: &str = "From: \"Ann Äpfel\" <ann@example.com>\r\nTo: Bob <bob@example.com>\r\nCc: carol@example.com\r\n\
    Reply-To: desk@example.com\r\nSubject: Welcome ABOARD\r\nMessage-ID: <42@mail.example>\r\nX-Kind: Receipt 7\r\n\
    Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nYour order number 7\r\n--b\r\n\
    Content-Type: application/pdf; name=Bill.PDF\r\n\r\nx\r\n--b--\r\n";

fn message() -> Message {
    sample::mail("bounce@example.com", &["bob@example.com", "hidden@example.com"], MAIL)
}

#[test]
fn each_term_is_about_what_its_prefix_says() {
    let message = message();
    for (query, expected) in [
        ("order", true),
        ("ORDER NUMBER", true),
        ("\"order number\"", true),
        ("\"number order\"", false),
        ("order -number", false),
        ("order !refund", true),
        ("-\"order number\"", false),
        ("from:äpfel", true),
        ("from:ÄPFEL", true),
        ("from:\"ann äpfel\"", true),
        ("from:bob", false),
        ("to:bob@", true),
        ("to:hidden", false),
        ("bcc:hidden", true),
        ("bcc:bob", false),
        ("cc:carol", true),
        ("reply-to:desk", true),
        ("addressed:carol addressed:hidden", true),
        ("subject:welcome", true),
        ("subject:\"welcome aboard\"", true),
        ("Subject:goodbye", false),
        ("-subject:goodbye", true),
        ("message-id:<42@mail.example>", true),
        ("bill.pdf", true),
        ("bounce@example.com", true),
        ("has:attachment", true),
        ("has:attachments -has:inline", true),
        ("larger:100", true),
        ("larger:1kb", false),
        ("smaller:1.5m", true),
        ("header:X-Kind", true),
        ("header:\"x-kind=receipt 7\"", true),
        ("header:x-kind=bill", false),
        ("header:x-none", false),
        ("mail-from:bounce@", true),
        ("mail-from:ann", false),
        ("mail-from:<>", false),
        ("rcpt-to:hidden", true),
        ("tls:no", true),
        ("tls:1.3", false),
        ("peer:127.0.0.1", true),
        ("session:1", true),
        ("session:2", false),
        ("helo:client.example", true),
        ("protocol:smtp", true),
        ("user:ann", false),
        ("-user:ann", true),
        ("after:1969-01-01 -before:1970-01-01", true),
        ("before:2000-01-01T00:00:00z", true),
        // Unknown prefixes are text.
        ("12:30", false),
        ("https://a.example/", false),
        ("tls:no header:x-kind=receipt", true),
        ("\"subject:welcome\"", false),
    ] {
        assert_eq!(found(query, &message), expected, "{query}");
    }
    assert!(found(&format!("id:{}", message.id()), &message));
    assert!(found("mail-from:<>", &sample::mail("", &["bob@example.com"], "")));
}

#[test]
fn a_value_that_can_not_be_is_refused_with_what_would_be_right() {
    for (query, expected) in [
        ("hi larger:x", "larger:x: expected a size"),
        ("-after:tomorrow", "-after:tomorrow: expected a moment"),
        ("has:fun", "has:fun: expected has:attachment or has:inline"),
        ("tls:2", "tls:2: expected tls:yes"),
        ("session:x", "session:x: expected the number"),
        ("is:read", "is:read: expected another term"),
        ("order:7", "order:7: expected a known prefix, or the text in quotation marks: \"order:7\""),
        ("order -form:bob", "-form:bob: expected from:, or the text"),
        ("", "a query with at least one term"),
        (" \t", "a query with at least one term"),
        ("\"\"", "\"\": expected a value"),
        ("order \" \"", "\" \": expected a value"),
        ("order -", "-: expected a value"),
        ("from:", "from:: expected a value"),
        ("-From:\"\"", "-From:: expected a value"),
        ("tls:", "tls:: expected a value"),
        ("header:=x", "header:=x: expected a value"),
        ("header:x-kind=", "header:x-kind=: expected a value"),
        ("param:", "param:: expected a value"),
        ("message-id:<>", "message-id:<>: expected a value"),
        ("order \"number", "a second quotation mark"),
    ] {
        let error = query.parse::<Query>().expect_err(query).to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    assert!("x".repeat(LONGEST + 1).parse::<Query>().is_err());
    assert!("x ".repeat(MOST_TERMS + 1).parse::<Query>().is_err());
}

#[test]
fn what_a_message_missed_is_explained() {
    let message = message();
    let index = Index::of(&message);
    let query = "from:ann subject:goodbye rcpt-to:zoe refund".parse::<Query>().expect("a query");
    let missed = query.missed_by(Candidate { message: &message, index: &index });
    assert_eq!(missed[0], "subject:goodbye: found \"welcome aboard\"");
    assert_eq!(missed[1], "rcpt-to:zoe: the forward-paths are [\"bob@example.com\", \"hidden@example.com\"]");
    assert!(missed[2].starts_with("refund: about the text"), "{missed:?}");
    assert_eq!(missed.len(), 3);
}

#[test]
fn words_are_split_as_they_were_meant() {
    let word = |text: &str, is_negated, is_phrase| Word { text: text.to_owned(), is_negated, is_phrase };
    let cases = [
        ("a  b", vec![word("a", false, false), word("b", false, false)]),
        ("\"a b\" c", vec![word("a b", false, true), word("c", false, false)]),
        ("-\"a b\"", vec![word("a b", true, true)]),
        ("!to:\"a b\"", vec![word("to:a b", true, false)]),
        ("\"open to the end", vec![word("open to the end", false, true)]),
        (
            "a-b - \"\" --c",
            vec![
                word("a-b", false, false),
                word("", true, false),
                word("", false, true),
                word("-c", true, false),
            ],
        ),
    ];
    for (text, expected) in cases {
        let is_closed = text != "\"open to the end";
        assert_eq!(words(text), Words { words: expected, is_closed }, "{text}");
    }
}

/// A term, and its meaning for the naive search: negation, field, text.
fn term() -> impl Strategy<Value = (bool, &'static str, String)> {
    let fields = vec!["", "subject", "from", "mail-from", "rcpt-to"];
    (any::<bool>(), select(fields), "[a-cÄß]{1,3}")
}

proptest! {
    #[test]
    fn a_naive_search_finds_the_same(
        terms in prop::collection::vec(term(), 1..4),
        subject in "[a-cA-Cäß ]{0,8}",
        from in "[a-c]{1,4}",
        path in "[a-c]{1,4}",
        rcpts in prop::collection::vec("[a-c]{1,4}", 1..3),
        text in "[a-cA-CÄß]{0,8}",
    ) {
        let header = format!("From: {from}@x.example\r\nSubject: x{subject}x\r\nContent-Type: text/plain; charset=utf-8\r\n");
        let rcpts: Vec<String> = rcpts.iter().map(|local| format!("{local}@r.example")).collect();
        let rcpts: Vec<&str> = rcpts.iter().map(String::as_str).collect();
        let message = sample::mail(&format!("{path}@p.example"), &rcpts, &format!("{header}\r\nq{text}q\r\n"));
        let expected = terms.iter().all(|(is_negated, field, text_of_term)| {
            let needle = text_of_term.to_lowercase();
            let subject = Index::of(&message).head.subject.unwrap_or_default().to_lowercase();
            let from = format!("{from}@x.example");
            let path = format!("{path}@p.example");
            let haystacks: Vec<String> = match *field {
                "subject" => vec![subject],
                "from" => vec![from],
                "mail-from" => vec![path],
                "rcpt-to" => rcpts.iter().map(|path| (*path).to_owned()).collect(),
                _ => [vec![subject, from, path, format!("q{text}q").to_lowercase()], rcpts.iter().map(|path| (*path).to_owned()).collect()].concat(),
            };
            haystacks.iter().any(|haystack| haystack.contains(&needle)) != *is_negated
        });
        let query: Vec<String> = terms.iter().map(|(is_negated, field, text)| {
            let minus = if *is_negated { "-" } else { "" };
            if field.is_empty() { format!("{minus}{text}") } else { format!("{minus}{field}:{text}") }
        }).collect();
        prop_assert_eq!(found(&query.join(" "), &message), expected, "{:?}", query);
    }

    #[test]
    fn any_text_is_a_query_or_an_error(text: String) {
        if let Ok(query) = text.parse::<Query>() {
            let message = message();
            let index = Index::of(&message);
            let candidate = Candidate { message: &message, index: &index };
            prop_assert_eq!(query.selects(candidate), query.missed_by(candidate).is_empty());
        }
    }
}

#[cfg(feature = "http")]
#[test]
fn a_query_of_mailpit_is_read_as_there_and_never_empty() {
    let message = message();
    let index = Index::of(&message);
    let parse = |text: &str| Query::parse_lax(text, |term, _| term == "is:read");
    for (text, expected) in [
        ("order - from: \"\"", true),
        ("order:7", false),
        ("\"order number", true),
        ("refund from:", false),
        ("is:read", true),
    ] {
        let query = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(query.selects(Candidate { message: &message, index: &index }), expected, "{text}");
    }
    for text in ["", "-", "--", "\"\"", "from:", "-from: to:", "header:=", "\" "] {
        assert!(parse(text).is_err(), "{text}");
    }
}
