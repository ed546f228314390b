//! `/v1/messages/{id}/html`: the HTML of a mail as a self-contained page for a frame.
//!
//! A frame can't send the token of `--http-token`: the URL of each view contains a key, which is valid for its message only.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use hyper::StatusCode;
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderValue, X_DNS_PREFETCH_CONTROL};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::selection::find;
use crate::config::StartError;
use crate::http::Plane;
use crate::http::call::Call;
use crate::http::markup::{Urls, for_a_frame, with_own_images};
use crate::http::reply::{Refusal, Reply, error, of};
use crate::http::route::Route;
use crate::mime::{self, Mail};
use crate::records::Message;
use crate::server::random;
use crate::smtp::RecordId;

pub(super) const ROUTES: &[Route] = &[Route::open("/v1/messages/{id}/html", |call| Box::pin(html(call)))];

/// Allows styles and embedded images of the mail, and no requests, not even to this server; no script runs, and the page has no
/// origin. A link opens in a new window.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox";
/// Total octets of embedded images, to which a mail may refer any number of times.
const IMAGES: usize = 16 << 20;

/// Makes the keys of views.
pub(in crate::http) struct ViewKeys([u8; 16]);

impl std::fmt::Debug for ViewKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<redacted>")
    }
}

impl ViewKeys {
    pub(in crate::http) fn new() -> Result<Self, StartError> {
        let half = || random("asking for a random key").map(u64::to_le_bytes);
        let mut secret = [0; 16];
        secret[..8].copy_from_slice(&half()?);
        secret[8..].copy_from_slice(&half()?);
        Ok(Self(secret))
    }

    /// Half of the digest: without the other half it can't be extended to the digest of a longer text.
    fn key(&self, id: RecordId) -> String {
        let digest = Sha256::new().chain_update(self.0).chain_update(id.to_string()).finalize();
        digest[..16].iter().map(|octet| format!("{octet:02x}")).collect()
    }

    fn is_right(&self, id: &str, key: &str) -> bool {
        let expected = id.parse().map(|id| self.key(id));
        expected.is_ok_and(|expected| bool::from(expected.as_bytes().ct_eq(key.as_bytes())))
    }
}

/// The URL of the view of a message.
pub(super) fn view_of(message: &Message, plane: &Plane) -> String {
    let id = message.id();
    match plane.guard.wants_credentials() {
        true => format!("/v1/messages/{id}/html?key={}", plane.view_keys.key(id)),
        false => format!("/v1/messages/{id}/html"),
    }
}

async fn html(call: Call) -> Result<Reply, Refusal> {
    call.parameters.only(&["key"])?;
    let Call { plane, head, segments, parameters, .. } = call;
    let has_key = parameters.lax("key").is_some_and(|key| plane.view_keys.is_right(&segments[0], key));
    if !has_key {
        plane.guard.check_credentials(&head)?;
    }
    let own = Arc::clone(&plane);
    plane.desk.look(move || page(&find(&segments[0], &own)?.message)).await?
}

fn page(message: &Message) -> Result<Reply, Refusal> {
    let Mail { html, .. } = Mail::parse(message.body());
    let missing = || error(StatusCode::NOT_FOUND, "no_html", "id", "the id of a message with a HTML part");
    let html = for_a_frame(&with_own_images(html.ok_or_else(missing)?, &images(message), IMAGES));
    let mut reply = of(StatusCode::OK, "text/html; charset=utf-8", html);
    reply.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    // Names of hosts are not resolved either.
    reply.headers_mut().insert(X_DNS_PREFETCH_CONTROL, HeaderValue::from_static("off"));
    Ok(reply)
}

/// Images of the mail as `data:` URLs, within the bound.
fn images(message: &Message) -> Urls {
    let (mut urls, mut left) = (Urls::new(), IMAGES);
    mime::each_part(message.body(), |part, octets| {
        let is_name = |octet: u8| octet.is_ascii_alphanumeric() || b"+-.".contains(&octet);
        let kind = part.content_type.strip_prefix("image/").filter(|kind| kind.bytes().all(is_name));
        let (Some(id), Some(kind)) = (&part.content_id, kind) else { return };
        if let Some(rest) = left.checked_sub(octets.len().div_ceil(3) * 4)
            && !urls.contains_key(id)
        {
            left = rest;
            urls.insert(id.clone(), format!("data:image/{kind};base64,{}", BASE64.encode(octets)));
        }
    });
    urls
}
