//! What has arrived, as tests ask for it: all messages, waits for them, and those that match.

use std::sync::Arc;
use std::time::Duration;

use super::Server;
use crate::records::store::{Shown, Store};
use crate::records::{Message, WaitError};
#[cfg(feature = "mime")]
use crate::search::{Query, QueryError};
use crate::time::Deadline;

impl Server {
    /// Copies of the records, one for each mail, in the order in which the mails were accepted, refused or abandoned. A
    /// record is visible before its client reads the (last) reply to the message. If that reply is not written
    /// completely, the record changes to that of a refused mail. With
    /// [`RecordMode::Session`](crate::smtp::RecordMode::Session): records of finished sessions in the order in which
    /// they finished, then those of running sessions with an accepted message. Empty with
    /// [`Config::keep_records`](crate::Config::keep_records) off.
    pub fn messages(&self) -> Vec<Message> {
        self.store.as_ref().map_or_else(Vec::new, |store| store.messages())
    }

    /// As [`messages`](Self::messages), but removes them from the server. No record is lost: one that arrives meanwhile
    /// is either returned or retained. With [`RecordMode::Session`](crate::smtp::RecordMode::Session) a session whose
    /// record is removed here creates another one only with another mail transaction.
    pub fn messages_and_purge(&self) -> Vec<Message> {
        self.store.as_ref().map_or_else(Vec::new, |store| store.purge())
    }

    /// Waits until at least `count` records are visible, and returns all of them.
    ///
    /// # Errors
    /// Fewer arrived in time; the error contains those that did.
    pub fn wait_for_messages(&self, count: usize, timeout: Duration) -> Result<Vec<Message>, WaitError> {
        self.wait(count, timeout, Store::wait_and_copy)
    }

    /// As [`wait_for_messages`](Self::wait_for_messages), but removes the records from the server.
    ///
    /// # Errors
    /// Fewer arrived in time; the error contains those that did, which remain in the server.
    pub fn wait_for_messages_and_purge(
        &self,
        count: usize,
        timeout: Duration,
    ) -> Result<Vec<Message>, WaitError> {
        self.wait(count, timeout, Store::wait_and_take)
    }

    /// [`wait_for_messages`](Self::wait_for_messages) as a future, for tests that share a thread with the tested code,
    /// like those of `#[tokio::test]`: see [the section on Tokio](crate#tokio). The time begins now, not with the first
    /// poll. It runs under any executor, may outlive the server, and can be dropped at any time.
    ///
    /// # Errors
    /// Fewer arrived in time; the error contains those that did.
    pub fn wait_for_messages_async(
        &self,
        count: usize,
        timeout: Duration,
    ) -> impl Future<Output = Result<Vec<Message>, WaitError>> + Send + use<> {
        self.wait_async(count, timeout, false)
    }

    /// As [`wait_for_messages_async`](Self::wait_for_messages_async), but removes the records from the server. A future
    /// that is dropped before it is ready removes none.
    ///
    /// # Errors
    /// Fewer arrived in time; the error contains those that did, which remain in the server.
    pub fn wait_for_messages_and_purge_async(
        &self,
        count: usize,
        timeout: Duration,
    ) -> impl Future<Output = Result<Vec<Message>, WaitError>> + Send + use<> {
        self.wait_async(count, timeout, true)
    }

    /// Waits until a message matches, and returns it: the oldest of several. Earlier messages count, and so do refused
    /// or abandoned mails: check [`Message::msg`] if that matters. `matches` is called on this thread, once for each
    /// message; for the record of a running session ([`RecordMode::Session`](crate::smtp::RecordMode::Session)), at
    /// each arrival of another message, and once more when the session has ended.
    ///
    /// ```
    /// use std::time::Duration;
    /// use smtpmock::{Config, Server};
    ///
    /// let server = Server::start(Config::default())?;
    /// // … let the code under test send to server.local_addr()
    /// # let mut client = std::net::TcpStream::connect(server.local_addr())?;
    /// # std::io::Write::write_all(&mut client, b"HELO a.example\r\nMAIL FROM:<ann@example.com>\r\n\
    /// #     RCPT TO:<bob@example.com>\r\nDATA\r\nSubject: Welcome\r\n\r\nHello, Bob!\r\n.\r\n")?;
    /// let is_for_bob = |mail: &smtpmock::Message| mail.forward_paths().contains(&"bob@example.com".into());
    /// let mail = server.wait_for(is_for_bob, Duration::from_secs(5))?;
    /// assert_eq!(mail.subject().as_deref(), Some("Welcome"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// None matched in time; the error contains all present messages.
    pub fn wait_for(
        &self,
        matches: impl FnMut(&Message) -> bool,
        timeout: Duration,
    ) -> Result<Message, WaitError> {
        let deadline = Deadline::after(timeout);
        if let Some(store) = &self.store {
            let mut finder = Finder { store, matches, seen: 0 };
            loop {
                if let Some(found) = finder.look() {
                    return Ok(found);
                }
                if !store.wait_for_news(finder.seen, deadline) {
                    break;
                }
            }
        }
        Err(WaitError::no_match(timeout, self.messages()))
    }

