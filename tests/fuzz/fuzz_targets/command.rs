//! Command lines and the names and paths in them: slices of the line, the same however it ends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smtpmock::smtp::{AddressRules, Command, HeloName, LineScan, LineScanner, Path};

const RULES: [AddressRules; 4] =
    [AddressRules::Lenient, AddressRules::Compat, AddressRules::Rfc5321, AddressRules::Any];

fuzz_target!(|data: &[u8]| {
    let command = Command::parse(data);
    assert_eq!(Command::parse(command.line), command, "a trimmed line is read differently");
    assert!(!command.is_bare() || command.line.len() <= "r\u{17f}et".len());
    for rules in RULES {
        let helo = HeloName::parse(command.line, rules).map(|name| name.as_bytes().to_vec());
        let reverse = Path::parse_reverse(command.line, rules).map(|path| path.mailbox().to_vec());
        let forward = Path::parse_forward(command.line, rules).map(|path| path.mailbox().to_vec());
        for found in [helo, reverse, forward].into_iter().flatten() {
            assert!(contains(command.line, &found), "{:?} is not in the line", found.escape_ascii());
        }
    }
    lines(data);
});

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
