//! Readers' view of the records while shards change them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;

use super::{Arrival, RunningKey, Store};
use crate::process::lock;
use crate::records::message::{Message, sample};
use crate::smtp::{Record, Unsent};

/// Longer than any wait that must succeed, on any loaded machine.
const LONG: Duration = Duration::from_secs(60);

fn message(session_id: u64, text: &str) -> Message {
    Message { session_id, ..sample::mail("ann@example.com", &[], text) }
}

fn store(shards: usize) -> Store {
    Store::new(shards, usize::MAX, usize::MAX)
}

fn ids(messages: &[Message]) -> Vec<u64> {
    messages.iter().map(Message::session_id).collect()
}

fn finish(store: &Store, shard: usize, id: u64) {
    store.finish(shard, None, message(id, ""), false);
}

#[test]
fn records_of_all_shards_have_one_order() {
    let store = store(3);
    for id in 0..30 {
        finish(&store, (id * 7 % 3) as usize, id);
        if id == 10 {
            assert_eq!(ids(&store.messages()).len(), 11); // moves all to the archive
        }
    }
    assert!(ids(&store.messages()).into_iter().eq(0..30));
    assert!(ids(&store.purge()).into_iter().eq(0..30));
    assert!(store.messages().is_empty());
}

/// Whether the record is in the shard or in the archive.
#[test]
fn replies_that_did_not_leave_are_taken_out_of_a_finished_record() {
    let store = store(2);
    let number = |shard: usize, id| {
        let record = Record { msg_number: 7, ..message(id, "text").record };
        store.finish(shard, None, Message { record, ..message(id, "text") }, false).expect("filed")
    };
    let unsent = |first| Unsent { first, instead: None };
    let numbers = [number(0, 1), number(1, 2), number(1, 3)];
    store.withdraw(1, numbers[1], &unsent(7));
    let memory = store.memory.load(Ordering::Relaxed);
    assert_eq!(store.messages().iter().map(Message::msg).collect::<Vec<_>>(), [true, false, true]);
    // A reader has moved them by now.
    store.withdraw(1, numbers[2], &unsent(8));
    store.withdraw(0, numbers[0], &unsent(6));
    let messages = store.purge();
    assert_eq!(messages.iter().map(Message::msg).collect::<Vec<_>>(), [false, false, true]);
    assert_eq!(messages.iter().map(Message::body).collect::<Vec<_>>(), [&b""[..], b"", b"text"]);
    assert!(store.memory.load(Ordering::Relaxed) == 0 && memory > 0);
    store.withdraw(1, numbers[2], &unsent(7));
    assert!(store.messages().is_empty(), "one that was taken stays away");
}

#[test]
fn running_records_follow_the_finished_ones_in_the_order_of_acceptance() {
    let store = store(2);
    let first = store.accept(0, None, message(1, "one"));
    store.accept(1, None, message(2, "two"));
    finish(&store, 1, 3);
    assert_eq!(ids(&store.messages()), [3, 1, 2]);
    let same = store.accept(0, Some(first), message(1, "again"));
    assert_eq!(same, first);
    assert_eq!(ids(&store.messages()), [3, 2, 1]);
    store.finish(0, Some(first), message(1, "again"), false);
    assert_eq!(ids(&store.messages()), [3, 1, 2]);
}

#[test]
fn an_update_is_seen_unless_the_record_was_purged() {
    let store = store(1);
    let key = store.accept(0, None, message(1, "as accepted"));
    store.update(0, key, message(1, "after NOOP"));
    assert_eq!(store.messages()[0].body(), b"after NOOP");
    assert_eq!(store.purge().len(), 1);
    store.update(0, key, message(1, "after QUIT"));
    assert!(store.messages().is_empty());
}

#[test]
fn a_purged_record_returns_only_as_news() {
    let store = store(1);
    let finish_after_purge = |is_news| {
        let key = store.accept(0, None, message(1, ""));
        assert_eq!(store.purge().len(), 1);
        store.finish(0, Some(key), message(1, ""), is_news);
        store.purge().len()
    };
    assert_eq!(finish_after_purge(false), 0);
    assert_eq!(finish_after_purge(true), 1);
    let key = store.accept(0, None, message(1, "first"));
    assert_eq!(store.purge().len(), 1);
    store.accept(0, Some(key), message(1, "second"));
    assert_eq!(store.purge()[0].body(), b"second");
}

