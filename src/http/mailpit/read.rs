//! `PUT /api/v1/messages`: read marks.

use std::sync::Arc;

use hyper::Method;
use serde::Deserialize;

use crate::http::call::Call;
use crate::http::desk::Asker;
use crate::http::mailpit::events::News;
use crate::http::mailpit::filter::Filter;
use crate::http::mailpit::messages::known;
use crate::http::mailpit::{BODY, bad_request, ok, parsed};
use crate::http::reply::{Refusal, Reply};
use crate::http::route::Route;
use crate::records::store::Shown;

pub(super) const ROUTES: &[Route] =
    &[Route::with_body(Method::PUT, "/api/v1/messages", BODY, |call| Box::pin(set_read(call)))];

/// Without ids and search: all messages.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
struct Change {
    read: bool,
    #[serde(rename = "IDs")]
    ids: Vec<String>,
    search: String,
}

async fn set_read(mut call: Call) -> Result<Reply, Refusal> {
    let Change { read, ids, search } = parsed(&mut call).await?;
    if !ids.is_empty() && !search.is_empty() {
        return Err(bad_request("You may specify either IDs or a search query, not both"));
    }
    let filter = if search.is_empty() { Filter::default() } else { Filter::parse(&search)? };
    let plane = Arc::clone(&call.plane);
    let work = move |asker: &Asker| {
        let found = filter.apply(&plane, asker)?;
        let known = known(&ids);
        let is_chosen = |shown: &Shown| ids.is_empty() || known.contains(&shown.message.id());
        for (shown, _) in found.chosen().filter(|(shown, _)| is_chosen(shown)) {
            plane.mailpit.marks.change(&shown.message, |mark| mark.is_read = read);
            plane.mailpit.note(News::Read(shown.message.id(), read));
        }
        Ok(ok())
    };
    call.plane.desk.search(true, work).await
}
