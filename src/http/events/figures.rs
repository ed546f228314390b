//! The events of figures, and of removals.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use serde::Serialize;

use super::{Hub, Kind, frame};
use crate::http::Plane;
use crate::report::over_stages;
use crate::smtp::RecordId;
use crate::stats::{Durations, RuleStats, Stats};

/// Largest number of ids in one event.
const AT_ONCE: usize = 100;
const SECOND: Duration = Duration::from_secs(1);
/// Seconds between two comments.
const HEARTBEAT: u32 = 15;

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
    /// Records that are retained now.
    retained: usize,
    /// Whether no connections are accepted.
    paused: bool,
    /// Of the last second, in seconds.
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
    /// The ids of others that were deleted.
    ids: Vec<String>,
}

/// Publishes events of the figures, each second.
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

/// Publishes events of messages that were removed: first of all with `is_all`, then of these. `others` were removed before, and
/// their ids are unknown.
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
