//! `/v1/messages/wait`: answers the moment enough messages are there.

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

/// How long is waited by default, and at most.
const TIMEOUT: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(600);
/// How long a search goes on behind the timeout, and as long again what explains it.
const GRACE: Duration = Duration::from_millis(500);
/// Messages that can be waited for.
const MOST_COUNT: usize = 1_000_000;
/// Numbers of messages that are remembered before any are forgotten.
const TIDY: usize = 4096;
/// After all was counted again, the wait pauses for so many times as long as that took.
const RECOUNT_PAUSE: u32 = 4;
/// Messages that are explained.
const MOST_EXPLAINED: usize = 5;
/// Messages, the newest, among which the nearest are found.
const MOST_CONSIDERED: usize = 1000;

#[derive(Serialize)]
struct Arrived {
    /// The newest first.
    messages: Vec<Detail>,
    /// All that are selected.
    total: usize,
}

#[derive(Serialize)]
struct TimedOut {
    error: Fault,
    /// What is selected, the newest first.
    messages: Vec<Summary>,
    total: usize,
    /// What is not, and differs least.
    nearest: Vec<Missed>,
}

#[derive(Serialize)]
struct Missed {
    #[serde(flatten)]
    summary: Summary,
    missed: Vec<String>,
}

/// What is waited for, and what is there of it.
struct Wait {
    plane: Arc<Plane>,
    selection: Selection,
    count: usize,
    limit: usize,
    has_raw: bool,
    /// The messages that were selected when they were looked at, by their numbers. They are not retained: those that are evicted
    /// meanwhile are gone.
    selected: Vec<(u64, Weak<Message>)>,
    /// With so many it is time to forget those that are gone.
    tidied_at: usize,
    /// What is older has been looked at.
    seen: u64,
    /// All that was selected was just counted again, because some of it may be gone, and it was not enough.
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
    // What is there may take long. What arrives does not: there is little of it at once, and nobody waits for a search.
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
            // Where each arrival evicts what was counted, each could be enough again, and none is.
            tokio::time::sleep((RECOUNT_PAUSE * begun.elapsed()).min(deadline.left())).await;
        }
        if !Arc::clone(&store).news(wait.seen, deadline).await {
            let explained = plane.desk.search(true, move |asker| wait.last_look(timeout, asker));
            return tokio::time::timeout(GRACE, explained).await.unwrap_or_else(|_| Ok(late(count, timeout)));
        }
    }
}

/// 404 where the search itself was not done in time.
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
    /// Looks at what has arrived, and makes the reply if that is enough with what was there and still is.
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

    /// What was selected, and is still there and is so; the newest first.
    fn present(&self, asker: &Asker) -> Result<Vec<Shown>, Abandoned> {
        let selected: HashMap<u64, &Weak<Message>> =
            self.selected.iter().map(|(number, message)| (*number, message)).collect();
        let is_present = |shown: &Shown| {
            selected.get(&shown.number).is_some_and(|message| {
                // One that has changed is another `Message`.
                std::ptr::eq(message.as_ptr(), Arc::as_ptr(&shown.message))
                    || self.selection.covers(shown, &self.plane)
            })
        };
        let all = self.plane.store.snapshot_from(self.selection.from).records;
        let mut present = asker.filter(all, is_present)?;
        present.sort_by_key(|shown| Reverse(shown.number));
        Ok(present)
    }

    /// Other searches may have come first: what has arrived meanwhile counts, too.
    fn last_look(self, timeout: Duration, asker: &Asker) -> Result<Reply, Abandoned> {
        let (wait, reply) = self.look(asker)?;
        reply.map_or_else(|| wait.timed_out(timeout, asker), Ok)
    }

    /// 404, since common clients repeat a GET that got 408: with what did arrive, and why the nearest are not selected.
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
