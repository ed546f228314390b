//! Differences between a captured message and the message that was sent. Pure.

use crate::load::payload::Payload;
use crate::load::token::{HEADER, LEN, Token, digest_of};
use crate::report::verification::Part;

/// Header fields that a relay may add before the message (RFC 5321 section 4.4).
const TRACE_FIELDS: [&str; 3] = ["received:", "return-path:", "delivered-to:"];

/// A captured message with a token.
#[derive(Debug)]
pub(crate) struct Captured<'r> {
    pub(crate) token: Token,
    before: &'r [u8],
    /// The token's line, including its line end.
    line: &'r [u8],
    after: &'r [u8],
}

/// Why a captured message was not sent by this run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotOurs {
    /// It has no token, or another run's.
    Foreign,
    /// It has the id of this run and no valid token: the token as captured.
    Misnamed(String),
}

impl<'r> Captured<'r> {
    /// Finds the line with a token of `run` in the header of a message.
    pub(crate) fn find(message: &'r [u8], run: u32) -> Result<Captured<'r>, NotOurs> {
        let mut at = 0;
        let mut error = NotOurs::Foreign;
        for line in message.split_inclusive(|byte| *byte == b'\n') {
            if line.trim_ascii_end().is_empty() {
                break;
            }
            let value = token_field(line);
            if let Some(token) = value.and_then(token_of).filter(|token| token.run == run) {
                let end = at + line.len();
                return Ok(Captured { token, before: &message[..at], line, after: &message[end..] });
            }
            if let Some(value) = value.filter(|value| token_of(value).is_none() && names(value, run)) {
                error =
                    NotOurs::Misnamed(String::from_utf8_lossy(&value[..value.len().min(LEN)]).into_owned());
            }
            at += line.len();
        }
        Err(error)
    }

    /// The parts that differ from what `payload` sent. `mail` and `rcpts` are the captured commands.
    pub(crate) fn differences<'c>(
        &self,
        payload: &mut Payload,
        mail: Option<&str>,
        rcpts: impl Iterator<Item = Option<&'c str>>,
    ) -> Vec<Part> {
        let seq = self.token.seq;
        let sent = payload.covered(seq);
        let has_its_token = self.token.proves(sent) && is_token_line(self.line);
        let has_its_content = digest_of(self.after) == sent.content;
        let (has_its_sender, has_its_recipients) = self.compare_paths(payload, mail, rcpts);
        let differs = [
            (Part::Front, !is_trace(self.before)),
            (Part::TokenLine, !has_its_token),
            (Part::Content, !has_its_content),
            (Part::ReversePath, !has_its_sender),
            (Part::ForwardPaths, !has_its_recipients),
        ];
        differs.into_iter().filter_map(|(part, differs)| differs.then_some(part)).collect()
    }

    /// Whether the reverse-path and the forward-paths are those that were sent.
    fn compare_paths<'c>(
        &self,
        payload: &Payload,
        mail: Option<&str>,
        mut rcpts: impl Iterator<Item = Option<&'c str>>,
    ) -> (bool, bool) {
        let (envelope, seq) = (payload.envelope(), self.token.seq);
        let mut sent = Vec::new();
        envelope.reverse_path(seq, &mut sent);
        let has_its_sender = is_path(mail, "MAIL FROM:", &sent);
        let has_its_recipients = (0..envelope.recipients()).all(|index| {
            sent.clear();
            envelope.forward_path(seq, index, &mut sent);
            is_path(rcpts.next().flatten(), "RCPT TO:", &sent)
        });
        (has_its_sender, has_its_recipients && rcpts.next().is_none())
    }
}

/// The value of the token's header field.
fn token_field(line: &[u8]) -> Option<&[u8]> {
    let name = HEADER.trim_ascii_end();
    let (field, value) = line.split_at_checked(name.len())?;
    field.eq_ignore_ascii_case(name.as_bytes()).then(|| value.trim_ascii())
}