#[test]
fn a_forgotten_record_is_gone_and_its_place_free() {
    let store = store(1);
    let key = store.accept(0, None, message(1, ""));
    store.forget(0, key);
    assert!(store.messages().is_empty());
    assert!(store.wait_and_copy(1, Duration::ZERO).is_none());
    assert_eq!(store.accept(0, None, message(2, "")), key);
}

#[test]
fn the_oldest_records_are_evicted_by_count_whether_read_or_not() {
    let store = Store::new(1, 5, usize::MAX);
    (0..4).for_each(|id| finish(&store, 0, id));
    assert_eq!(store.messages().len(), 4); // these are in the archive now
    (4..12).for_each(|id| finish(&store, 0, id));
    assert_eq!(ids(&store.messages()), [7, 8, 9, 10, 11]);
    assert_eq!(store.evicted(), 7);
}

/// A regression: a shard without old records evicted the record that it had just filed.
#[test]
fn a_shard_with_nothing_old_evicted_its_newest_record() {
    let store = Store::new(2, 3, usize::MAX);
    (0..3).for_each(|id| finish(&store, 0, id));
    finish(&store, 1, 3);
    assert_eq!(ids(&store.messages()), [1, 2, 3]);
}

#[test]
fn the_oldest_records_are_evicted_by_bytes() {
    let text = "x".repeat(10_000);
    let store = Store::new(1, usize::MAX, 45_000);
    for id in 0..10 {
        store.finish(0, None, message(id, &text), false);
    }
    assert_eq!(ids(&store.messages()), [6, 7, 8, 9]);
    assert_eq!(store.evicted(), 6);
    // A record larger than the limit leaves nothing.
    store.finish(0, None, message(10, &text.repeat(5)), false);
    assert!(store.messages().is_empty());
    assert_eq!(store.evicted(), 11);
    finish(&store, 0, 11);
    assert_eq!(ids(&store.messages()), [11], "an evicted record gives its bytes back");
}

#[test]
fn running_records_are_evicted_when_no_finished_one_is_left() {
    let store = Store::new(1, 2, usize::MAX);
    let keys: Vec<RunningKey> = (0..3).map(|id| store.accept(0, None, message(id, ""))).collect();
    assert_eq!(ids(&store.messages()), [1, 2]);
    assert_eq!(store.evicted(), 1);
    // As if purged: the end of its session does not restore it.
    store.finish(0, Some(keys[0]), message(0, ""), false);
    assert_eq!(ids(&store.messages()), [1, 2]);
}

#[test]
fn a_wait_is_woken_by_arrivals_on_any_shard() {
    let store = store(2);
    thread::scope(|scope| {
        let store = &store;
        let waits: Vec<_> =
            (1..=4).map(|count| scope.spawn(move || store.wait_and_copy(count, LONG).is_some())).collect();
        finish(store, 0, 1);
        store.accept(1, None, message(2, ""));
        finish(store, 1, 3);
        store.accept(0, None, message(4, ""));
        for wait in waits {
            assert!(wait.join().expect("a wait"));
        }
    });
    assert!(store.wait_and_copy(0, Duration::ZERO).is_some());
    assert!(store.wait_and_copy(5, Duration::from_millis(20)).is_none());
}

/// Shards push, finish and forget while a reader purges: each record is returned exactly once, and those of one shard
/// in order.
#[test]
fn purges_lose_nothing_that_arrives_meanwhile() {
    const SHARDS: usize = 3;
    const SESSIONS: u64 = 3000;
    let store = store(SHARDS);
    let done = AtomicBool::new(false);
    let mut purged: Vec<Vec<Message>> = Vec::new();
    thread::scope(|scope| {
        let pushers: Vec<_> = (0..SHARDS)
            .map(|shard| {
                let store = &store;
                scope.spawn(move || run_sessions(store, shard, SESSIONS))
            })
            .collect();
        let (store, done) = (&store, &done);
        let reader = scope.spawn(move || {
            let mut purged = Vec::new();
            while !done.load(Ordering::SeqCst) {
                purged.push(store.purge());
                let _ = store.wait_and_copy(50, Duration::from_millis(1));
            }
            purged
        });
        pushers.into_iter().for_each(|pusher| pusher.join().expect("a pusher ends"));
        done.store(true, Ordering::SeqCst);
        purged = reader.join().expect("the reader ends");
    });
    purged.push(store.purge());
    let all: Vec<u64> = ids(&purged.concat());
    for shard in 0..SHARDS as u64 {
        let mut own: Vec<u64> = all.iter().copied().filter(|id| id % SHARDS as u64 == shard).collect();
        own.sort_unstable();
        let expected = (0..SESSIONS).map(|session| session * SHARDS as u64 + shard);
        assert!(own.into_iter().eq(expected), "records of shard {shard} are lost or came twice");
    }
    assert!(store.wait_and_copy(1, Duration::ZERO).is_none(), "the count of records is off");
}

