//! The reports of the servers that a run sends to: how many messages they have received, over HTTP. A name with several
//! addresses is several servers.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};
use std::{fmt, io};

use hyper::header::HeaderValue;
use hyper::{Method, StatusCode};
use tokio::runtime::Runtime;
use tokio::time::Instant;

use crate::fleet::wire::{Link, parse_url};
use crate::report::Report;
use crate::report::sinks::{SinkFailure, SinkRow, Sinks};
use crate::time::clock::{millis, since_1970};

/// The report of a server.
type OfServer = smtpmock::report::Report<'static>;

/// The path of a report where the URL has none.
const REPORT: &str = "/v1/report";

/// Octets of a report.
const REPORT_LIMIT: usize = 64 << 20;

/// The time for each report.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The pause before servers that are not ready are asked again.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// How often a signal is looked for meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Why the servers' reports can't be had; displays as the reason.
#[derive(Debug)]
pub(crate) struct SinkError {
    url: String,
    reason: String,
    /// Whether it is the same however often it is tried.
    is_final: bool,
}

impl SinkError {
    fn of(url: &str, error: &io::Error) -> SinkError {
        let is_final = matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData);
        SinkError { url: url.to_owned(), reason: error.to_string(), is_final }
    }
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--sink-report {}: {}", self.url, self.reason)?;
        if self.is_final { Ok(()) } else { f.write_str("; --agents-timeout sets how long to try") }
    }
}

impl std::error::Error for SinkError {}

/// A name, or an address, and the servers behind it before the run: those are asked again after it.
#[derive(Clone, Debug)]
struct Name {
    authority: String,
    path: String,
    servers: Vec<Server>,
}

/// One server, and where its report is.
#[derive(Clone, Debug)]
struct Server {
    address: SocketAddr,
    /// Host and port as it goes by.
    authority: String,
    path: String,
}

impl Server {
    fn url(&self) -> String {
        format!("http://{}{}", self.authority, self.path)
    }
}

/// What a server has received, since its start.
#[derive(Debug)]
struct Received {
    messages: u64,
    /// Which start: the time and the seed.
    start: Vec<(Option<SystemTime>, u64)>,
}

impl Received {
    fn of(report: &OfServer) -> Received {
        let start = report.runs().iter().map(|run| (run.started_at, run.seed)).collect();
        Received { messages: report.stats().messages.accepted, start }
    }

    /// The messages since then.
    fn since(&self, before: &Received) -> Result<u64, String> {
        let since = self.messages.checked_sub(before.messages).filter(|_| self.start == before.start);
        since
            .ok_or_else(|| "it was restarted, or its figures were reset, since: what it had received until then is unknown".to_owned())
    }
}

/// What the servers had received before the run.
#[derive(Debug)]
pub(crate) struct Before {
    names: Vec<Name>,
    /// By server, in the order of the names.
    received: Vec<Received>,
    token: Option<HeaderValue>,
}

/// The servers that are asked.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) urls: &'a [String],
    /// How many they are at least.
    pub(crate) least: u64,
    pub(crate) token: Option<HeaderValue>,
}

/// The servers at these URLs before a run. Servers that are not ready, and names that are not known yet, are asked again
/// until `patience` is over; `waits` is called once, with the reason. `None` if `is_ended` meanwhile.
///
/// # Errors
/// One has no report by then, or can't have one.
pub(crate) fn before(
    wanted: &Wanted<'_>,
    patience: Duration,
    is_ended: impl Fn() -> bool,
    mut waits: impl FnMut(&SinkError),
) -> Result<Option<Before>, SinkError> {
    let runtime = runtime().map_err(|error| SinkError::of(&wanted.urls.join(" "), &error))?;
    let found = runtime.block_on(async {
        let deadline = Instant::now() + patience;
        let mut is_first = true;
        loop {
            let asked = unless(&is_ended, all(wanted)).await;
            match asked {
                Some(Err(error)) if !error.is_final && Instant::now() < deadline => {
                    if std::mem::take(&mut is_first) {
                        waits(&error);
                    }
                    if unless(&is_ended, tokio::time::sleep(RETRY_EVERY)).await.is_none() {
                        return Ok(None);
                    }
                }
                asked => return asked.transpose(),
            }
        }
    });
    // A name may still be looked up.
    runtime.shutdown_background();
    found
}

/// The servers at these URLs, now.
async fn all(wanted: &Wanted<'_>) -> Result<Before, SinkError> {
    let Wanted { urls, least, token } = wanted;
    let (mut names, mut received, mut whole) = (Vec::new(), Vec::new(), None::<OfServer>);
    for url in *urls {
        let failed = |error| SinkError::of(url, &error);
        let name = name(url).await.map_err(failed)?;
        let reports = ask_all(name.servers.iter(), token.as_ref(), |report| report).await;
        names.push(name);
        for report in reports {
            let report = report.map_err(failed)?;
            received.push(Received::of(&report));
            // The sum notices a server that is there twice.
            whole = Some(match whole.take() {
                None => report,
                Some(whole) => whole.merge(&report).map_err(|error| failed(invalid(error.to_string())))?,
            });
        }
    }
    if (received.len() as u64) < *least {
        let reason = format!("{} of {least} servers have addresses (--sinks)", received.len());
        return Err(SinkError { url: urls.join(" "), reason, is_final: false });
    }
    Ok(Before { names, received, token: token.clone() })
}

