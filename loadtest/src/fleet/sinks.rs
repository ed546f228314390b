//! The reports of the servers that a run sends to: how many messages they have received, over HTTP. A name with several
//! addresses is several servers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use std::{fmt, io};

use hyper::header::HeaderValue;
use hyper::{Method, StatusCode};
use smtpmock::report::Report;

use crate::fleet::wire::{Link, parse_url};
use crate::report::agents::{Delivered, SinkRow, Sinks};

/// The path of a report where the URL has none.
const REPORT: &str = "/v1/report";

/// Octets of a report.
const REPORT_LIMIT: usize = 64 << 20;

/// The time for each report.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why the servers' reports can't be had; displays as the reason.
#[derive(Debug)]
pub(crate) struct SinkError {
    url: String,
    reason: String,
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--sink-report {}: {}", self.url, self.reason)
    }
}

impl std::error::Error for SinkError {}

/// What the servers had received before the run.
#[derive(Debug)]
pub(crate) struct Before {
    urls: Vec<String>,
    /// By server.
    received: BTreeMap<String, u64>,
    token: Option<HeaderValue>,
}

/// The servers at these URLs before a run.
///
/// # Errors
/// One has no report.
pub(crate) fn before(urls: &[String], token: Option<HeaderValue>) -> Result<Before, SinkError> {
    let received = received(urls, token.as_ref())?;
    Ok(Before { urls: urls.to_vec(), received, token })
}

impl Before {
    /// Compares what the servers have received since with what was delivered.
    ///
    /// # Errors
    /// One has no report any more.
    pub(crate) fn compare(&self, delivered: Delivered) -> Result<Sinks, SinkError> {
        let now = received(&self.urls, self.token.as_ref())?;
        let mut rows = Vec::new();
        for (url, before) in &self.received {
            let received =
                now.get(url).and_then(|now| now.checked_sub(*before)).ok_or_else(|| SinkError {
                    url: url.clone(),
                    reason: "it has received fewer messages than before the run: it was started anew"
                        .to_owned(),
                })?;
            rows.push(SinkRow { url: url.clone(), received });
        }
        Ok(Sinks::of(rows, delivered))
    }
}

/// The messages that each server has received, by URL.
fn received(urls: &[String], token: Option<&HeaderValue>) -> Result<BTreeMap<String, u64>, SinkError> {
    let failed = |url: &str, reason: String| SinkError { url: url.to_owned(), reason };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let runtime = runtime.map_err(|error| failed(&urls.join(" "), error.to_string()))?;
    let mut counts = BTreeMap::new();
    let mut whole: Option<Report<'static>> = None;
    for url in urls {
        let servers = runtime.block_on(servers(url)).map_err(|error| failed(url, error.to_string()))?;
        for (server, path) in servers {
            let text = runtime.block_on(fetch(&server, &path, token));
            let text = text.map_err(|error| failed(url, error.to_string()))?;
            let report = Report::read(&text);
            let report = report.map_err(|error| failed(url, format!("no report of smtpmock: {error}")))?;
            counts.insert(format!("http://{server}{path}"), report.stats().messages.accepted);
            // The sum notices a server that is there twice.
            whole = Some(match whole.take() {
                None => report,
                Some(whole) => whole.merge(&report).map_err(|error| failed(url, error.to_string()))?,
            });
        }
    }
    Ok(counts)
}

/// Host and port of each server at a URL, and the path.
async fn servers(url: &str) -> io::Result<Vec<(String, String)>> {
    let (authority, path) = parse_url(url).map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
    let path = if path == "/" { REPORT.to_owned() } else { path };
    let mut addresses: Vec<SocketAddr> = tokio::net::lookup_host(&authority).await?.collect();
    // A name that is IPv4 and IPv6 is one machine twice.
    let has_ipv4 = addresses.iter().any(SocketAddr::is_ipv4);
    addresses.retain(|address| address.is_ipv4() == has_ipv4);
    addresses.sort_unstable();
    addresses.dedup();
    Ok(match addresses.len() {
        0 => return Err(io::ErrorKind::NotFound.into()),
        // A server behind a name may go by that.
        1 => vec![(authority, path)],
        _ => addresses.into_iter().map(|address| (address.to_string(), path.clone())).collect(),
    })
}

async fn fetch(server: &str, path: &str, token: Option<&HeaderValue>) -> io::Result<String> {
    let invalid = |reason: String| io::Error::new(io::ErrorKind::InvalidInput, reason);
    let mut link = Link::new(server.to_owned(), token.cloned());
    let (status, body) = link.ask((Method::GET, path), Vec::new(), REPORT_LIMIT, TIMEOUT).await?;
    match status {
        StatusCode::OK => String::from_utf8(body).map_err(io::Error::other),
        StatusCode::UNAUTHORIZED => {
            Err(invalid("it wants its token: --sink-token, or the variable SMTPLOAD_SINK_TOKEN".to_owned()))
        }
        status => Err(invalid(format!("it answers with status {status}"))),
    }
}
