//! The events of messages that arrive and of sessions that begin and end, in one order: each session opens before its messages,
//! and closes after them.
//!
//! Shards report sessions and file messages in that order, but in two places. This reads sessions, then messages, then sessions
//! again: by then the sessions of all these messages have been read, and an end that is only in the second reading waits for the
//! next turn.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use serde::Serialize;

use super::queue::MOST_EVENTS;
use super::{Arrivals, Event, Kind, frame};
use crate::http::Plane;
use crate::net::passages::{End, Passage, Passages};
use crate::records::store::{Removal, Shown, Snapshot, Store};
use crate::server::Server;
use crate::smtp::Exchange;
use crate::text::timestamp;
use crate::time::Deadline;

/// How long the task waits for mail before it checks who listens.
const LOOK: Duration = Duration::from_secs(1);
/// A pause after events: messages that arrive within it cause one wake-up.
const PAUSE: Duration = Duration::from_millis(10);
/// How long sessions are collected: shards wake nobody.
const COLLECTING: Duration = Duration::from_millis(100);
/// Recipients of one event: with all of them it could exceed the queue of a client.
const MOST_RECIPIENTS: usize = 100;

/// A message, by its record: its mail is not parsed.
#[derive(Serialize)]
struct MessageEvent {
    id: String,
    session: u64,
    accepted: bool,
    accepted_at: Option<String>,
    peer_addr: String,
    user: Option<String>,
    helo: Option<String>,
    mail_from: Option<String>,
    /// The first of them.
    rcpt_to: Vec<Recipient>,
    /// The number of all.
    recipients: usize,
    size: usize,
}

#[derive(Serialize)]
struct Recipient {
    address: String,
    accepted: bool,
}

#[derive(Serialize)]
struct SessionEvent {
    id: u64,
    /// `opened` or `closed`.
    change: &'static str,
    peer_addr: String,
    listener: String,
    /// Of a session that has ended.
    #[serde(flatten)]
    end: Option<EndView>,
}

#[derive(Serialize)]
struct EndView {
    ending: &'static str,
    messages: u32,
    age_seconds: f64,
}

impl From<Passage> for SessionEvent {
    fn from(Passage { session_id, peer, listener, end }: Passage) -> Self {
        Self {
            id: session_id,
            change: if end.is_some() { "closed" } else { "opened" },
            peer_addr: peer.to_string(),
            listener: listener.to_string(),
            end: end.map(|End { ending, messages, age }| EndView {
                ending: ending.name(),
                messages,
                age_seconds: age.as_secs_f64(),
            }),
        }
    }
}

/// The event of a message.
pub(super) fn message(Shown { message, .. }: &Shown) -> Bytes {
    let id = message.id().to_string();
    let recipient = |rcpt: &Exchange| Recipient {
        address: String::from_utf8_lossy(rcpt.name().unwrap_or_default()).into_owned(),
        accepted: rcpt.is_accepted(),
    };
    let recipients = &message.record().rcptto_exchanges;
    let event = MessageEvent {
        id: id.clone(),
        session: message.session_id(),
        accepted: message.msg(),
        accepted_at: message.accepted_at().map(timestamp),
        peer_addr: message.peer_addr().to_string(),
        user: message.auth_user().map(std::borrow::Cow::into_owned),
        helo: message.helo_name().map(std::borrow::Cow::into_owned),
        mail_from: message.reverse_path().map(std::borrow::Cow::into_owned),
        rcpt_to: recipients.iter().take(MOST_RECIPIENTS).map(|rcpt| recipient(rcpt)).collect(),
        recipients: recipients.len(),
        size: message.record().msg_size,
    };
    frame(Kind::Message, Some(&id), &event)
}

/// Finds messages that were evicted before they were published.
struct Lost {
    /// Records evicted until the last look.
    evicted: u64,
    /// Those among them that may still be found missing.
    allowed: u64,
    /// The position of the next removal.
    removal: u64,
}

impl Lost {
    fn begin(store: &Store) -> Self {
        Self { evicted: store.evicted(), allowed: 0, removal: store.removals_from(u64::MAX).end }
    }