/// The token at the beginning of a value.
fn token_of(value: &[u8]) -> Option<Token> {
    Token::parse(std::str::from_utf8(value.get(..LEN)?).ok()?)
}

/// Whether a value begins with the id of a run.
fn names(value: &[u8], run: u32) -> bool {
    value.to_ascii_lowercase().starts_with(format!("{run:08x}").as_bytes())
}

/// Whether the line is exactly the header field with a token in the form that is stamped, and CRLF. [`Token::parse`] also
/// accepts capital letters, and signs before digits.
fn is_token_line(line: &[u8]) -> bool {
    let value = line.strip_prefix(HEADER.as_bytes()).and_then(|value| value.strip_suffix(b"\r\n"));
    let is_stamped = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-');
    value.is_some_and(|value| value.len() == LEN && value.iter().all(is_stamped))
}

/// Whether everything before the token's line are trace fields of relays.
fn is_trace(before: &[u8]) -> bool {
    let text = String::from_utf8_lossy(before).to_ascii_lowercase();
    let mut lines = text.split_inclusive('\n');
    let is_field =
        |line: &str| line.ends_with("\r\n") && TRACE_FIELDS.iter().any(|field| line.starts_with(field));
    let is_folded = |line: &str| line.ends_with("\r\n") && line.starts_with([' ', '\t']);
    lines.next().is_none_or(is_field) && lines.all(|line| is_folded(line) || is_field(line))
}

