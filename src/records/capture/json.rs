//! Records as lines of JSON. Most octets of a line are message text that needs few escapes: the runs between them are
//! copied.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use fearless_simd::prelude::*;
use fearless_simd::{Level, Simd, dispatch};

use crate::output::Pulse;
use crate::records::{Endpoint, Message};
use crate::smtp::{Exchange, Parameters, RecipientResponse, Record, Reply};
use crate::text::escape::is_hidden;
use crate::text::timestamp;

/// Octets of a text appended between two reports of progress.
const PIECE: usize = 1 << 20;

/// Appends a record as one line.
pub(super) fn append(lines: &mut Vec<u8>, message: &Message, pulse: &Pulse) {
    let record = &message.record;
    let mut line = Line { out: lines, pulse };
    line.out.push(b'{');
    line.exchange(["helo_request", "helo_response"], &record.helo_exchange);
    line.flag("helo", record.helo);
    if let Some(auth) = &record.auth {
        line.exchange(["auth_request", "auth_response"], &auth.exchange);
        line.text("auth_user", auth.user());
        if let Some(mechanism) = auth.mechanism() {
            line.text("auth_mechanism", mechanism.name().as_bytes());
        }
    }
    line.exchange(["mailfrom_request", "mailfrom_response"], &record.mailfrom_exchange);
    line.flag("mailfrom", record.mailfrom);
    line.parameters("mailfrom_parameters", &record.mailfrom_exchange);
    line.pairs("rcptto_request_response", record.rcptto_exchanges.iter().map(AsRef::as_ref));
    line.flag("rcptto", record.rcptto);
    line.parameters_of_each("rcptto_parameters", record.rcptto_exchanges.iter().map(AsRef::as_ref));
    line.exchange(["data_request", "data_response"], &record.data_exchange);
    line.flag("data", record.data);
    line.text("msg_request", record.msg_text());
    line.text("msg_response", record.msg_response.as_ref().map_or(b"", Reply::text));
    line.responses("recipient_responses", record);
    line.flag("msg", record.msg);
    line.exchange(["rset_request", "rset_response"], &record.rset_exchange);
    line.flag("rset", record.rset);
    line.flag("noop", record.noop);
    line.flag("quit_sent", record.quit_sent);
    line.flag("is_consistent", record.is_consistent());
    line.text("id", message.id().to_string().as_bytes());
    line.number("session", message.session_id);
    line.endpoint("peer_addr", &message.peer_addr);
    if let Some(proxy_addr) = message.proxy_addr() {
        line.endpoint("proxy_addr", proxy_addr);
    }
    if let Some(client) = message.client() {
        let attributes = [
            ("client_name", client.name()),
            ("client_helo", client.helo()),
            ("client_protocol", client.protocol()),
            ("client_login", client.login()),
        ];
        for (name, value) in attributes {
            value.into_iter().for_each(|value| line.text(name, value));
        }
    }
    if let Some(tls) = message.tls() {
        line.text("tls_version", tls.version().to_string().as_bytes());
        line.text("tls_cipher_suite", tls.cipher_suite().as_bytes());
        if let Some(name) = tls.server_name() {
            line.text("tls_server_name", name.as_bytes());
        }
        if let Some(client) = tls.client_certificate() {
            line.text("tls_client_subject", client.subject().as_bytes());
            if let Some(name) = client.alternative_name() {
                line.text("tls_client_name", name.as_bytes());
            }
        }
    }
    line.text("connected_at", timestamp(message.connected_at).as_bytes());
    match message.accepted_at {
        Some(at) => line.text("accepted_at", timestamp(at).as_bytes()),
        None => line.plain("accepted_at", "null"),
    }
    line.number("msg_size", record.msg_size as u64);
    line.out.extend_from_slice(b"}\n");
}

/// Builds a line. Names and plain values are not escaped.
struct Line<'l> {
    out: &'l mut Vec<u8>,
    /// Reports progress while a long line is built.
    pulse: &'l Pulse,
}

