//! The capture: every finished record as a JSON line, written on a thread of its own.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use crate::memory::Charge;
use crate::message::Message;
use crate::outbox::{Batch, Outbox};
use crate::smtp::{Exchange, Reply};

/// How much of each record the capture holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CaptureContent {
    /// Everything, the message text included.
    #[default]
    Message,
    /// Everything but the message text.
    Envelope,
}

/// Bytes of records that may wait to be written; a reactor that finds the queue full waits, so that
/// nothing is missing from a capture.
const QUEUE_LIMIT: usize = 64 << 20;

/// A record on its way to the file, with the memory its text is charged for.
type Item = (Message, Option<Charge>);

/// Where finished records go; shared by all shards of a server.
#[derive(Clone, Debug)]
pub(crate) struct Capture {
    queue: Arc<Outbox<Item>>,
}

impl Capture {
    /// Creates the file (`-`: standard output) and starts the thread that writes it.
    pub(crate) fn start(path: &Path) -> io::Result<(Self, JoinHandle<io::Result<()>>)> {
        let output: Box<dyn Write + Send> =
            if path == Path::new("-") { Box::new(io::stdout()) } else { Box::new(File::create(path)?) };
        let queue = Arc::new(Outbox::new(QUEUE_LIMIT));
        let capture = Self { queue: Arc::clone(&queue) };
        let thread = thread::Builder::new()
            .name("smtpmock-capture".into())
            .spawn(move || write_lines(&queue, BufWriter::with_capacity(64 * 1024, output)))?;
        Ok((capture, thread))
    }

    /// Queues a finished record; waits when the queue is full.
    pub(crate) fn push(&self, message: Message, charge: Option<Charge>) {
        let weight = message.memory();
        self.queue.push((message, charge), weight);
    }

    /// Everything pushed so far is written, then the thread ends.
    pub(crate) fn close(&self) {
        self.queue.close();
    }
}

fn write_lines(queue: &Outbox<Item>, mut output: impl Write) -> io::Result<()> {
    let mut result = Ok(());
    queue.write_all(|Batch { items, .. }| {
        // After the first failure the queue is still emptied: the sessions must not hang on a full disk.
        if result.is_ok() {
            result = write_batch(&mut output, &items);
        }
    });
    result
}

fn write_batch(output: &mut impl Write, items: &[Item]) -> io::Result<()> {
    for (message, _) in items {
        serde_json::to_writer(&mut *output, &Line(message))?;
        output.write_all(b"\n")?;
    }
    if items.is_empty() { output.flush() } else { Ok(()) }
}

/// One line of the capture. `finished_at` is not in it: a record is written as it was when it was finished.
struct Line<'a>(&'a Message);

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let message = self.0;
        let record = &message.record;
        let mut map = serializer.serialize_map(None)?;
        exchange(&mut map, ["helo_request", "helo_response"], &record.helo_exchange)?;
        map.serialize_entry("helo", &record.helo)?;
        exchange(&mut map, ["mailfrom_request", "mailfrom_response"], &record.mailfrom_exchange)?;
        map.serialize_entry("mailfrom", &record.mailfrom)?;
        map.serialize_entry("rcptto_request_response", &Pairs(&record.rcptto_exchanges))?;
        map.serialize_entry("rcptto", &record.rcptto)?;
        exchange(&mut map, ["data_request", "data_response"], &record.data_exchange)?;
        map.serialize_entry("data", &record.data)?;
        text(&mut map, "msg_request", &record.msg_request)?;
        text(&mut map, "msg_response", record.msg_response.as_ref().map_or(b"", Reply::text))?;
        map.serialize_entry("msg", &record.msg)?;
        exchange(&mut map, ["rset_request", "rset_response"], &record.rset_exchange)?;
        map.serialize_entry("rset", &record.rset)?;
        map.serialize_entry("noop", &record.noop)?;
        map.serialize_entry("quit_sent", &record.quit_sent)?;
        map.serialize_entry("is_consistent", &record.is_consistent())?;
        map.serialize_entry("session", &message.session_id)?;
        map.serialize_entry("peer_addr", &message.peer_addr)?;
        map.serialize_entry("connected_at", &timestamp(message.connected_at))?;
        map.serialize_entry("accepted_at", &message.accepted_at.map(timestamp))?;
        map.serialize_entry("msg_size", &record.msg_size)?;
        map.end()
    }
}

fn timestamp(at: SystemTime) -> String {
    DateTime::<Utc>::from(at).to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn exchange<M: SerializeMap>(map: &mut M, names: [&str; 2], exchange: &Exchange) -> Result<(), M::Error> {
    text(map, names[0], &exchange.request)?;
    text(map, names[1], exchange.response_text())
}

/// A text under its name, or base64 under `<name>_base64` when it is not UTF-8.
fn text<M: SerializeMap>(map: &mut M, name: &str, bytes: &[u8]) -> Result<(), M::Error> {
    match std::str::from_utf8(bytes) {
        Ok(text) => map.serialize_entry(name, text),
        Err(_) => map.serialize_entry(&format!("{name}_base64"), &BASE64.encode(bytes)),
    }
}

struct Pairs<'a>(&'a [Exchange]);

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Pair))
    }
}

struct Pair<'a>(&'a Exchange);

impl Serialize for Pair<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut pair = serializer.serialize_seq(Some(2))?;
        pair.serialize_element(&Text(&self.0.request))?;
        pair.serialize_element(&Text(self.0.response_text()))?;
        pair.end()
    }
}

/// A text on its own: a string, or `{"base64": …}` when it is not UTF-8.
struct Text<'a>(&'a [u8]);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => serializer.collect_map([("base64", BASE64.encode(self.0))]),
        }
    }
}
