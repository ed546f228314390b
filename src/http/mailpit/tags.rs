//! `/api/v1/tags`.

use std::collections::BTreeSet;
use std::sync::Arc;

use hyper::Method;
use serde::Deserialize;

use crate::http::Plane;
use crate::http::call::Call;
use crate::http::facade::newest;
use crate::http::mailpit::events::News;
use crate::http::mailpit::marks::{Mark, is_same, is_tag, tidied};
use crate::http::mailpit::messages::known;
use crate::http::mailpit::{BODY, bad_request, ok, parsed};
use crate::http::reply::{Refusal, Reply, json};
use crate::http::route::Route;

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/tags", |call| Box::pin(list(call))),
    Route::with_body(Method::PUT, "/api/v1/tags", BODY, |call| Box::pin(set(call))),
    Route::with_body(Method::PUT, "/api/v1/tags/{tag}", BODY, |call| Box::pin(rename(call))),
    Route::delete("/api/v1/tags/{tag}", |call| Box::pin(remove(call))),
];

async fn list(call: Call) -> Result<Reply, Refusal> {
    let plane = Arc::clone(&call.plane);
    let work = move || {
        let marks = plane.mailpit.marks.of_all(&newest(&plane));
        json(&marks.iter().flat_map(|mark| mark.tags.iter().cloned()).collect::<BTreeSet<_>>())
    };
    call.plane.desk.look(work).await
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
struct Tagging {
    /// They replace those of the messages.
    tags: Vec<String>,
    #[serde(rename = "IDs")]
    ids: Vec<String>,
}

async fn set(mut call: Call) -> Result<Reply, Refusal> {
    let Tagging { tags, ids } = parsed(&mut call).await?;
    let tags = tidied(tags.iter().map(|tag| tag.trim().to_owned()).filter(|tag| !tag.is_empty()));
    tags.iter().try_for_each(|tag| checked(tag))?;
    let (tags, ids): (Arc<[String]>, _) = (tags.into(), known(&ids));
    change(call, move |id, mark| {
        if ids.contains(&id) {
            mark.tags = Arc::clone(&tags);
        }
    })
    .await
}

fn checked(tag: &str) -> Result<(), Refusal> {
    match is_tag(tag) {
        true => Ok(()),
        false => Err(bad_request(format!(
            "{tag:?} is no tag: letters, digits, dashes, dots, underscores and spaces are"
        ))),
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
struct Renaming {
    name: String,
}

async fn rename(mut call: Call) -> Result<Reply, Refusal> {
    let Renaming { name } = parsed(&mut call).await?;
    checked(&name)?;
    replace(call, Some(name)).await
}

async fn remove(call: Call) -> Result<Reply, Refusal> {
    replace(call, None).await
}

async fn replace(call: Call, name: Option<String>) -> Result<Reply, Refusal> {
    let tag = call.segments[0].clone();
    change(call, move |_, mark| {
        if mark.has_tag(&tag) {
            let others = mark.tags.iter().filter(|own| !is_same(own, &tag)).cloned();
            mark.tags = tidied(others.chain(name.clone())).into();
        }
    })
    .await
}

/// Changes the marks of all messages.
async fn change(
    call: Call,
    change: impl Fn(crate::smtp::RecordId, &mut Mark) + Send + 'static,
) -> Result<Reply, Refusal> {
    let plane: Arc<Plane> = Arc::clone(&call.plane);
    let work = move || {
        for shown in newest(&plane) {
            let mut changed = None;
            plane.mailpit.marks.change(&shown.message, |mark| {
                let before = Arc::clone(&mark.tags);
                change(shown.message.id(), mark);
                changed = (before != mark.tags).then(|| Arc::clone(&mark.tags));
            });
            if let Some(tags) = changed {
                plane.mailpit.note(News::Tagged(shown.message.id(), tags));
            }
        }
        ok()
    };
    call.plane.desk.look(work).await
}