    /// [`wait_for`](Self::wait_for) as a future: see [`wait_for_messages_async`](Self::wait_for_messages_async).
    /// `matches` is called by the thread that polls it.
    ///
    /// # Errors
    /// None matched in time; the error contains all present messages.
    pub fn wait_for_async<M: FnMut(&Message) -> bool + Send>(
        &self,
        matches: M,
        timeout: Duration,
    ) -> impl Future<Output = Result<Message, WaitError>> + Send + use<M> {
        let deadline = Deadline::after(timeout);
        let store = self.store.clone();
        async move {
            let Some(store) = store else { return Err(WaitError::no_match(timeout, Vec::new())) };
            let mut finder = Finder { store: &store, matches, seen: 0 };
            loop {
                if let Some(found) = finder.look() {
                    return Ok(found);
                }
                if !Arc::clone(&store).news(finder.seen, deadline).await {
                    return Err(WaitError::no_match(timeout, store.messages()));
                }
            }
        }
    }

    /// Removes matching messages from the server, and returns them, the oldest first. Messages that arrive meanwhile
    /// remain. If several callers take at the same time, each message is returned once: tests that share a server can
    /// each take their own [inbox](Message::inboxes).
    ///
    /// ```
    /// use smtpmock::{Config, Server};
    ///
    /// let server = Server::start(Config::default())?;
    /// // … let the code under test send
    /// let mine = server.take(|mail| mail.is_in("test-1")); // to bob+test-1@example.com
    /// # assert!(mine.is_empty());
    /// # Ok::<(), smtpmock::StartError>(())
    /// ```
    pub fn take(&self, mut matches: impl FnMut(&Message) -> bool) -> Vec<Message> {
        let Some(store) = &self.store else { return Vec::new() };
        let mut chosen = store.snapshot_from(0).records;
        chosen.retain(|shown| matches(&shown.message));
        let taken = store.take_shown(&chosen);
        drop(chosen);
        taken.into_iter().map(Shown::into_message).collect()
    }

    /// The messages that match a [query](Query), the oldest first, including refused and abandoned mails.
    ///
    /// ```
    /// use smtpmock::{Config, Server};
    ///
    /// let server = Server::start(Config::default())?;
    /// // … let the code under test send
    /// assert!(server.search("from:ann subject:\"your invoice\" has:attachment")?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The query is invalid.
    #[cfg(feature = "mime")]
    pub fn search(&self, query: &str) -> Result<Vec<Message>, QueryError> {
        let query: Query = query.parse()?;
        let Some(store) = &self.store else { return Ok(Vec::new()) };
        let mut found = store.snapshot_from(0).records;
        found.retain(|shown| query.matches(&shown.message));
        Ok(found.into_iter().map(Shown::into_message).collect())
    }

    fn wait_async(
        &self,
        expected: usize,
        timeout: Duration,
        purges: bool,
    ) -> impl Future<Output = Result<Vec<Message>, WaitError>> + Send + use<> {
        let store = self.store.clone();
        let arrival = self.store.clone().map(|store| store.arrival(expected, timeout, purges));
        async move {
            let arrived = match arrival {
                Some(arrival) => arrival.await,
                None => (expected == 0).then(Vec::new),
            };
            arrived.ok_or_else(|| {
                let arrived = store.map_or_else(Vec::new, |store| store.messages());
                WaitError::too_few(expected, timeout, arrived)
            })
        }
    }

    fn wait(
        &self,
        expected: usize,
        timeout: Duration,
        wait: impl FnOnce(&Store, usize, Duration) -> Option<Vec<Message>>,
    ) -> Result<Vec<Message>, WaitError> {
        let arrived = match &self.store {
            Some(store) => wait(store, expected, timeout),
            None => (expected == 0).then(Vec::new),
        };
        arrived.ok_or_else(|| WaitError::too_few(expected, timeout, self.messages()))
    }
}

/// Searches arriving messages for a match.
struct Finder<'s, M> {
    store: &'s Store,
    matches: M,
    /// All records with a lower number have been searched.
    seen: u64,
}

impl<M: FnMut(&Message) -> bool> Finder<'_, M> {
    /// The oldest match among the messages that have arrived since the last call.
    fn look(&mut self) -> Option<Message> {
        let news = self.store.snapshot_from(self.seen);
        self.seen = news.end;
        let found = news.records.into_iter().find(|shown| (self.matches)(&shown.message));
        found.map(Shown::into_message)
    }
}
