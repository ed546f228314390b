//! The page at `/`: files that are compiled in. It uses only `/v1`.
//!
//! It consists of JavaScript modules, without a framework or a build step; `types.d.ts` describes the replies of `/v1`, and the
//! tests check the modules with it. Their policy allows scripts, styles, requests and frames of this server only, and none within
//! the page itself.

use std::sync::LazyLock;

use hyper::StatusCode;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH,
    X_DNS_PREFETCH_CONTROL,
};
use sha2::{Digest as _, Sha256};

use crate::http::call::Call;
use crate::http::reply::{Refusal, Reply, empty, of};
use crate::http::route::Route;

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file of the page.
struct Asset {
    path: &'static str,
    content_type: &'static str,
    content: &'static str,
}

/// The files and their routes, of one table.
macro_rules! assets {
    ($($path:literal = $file:literal as $content_type:ident,)*) => {
        const ASSETS: &[Asset] =
            &[$(Asset { path: $path, content_type: $content_type, content: include_str!($file) }),*];
        const ROUTES: &[Route] = &[$(Route::open($path, |call| Box::pin(async move { serve(&call) }))),*];
    };
}

assets! {
    "/" = "assets/index.html" as HTML,
    "/page/icon.svg" = "assets/icon.svg" as IMAGE,
    "/page/common.css" = "../../report/common.css" as STYLE,
    "/page/style.css" = "assets/style.css" as STYLE,
    "/page/api.js" = "assets/api.js" as SCRIPT,
    "/page/behaviour.js" = "assets/behaviour.js" as SCRIPT,
    "/page/dialog.js" = "assets/dialog.js" as SCRIPT,
    "/page/dom.js" = "assets/dom.js" as SCRIPT,
    "/page/first.js" = "assets/first.js" as SCRIPT,
    "/page/format.js" = "assets/format.js" as SCRIPT,
    "/page/histogram.js" = "assets/histogram.js" as SCRIPT,
    "/page/list.js" = "assets/list.js" as SCRIPT,
    "/page/live.js" = "assets/live.js" as SCRIPT,
    "/page/load.js" = "assets/load.js" as SCRIPT,
    "/page/mail.js" = "assets/mail.js" as SCRIPT,
    "/page/main.js" = "assets/main.js" as SCRIPT,
    "/page/message.js" = "assets/message.js" as SCRIPT,
    "/page/messages.js" = "assets/messages.js" as SCRIPT,
    "/page/phases.js" = "assets/phases.js" as SCRIPT,
    "/page/plot.js" = "assets/plot.js" as SCRIPT,
    "/page/rules.js" = "assets/rules.js" as SCRIPT,
    "/page/search.js" = "assets/search.js" as SCRIPT,
    "/page/tables.js" = "assets/tables.js" as SCRIPT,
    "/page/values.js" = "assets/values.js" as SCRIPT,
}

/// The entity tags of the files, in the order of the table: digests.
static TAGS: LazyLock<Vec<HeaderValue>> = LazyLock::new(|| {
    let tag = |asset: &Asset| {
        let digest = Sha256::digest(asset.content);
        let digits: String = digest[..12].iter().map(|octet| format!("{octet:02x}")).collect();
        HeaderValue::try_from(format!("\"{digits}\"")).unwrap_or(HeaderValue::from_static("\"\""))
    };
    ASSETS.iter().map(tag).collect()
});

/// All routes.
pub(super) fn routes() -> impl Iterator<Item = &'static Route> {
    ROUTES.iter()
}

/// Replies with a file of the page, or 304 if the browser has it already.
fn serve(call: &Call) -> Result<Reply, Refusal> {
    call.plane.guard.check_page(&call.head)?;
    let path = call.head.uri.path();
    let index = ASSETS.iter().position(|asset| asset.path == path).unwrap_or(0);
    let (asset, tag) = (&ASSETS[index], &TAGS[index]);
    let mut reply = match is_known(&call.head.headers, tag) {
        true => empty(StatusCode::NOT_MODIFIED),
        false => of(StatusCode::OK, asset.content_type, asset.content),
    };
    let fixed = |text| HeaderValue::from_static(text);
    // A new version of the program has new files: the browser asks each time.
    let fields: [(HeaderName, HeaderValue); 4] = [
        (ETAG, tag.clone()),
        (CACHE_CONTROL, fixed("no-cache")),
        (CONTENT_SECURITY_POLICY, fixed(POLICY)),
        // Links of mails are among its texts.
        (X_DNS_PREFETCH_CONTROL, fixed("off")),
    ];
    reply.headers_mut().extend(fields.map(|(name, value)| (Some(name), value)));
    Ok(reply)
}

fn is_known(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|known| known.to_str().ok());
    known.flat_map(|known| known.split(',')).any(|known| known.trim().trim_start_matches("W/") == tag)
}
