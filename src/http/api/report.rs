//! `/v1/report`, `/v1/marks` and `/v1/expect`: figures of the whole run, or since a mark, and verdicts on them.

use std::sync::Arc;

use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use super::parsed;
use crate::http::Plane;
use crate::http::call::Call;
use crate::http::marks;
use crate::http::reply::{Refusal, Reply, error, invalid, json, json_as, of};
use crate::http::route::Route;
use crate::report::Report;
use crate::smtp::rules::GrammarError;
use crate::stats::{Check, Expectation, Stats, Verdict};
use crate::text::timestamp;

pub(super) const ROUTES: &[Route] = &[
    Route::get("/v1/report", |call| Box::pin(report(call))),
    Route::get("/v1/marks", |call| Box::pin(async move { list_marks(&call) })),
    Route::with_body(Method::POST, "/v1/marks", MARK_OCTETS, |call| Box::pin(mark(call))),
    Route::with_body(Method::POST, "/v1/expect", EXPECTATIONS_OCTETS, |call| Box::pin(expect(call))),
];

/// Octets of the name of a mark in JSON.
const MARK_OCTETS: usize = 1 << 10;
/// Octets of the expectations in one request.
const EXPECTATIONS_OCTETS: usize = 64 << 10;
/// Expectations in one request. Each searches all figures.
const MOST_EXPECTATIONS: usize = 256;

/// The requested period.
struct Period {
    plane: Arc<Plane>,
    /// The reading at its beginning; `None` for the start of the server.
    since: Option<Arc<Stats>>,
}

impl Period {
    /// The period since the mark that the parameter `since` names.
    fn of(call: &Call) -> Result<Self, Refusal> {
        call.parameters.only(&["since"])?;
        let since = call.parameters.text("since")?.map(|id| call.plane.marks.get(id)).transpose()?;
        Ok(Self { plane: Arc::clone(&call.plane), since })
    }

    /// Waits for the shards, which report their figures between two turns.
    fn stats(&self) -> Stats {
        let stats = self.plane.server.stats();
        match &self.since {
            Some(earlier) => stats.since(earlier),
            None => stats,
        }
    }
}

async fn report(call: Call) -> Result<Reply, Refusal> {
    let period = Period::of(&call)?;
    let work = move || Report::new(&period.stats()).settings(period.plane.effective.iter().cloned()).json();
    let text = call.plane.desk.ask(work).await?;
    Ok(of(StatusCode::OK, "application/json", text))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewMark {
    name: Option<String>,
}

#[derive(Serialize)]
struct Marked {
    mark: MarkView,
}

#[derive(Serialize)]
struct MarkList {
    /// The oldest first.
    marks: Vec<MarkView>,
}

#[derive(Serialize)]
struct MarkView {
    id: String,
    at: String,
}

impl MarkView {
    fn of(id: String, stats: &Stats) -> Self {
        let at = stats.started_at.map(|start| timestamp(start + stats.ends)).unwrap_or_default();
        Self { id, at }
    }
}

fn list_marks(call: &Call) -> Result<Reply, Refusal> {
    call.parameters.only(&[])?;
    let marks = call.plane.marks.all().into_iter().map(|(id, stats)| MarkView::of(id, &stats)).collect();
    Ok(json(&MarkList { marks }))
}

async fn mark(mut call: Call) -> Result<Reply, Refusal> {
    call.parameters.only(&[])?;
    let NewMark { name } = if call.body.is_empty() { NewMark::default() } else { parsed(&mut call).await? };
    name.as_deref().map(marks::checked).transpose()?;
    let plane = Arc::clone(&call.plane);
    let work = move || {
        let stats = plane.server.stats();
        let mark = MarkView::of(String::new(), &stats);
        MarkView { id: plane.marks.set(name, stats), ..mark }
    };
    let mark = call.plane.desk.ask(work).await?;
    Ok(json_as(StatusCode::CREATED, &Marked { mark }))
}

/// Expectations, in the grammar of `--expect` and `--fail-if`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expectations {
    #[serde(default)]
    expect: Vec<String>,
    #[serde(default)]
    fail_if: Vec<String>,
}

#[derive(Serialize)]
struct Verdicts {
    /// Whether all have passed.
    passed: bool,
    verdicts: Vec<VerdictView>,
}

#[derive(Serialize)]
struct VerdictView {
    check: &'static str,
    expectation: String,
    found: String,
    passed: bool,
}

impl From<Verdict> for VerdictView {
    fn from(Verdict { check, expectation, found, kept }: Verdict) -> Self {
        let check = match check {
            Check::Expect => "expect",
            Check::FailIf => "fail_if",
        };
        Self { check, expectation, found, passed: kept }
    }
}

impl Expectations {
    fn read(&self) -> Result<Vec<Expectation>, Refusal> {
        match self.expect.len() + self.fail_if.len() {
            0 => return Err(invalid("body", "at least one condition, in expect or fail_if")),
            1..=MOST_EXPECTATIONS => {}
            _ => {
                let hint = format!("at most {MOST_EXPECTATIONS} conditions");
                return Err(error(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "body", hint));
            }
        }
        let refused = |list: &str, index: usize, error: &GrammarError| {
            invalid(format!("{list}[{index}]"), error.to_string())
        };
        let expect = self.expect.iter().enumerate();
        let expect =
            expect.map(|(index, text)| text.parse().map_err(|error| refused("expect", index, &error)));
        let fail_if = self.fail_if.iter().enumerate();
        let fail_if = fail_if.map(|(index, text)| {
            Expectation::fail_if(text).map_err(|error| refused("fail_if", index, &error))
        });
        expect.chain(fail_if).collect()
    }
}

/// 200, whether or not all have passed.
async fn expect(mut call: Call) -> Result<Reply, Refusal> {
    let period = Period::of(&call)?;
    let expectations: Expectations = parsed(&mut call).await?;
    let work = move || {
        let expectations = expectations.read()?;
        let stats = period.stats();
        let judged = expectations.iter().map(|expectation| expectation.judge(&stats).into());
        let verdicts: Vec<VerdictView> = judged.collect();
        Ok(json(&Verdicts { passed: verdicts.iter().all(|verdict| verdict.passed), verdicts }))
    };
    call.plane.desk.ask(work).await?
}