    /// The numbers of those from `seen` on which are not in the snapshot: the oldest, as many as were evicted meanwhile, since
    /// numbers are also left out where a record was deleted, or has changed.
    fn among(&mut self, seen: u64, news: &Snapshot, store: &Store) -> Vec<u64> {
        let evicted = store.evicted();
        // Records after the snapshot may have been counted already: they are missed at the next look.
        self.allowed += evicted - std::mem::replace(&mut self.evicted, evicted);
        let removed = store.removals_from(self.removal);
        self.removal = removed.end;
        let evicted_end = store.evicted_end();
        if evicted_end <= seen {
            // All evicted records had been seen, as is usual in a full store.
            self.allowed = 0;
        }
        if self.allowed == 0 {
            return Vec::new();
        }
        let removed = removed.removals.iter().filter_map(|removal| match removal {
            Removal::Record { number, .. } => Some(*number),
            Removal::All { .. } => None,
        });
        let present = news.records.iter().map(|shown| shown.number);
        let known: HashSet<u64> = removed.chain(present).collect();
        let gone = (seen..news.end.min(evicted_end)).filter(|number| !known.contains(number));
        let gone: Vec<_> = gone.take(self.allowed as usize).collect();
        self.allowed -= gone.len() as u64;
        gone
    }
}

/// Makes shards announce sessions until it is dropped.
struct Announcements {
    server: Arc<Server>,
    passages: Arc<Passages>,
}

impl Announcements {
    fn begin(plane: &Plane) -> Self {
        let (server, passages) = (Arc::clone(&plane.server), Arc::clone(&plane.events.passages));
        server.announce_sessions(&passages);
        Self { server, passages }
    }
}

impl Drop for Announcements {
    fn drop(&mut self) {
        self.server.stop_announcing(&self.passages);
    }
}

/// Publishes an event of each message that arrives, and of each session that begins or ends, while a client listens to them.
pub(in crate::http) async fn arrivals(plane: Arc<Plane>) {
    loop {
        plane.events.wait_for(&[Kind::Message, Kind::Session]).await;
        let mut pump = Some(Pump::default());
        while let Some(turning) = pump {
            pump = turning.turn(&plane).await;
        }
    }
}

/// The state between two turns.
#[derive(Default)]
struct Pump {
    /// Present while a client listens to messages.
    lost: Option<Lost>,
    /// Present while a client listens to sessions.
    announcements: Option<Announcements>,
    ends: Ends,
}

/// Ends of sessions, with their numbers, which come after messages that may not have been read yet.
#[derive(Default)]
struct Ends(Vec<(u64, Passage)>);

impl Pump {
    /// Waits for events, and publishes them. `None` if no client listens.
    async fn turn(mut self, plane: &Arc<Plane>) -> Option<Self> {
        let hub = &plane.events;
        let (seen, hears_sessions) = (hub.first_unseen(), hub.has(&[Kind::Session]));
        match hears_sessions {
            true => _ = self.announcements.get_or_insert_with(|| Announcements::begin(plane)),
            false => self.announcements = None,
        }
        match seen {
            Some(_) => _ = self.lost.get_or_insert_with(|| Lost::begin(&plane.store)),
            None => self.lost = None,
        }
        let wait = if hears_sessions { COLLECTING } else { LOOK };
        let has_news = match seen {
            Some(seen) => Arc::clone(&plane.store).news(seen, Deadline::after(wait)).await,
            None if hears_sessions => {
                tokio::time::sleep(wait).await;
                false
            }
            None => return None,
        };
        if has_news || self.has_sessions() {
            let own = Arc::clone(plane);
            let publish = move || {
                self.publish(&own, seen);
                self
            };
            // After a bug the state begins anew.
            self = plane.desk.run(publish).await.unwrap_or_default();
        }
        if has_news {
            tokio::time::sleep(PAUSE).await;
        }
        Some(self)
    }

    /// Whether sessions have begun or ended that are not published.
    fn has_sessions(&self) -> bool {
        let have_come = |announcements: &Announcements| announcements.passages.has_unread();
        !self.ends.0.is_empty() || self.announcements.as_ref().is_some_and(have_come)
    }

