//! `/v1/messages/wait`: replies as soon as enough messages are stored.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use hyper::StatusCode;
use serde::Serialize;
use tokio::time::Instant;

use super::messages::{MOST_MESSAGES, USUAL_MESSAGES};
use super::selection::{SELECTING, Selection};
use super::views::{Detail, Summary, details, summaries};
use crate::http::Plane;
use crate::http::call::Call;
use crate::http::desk::{Abandoned, Asker};
use crate::http::reply::{Fault, Refusal, Reply, fitting, invalid, json, json_as};
use crate::http::route::Route;
use crate::records::Message;
use crate::records::store::Shown;
use crate::time::Deadline;

pub(super) const ROUTES: &[Route] = &[Route::get("/v1/messages/wait", |call| {
    Box::pin(async move {
        let plane = Arc::clone(&call.plane);
        plane.unless_ending(wait(call)).await
    })
})];

/// The timeout by default, and at most.
const TIMEOUT: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(600);
/// How long a search may continue after the timeout, and its explanation after that.
const GRACE: Duration = Duration::from_millis(500);
/// Largest number of messages to wait for.
const MOST_COUNT: usize = 1_000_000;
/// Number of selected messages up to which it is not checked whether they still exist.
const TIDY: usize = 4096;
/// After a recount the wait pauses for this multiple of its duration.
const RECOUNT_PAUSE: u32 = 4;
/// Number of messages of which a reply explains why they are not selected.
const MOST_EXPLAINED: usize = 5;
/// Number of the newest messages among which the nearest are searched.
const MOST_CONSIDERED: usize = 1000;

#[derive(Serialize)]
struct Arrived {
    /// The newest first.
    messages: Vec<Detail>,
    /// The number of all selected messages.
    total: usize,
}

#[derive(Serialize)]
struct TimedOut {
    error: Fault,
    /// The selected messages, the newest first.
    messages: Vec<Summary>,
    total: usize,
    /// Those of the other messages that meet the most conditions.
    nearest: Vec<Missed>,
}

#[derive(Serialize)]
struct Missed {
    #[serde(flatten)]
    summary: Summary,
    missed: Vec<String>,
}

/// A wait, and the messages selected so far.
struct Wait {
    plane: Arc<Plane>,
    selection: Selection,
    count: usize,
    limit: usize,
    has_raw: bool,
    /// The messages that were selected when they were examined, by their numbers. They are not retained: evicted ones no longer
    /// count.
    selected: Vec<(u64, Weak<Message>)>,
    /// At this length it is checked which of them still exist.
    tidied_at: usize,
    /// Messages with lower numbers have been examined.
    seen: u64,
    /// The selected messages were just recounted, because some may no longer exist, and were not enough.
    has_recounted: bool,
}

async fn wait(call: Call) -> Result<Reply, Refusal> {
    call.parameters.only(&[SELECTING, &["count", "timeout", "limit", "raw"]].concat())?;
    let Call { plane, parameters, .. } = call;
    let selection = Selection::of(&parameters, &plane).await?;
    let count = parameters.number("count", 0..=MOST_COUNT)?.unwrap_or(1);
    let most = plane.store.most_records();
    if count > most {
        return Err(invalid(
            "count",
            format!("at most {most}: no more messages are retained (--keep-messages)"),
        ));
    }
    let timeout = parameters.duration("timeout", LONGEST)?.unwrap_or(TIMEOUT);
    let limit = parameters.number("limit", 1..=MOST_MESSAGES)?.unwrap_or(USUAL_MESSAGES);
    let has_raw = parameters.flag("raw")?;
    let deadline = Deadline::after(timeout);
    let _place = plane.wait_place()?;
    let (seen, store) = (selection.from, Arc::clone(&plane.store));
    let mut wait = Wait {
        plane: Arc::clone(&plane),
        selection,
        count,
        limit,
        has_raw,
        selected: Vec::new(),
        tidied_at: TIDY,
        seen,
        has_recounted: false,
    };
    // A search of the stored messages may take long. Those that arrive later are few at a time: they are searched without a turn.
    let mut is_first = wait.selection.reads_mails();
    loop {
        let begun = Instant::now();
        let looked = plane.desk.search(std::mem::take(&mut is_first), |asker| wait.look(asker));
        // Other searches may come first, and this one may take long.
        let Ok(looked) = tokio::time::timeout(deadline.left() + GRACE, looked).await else {
            return Ok(late(count, timeout));
        };
        let reply;
        (wait, reply) = looked?;
        if let Some(reply) = reply {
            return Ok(reply);
        }
        if std::mem::take(&mut wait.has_recounted) {
            // If each arrival evicts a counted message, each could seem to be enough, and none is.
            tokio::time::sleep((RECOUNT_PAUSE * begun.elapsed()).min(deadline.left())).await;
        }
        if !Arc::clone(&store).news(wait.seen, deadline).await {
            let explained = plane.desk.search(true, move |asker| wait.last_look(timeout, asker));
            return tokio::time::timeout(GRACE, explained).await.unwrap_or_else(|_| Ok(late(count, timeout)));
        }
    }
}