/// A third of the sessions are visible while they run.
fn run_sessions(store: &Store, shard: usize, sessions: u64) {
    for session in 0..sessions {
        let id = session * store.shards.len() as u64 + shard as u64;
        let key = (session % 3 == 0).then(|| {
            let key = store.accept(shard, None, message(id, "running"));
            store.update(shard, key, message(id, "changed"));
            key
        });
        store.finish(shard, key, message(id, "finished"), false);
    }
}

/// Waits read the count without a lock.
#[test]
fn a_record_that_changes_or_ends_counts_once_all_the_time() {
    const ROUNDS: usize = 10_000;
    let store = store(1);
    // Odd while a record exists.
    let changes = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..ROUNDS {
                let key = store.accept(0, None, message(1, "one"));
                changes.fetch_add(1, Ordering::SeqCst);
                store.update(0, key, message(1, "two"));
                let key = store.accept(0, Some(key), message(1, "three"));
                store.finish(0, Some(key), message(1, "three"), true);
                changes.fetch_add(1, Ordering::SeqCst);
                store.purge();
            }
        });
        while changes.load(Ordering::SeqCst) < 2 * ROUNDS {
            let before = changes.load(Ordering::SeqCst);
            let counted = store.visible.load(Ordering::SeqCst);
            if before % 2 == 1 && changes.load(Ordering::SeqCst) == before {
                assert_eq!(counted, 1);
            }
        }
    });
}

/// Wakes this thread, and counts the calls.
struct ThisThread(thread::Thread, AtomicUsize);

impl Wake for ThisThread {
    fn wake(self: Arc<Self>) {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.unpark();
    }
}

/// Held by tests with waits as futures: alarm threads are counted for the whole process.
static ALARMS: Mutex<()> = Mutex::new(());

/// The alarm threads of this process.
fn alarm_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("a Linux system");
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim() == "smtpmock-waits").count()
}

/// An alarm thread ends soon after its store.
fn wait_for_no_alarms() {
    while cfg!(target_os = "linux") && alarm_threads() > 0 {
        thread::yield_now();
    }
}

#[test]
fn one_alarm_thread_serves_all_futures_and_ends_with_the_store() {
    const WAITS: usize = 300;
    let _alone = lock(&ALARMS);
    wait_for_no_alarms();
    let store = Arc::new(store(1));
    finish(&store, 0, 1);
    let this = Arc::new(ThisThread(thread::current(), AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&this));
    let mut context = Context::from_waker(&waker);
    let mut poll = |wait: &mut Arrival| std::pin::Pin::new(wait).poll(&mut context);
    // Deadlines near and far, in no order.
    let timeout = |wait: usize| Duration::from_millis(50 + (wait * 7 % WAITS) as u64 / 10);
    let mut waits: Vec<_> =
        (0..WAITS).map(|wait| Arc::clone(&store).arrival(2, timeout(wait), false)).collect();
    let mut forever = Arc::clone(&store).arrival(2, Duration::MAX, true);
    assert!(poll(&mut forever).is_pending());
    while !waits.is_empty() {
        waits.retain_mut(|wait| match poll(wait) {
            Poll::Ready(messages) => {
                assert!(messages.is_none(), "one of two is there");
                false
            }
            Poll::Pending => true,
        });
        if !waits.is_empty() {
            thread::park_timeout(LONG);
        }
    }
    if cfg!(target_os = "linux") {
        assert_eq!(alarm_threads(), 1);
    }
    assert!(this.1.load(Ordering::SeqCst) <= WAITS, "each is woken once at most");
    finish(&store, 0, 2);
    assert!(matches!(poll(&mut forever), Poll::Ready(Some(messages)) if ids(&messages) == [1, 2]));
    drop((forever, store));
    wait_for_no_alarms();
}

/// Operations of the control plane.
#[cfg(feature = "http")]
mod shown {
    use super::*;
    use crate::records::store::{Removal, Shown, Store};
    use crate::time::Deadline;

    fn numbers(shown: &[Shown]) -> Vec<(u64, u64)> {
        shown.iter().map(|shown| (shown.number, shown.message.session_id())).collect()
    }

