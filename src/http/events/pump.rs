//! The tasks that make events, on the plane's thread.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use serde::Serialize;

use super::queue::MOST_EVENTS;
use super::{Hub, Kind};
use crate::http::Plane;
use crate::net::passages::{End, Passage, Passages};
use crate::records::store::{Removal, Shown, Snapshot};
use crate::report::over_stages;
use crate::server::Server;
use crate::smtp::{Exchange, RecordId};
use crate::stats::{Durations, RuleStats, Stats};
use crate::text::timestamp;
use crate::time::Deadline;

/// How long a task that waits for mail goes without a look at who listens.
const LOOK: Duration = Duration::from_secs(1);
/// A pause behind messages: those that arrive within it cause one wake-up.
const PAUSE: Duration = Duration::from_millis(10);
/// How long sessions are collected: shards wake nobody.
const COLLECTING: Duration = Duration::from_millis(100);
/// Recipients of one event: with all of them it could be larger than what waits for a client.
const MOST_RECIPIENTS: usize = 100;
/// Ids of one event.
const AT_ONCE: usize = 100;
const SECOND: Duration = Duration::from_secs(1);
/// Seconds between two comments.
const HEARTBEAT: u32 = 15;

/// A message as its record has it: its mail is not parsed.
#[derive(Serialize)]
struct MessageEvent {
    id: String,
    session: u64,
    accepted: bool,
    accepted_at: Option<String>,
    peer_addr: String,
    user: Option<String>,
    helo: Option<String>,
    mail_from: Option<String>,
    /// The first of them.
    rcpt_to: Vec<Recipient>,
    /// All.
    recipients: usize,
    size: usize,
}

#[derive(Serialize)]
struct Recipient {
    address: String,
    accepted: bool,
}

#[derive(Serialize)]
struct SessionEvent {
    id: u64,
    /// `opened` or `closed`.
    change: &'static str,
    peer_addr: String,
    listener: String,
    /// Of one that has ended.
    #[serde(flatten)]
    end: Option<EndView>,
}

#[derive(Serialize)]
struct EndView {
    ending: &'static str,
    messages: u32,
    age_seconds: f64,
}

impl From<Passage> for SessionEvent {
    fn from(Passage { session_id, peer, listener, end }: Passage) -> Self {
        Self {
            id: session_id,
            change: if end.is_some() { "closed" } else { "opened" },
            peer_addr: peer.to_string(),
            listener: listener.to_string(),
            end: end.map(|End { ending, messages, age }| EndView {
                ending: ending.name(),
                messages,
                age_seconds: age.as_secs_f64(),
            }),
        }
    }
}

#[derive(Serialize)]
struct FiguresEvent {
    /// Seconds since the start.
    elapsed: f64,
    messages_per_second: f64,
    sessions_per_second: f64,
    sessions_open: u64,
    sessions: u64,
    /// Mail transactions that MAIL began.
    transactions: u64,
    messages: u64,
    refused: u64,
    aborted: u64,
    bytes: u64,
    /// Records that are there now.
    retained: usize,
    /// Whether no connections are accepted.
    paused: bool,
    /// Of this second, in seconds.
    think: Option<Percentiles>,
    service: Option<Percentiles>,
    lateness: Option<Percentiles>,
}

#[derive(Serialize)]
struct Percentiles {
    p50: f64,
    p99: f64,
    max: f64,
}

#[derive(Serialize)]
struct RuleEvent<'r> {
    id: Option<&'r str>,
    rule: &'r str,
    reached: u64,
    fired: u64,
}

#[derive(Serialize)]
struct EvictedEvent {
    count: u64,
    total: u64,
}

#[derive(Serialize)]
struct DeletedEvent {
    /// All messages were deleted.
    all: bool,
    /// Others.
    ids: Vec<String>,
}

fn frame(kind: Kind, id: Option<&str>, data: &impl Serialize) -> Bytes {
    let data = serde_json::to_string(data).expect("all its maps have texts for keys");
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    Bytes::from(format!("event: {}\n{id}data: {data}\n\n", kind.name()))
}

