//! Command lines and the names and paths in them: slices of the line, the same however it ends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smtpmock::smtp::{
    AddressRules, Chunk, Command, Grammar, LineScan, LineScanner, Parameters, Path, Reply, Request,
};

const RULES: [AddressRules; 4] =
    [AddressRules::Lenient, AddressRules::Compat, AddressRules::Rfc5321, AddressRules::Any];

/// What a server may offer, from nothing on.
const OFFERS: [&str; 3] = ["250 mx", "250-mx\n250-SIZE\n250-DSN\n250 XA", "250-mx\n250-SMTPUTF8\n250 AUTH"];

fuzz_target!(|data: &[u8]| {
    for (rules, offer) in RULES.into_iter().flat_map(|rules| OFFERS.map(|offer| (rules, offer))) {
        let reply = Reply::new(offer);
        let grammar = Grammar { addresses: rules, offered: reply.offers() };
        let request = Request::parse(data, grammar);
        assert_eq!(Request::parse(request.line, grammar), request, "a trimmed line is read differently");
        match request.command {
            Command::Helo(name) | Command::Ehlo(name) => {
                name.iter().for_each(|name| check_part(request.line, name.as_bytes()));
            }
            Command::Mail { path, parameters } | Command::Rcpt { path, parameters } => {
                path.iter().for_each(|path| check_part(request.line, path.mailbox()));
                check_parameters(request.line, path.ok(), parameters);
            }
            Command::Data { is_bare } | Command::Rset { is_bare } | Command::Quit { is_bare } => {
                assert!(!is_bare || request.line.len() <= "r\u{17f}et".len());
            }
            Command::Vrfy { .. } | Command::Expn { .. } => assert!(request.line.len() >= 4),
            Command::Bdat(chunk) => assert!(chunk.is_none_or(|chunk| chunk.size <= Chunk::MAX_SIZE)),
            Command::Xclient { arguments } => check_part(request.line, arguments),
            Command::Noop | Command::Help | Command::Unknown => {}
            other => panic!("{other:?}: no check of what it holds"),
        }
    }
    lines(data);
});

fn check_part(line: &[u8], found: &[u8]) {
    assert!(contains(line, found), "{:?} is not in the line", found.escape_ascii());
}

/// Each is in the line, behind the path.
fn check_parameters(line: &[u8], path: Option<Path<'_>>, parameters: Parameters<'_>) {
    let mut length = path.map_or(0, |path| path.mailbox().len());
    for parameter in parameters.iter() {
        assert!(!parameter.keyword.is_empty() && parameter.value.is_none_or(|value| !value.is_empty()));
        check_part(line, parameter.keyword);
        length += parameter.keyword.len() + parameter.value.map_or(0, |value| 1 + value.len());
    }
    assert!(length <= line.len());
    check_values(parameters);
}

/// What is decoded is no longer than what was sent.
fn check_values(parameters: Parameters<'_>) {
    let length = |name| parameters.value(name).map_or(0, <[u8]>::len);
    assert!(parameters.envid().is_none_or(|envid| envid.len() <= length("ENVID")));
    let recipient = parameters.original_recipient();
    assert!(recipient.is_none_or(|recipient| recipient.address().len() < length("ORCPT")));
    assert!(parameters.size().is_none() || length("SIZE") <= 20);
    let _ = (parameters.body(), parameters.ret(), parameters.notify(), parameters.has_smtputf8());
}

fn contains(line: &[u8], part: &[u8]) -> bool {
    part.is_empty() || line.windows(part.len()).any(|window| window == part)
}

/// Every LF ends one line, found or dropped, and nothing is left over but a line without an end.
fn lines(data: &[u8]) {
    let mut scanner = LineScanner::default();
    let (mut rest, mut found) = (data, 0);
    loop {
        let consumed = match scanner.scan(rest) {
            LineScan::Line(length) => {
                assert!(length <= LineScanner::LIMIT && rest[length - 1] == b'\n');
                found += 1;
                length
            }
            LineScan::TooLong(length) => {
                assert!(rest[length - 1] == b'\n');
                found += 1;
                length
            }
            LineScan::Incomplete(length) => {
                assert!(rest.len() - length <= LineScanner::LIMIT);
                break;
            }
        };
        rest = &rest[consumed..];
    }
    assert_eq!(found, data.iter().filter(|&&octet| octet == b'\n').count());
}