    #[test]
    fn a_snapshot_shares_what_is_there_in_order_and_says_where_news_begins() {
        let store = store(2);
        (0..4).for_each(|id| finish(&store, id as usize % 2, id));
        store.accept(1, None, message(9, "running"));
        let all = store.snapshot_from(0);
        assert_eq!(numbers(&all.records), [(0, 0), (1, 1), (2, 2), (3, 3), (4, 9)]);
        assert_eq!(all.end, 5);
        let again = store.snapshot_from(0);
        assert!(Arc::ptr_eq(&all.records[0].message, &again.records[0].message), "no copy");
        finish(&store, 0, 5);
        assert_eq!(numbers(&store.snapshot_from(all.end).records), [(5, 5)]);
        assert_eq!(numbers(&store.snapshot_from(3).records), [(3, 3), (5, 5), (4, 9)]);
        let found = store.find(message(2, "").id()).expect("there");
        assert_eq!((found.number, found.message.session_id()), (2, 2));
        assert_eq!(store.find(message(9, "").id()).expect("running").number, 4);
        assert!(store.find(message(77, "").id()).is_none());
        store.check();
    }

    #[test]
    fn what_is_taken_is_what_was_chosen_and_nobody_else_has_it() {
        let store = store(2);
        (0..6).for_each(|id| finish(&store, id as usize % 2, id));
        let running = store.accept(0, None, message(7, "running"));
        let chosen: Vec<_> =
            store.snapshot_from(0).records.into_iter().filter(|shown| shown.number % 2 == 0).collect();
        finish(&store, 0, 8);
        // One of them changes meanwhile, and another caller takes another.
        store.withdraw(0, 0, &Unsent { first: 0, instead: None });
        assert_eq!(numbers(&store.take_shown(&chosen[1..2])), [(2, 2)]);
        assert_eq!(numbers(&store.take_shown(&chosen)), [(4, 4), (6, 7)]);
        assert_eq!(store.take_shown(&chosen).len(), 0);
        assert_eq!(ids(&store.messages()), [0, 1, 3, 5, 8]);
        assert_eq!(store.number_of_removed(message(4, "").id()), Some(4));
        assert_eq!(store.number_of_removed(message(5, "").id()), None);
        store.check();
        // As with a purge.
        store.finish(0, Some(running), message(7, "running"), false);
        store.purge();
        assert_eq!(store.number_of_removed(message(5, "").id()), Some(5));
    }

    #[test]
    fn a_running_record_that_has_changed_is_not_the_one_that_was_chosen() {
        let store = store(1);
        let running = store.accept(0, None, message(1, "old"));
        let chosen = store.snapshot_from(0).records;
        store.update(0, running, message(1, "new"));
        assert_eq!(store.take_shown(&chosen).len(), 0);
        let [changed] = &store.snapshot_from(0).records[..] else { panic!("one") };
        assert_eq!(changed.message.body(), b"new");
        assert_eq!(store.take_shown(std::slice::from_ref(changed)).len(), 1);
        store.check();
    }

    #[test]
    fn all_is_removed_if_no_record_is_left() {
        let store = store(2);
        let all = || {
            let last = store.removals_from(0).removals.pop();
            last.filter(|removal| matches!(removal, Removal::All { .. }))
        };
        (0..4).for_each(|id| finish(&store, id as usize % 2, id));
        store.accept(0, None, message(4, ""));
        assert_eq!(numbers(&store.take_all_where(|message| message.session_id() < 4)).len(), 4);
        assert_eq!(all(), None, "a running session has one");
        assert_eq!(numbers(&store.take_all_where(|_| true)), [(4, 4)]);
        assert_eq!(all(), Some(Removal::All { end: 5 }));
        assert!(!store.has_filed_from(5));
        finish(&store, 0, 6);
        assert_eq!(store.take_shown(&store.snapshot_from(0).records).len(), 1);
        assert_eq!(all(), None, "a choice of records is of those");
    }

    /// Shards look for waits at each message: a permanent wait would make them lock and wake each time.
    #[test]
    fn those_who_follow_removals_cost_shards_nothing() {
        let store = store(1);
        let wakings = Arc::new(ThisThread(thread::current(), AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&wakings));
        let mut context = Context::from_waker(&waker);
        let mut removal = std::pin::pin!(store.removal(0));
        assert!(removal.as_mut().poll(&mut context).is_pending());
        assert!(!store.waits.has_any());
        finish(&store, 0, 1);
        assert_eq!(wakings.1.load(Ordering::SeqCst), 0);
        store.purge();
        assert_eq!(wakings.1.load(Ordering::SeqCst), 1);
        assert!(removal.poll(&mut context).is_ready());
    }