impl Line<'_> {
    fn name(&mut self, name: &str) {
        if self.out.last() != Some(&b'{') {
            self.out.push(b',');
        }
        for part in ["\"", name, "\":"] {
            self.out.extend_from_slice(part.as_bytes());
        }
    }

    fn plain(&mut self, name: &str, value: &str) {
        self.name(name);
        self.out.extend_from_slice(value.as_bytes());
    }

    fn flag(&mut self, name: &str, value: bool) {
        self.plain(name, if value { "true" } else { "false" });
    }

    fn number(&mut self, name: &str, value: u64) {
        self.plain(name, &value.to_string());
    }

    fn endpoint(&mut self, name: &str, endpoint: &Endpoint) {
        self.text(name, endpoint.to_string().as_bytes());
    }

    fn exchange(&mut self, names: [&str; 2], exchange: &Exchange) {
        self.text(names[0], &exchange.request);
        self.text(names[1], exchange.response_text());
    }

    /// A text under its name, or base64 under `<name>_base64` if it is not UTF-8.
    fn text(&mut self, name: &str, text: &[u8]) {
        let start = self.out.len();
        self.name(name);
        if !self.string(text) {
            self.out.truncate(start);
            self.name(&format!("{name}_base64"));
            self.base64(text);
        }
    }

    fn pairs<'e>(&mut self, name: &str, exchanges: impl Iterator<Item = &'e Exchange>) {
        self.name(name);
        self.list(exchanges, |line, exchange| {
            line.out.push(b'[');
            line.value(&exchange.request);
            line.out.push(b',');
            line.value(exchange.response_text());
            line.out.push(b']');
        });
    }

    /// The replies to the recipients of a message, each if any.
    fn responses(&mut self, name: &str, record: &Record) {
        if record.deliveries().next().is_some() {
            self.name(name);
            self.list(record.deliveries(), |line, RecipientResponse { recipient, response, .. }| {
                line.out.push(b'[');
                line.value(recipient.name().unwrap_or_default());
                line.out.push(b',');
                line.value(response.map_or(b"", Reply::text));
                line.out.push(b']');
            });
        }
    }

    /// The parameters of a command, if any: each a keyword and a value or null.
    fn parameters(&mut self, name: &str, exchange: &Exchange) {
        if exchange.parameters().iter().next().is_some() {
            self.name(name);
            self.parameter_list(exchange.parameters());
        }
    }

    /// A list for each command, if any has parameters.
    fn parameters_of_each<'e>(&mut self, name: &str, exchanges: impl Iterator<Item = &'e Exchange> + Clone) {
        if exchanges.clone().any(|exchange| exchange.parameters().iter().next().is_some()) {
            self.name(name);
            self.list(exchanges, |line, exchange| line.parameter_list(exchange.parameters()));
        }
    }

    fn parameter_list(&mut self, parameters: Parameters<'_>) {
        self.list(parameters.iter(), |line, parameter| {
            line.out.push(b'[');
            line.value(parameter.keyword);
            line.out.push(b',');
            match parameter.value {
                Some(value) => line.value(value),
                None => line.out.extend_from_slice(b"null"),
            }
            line.out.push(b']');
        });
    }

    fn list<T>(&mut self, items: impl Iterator<Item = T>, append: impl Fn(&mut Self, T)) {
        self.out.push(b'[');
        for (index, item) in items.enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            append(self, item);
        }
        self.out.push(b']');
    }

    /// A single text: a string, or `{"base64": …}` if it is not UTF-8.
    fn value(&mut self, text: &[u8]) {
        if !self.string(text) {
            self.out.extend_from_slice(b"{\"base64\":");
            self.base64(text);
            self.out.push(b'}');
        }
    }

    /// Appends a string. Returns false, without appending, if the text is not UTF-8. Tries ASCII first, as most texts
    /// are.
    fn string(&mut self, text: &[u8]) -> bool {
        let start = self.out.len();
        if self.string_of::<true>(text) {
            return true;
        }
        self.out.truncate(start);
        std::str::from_utf8(text).is_ok() && self.string_of::<false>(text)
    }

    /// Appends a string that is ASCII, or with `ASCII` off any UTF-8. Returns false if `ASCII` is on and the text is
    /// not ASCII.
    fn string_of<const ASCII: bool>(&mut self, text: &[u8]) -> bool {
        // In lines of text the escapes are their ends: two octets become four.
        self.out.reserve(text.len() + text.len() / 16 + 64);
        self.out.push(b'"');
        let mut rest = text;
        while !rest.is_empty() {
            let end = (PIECE.min(rest.len())..rest.len()).find(|end| !is_within_character(rest[*end]));
            let (piece, behind) = rest.split_at(end.unwrap_or(rest.len()));
            if !dispatch!(Level::new(), simd => append_escaped::<_, ASCII>(simd, self.out, piece)) {
                return false;
            }
            rest = behind;
            if !rest.is_empty() {
                self.pulse.note(1);
            }
        }
        self.out.push(b'"');
        true
    }

    fn base64(&mut self, text: &[u8]) {
        self.out.push(b'"');
        self.out.extend_from_slice(BASE64.encode(text).as_bytes());
        self.out.push(b'"');
        self.pulse.note(1);
    }
}

