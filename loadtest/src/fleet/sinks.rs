//! The reports of the servers that a run sends to: how many messages they have received, over HTTP. A name with several
//! addresses is several servers.

use std::net::SocketAddr;
use std::time::Duration;
use std::{fmt, io};

use hyper::header::HeaderValue;
use hyper::{Method, StatusCode};
use tokio::runtime::Runtime;

use crate::fleet::wire::{Link, parse_url};
use crate::report::Report;
use crate::report::sinks::{SinkFailure, SinkRow, Sinks};

/// The report of a server.
type OfServer = smtpmock::report::Report<'static>;

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

/// One server, and where its report is.
#[derive(Clone, Debug)]
struct Server {
    authority: String,
    path: String,
}

impl Server {
    fn url(&self) -> String {
        format!("http://{}{}", self.authority, self.path)
    }
}

/// What the servers had received before the run.
#[derive(Debug)]
pub(crate) struct Before {
    servers: Vec<(Server, u64)>,
    token: Option<HeaderValue>,
}

/// The servers at these URLs before a run.
///
/// # Errors
/// One has no report.
pub(crate) fn before(urls: &[String], token: Option<HeaderValue>) -> Result<Before, SinkError> {
    let failed = |url: &str, reason: String| SinkError { url: url.to_owned(), reason };
    let runtime = runtime().map_err(|error| failed(&urls.join(" "), error.to_string()))?;
    let (mut all, mut whole) = (Vec::new(), None::<OfServer>);
    for url in urls {
        let servers = runtime.block_on(servers(url)).map_err(|error| failed(url, error.to_string()))?;
        let reports = runtime.block_on(ask_all(servers.iter(), token.as_ref(), |report| report));
        for (server, report) in servers.into_iter().zip(reports) {
            let report = report.map_err(|error| failed(url, error.to_string()))?;
            all.push((server, report.stats().messages.accepted));
            // The sum notices a server that is there twice.
            whole = Some(match whole.take() {
                None => report,
                Some(whole) => whole.merge(&report).map_err(|error| failed(url, error.to_string()))?,
            });
        }
    }
    Ok(Before { servers: all, token })
}

impl Before {
    /// Compares what the servers have received since with what was delivered in the run of this report. `None` if there
    /// are none.
    pub(crate) fn compare(&self, run: &Report) -> Option<Sinks> {
        let id = run.settings.runs.first().cloned().unwrap_or_default();
        let mut sinks = Sinks::default();
        for ((server, before), now) in self.servers.iter().zip(self.received()) {
            let anew = "it has received fewer messages than before the run: it was started anew";
            let received = now.map_err(|error| error.to_string());
            let received = received.and_then(|now| now.checked_sub(*before).ok_or_else(|| anew.to_owned()));
            let (run, url) = (id.clone(), server.url());
            match received {
                Ok(received) => sinks.reports.push(SinkRow { run, url, received }),
                Err(reason) => sinks.failed.push(SinkFailure { run, url, reason }),
            }
        }
        (!self.servers.is_empty()).then(|| sinks.compared(run))
    }

    /// The messages that each server has received by now.
    fn received(&self) -> Vec<io::Result<u64>> {
        let servers = self.servers.iter().map(|(server, _)| server);
        let accepted = |report: OfServer| report.stats().messages.accepted;
        match runtime() {
            Ok(runtime) => runtime.block_on(ask_all(servers, self.token.as_ref(), accepted)),
            Err(error) => servers.map(|_| Err(io::Error::new(error.kind(), error.to_string()))).collect(),
        }
    }
}

fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()
}

/// What is needed of the report of each of these servers, which are asked at once.
async fn ask_all<T: Send + 'static>(
    servers: impl Iterator<Item = &Server>,
    token: Option<&HeaderValue>,
    of: impl Fn(OfServer) -> T + Copy + Send + 'static,
) -> Vec<io::Result<T>> {
    let ask = |server: &Server| {
        let (server, token) = (server.clone(), token.cloned());
        tokio::spawn(async move { report(server, token).await.map(of) })
    };
    let tasks: Vec<_> = servers.map(ask).collect();
    let mut all = Vec::new();
    for task in tasks {
        all.push(task.await.unwrap_or_else(|error| Err(io::Error::other(error))));
    }
    all
}

/// The servers at a URL.
async fn servers(url: &str) -> io::Result<Vec<Server>> {
    let (authority, path) = parse_url(url).map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
    let path = if path == "/" { REPORT.to_owned() } else { path };
    let mut addresses: Vec<SocketAddr> = tokio::net::lookup_host(&authority).await?.collect();
    // A name that is IPv4 and IPv6 is one machine twice.
    let has_ipv4 = addresses.iter().any(SocketAddr::is_ipv4);
    addresses.retain(|address| address.is_ipv4() == has_ipv4);
    addresses.sort_unstable();
    addresses.dedup();
    let at = |authority| Server { authority, path: path.clone() };
    Ok(match addresses.len() {
        0 => return Err(io::ErrorKind::NotFound.into()),
        // A server behind a name may go by that.
        1 => vec![at(authority)],
        _ => addresses.into_iter().map(|address| at(address.to_string())).collect(),
    })
}

async fn report(server: Server, token: Option<HeaderValue>) -> io::Result<OfServer> {
    let invalid = |reason: String| io::Error::new(io::ErrorKind::InvalidInput, reason);
    let mut link = Link::new(server.authority, token);
    let (status, body) = link.ask((Method::GET, &server.path), Vec::new(), REPORT_LIMIT, TIMEOUT).await?;
    match status {
        StatusCode::OK => {
            let text = String::from_utf8(body).map_err(io::Error::other)?;
            OfServer::read(&text).map_err(|error| invalid(format!("no report of smtpmock: {error}")))
        }
        StatusCode::UNAUTHORIZED => {
            Err(invalid("it wants its token: --sink-token, or the variable SMTPLOAD_SINK_TOKEN".to_owned()))
        }
        status => Err(invalid(format!("it answers with status {status}"))),
    }
}