    /// Every record is taken exactly once, by one of several readers.
    #[test]
    fn readers_that_take_what_they_saw_share_it_out() {
        const RECORDS: u64 = 3000;
        let store = store(2);
        let taken = thread::scope(|scope| {
            let store = &store;
            let takers: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(move || {
                        let (mut own, mut seen) = (Vec::new(), 0);
                        while seen < RECORDS {
                            let snapshot = store.snapshot_from(0);
                            own.extend(store.take_shown(&snapshot.records));
                            seen = snapshot.end;
                        }
                        own
                    })
                })
                .collect();
            (0..RECORDS).for_each(|id| finish(store, id as usize % 2, id));
            takers.into_iter().flat_map(|taker| taker.join().expect("a taker")).collect::<Vec<_>>()
        });
        let mut all: Vec<u64> = taken.iter().map(|shown| shown.message.session_id()).collect();
        all.extend(ids(&store.messages()));
        all.sort_unstable();
        assert!(all.into_iter().eq(0..RECORDS));
    }

    #[test]
    fn news_wakes_a_future_and_old_records_do_not() {
        let _alone = lock(&ALARMS);
        let store = Arc::new(store(1));
        finish(&store, 0, 1);
        let this = Arc::new(ThisThread(thread::current(), AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&this));
        let mut context = Context::from_waker(&waker);
        let end = store.snapshot_from(0).end;
        let mut news = Arc::clone(&store).news(end, Deadline::NEVER);
        let mut poll = |wait: &mut super::super::arrival::News| std::pin::Pin::new(wait).poll(&mut context);
        assert!(poll(&mut news).is_pending());
        store.purge();
        assert_eq!(this.1.load(Ordering::SeqCst), 0);
        let arrival = thread::spawn({
            let store = Arc::clone(&store);
            move || finish(&store, 0, 2)
        });
        while this.1.load(Ordering::SeqCst) == 0 {
            thread::park_timeout(LONG);
        }
        assert_eq!(poll(&mut news), Poll::Ready(true));
        arrival.join().expect("an arrival");
        let mut late = Arc::clone(&store).news(store.snapshot_from(0).end, Deadline::after(Duration::ZERO));
        assert_eq!(poll(&mut late), Poll::Ready(false));
        let mut old = Arc::clone(&store).news(end, Deadline::after(Duration::ZERO));
        assert_eq!(poll(&mut old), Poll::Ready(true), "what has arrived counts, whatever became of it");
        assert!(store.snapshot_from(0).records.len() == 1 && Store::evicted(&store) == 0);
    }
}

proptest! {
    /// Records stay in order, and the counts agree with them, under any operations.
    #[test]
    fn what_is_counted_is_what_is_there(
        steps in prop::collection::vec((0..8_u8, 0..2_usize, any::<Index>()), 0..60),
        max_records in 1..8_usize,
        max_memory in prop_oneof![Just(usize::MAX), 1..5_000_usize],
    ) {
        let store = Store::new(2, max_records, max_memory);
        let mut running = [const { Vec::<RunningKey>::new() }; 2];
        let mut numbers = Vec::new();
        for (id, (step, shard, index)) in steps.into_iter().enumerate() {
            let message = message(id as u64, &"text".repeat(index.index(300)));
            let keys = &mut running[shard];
            let at = (!keys.is_empty()).then(|| index.index(keys.len().max(1)));
            match (step, at) {
                (0, _) => keys.push(store.accept(shard, None, message)),
                (1, Some(at)) => drop(store.accept(shard, Some(keys[at]), message)),
                (2, Some(at)) => store.update(shard, keys[at], message),
                (3, Some(at)) => store.forget(shard, keys.swap_remove(at)),
                (4, at) => {
                    let key = at.map(|at| keys.swap_remove(at));
                    numbers.extend(store.finish(shard, key, message, id % 2 == 0).map(|number| (shard, number)));
                }
                (5, _) if !numbers.is_empty() => {
                    let &(shard, number) = index.get(&numbers);
                    store.withdraw(shard, number, &Unsent { first: 0, instead: None });
                }
                (6, _) => {
                    let mut shown = store.snapshot_from(0).records;
                    shown.truncate(index.index(shown.len() + 1));
                    let count = shown.len();
                    assert_eq!(store.take_shown(&shown).len(), count);
                }
                _ => drop(if id % 3 == 0 { store.purge() } else { store.messages() }),
            }
            store.check();
        }
    }
}