/// Does this work, unless it is ended before.
async fn unless<T>(is_ended: impl Fn() -> bool, work: impl Future<Output = T>) -> Option<T> {
    let mut work = std::pin::pin!(work);
    loop {
        match tokio::time::timeout(LOOK_EVERY, work.as_mut()).await {
            Ok(done) => return Some(done),
            Err(_) if is_ended() => return None,
            Err(_) => {}
        }
    }
}

impl Before {
    /// Compares what the servers have received since with what was delivered in the run of this report. `None` if there
    /// are none.
    pub(crate) fn compare(&self, run: &Report) -> Option<Sinks> {
        let id = run.settings.runs.first().cloned().unwrap_or_default();
        let asked_at_ms = Some(millis(since_1970()));
        let (mut sinks, (now, more)) = (Sinks::default(), self.now());
        for ((server, before), now) in self.servers().zip(&self.received).zip(now) {
            let received = now.map_err(|error| error.to_string()).and_then(|now| now.since(before));
            let (run, url) = (id.clone(), server.url());
            match received {
                Ok(received) => sinks.reports.push(SinkRow { run, url, received, asked_at_ms }),
                Err(reason) => sinks.failed.push(SinkFailure { run, url, reason }),
            }
        }
        sinks.failed.extend(more.into_iter().map(|(name, server)| SinkFailure {
            run: id.clone(),
            url: server.url(),
            reason: format!(
                "{name} did not have this address before the run: what it has received since is unknown"
            ),
        }));
        (!self.names.is_empty()).then(|| sinks.compared(run))
    }

    fn servers(&self) -> impl Iterator<Item = &Server> {
        self.names.iter().flat_map(|name| &name.servers)
    }

    /// What each server has received by now, and the servers that their names did not have before, with these names.
    fn now(&self) -> (Vec<io::Result<Received>>, Vec<(String, Server)>) {
        let runtime = match runtime() {
            Ok(runtime) => runtime,
            Err(error) => {
                let failed = |_| Err(io::Error::new(error.kind(), error.to_string()));
                return (self.servers().map(failed).collect(), Vec::new());
            }
        };
        let found = runtime.block_on(async {
            let added = self
                .names
                .iter()
                .cloned()
                .map(|name| tokio::spawn(async move { (name.authority.clone(), name.added().await) }));
            let added: Vec<_> = added.collect();
            let received = ask_all(self.servers(), self.token.as_ref(), |report| Received::of(&report)).await;
            let mut more = Vec::new();
            for task in added {
                let (name, added) = task.await.unwrap_or_default();
                more.extend(added.into_iter().map(|server| (name.clone(), server)));
            }
            (received, more)
        });
        // A name may still be looked up.
        runtime.shutdown_background();
        found
    }
}

impl Name {
    /// The servers that it did not have before. A name that is unknown meanwhile, or not known in time, has none.
    async fn added(&self) -> Vec<Server> {
        let is_known = |address: &SocketAddr| self.servers.iter().any(|server| server.address == *address);
        let is_ipv4 = self.servers.iter().any(|server| server.address.is_ipv4());
        let all = tokio::time::timeout(TIMEOUT, tokio::net::lookup_host(&self.authority)).await;
        let all = all.into_iter().flatten().flatten();
        let added = all.filter(|address| address.is_ipv4() == is_ipv4 && !is_known(address));
        let mut added: Vec<SocketAddr> = added.collect();
        added.sort_unstable();
        added.dedup();
        added.into_iter().map(|address| self.at(address)).collect()
    }

    fn at(&self, address: SocketAddr) -> Server {
        Server { address, authority: address.to_string(), path: self.path.clone() }
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

/// The name in a URL, and the servers behind it.
async fn name(url: &str) -> io::Result<Name> {
    let (authority, path) = parse_url(url).map_err(invalid)?;
    let path = if path == "/" { REPORT.to_owned() } else { path };
    let mut addresses: Vec<SocketAddr> = tokio::net::lookup_host(&authority).await?.collect();
    // A name that is IPv4 and IPv6 is one machine twice.
    let has_ipv4 = addresses.iter().any(SocketAddr::is_ipv4);
    addresses.retain(|address| address.is_ipv4() == has_ipv4);
    addresses.sort_unstable();
    addresses.dedup();
    let mut name = Name { authority, path, servers: Vec::new() };
    name.servers = addresses.into_iter().map(|address| name.at(address)).collect();
    match name.servers.as_mut_slice() {
        [] => return Err(io::ErrorKind::NotFound.into()),
        // A server behind a name may go by that.
        [alone] => alone.authority.clone_from(&name.authority),
        _ => {}
    }
    Ok(name)
}

async fn report(server: Server, token: Option<HeaderValue>) -> io::Result<OfServer> {
    let mut link = Link::new(server.authority, token).to(server.address);
    let (status, body) = link.ask((Method::GET, &server.path), Vec::new(), REPORT_LIMIT, TIMEOUT).await?;
    match status {
        StatusCode::OK => {
            let text = String::from_utf8_lossy(&body);
            OfServer::read(&text).map_err(|error| invalid(format!("no report of smtpmock: {error}")))
        }
        StatusCode::UNAUTHORIZED => {
            Err(invalid("it wants its token: --sink-token, or the variable SMTPLOAD_SINK_TOKEN".to_owned()))
        }
        status if status.is_server_error() => Err(io::Error::other(with_status(status))),
        status => Err(invalid(with_status(status))),
    }
}

fn with_status(status: StatusCode) -> String {
    format!("it answers with status {status}")
}

/// An error that the next attempt has as well.
fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, reason)
}
