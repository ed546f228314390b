//! `/api/events`: arrivals and changes of messages, over a WebSocket.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{future, io};

use hyper::header::{CONNECTION, HeaderValue, UPGRADE};
use hyper::rt::{Read as _, ReadBuf, Write as _};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Method, StatusCode};
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, broadcast};
use tokio::time::{Sleep, sleep};

use crate::http::Plane;
use crate::http::call::Call;
use crate::http::facade::{FacadeId, newest};
use crate::http::mailpit::summary::Summary;
use crate::http::mailpit::{info, refusal};
use crate::http::reply::{Refusal, Reply, empty};
use crate::http::route::Route;
use crate::http::websocket::{self, Breach, Incoming};
use crate::records::store::Shown;
use crate::smtp::RecordId;
use crate::time::Deadline;

pub(super) const ROUTES: &[Route] = &[Route::get("/api/events", |call| Box::pin(async move { open(call) }))];

/// Largest number of streams.
pub(super) const MOST_STREAMS: usize = 64;
/// News that may be pending for a stream; beyond it its client is asked to reload.
pub(super) const BEHIND: usize = 1024;
/// Messages of one look at the store that are sent; for more the client is asked to reload.
pub(super) const BATCH: usize = 100;
/// Ids of messages that were sent: a message that changes is not new again.
const REMEMBERED: usize = 1000;
/// Pause between two sums.
const PAUSE: Duration = Duration::from_millis(250);
/// Between two pings, which detect a client that has disconnected.
const PING: Duration = Duration::from_secs(30);
/// A wait for news begins again after this time.
const LONG: Duration = Duration::from_secs(24 * 3600);