/// The event of a message.
pub(in crate::http) fn message(Shown { message, .. }: &Shown) -> Bytes {
    let id = message.id().to_string();
    let recipient = |rcpt: &Exchange| Recipient {
        address: String::from_utf8_lossy(rcpt.name().unwrap_or_default()).into_owned(),
        accepted: rcpt.is_accepted(),
    };
    let recipients = &message.record().rcptto_exchanges;
    let event = MessageEvent {
        id: id.clone(),
        session: message.session_id(),
        accepted: message.msg(),
        accepted_at: message.accepted_at().map(timestamp),
        peer_addr: message.peer_addr().to_string(),
        user: message.auth_user().map(std::borrow::Cow::into_owned),
        helo: message.helo_name().map(std::borrow::Cow::into_owned),
        mail_from: message.reverse_path().map(std::borrow::Cow::into_owned),
        rcpt_to: recipients.iter().take(MOST_RECIPIENTS).map(|rcpt| recipient(rcpt)).collect(),
        recipients: recipients.len(),
        size: message.record().msg_size,
    };
    frame(Kind::Message, Some(&id), &event)
}

/// Makes an event of each message that arrives.
pub(in crate::http) async fn messages(plane: Arc<Plane>) {
    loop {
        plane.events.wait_for(&[Kind::Message]).await;
        let mut lost = Lost::begin(&plane);
        while let Some(seen) = plane.events.first_unseen() {
            if !Arc::clone(&plane.store).news(seen, Deadline::after(LOOK)).await {
                continue;
            }
            let news = plane.store.snapshot_from(seen);
            // More would not fit in a queue.
            let (missed, records) = news.records.split_at(news.records.len().saturating_sub(MOST_EVENTS));
            let mut missed: Vec<u64> = missed.iter().map(|shown| shown.number).collect();
            missed.extend(lost.among(seen, &news, &plane));
            let frames: Vec<_> = records.iter().map(|shown| (shown.number, message(shown))).collect();
            plane.events.publish_messages(&frames, &missed, news.end);
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Finds messages that were evicted before anybody has looked at them.
struct Lost {
    /// Records evicted until the last look.
    evicted: u64,
    /// Those among them that may be missed yet.
    allowed: u64,
    /// The position of the next removal.
    removal: u64,
}

impl Lost {
    fn begin(plane: &Plane) -> Self {
        Self { evicted: plane.store.evicted(), allowed: 0, removal: plane.store.removals_from(u64::MAX).end }
    }

    /// The numbers of those from `seen` on which are not in the snapshot: the oldest, as many as were evicted meanwhile, since numbers
    /// are also left out where a record was deleted, or has changed.
    fn among(&mut self, seen: u64, news: &Snapshot, plane: &Plane) -> Vec<u64> {
        let evicted = plane.store.evicted();
        // Those of later numbers may have been counted already.
        self.allowed += evicted - std::mem::replace(&mut self.evicted, evicted);
        let removed = plane.store.removals_from(self.removal);
        self.removal = removed.end;
        if self.allowed == 0 {
            return Vec::new();
        }
        let removed = removed.removals.iter().filter_map(|removal| match removal {
            Removal::Record { number, .. } => Some(*number),
            Removal::All { .. } => None,
        });
        let present = news.records.iter().map(|shown| shown.number);
        let known: HashSet<u64> = removed.chain(present).collect();
        let gone = (seen..news.end).filter(|number| !known.contains(number));
        let gone: Vec<_> = gone.take(self.allowed as usize).collect();
        self.allowed -= gone.len() as u64;
        gone
    }
}

/// Makes events of the figures, each second.
pub(in crate::http) async fn figures(plane: Arc<Plane>) {
    let heartbeat = Bytes::from_static(b":\n\n");
    loop {
        plane.events.wait_for(&[]).await;
        let mut before: Option<Stats> = None;
        for second in 1_u32.. {
            let is_wanted = plane.events.has(&[Kind::Figures, Kind::Rule, Kind::Evicted]);
            if is_wanted && before.is_none() {
                before = reading(&plane).await;
            }
            tokio::time::sleep(SECOND).await;
            plane.events.tick((second % HEARTBEAT == 0).then_some(&heartbeat));
            if !plane.events.has(&Kind::ALL) {
                break;
            }
            if let Some(earlier) = before.take().filter(|_| is_wanted)
                && let Some(now) = reading(&plane).await
            {
                publish(&plane, &now, &earlier);
                before = Some(now);
            }
        }
    }
}

/// Has shards announce sessions until it is dropped.
struct Announcements {
    server: Arc<Server>,
    passages: Arc<Passages>,
}

impl Announcements {
    fn begin(server: &Arc<Server>) -> Self {
        let passages = Arc::default();
        server.announce_sessions(&passages);
        Self { server: Arc::clone(server), passages }
    }
}

impl Drop for Announcements {
    fn drop(&mut self) {
        self.server.stop_announcing(&self.passages);
    }
}

/// Makes events of sessions that begin and end, while somebody listens to them.
pub(in crate::http) async fn sessions(plane: Arc<Plane>) {
    loop {
        plane.events.wait_for(&[Kind::Session]).await;
        let announcements = Announcements::begin(&plane.server);
        while plane.events.has(&[Kind::Session]) {
            tokio::time::sleep(COLLECTING).await;
            let (missed, passages) = announcements.passages.take();
            plane.events.miss(Kind::Session, missed);
            for passage in passages {
                plane
                    .events
                    .publish(Kind::Session, &frame(Kind::Session, None, &SessionEvent::from(passage)));
            }
        }
    }
}

/// Makes events of messages that were removed: first all, if they were, then these; before them others, too many to be known.
pub(in crate::http) fn removed(hub: &Hub, ids: &[RecordId], is_all: bool, others: u64) {
    if !hub.has(&[Kind::Deleted]) {
        return;
    }
    let publish = |all, ids: &[RecordId]| {
        let ids = ids.iter().map(ToString::to_string).collect();
        hub.publish(Kind::Deleted, &frame(Kind::Deleted, None, &DeletedEvent { all, ids }));
    };
    hub.miss(Kind::Deleted, others);
    if is_all {
        publish(true, &[]);
    }
    ids.chunks(AT_ONCE).for_each(|ids| publish(false, ids));
}

/// The figures up to now; `None` on a bug.
async fn reading(plane: &Plane) -> Option<Stats> {
    let server = Arc::clone(&plane.server);
    plane.desk.ask(move || server.stats()).await.ok()
}

fn publish(plane: &Plane, now: &Stats, before: &Stats) {
    let (hub, second) = (&plane.events, now.since(before));
    hub.publish(Kind::Figures, &frame(Kind::Figures, None, &FiguresEvent::of(plane, now, &second)));
    for RuleStats { id, rule, reached, fired } in second.rules.iter().filter(|rule| rule.fired > 0) {
        let event = RuleEvent { id: id.as_deref(), rule, reached: *reached, fired: *fired };
        hub.publish(Kind::Rule, &frame(Kind::Rule, None, &event));
    }
    let total = now.health.records_evicted;
    let count = total.saturating_sub(before.health.records_evicted);
    if count > 0 {
        hub.publish(Kind::Evicted, &frame(Kind::Evicted, None, &EvictedEvent { count, total }));
    }
}

impl FiguresEvent {
    fn of(plane: &Plane, now: &Stats, second: &Stats) -> Self {
        let seconds = second.length().as_secs_f64();
        let rate = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        Self {
            elapsed: now.ends.as_secs_f64(),
            messages_per_second: rate(second.messages.accepted),
            sessions_per_second: rate(second.sessions.opened),
            sessions_open: now.sessions_open(),
            sessions: now.sessions.opened,
            transactions: now.transactions(),
            messages: now.messages.accepted,
            refused: now.messages.refused,
            aborted: now.messages.aborted,
            bytes: now.messages.bytes,
            retained: plane.store.visible(),
            paused: plane.server.is_paused(),
            think: Percentiles::of(&over_stages(second, |stage| &stage.think)),
            service: Percentiles::of(&over_stages(second, |stage| &stage.service)),
            lateness: Percentiles::of(&second.delays.lateness),
        }
    }
}

impl Percentiles {
    /// `None` without a sample.
    fn of(durations: &Durations) -> Option<Self> {
        let at = |share| durations.quantile(share).as_secs_f64();
        (durations.count() > 0).then(|| Self {
            p50: at(0.5),
            p99: at(0.99),
            max: durations.max().as_secs_f64(),
        })
    }
}