    /// `seen` is the number of the first message that is an event.
    fn publish(&mut self, plane: &Plane, seen: Option<u64>) {
        let mut arrivals = Arrivals::default();
        let passages = self.read(&mut arrivals);
        let mut messages = Vec::new();
        if let Some((seen, lost)) = seen.zip(self.lost.as_mut()) {
            let news = plane.store.snapshot_from(seen);
            // More would not fit in a queue.
            let (missed, records) = news.records.split_at(news.records.len().saturating_sub(MOST_EVENTS));
            arrivals.missed_messages = missed.iter().map(|shown| shown.number).collect();
            arrivals.missed_messages.extend(lost.among(seen, &news, &plane.store));
            arrivals.end = news.end;
            let of_message = |shown: &Shown| {
                let event = Event::new(Kind::Message, shown.number, message(shown));
                (shown.message.session_id(), event)
            };
            messages = records.iter().map(of_message).collect();
        }
        let later = self.read(&mut arrivals);
        arrivals.events = self.ends.in_order(passages, messages, later);
        plane.events.publish_arrivals(&arrivals);
    }

    /// The sessions that have begun and ended since the last reading.
    fn read(&self, arrivals: &mut Arrivals) -> Vec<(u64, Passage)> {
        let Some(announcements) = &self.announcements else { return Vec::new() };
        let taken = announcements.passages.take();
        arrivals.missed_sessions.push(taken.missed);
        taken.passages
    }
}

impl Ends {
    /// Events in one order: of the sessions that were read before these messages, of the messages, each with its session, and of
    /// the sessions that were read after them.
    fn in_order(
        &mut self,
        before: Vec<(u64, Passage)>,
        messages: Vec<(u64, Event)>,
        after: Vec<(u64, Passage)>,
    ) -> Vec<Event> {
        let (begun, ends) = after.into_iter().partition::<Vec<_>, _>(|(_, passage)| passage.end.is_none());
        let before = std::mem::replace(&mut self.0, ends).into_iter().chain(before);
        let counts = messages.iter().enumerate();
        let last: HashMap<u64, usize> = counts.map(|(place, (session, _))| (*session, place + 1)).collect();
        let mut messages = messages.into_iter().map(|(_, event)| event);
        let (mut events, mut done) = (Vec::new(), 0);
        for (number, passage) in before {
            // With the last message of a session that ends come those that were filed before it: they have an order, too.
            if let Some(last) = last.get(&passage.session_id).filter(|_| passage.end.is_some()) {
                events.extend(messages.by_ref().take(last.saturating_sub(done)));
                done = done.max(*last);
            }
            events.push(of_passage(number, passage));
        }
        events.extend(begun.into_iter().map(|(number, passage)| of_passage(number, passage)));
        events.extend(messages);
        events
    }
}

