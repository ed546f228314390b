//! `/v1/messages/wait`: answers the moment enough messages are there.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use serde::Serialize;

use super::messages::{LIMIT, MOST};
use super::selection::{SELECTING, Selection};
use super::views::{Detail, Summary, details, fitting};
use crate::http::Plane;
use crate::http::call::Call;
use crate::http::reply::{Fault, Refusal, Reply, json, json_as};
use crate::http::router::Route;
use crate::records::store::Shown;
use crate::time::Deadline;

pub(super) const ROUTES: &[Route] = &[Route::get("/v1/messages/wait", |call| Box::pin(wait(call)))];

/// How long is waited by default, and at most.
const TIMEOUT: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(600);
/// Messages that can be waited for.
const COUNT: usize = 1_000_000;
/// Messages that are explained.
const NEAREST: usize = 5;
/// Messages, the newest, among which the nearest are found.
const CONSIDERED: usize = 1000;

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
    /// Messages that were selected when they were looked at, in the order of their numbers.
    selected: Vec<Shown>,
    /// What is older has been looked at.
    seen: u64,
}

async fn wait(call: Call) -> Result<Reply, Refusal> {
    call.parameters.only(&[SELECTING, &["count", "timeout", "limit", "raw"]].concat())?;
    let Call { plane, parameters, .. } = call;
    let selection = Selection::of(&parameters, &plane)?;
    let count = parameters.number("count", 0..=COUNT)?.unwrap_or(1);
    let timeout = parameters.duration("timeout", LONGEST)?.unwrap_or(TIMEOUT);
    let limit = parameters.number("limit", 1..=MOST)?.unwrap_or(LIMIT);
    let has_raw = parameters.flag("raw")?;
    let deadline = Deadline::after(timeout);
    let seen = selection.from;
    let mut wait = Wait { plane: Arc::clone(&plane), selection, count, selected: Vec::new(), seen };
    loop {
        wait = run(wait, Wait::look).await?;
        if wait.selected.len() >= count {
            return run(wait, move |mut wait| {
                wait.selected.reverse();
                let total = wait.selected.len();
                wait.selected.truncate(fitting(&wait.selected, limit));
                json(&Arrived { messages: details(&wait.selected, &wait.plane, has_raw), total })
            })
            .await;
        }
        if !Arc::clone(&plane.store).news(wait.seen, deadline).await {
            return run(wait, move |wait| wait.timed_out(timeout, limit)).await;
        }
    }
}

/// Works at the desk. What arrives is looked at without a turn: there is little of it at once, and nobody waits for a search.
async fn run<T: Send + 'static>(
    wait: Wait,
    work: impl FnOnce(Wait) -> T + Send + 'static,
) -> Result<T, Refusal> {
    let plane = Arc::clone(&wait.plane);
    let is_first = wait.seen == wait.selection.from;
    match is_first && wait.selection.reads_mails() {
        true => plane.desk.search(move || work(wait)).await,
        false => plane.desk.look(move || work(wait)).await,
    }
}

impl Wait {
    /// Looks at what has arrived. If that is enough with what was there, looks again whether all of it still is.
    fn look(mut self) -> Self {
        let news = self.plane.store.snapshot_from(self.seen);
        self.seen = news.end;
        self.selected.extend(self.selection.filter(news.records, &self.plane));
        if self.selected.len() >= self.count {
            self.look_again();
        }
        self
    }

    /// Drops what was removed or has changed.
    fn look_again(&mut self) {
        let present = self.plane.store.snapshot_from(self.selection.from).records;
        let present: HashMap<u64, Shown> = present.into_iter().map(|shown| (shown.number, shown)).collect();
        let selected = std::mem::take(&mut self.selected);
        let still = |shown: Shown| {
            let now = present.get(&shown.number)?;
            let is_same = Arc::ptr_eq(&now.message, &shown.message);
            (is_same || self.selection.covers(now, &self.plane)).then(|| now.clone())
        };
        self.selected = selected.into_iter().filter_map(still).collect();
        self.selected.sort_by_key(|shown| shown.number);
    }

    /// 404, since common clients repeat a GET that got 408: with what did arrive, and why the nearest are not selected.
    fn timed_out(mut self, timeout: Duration, limit: usize) -> Reply {
        self.look_again();
        self.selected.reverse();
        let total = self.selected.len();
        let present = self.plane.store.snapshot_from(self.selection.from).records;
        let others = present.into_iter().rev().take(CONSIDERED);
        let others = others.filter(|shown| !self.selection.covers(shown, &self.plane));
        let mut others: Vec<_> =
            others.map(|shown| (self.selection.missed(&shown, &self.plane), shown)).collect();
        others.sort_by_key(|(missed, _)| missed.len());
        let nearest = others
            .into_iter()
            .take(NEAREST)
            .map(|(missed, shown)| Missed { summary: Summary::of(&shown, &self.plane), missed });
        let hint = format!(
            "{total} of {} messages were there within {}",
            self.count,
            crate::text::units::exact_duration(timeout)
        );
        let messages =
            self.selected.iter().take(limit).map(|shown| Summary::of(shown, &self.plane)).collect();
        let error = Fault { reason: "timeout", at: "timeout".into(), hint: hint.into() };
        json_as(StatusCode::NOT_FOUND, &TimedOut { error, messages, total, nearest: nearest.collect() })
    }
}