/// Changes of messages by requests.
#[derive(Clone, Debug)]
pub(super) enum News {
    Removed(RecordId),
    /// All were removed.
    Truncated,
    /// Too many to send each.
    Reload,
    Read(RecordId, bool),
    Tagged(RecordId, Arc<[String]>),
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Event<D> {
    r#type: &'static str,
    data: D,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Sum {
    total: usize,
    unread: usize,
    version: String,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Update {
    #[serde(rename = "ID")]
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    read: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<String>>,
}

fn event(r#type: &'static str, data: impl Serialize) -> Vec<u8> {
    let text = serde_json::to_string(&Event { r#type, data }).expect("all its maps have texts for keys");
    websocket::text(&text)
}

impl News {
    fn event(self) -> Vec<u8> {
        let update = |id, update: Update| Update { id: FacadeId(id).to_string(), ..update };
        match self {
            Self::Removed(id) => event("delete", update(id, Update::default())),
            Self::Truncated => event("truncate", ()),
            Self::Reload => event("prune", ()),
            Self::Read(id, is_read) => {
                event("update", update(id, Update { read: Some(is_read), ..Update::default() }))
            }
            Self::Tagged(id, tags) => {
                event("update", update(id, Update { tags: Some(tags.to_vec()), ..Update::default() }))
            }
        }
    }
}

/// The events of messages that have arrived.
fn events_of(arrived: Vec<Shown>, plane: &Plane) -> Vec<u8> {
    if arrived.len() > BATCH {
        return News::Reload.event();
    }
    let one = |shown: Shown| {
        let mark = plane.mailpit.marks.of(&shown.message);
        event("new", Summary::of(&(shown, mark), plane))
    };
    arrived.into_iter().flat_map(one).collect()
}

fn open(mut call: Call) -> Result<Reply, Refusal> {
    let upgrade = call.head.extensions.remove::<OnUpgrade>();
    // Only by GET (RFC 6455 section 4.1): HEAD is answered by the same route.
    let upgrade = upgrade.filter(|_| call.head.method == Method::GET);
    let accept = websocket::accepts(&call.head.headers).zip(upgrade);
    let Some((accept, upgrade)) = accept else {
        return Err(refusal(StatusCode::UPGRADE_REQUIRED, "a WebSocket of version 13 is expected")
            .with(UPGRADE, HeaderValue::from_static("websocket")));
    };
    let place = Arc::clone(&call.plane.mailpit.streams).try_acquire_owned();
    let place = place.map_err(|_| {
        refusal(StatusCode::SERVICE_UNAVAILABLE, format!("there are {MOST_STREAMS} event streams already"))
    })?;
    let places = [place, call.plane.wait_place()?];
    tokio::spawn(serve(call.plane, upgrade, places));
    let mut reply = empty(StatusCode::SWITCHING_PROTOCOLS);
    let headers = reply.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(websocket::ACCEPT, accept);
    Ok(reply)
}

async fn serve(plane: Arc<Plane>, upgrade: OnUpgrade, _places: [OwnedSemaphorePermit; 2]) {
    let news = plane.mailpit.news.subscribe();
    let seen = plane.store.end();
    if let Ok(upgraded) = upgrade.await {
        let evicted = plane.store.evicted();
        let (arrived, sent) = (Vec::new(), VecDeque::new());
        let mut stream = Stream { plane, upgraded, arrived, seen, sent, evicted, sum: None };
        // The client has disconnected, or is too slow.
        let _ = stream.run(news).await;
    }
}

/// A stream of events to one client.
struct Stream {
    plane: Arc<Plane>,
    upgraded: Upgraded,
    /// Of a frame that is not complete.
    arrived: Vec<u8>,
    /// The number after that of the last record that was examined.
    seen: u64,
    sent: VecDeque<RecordId>,
    /// Number of evicted records when the last sum was sent.
    evicted: u64,
    /// When the sum is sent, if it has changed.
    sum: Option<Pin<Box<Sleep>>>,
}

/// An event that wakes a stream.
enum Wake {
    Arrival,
    News(Result<News, RecvError>),
    Client(io::Result<usize>),
    Sum,
    Silence,
}

impl Stream {
    async fn run(&mut self, mut news: broadcast::Receiver<News>) -> io::Result<()> {
        self.send_sum().await?;
        let mut arrival = Box::pin(Arc::clone(&self.plane.store).news(self.seen, Deadline::after(LONG)));
        let mut silence = Box::pin(sleep(PING));
        loop {
            let wake = {
                let mut received = pin!(news.recv());
                future::poll_fn(|context| {
                    if let Poll::Ready(read) = self.poll_read(context) {
                        return Poll::Ready(Wake::Client(read));
                    }
                    if let Poll::Ready(news) = received.as_mut().poll(context) {
                        return Poll::Ready(Wake::News(news));
                    }
                    if arrival.as_mut().poll(context).is_ready() {
                        return Poll::Ready(Wake::Arrival);
                    }
                    if self.sum.as_mut().is_some_and(|sum| sum.as_mut().poll(context).is_ready()) {
                        return Poll::Ready(Wake::Sum);
                    }
                    silence.as_mut().poll(context).map(|()| Wake::Silence)
                })
                .await
            };
            match wake {
                Wake::Client(read) => match self.answer(read?).await? {
                    true => {}
                    false => return Ok(()),
                },
                Wake::News(Ok(news)) => {
                    self.write(&news.event()).await?;
                    self.note_change();
                }
                Wake::News(Err(RecvError::Lagged(_))) => {
                    self.write(&News::Reload.event()).await?;
                    self.note_change();
                }
                Wake::News(Err(RecvError::Closed)) => return Ok(()),
                Wake::Arrival => {
                    self.send_arrivals().await?;
                    arrival = Box::pin(Arc::clone(&self.plane.store).news(self.seen, Deadline::after(LONG)));
                }
                Wake::Sum => self.send_sum().await?,
                Wake::Silence => {
                    self.write(&websocket::ping()).await?;
                    silence = Box::pin(sleep(PING));
                }
            }
        }
    }

    fn note_change(&mut self) {
        self.sum.get_or_insert_with(|| Box::pin(sleep(PAUSE)));
    }

    async fn send_sum(&mut self) -> io::Result<()> {
        self.sum = None;
        let evicted = self.plane.store.evicted();
        if std::mem::replace(&mut self.evicted, evicted) != evicted {
            self.write(&News::Reload.event()).await?;
        }
        let plane = Arc::clone(&self.plane);
        let sum = move || {
            let all = newest(&plane);
            let marks = plane.mailpit.marks.of_all(&all);
            let unread = marks.iter().filter(|mark| !mark.is_read).count();
            event("stats", Sum { total: all.len(), unread, version: info::version() })
        };
        let sum = self.plane.desk.run(sum).await.map_err(|_| io::Error::other("a bug"))?;
        self.write(&sum).await
    }

    async fn send_arrivals(&mut self) -> io::Result<()> {
        let (plane, seen, mut sent) = (Arc::clone(&self.plane), self.seen, std::mem::take(&mut self.sent));
        let look = move || {
            let snapshot = plane.store.snapshot_from(seen);
            let mut arrived = snapshot.records;
            arrived.retain(|shown| shown.message.msg() && !sent.contains(&shown.message.id()));
            sent.extend(arrived.iter().map(|shown| shown.message.id()));
            let surplus = sent.len().saturating_sub(REMEMBERED);
            sent.drain(..surplus);
            (snapshot.end, sent, events_of(arrived, &plane))
        };
        let looked = self.plane.desk.run(look).await.map_err(|_| io::Error::other("a bug"))?;
        let events;
        (self.seen, self.sent, events) = looked;
        if !events.is_empty() {
            self.write(&events).await?;
            self.note_change();
        }
        Ok(())
    }

    /// Answers what has arrived. Returns whether the stream continues.
    async fn answer(&mut self, count: usize) -> io::Result<bool> {
        if count == 0 {
            return Ok(false);
        }
        loop {
            let breach: Option<Breach> = match websocket::next(&mut self.arrived) {
                Ok(None) => return Ok(true),
                Ok(Some(Incoming::Ignored)) => continue,
                Ok(Some(Incoming::Ping(payload))) => {
                    self.write(&websocket::pong(&payload)).await?;
                    continue;
                }
                Ok(Some(Incoming::Close)) => None,
                Err(breach) => Some(breach),
            };
            self.write(&websocket::close(breach)).await?;
            return Ok(false);
        }
    }

    /// Reads the available octets. Returns their number; 0 at the end.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut octets = [0; 4096];
        let mut buffer = ReadBuf::new(&mut octets);
        let read = Pin::new(&mut self.upgraded).poll_read(context, buffer.unfilled());
        read.map_ok(|()| {
            self.arrived.extend_from_slice(buffer.filled());
            buffer.filled().len()
        })
    }

    /// Writes all. A client that reads nothing for too long is dropped by its connection.
    async fn write(&mut self, mut octets: &[u8]) -> io::Result<()> {
        while !octets.is_empty() {
            let write = |context: &mut Context<'_>| Pin::new(&mut self.upgraded).poll_write(context, octets);
            match future::poll_fn(write).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => octets = &octets[count..],
            }
        }
        future::poll_fn(|context| Pin::new(&mut self.upgraded).poll_flush(context)).await
    }
}