/// Not the first octet of a character in UTF-8.
fn is_within_character(octet: u8) -> bool {
    octet & 0xc0 == 0x80
}

/// Appends the contents of a string, searching whole vectors for octets that may need an escape. The text must be
/// UTF-8; with `ASCII` it may be anything, and false is returned if it is not ASCII.
#[inline(always)]
fn append_escaped<S: Simd, const ASCII: bool>(simd: S, out: &mut Vec<u8>, octets: &[u8]) -> bool {
    let width = S::u8s::LEN;
    let mut start = 0;
    for (number, block) in octets.chunks_exact(width).enumerate() {
        let block = S::u8s::from_slice(simd, block);
        let quoted = block.simd_lt(b' ') | block.simd_eq(b'"') | block.simd_eq(b'\\');
        let others = match ASCII {
            true => block.simd_ge(DEL),
            false => {
                let leads = [C1_LEADS, ALM_LEADS, MARKS_LEAD].map(|lead| block.simd_eq(lead));
                leads.into_iter().fold(block.simd_eq(DEL), |any, own| any | own)
            }
        };
        let mut places = (quoted | others).to_bitmask();
        while places != 0 {
            let place = number * width + places.trailing_zeros() as usize;
            places &= places - 1;
            if ASCII && !octets[place].is_ascii() {
                return false;
            }
            start = append_escape(out, octets, start, place);
        }
    }
    let rest = octets.len() - octets.len() % width;
    if ASCII && !octets[rest..].is_ascii() {
        return false;
    }
    let places = (rest..).zip(&octets[rest..]).filter(|(_, octet)| may_need_escape(**octet));
    for (place, _) in places {
        start = append_escape(out, octets, start, place);
    }
    out.extend_from_slice(&octets[start..]);
    true
}

const DEL: u8 = 0x7f;
/// First octets in UTF-8 of [hidden](is_hidden) characters, among others: control characters above ASCII, the Arabic
/// letter mark, and separators and marks of direction.
const C1_LEADS: u8 = 0xc2;
const ALM_LEADS: u8 = 0xd8;
const MARKS_LEAD: u8 = 0xe2;

fn may_need_escape(octet: u8) -> bool {
    octet < b' ' || matches!(octet, b'"' | b'\\' | DEL | C1_LEADS | ALM_LEADS | MARKS_LEAD)
}

/// Appends the text from `start` to the character at `place`, and that escaped; nothing if it needs no escape. Returns
/// the start of the text that was not appended. CRLF is processed as one.
#[inline(always)]
fn append_escape(out: &mut Vec<u8>, octets: &[u8], start: usize, place: usize) -> usize {
    let (short, length): (&[u8], _) = match octets[place..] {
        // The LF of a CRLF that was appended.
        _ if place < start => return start,
        [b'\r', b'\n', ..] => (b"\\r\\n", 2),
        [b'\r', ..] => (b"\\r", 1),
        [b'\n', ..] => (b"\\n", 1),
        [b'\t', ..] => (b"\\t", 1),
        [b'"', ..] => (b"\\\"", 1),
        [b'\\', ..] => (b"\\\\", 1),
        _ => return append_long_escape(out, octets, start, place),
    };
    out.extend_from_slice(&octets[start..place]);
    out.extend_from_slice(short);
    place + length
}

