//! Records in the form of the transcripts.

use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use smtpmock::smtp::{Exchange, Record, Reply};

use super::transcript::decode;

/// Longer texts are represented in the transcripts by their length and digest.
const LONGEST_TEXT: usize = 4096;

/// A record with the fields of go-smtp-mock's getters.
pub(crate) fn to_json(record: &Record) -> Value {
    let mut fields = Fields::default();
    fields.exchange("helo", &record.helo_exchange, record.helo);
    fields.exchange("mailfrom", &record.mailfrom_exchange, record.mailfrom);
    let pairs: Vec<Value> = record.rcptto_exchanges.iter().map(|exchange| pair(exchange)).collect();
    fields.0.insert("rcpttoRequestResponse".into(), pairs.into());
    fields.flag("rcptto", record.rcptto);
    fields.exchange("data", &record.data_exchange, record.data);
    fields.text("msgRequest", record.msg_text());
    fields.text("msgResponse", record.msg_response.as_ref().map_or(b"", Reply::text));
    fields.flag("msg", record.msg);
    fields.exchange("rset", &record.rset_exchange, record.rset);
    fields.flag("noop", record.noop);
    fields.flag("quitSent", record.quit_sent);
    fields.flag("isConsistent", record.is_consistent());
    Value::Object(fields.0)
}

#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn exchange(&mut self, name: &str, exchange: &Exchange, accepted: bool) {
        self.text(&format!("{name}Request"), &exchange.request);
        self.text(&format!("{name}Response"), exchange.response_text());
        self.flag(name, accepted);
    }

    fn flag(&mut self, name: &str, value: bool) {
        self.0.insert(name.into(), value.into());
    }

    fn text(&mut self, name: &str, bytes: &[u8]) {
        let (suffix, value) = match form(bytes) {
            Form::Text(text) => ("", text.into()),
            Form::Base64(encoded) => ("_b64", encoded.into()),
            Form::Digest(digest) => ("Digest", digest),
        };
        self.0.insert(format!("{name}{suffix}"), value);
    }
}

enum Form {
    Text(String),
    Base64(String),
    Digest(Value),
}

fn form(bytes: &[u8]) -> Form {
    if bytes.len() > LONGEST_TEXT {
        let sha256: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        return Form::Digest(json!({"len": bytes.len(), "sha256": sha256}));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Form::Text(text.to_owned()),
        Err(_) => Form::Base64(BASE64_STANDARD.encode(bytes)),
    }
}

fn pair(exchange: &Exchange) -> Value {
    json!([half_form(&exchange.request), half_form(exchange.response_text())])
}

fn half_form(bytes: &[u8]) -> Value {
    match form(bytes) {
        Form::Text(text) => Value::String(text),
        Form::Base64(encoded) => json!({"b64": encoded}),
        Form::Digest(digest) => digest,
    }
}

/// The records of a capture.
pub(crate) fn captured(path: &Path) -> Vec<Value> {
    std::fs::read_to_string(path).expect("a capture").lines().map(from_capture).collect()
}

/// A line of a capture in the form of the transcripts, without the fields that go-smtp-mock does not have.
fn from_capture(line: &str) -> Value {
    let json: Value = serde_json::from_str(line).expect("a line of JSON");
    let captured = json.as_object().expect("an object");
    let mut fields = Fields::default();
    for (name, value) in captured {
        if OWN_FIELDS.contains(&name.as_str()) {
            continue;
        }
        match value {
            Value::String(text) => match name.strip_suffix("_base64") {
                Some(name) => fields.text(&camel_case(name), &decode(text)),
                None => fields.text(&camel_case(name), text.as_bytes()),
            },
            Value::Array(pairs) => {
                let half = |half: &Value| match &half["base64"] {
                    Value::String(encoded) => half_form(&decode(encoded)),
                    _ => half_form(half.as_str().expect("a text").as_bytes()),
                };
                let pairs: Vec<Value> =
                    pairs.iter().map(|pair| json!([half(&pair[0]), half(&pair[1])])).collect();
                fields.0.insert(camel_case(name), pairs.into());
            }
            flag => fields.flag(&camel_case(name), flag.as_bool().expect("a flag")),
        }
    }
    Value::Object(fields.0)
}

/// Fields of a capture that go-smtp-mock's `Message` does not have.
const OWN_FIELDS: &[&str] = &[
    "mailfrom_parameters",
    "rcptto_parameters",
    "id",
    "session",
    "peer_addr",
    "connected_at",
    "accepted_at",
    "msg_size",
];

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| name + &word[..1].to_uppercase() + &word[1..])
}

/// The fields in which two lists of records differ, one per line; empty when they are equal.
pub(crate) fn differences(expected: &[Value], actual: &[Value]) -> String {
    if expected.len() != actual.len() {
        return format!("expected {} records, got {}: {actual:?}", expected.len(), actual.len());
    }
    let mut lines = Vec::new();
    for (number, (expected, actual)) in expected.iter().zip(actual).enumerate() {
        let (expected, actual) =
            (expected.as_object().expect("a record"), actual.as_object().expect("a record"));
        for field in expected.keys().chain(actual.keys().filter(|key| !expected.contains_key(*key))) {
            if expected.get(field) != actual.get(field) {
                lines.push(format!(
                    "record {number}, {field}: expected {:?}, got {:?}",
                    expected.get(field),
                    actual.get(field)
                ));
            }
        }
    }
    lines.join("\n")
}