fn of_passage(number: u64, passage: Passage) -> Event {
    Event::new(Kind::Session, number, frame(Kind::Session, None, &SessionEvent::from(passage)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::records::message::sample;
    use crate::records::{Endpoint, Message};
    use crate::stats::Ending;

    fn passage(session_id: u64, ends: bool) -> Passage {
        let end = ends.then_some(End { ending: Ending::Quit, messages: 0, age: Duration::ZERO });
        Passage { session_id, peer: Endpoint::Unix(None), listener: Endpoint::Unix(None), end }
    }

    fn mail(session_id: u64) -> Message {
        Message { session_id, ..sample::mail("ann@example.com", &[], "\r\n") }
    }

    #[test]
    fn messages_that_were_evicted_unseen_are_lost_once() {
        let store = Store::new(1, 2, 1 << 20);
        let mut lost = Lost::begin(&store);
        (1..=5).for_each(|session| _ = store.finish(0, None, mail(session), true));
        let news = store.snapshot_from(0);
        // One of these is evicted before the next look, and not counted at this one.
        (6..=8).for_each(|session| _ = store.finish(0, None, mail(session), true));
        assert_eq!(lost.among(0, &news, &store), [0, 1, 2]);
        assert_eq!(lost.among(news.end, &store.snapshot_from(news.end), &store), [5]);
        let seen = store.end();
        store.take_shown(&store.snapshot_from(0).records);
        store.finish(0, None, mail(9), true);
        assert_eq!(lost.among(seen, &store.snapshot_from(seen), &store), [0; 0], "removed by a reader");
    }

    #[test]
    fn nothing_is_lost_where_a_record_changes_in_a_full_store() {
        let store = Store::new(1, 2, 1 << 20);
        (1..=2).for_each(|session| _ = store.finish(0, None, mail(session), true));
        let mut seen = store.snapshot_from(0).end;
        let mut lost = Lost::begin(&store);
        for session in 3..10 {
            // A record of a session has another number after each of its mails, and at its end.
            let key = store.accept(0, None, mail(session));
            let key = store.accept(0, Some(key), mail(session));
            store.finish(0, Some(key), mail(session), true);
            let news = store.snapshot_from(seen);
            assert_eq!(lost.among(seen, &news, &store), [0; 0], "session {session} is in the snapshot");
            assert_eq!(news.records.len(), 1);
            seen = news.end;
        }
        assert_eq!(store.evicted(), 7);
    }

    /// A sequence of steps: the session, and its step, of which the first opens it and the last closes it.
    fn history() -> impl Strategy<Value = Vec<(u64, usize)>> {
        let mails = proptest::collection::vec(0_usize..4, 0..6);
        mails.prop_flat_map(|mails| {
            let all = mails.iter().zip(0..).flat_map(|(mails, session)| vec![session; mails + 2]);
            Just(all.collect::<Vec<u64>>()).prop_shuffle().prop_map(|sessions| {
                let mut steps = HashMap::<u64, usize>::new();
                let step = |session| {
                    let step = steps.entry(session).or_default();
                    *step += 1;
                    (session, *step - 1)
                };
                sessions.into_iter().map(step).collect()
            })
        })
    }

    proptest! {
        #[test]
        fn sessions_open_before_their_messages_and_close_after_them(
            history in history(),
            pauses in proptest::collection::vec(0_usize..4, 0..20),
        ) {
            let last = |session: u64| history.iter().filter(|(own, _)| *own == session).count() - 1;
            let (mut sessions, mut messages, mut position) = (Vec::new(), Vec::new(), 0);
            let (mut ends, mut events) = (Ends::default(), Vec::new());
            let mut happen = |count: usize, sessions: &mut Vec<_>, messages: &mut Vec<_>| {
                for (session, step) in history.iter().skip(position).take(count) {
                    // Frames have the session and the step.
                    let frame = Bytes::from(format!("{session} {step}"));
                    match *step {
                        0 => sessions.push((*session, passage(*session, false))),
                        step if step == last(*session) => sessions.push((*session, passage(*session, true))),
                        step => messages.push((*session, Event::new(Kind::Message, step as u64, frame))),
                    }
                }
                position += count;
            };
            for pause in pauses.chunks(3).chain([[100, 0, 0].as_slice(), &[0, 0, 0]]) {
                let [first, second, third] = [0, 1, 2].map(|place| pause.get(place).copied().unwrap_or(0));
                happen(first, &mut sessions, &mut messages);
                let before = std::mem::take(&mut sessions);
                happen(second, &mut sessions, &mut messages);
                let read = std::mem::take(&mut messages);
                happen(third, &mut sessions, &mut messages);
                events.extend(ends.in_order(before, read, std::mem::take(&mut sessions)));
            }
            prop_assert_eq!(events.len(), history.len());
            let mut steps = HashMap::<u64, usize>::new();
            for Event { kind, number, frame } in events {
                let text = String::from_utf8_lossy(&frame);
                let (session, step) = match kind {
                    Kind::Message => text.split_once(' ').map(|(session, _)| {
                        (session.parse::<u64>().expect("a number"), number as usize)
                    }).expect("both"),
                    _ if text.contains("opened") => (number, 0),
                    _ => (number, last(number)),
                };
                let due = steps.entry(session).or_default();
                prop_assert_eq!(step, *due, "of session {}", session);
                *due += 1;
            }
        }
    }
}