/// The same for characters without a short escape.
#[cold]
fn append_long_escape(out: &mut Vec<u8>, octets: &[u8], start: usize, place: usize) -> usize {
    let length = match octets[place] {
        MARKS_LEAD => 3,
        C1_LEADS | ALM_LEADS => 2,
        _ => 1,
    };
    let character = octets.get(place..place + length).and_then(|octets| std::str::from_utf8(octets).ok());
    let Some(c) = character.and_then(|text| text.chars().next()).filter(|c| is_hidden(*c)) else {
        return start;
    };
    out.extend_from_slice(&octets[start..place]);
    // All are in the basic multilingual plane.
    out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes());
    place + length
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::records::message::sample::mail;

    fn line(message: &Message) -> String {
        let mut lines = Vec::new();
        append(&mut lines, message, &Pulse::default());
        let line = String::from_utf8(lines).expect("UTF-8");
        assert_eq!(line.find('\n'), Some(line.len() - 1), "one line");
        line
    }

    /// A text as a reader decodes it.
    fn read(value: &Value, name: &str) -> Vec<u8> {
        match (&value[name], &value[format!("{name}_base64")]) {
            (Value::String(text), Value::Null) => text.clone().into_bytes(),
            (Value::Null, Value::String(encoded)) => BASE64.decode(encoded).expect("base64"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_record_has_its_fields_in_their_order() {
        let mut message =
            mail("ann@example.com", &["bob@example.com", "c\u{9b}@example.com"], "one\r\n\"two\"\r\n");
        message.accepted_at = Some(SystemTime::UNIX_EPOCH + Duration::from_micros(1_500_000));
        let expected = concat!(
            r#"{"helo_request":"EHLO client.example","helo_response":"250 Ok","helo":true,"#,
            r#""mailfrom_request":"MAIL FROM:<ann@example.com>","mailfrom_response":"250 Ok","mailfrom":true,"#,
            r#""rcptto_request_response":[["RCPT TO:<bob@example.com>","250 Ok"],"#,
            r#"["RCPT TO:<c\u009b@example.com>","250 Ok"]],"rcptto":true,"#,
            r#""data_request":"","data_response":"","data":false,"#,
            r#""msg_request":"one\r\n\"two\"\r\n","msg_response":"","msg":true,"#,
            r#""rset_request":"","rset_response":"","rset":false,"noop":false,"quit_sent":false,"#,
            r#""is_consistent":false,"id":"00000000-1-1","session":1,"peer_addr":"127.0.0.1:1","#,
            r#""connected_at":"1970-01-01T00:00:00.000000Z","accepted_at":"1970-01-01T00:00:01.500000Z","#,
            r#""msg_size":12}"#,
            "\n"
        );
        assert_eq!(line(&message), expected);
        message.accepted_at = None;
        assert_eq!(serde_json::from_str::<Value>(&line(&message)).expect("JSON")["accepted_at"], Value::Null);
    }

    /// Text with few or many escapes, at any position of a vector.
    fn text() -> impl Strategy<Value = String> {
        let pieces = vec![
            "\r\n", "\"", "\\", "\u{7f}", "\u{9b}", "\u{a0}", "\u{61c}", "\u{62d}", "\u{202e}", "–", "é",
            "🦀", "\0",
        ];
        let piece = prop_oneof![
            2 => prop::sample::select(pieces).prop_map(str::to_owned),
            2 => (0..150usize).prop_map(|length| "x".repeat(length)),
            1 => any::<String>(),
        ];
        prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_and_hides_nothing(text in text(), octets: Vec<u8>) {
            let mut message = mail("a@b.example", &[&text], &text);
            message.record.rset_exchange.request = octets.clone().into();
            let line = line(&message);
            let value: Value = serde_json::from_str(&line).expect("JSON");
            prop_assert_eq!(read(&value, "msg_request"), text.as_bytes());
            prop_assert_eq!(read(&value, "rset_request"), octets);
            let pair = json!([format!("RCPT TO:<{text}>"), "250 Ok"]);
            prop_assert_eq!(&value["rcptto_request_response"], &json!([pair]));
            prop_assert!(!line.trim_end().contains(is_hidden), "{}", line);
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters_and_is_whole() {
        for before in PIECE - 4..=PIECE {
            let text = format!("{}€{}", "x".repeat(before), "\r\n".repeat(PIECE / 2));
            let value: Value = serde_json::from_str(&line(&mail("a@b.example", &[], &text))).expect("JSON");
            assert!(read(&value, "msg_request") == text.as_bytes(), "{before}");
        }
    }
}