/// 404 if the search itself was not done in time.
fn late(count: usize, timeout: Duration) -> Reply {
    let hint = format!(
        "{count} messages were not found within {}, nor was the search done: it is large, or others came first",
        crate::text::units::exact_duration(timeout)
    );
    let error = Fault { reason: "timeout", at: "timeout".into(), hint: hint.into() };
    json_as(StatusCode::NOT_FOUND, &TimedOut { error, messages: Vec::new(), total: 0, nearest: Vec::new() })
}

fn identity(shown: &Shown) -> (u64, Weak<Message>) {
    (shown.number, Arc::downgrade(&shown.message))
}

impl Wait {
    /// Examines the messages that have arrived, and makes the reply if they are enough, with the earlier ones that still exist.
    fn look(mut self, asker: &Asker) -> Result<(Self, Option<Reply>), Abandoned> {
        let news = self.plane.store.snapshot_from(self.seen);
        self.seen = news.end;
        let chosen = self.selection.filter(news.records, &self.plane, asker)?;
        self.selected.extend(chosen.iter().map(identity));
        if self.selected.len() < self.count.min(self.tidied_at) {
            return Ok((self, None));
        }
        let present = self.present(asker)?;
        if present.len() >= self.count {
            let messages = details(present.iter().take(self.limit), &self.plane, self.has_raw);
            let reply = json(&Arrived { messages, total: present.len() });
            return Ok((self, Some(reply)));
        }
        self.selected = present.iter().map(identity).collect();
        self.tidied_at = TIDY.max(2 * self.selected.len());
        self.has_recounted = true;
        Ok((self, None))
    }

    /// The selected messages that still exist and are still selected, the newest first.
    fn present(&self, asker: &Asker) -> Result<Vec<Shown>, Abandoned> {
        let selected: HashMap<u64, &Weak<Message>> =
            self.selected.iter().map(|(number, message)| (*number, message)).collect();
        let is_present = |shown: &Shown| {
            selected.get(&shown.number).is_some_and(|message| {
                // A changed record is another `Message`.
                std::ptr::eq(message.as_ptr(), Arc::as_ptr(&shown.message))
                    || self.selection.covers(shown, &self.plane)
            })
        };
        let all = self.plane.store.snapshot_from(self.selection.from).records;
        let mut present = asker.filter(all, is_present)?;
        present.sort_by_key(|shown| Reverse(shown.number));
        Ok(present)
    }

    /// Other searches may have come first: messages that have arrived meanwhile count too.
    fn last_look(self, timeout: Duration, asker: &Asker) -> Result<Reply, Abandoned> {
        let (wait, reply) = self.look(asker)?;
        reply.map_or_else(|| wait.timed_out(timeout, asker), Ok)
    }

    /// 404, since common clients repeat a GET after 408: with the selected messages, and why the nearest others are not selected.
    fn timed_out(self, timeout: Duration, asker: &Asker) -> Result<Reply, Abandoned> {
        let selected = self.present(asker)?;
        let total = selected.len();
        let present = self.plane.store.snapshot_from(self.selection.from).records;
        let others = present.into_iter().rev().take(MOST_CONSIDERED);
        let others = others.filter(|shown| !self.selection.covers(shown, &self.plane));
        let mut others: Vec<_> =
            others.map(|shown| (self.selection.misses(&shown, &self.plane), shown)).collect();
        others.sort_by_key(|(misses, _)| *misses);
        let nearest = others.iter().take(MOST_EXPLAINED).map(|(_, shown)| Missed {
            summary: Summary::of(shown, &self.plane),
            missed: self.selection.missed(shown, &self.plane),
        });
        let nearest = fitting(nearest);
        let hint = format!(
            "{total} of {} messages matched within {}",
            self.count,
            crate::text::units::exact_duration(timeout)
        );
        let messages = summaries(selected.iter().take(self.limit), &self.plane);
        let error = Fault { reason: "timeout", at: "timeout".into(), hint: hint.into() };
        Ok(json_as(StatusCode::NOT_FOUND, &TimedOut { error, messages, total, nearest }))
    }
}