/// Whether the command has this path; parameters may follow it (RFC 5321 section 4.1.2).
fn is_path(command: Option<&str>, verb: &str, path: &[u8]) -> bool {
    let named = || {
        let (head, rest) = command?.split_at_checked(verb.len())?;
        let rest = head.eq_ignore_ascii_case(verb).then_some(rest)?;
        let (named, behind) = rest.trim_start_matches(' ').strip_prefix('<')?.split_once('>')?;
        (behind.is_empty() || behind.starts_with(' ')).then_some(named)
    };
    named().is_some_and(|named| named.as_bytes() == path)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::load::envelope::Envelope;
    use crate::load::payload::Content;

    const MAIL: &str = "MAIL FROM:<a3@x>";
    const RCPTS: [&str; 2] = ["RCPT TO:<b0@x>", "RCPT TO:<b1@x>"];

    fn payload() -> Payload {
        let envelope = Envelope::new("a{{seq}}@x".parse().unwrap(), "b{{rcpt}}@x".parse().unwrap(), 2, 7);
        let bytes = b"Subject: x\r\n\r\nfirst\r\nlast\r\n".to_vec();
        Payload::new(&Content::File { name: "f".into(), bytes }, envelope, 7, 1)
    }

    /// Message 3 as it is received.
    fn sent() -> Vec<u8> {
        let mut payload = payload();
        let (head, tail) = payload.stamped(3);
        [head, tail].concat().strip_suffix(b".\r\n").expect("a final dot").to_vec()
    }

    fn inspect(message: &[u8], mail: &str, rcpts: &[&str]) -> Option<Vec<Part>> {
        let captured = Captured::find(message, 7).ok()?;
        Some(captured.differences(&mut payload(), Some(mail), rcpts.iter().map(|rcpt| Some(*rcpt))))
    }

    #[test]
    fn what_differs_is_named() {
        let text = String::from_utf8(sent()).unwrap();
        let message = |message: String| inspect(message.as_bytes(), MAIL, &RCPTS);
        let part = |part: Part| Some(vec![part]);
        assert_eq!(message(text.clone()), Some(vec![]));
        assert_eq!(message(format!("Received: a\r\n\tfolded\r\nReturn-Path: b\r\n{text}")), Some(vec![]));
        assert_eq!(message(format!("X-Added: 1\r\n{text}")), part(Part::Front));
        assert_eq!(message(format!("Received: a\n{text}")), part(Part::Front));
        let mut digest = text.clone();
        let last = HEADER.len() + LEN - 1;
        digest.replace_range(last..=last, if text[last..].starts_with('0') { "1" } else { "0" });
        let token = &text[HEADER.len()..HEADER.len() + LEN];
        let capitals = text.replacen(token, &token.to_ascii_uppercase(), 1);
        assert_ne!(capitals, text);
        for changed in [
            text.replacen("\r\n", " \r\n", 1),
            text.replacen("\r\n", "\n", 1),
            text.replacen("X-Smtpload-Token: ", "X-Smtpload-Token:  ", 1),
            text.replacen("X-Smtpload-Token", "x-smtpload-token", 1),
            digest,
            capitals,
        ] {
            assert_eq!(message(changed.clone()), part(Part::TokenLine), "{changed}");
        }
        for changed in [
            text.strip_suffix("\r\n").unwrap().to_owned(),
            format!("{text}\r\n"),
            text.replacen("first\r\n", "first\n", 1),
            text.replacen("last", "lost", 1),
        ] {
            assert_eq!(message(changed.clone()), part(Part::Content), "{changed}");
        }
        assert_eq!(message(text.replace("\r\n", "\n")), Some(vec![Part::TokenLine, Part::Content]));
        assert_eq!(message(text.replacen("00000007", "00000008", 1)), None, "of another run");
        assert_eq!(message(text.replacen("-00000000000", "-x0000000000", 1)), None);
    }

    #[test]
    fn a_token_of_this_run_that_is_none_is_not_foreign() {
        let find = |header: &str| Captured::find(format!("{header}\r\n\r\nbody\r\n").as_bytes(), 7).err();
        let misnamed = |token: &str| Some(NotOurs::Misnamed(token.to_owned()));
        assert_eq!(find("Subject: 00000007"), Some(NotOurs::Foreign));
        assert_eq!(find("X-Smtpload-Token: 00000008-99"), Some(NotOurs::Foreign));
        assert_eq!(find("x-smtpload-token:  00000007-99 "), misnamed("00000007-99"));
        assert_eq!(find("X-Smtpload-Token: 00000007"), misnamed("00000007"));
        let long = format!("00000007{}", "x".repeat(LEN));
        assert_eq!(find(&format!("X-Smtpload-Token: {long}")), misnamed(&long[..LEN]));
        assert_eq!(find("Subject: x\r\n\r\nX-Smtpload-Token: 00000007"), Some(NotOurs::Foreign));
    }

    #[test]
    fn paths_are_compared_as_they_were_sent() {
        let paths = |mail: &str, rcpts: &[&str]| inspect(&sent(), mail, rcpts).expect("a token");
        assert_eq!(paths("mail from: <a3@x> SIZE=9", &RCPTS), []);
        for mail in ["", "MAIL FROM:<>", "MAIL FROM:<a3@y>", "MAIL FROM:<A3@x>", "MAIL FROM:<a3@x>x", "MAIL"]
        {
            assert_eq!(paths(mail, &RCPTS), [Part::ReversePath], "{mail}");
        }
        let [first, second] = RCPTS;
        for rcpts in [&[][..], &[first], &[second, first], &[first, second, second], &[first, "RCPT TO:<>"]] {
            assert_eq!(paths(MAIL, rcpts), [Part::ForwardPaths], "{rcpts:?}");
        }
        assert_eq!(paths("", &[]), [Part::ReversePath, Part::ForwardPaths]);
    }

    proptest! {
        /// Any byte that is changed, inserted or removed is noticed.
        #[test]
        fn no_byte_is_left_out(at: prop::sample::Index, byte: u8, how in 0..3) {
            let sent = sent();
            let at = at.index(sent.len());
            let mut changed = sent.clone();
            match how {
                0 => changed[at] = byte,
                1 => changed.insert(at, byte),
                _ => drop(changed.remove(at)),
            }
            let found = inspect(&changed, MAIL, &RCPTS);
            prop_assert_eq!(found == Some(vec![]), changed == sent, "{:?}", found);
        }
    }
}
