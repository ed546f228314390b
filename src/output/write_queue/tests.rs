//! The queue between threads: queued items arrive in order, or are counted as lost.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::{Batch, WriteQueue, Writer};

/// Longer than any operation here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Pushes an item for which room will be free eventually.
fn push<T>(queue: &WriteQueue<T>, item: T, weight: usize) {
    assert!(queue.push(item, weight, PATIENCE), "there is a writer, and room");
}

/// All items passed to the writer until the queue is closed, and the number lost.
fn write_into(queue: &WriteQueue<(usize, usize)>) -> (Vec<(usize, usize)>, u64) {
    let (mut items, mut dropped) = (Vec::new(), 0);
    queue.write_all(|batch| {
        dropped += batch.dropped;
        items.extend(batch.items);
    });
    (items, dropped)
}

#[test]
fn each_thread_s_items_keep_their_order() {
    const PUSHERS: usize = 3;
    const ITEMS: usize = 2000;
    let queue = WriteQueue::new(50);
    let (items, dropped) = thread::scope(|scope| {
        let writer = scope.spawn(|| write_into(&queue));
        let pushers: Vec<_> = (0..PUSHERS)
            .map(|pusher| {
                let queue = &queue;
                scope.spawn(move || (0..ITEMS).for_each(|item| push(queue, (pusher, item), 1)))
            })
            .collect();
        pushers.into_iter().for_each(|pusher| pusher.join().expect("a pusher ends"));
        queue.close();
        writer.join().expect("the writer ends")
    });
    assert_eq!(dropped, 0);
    for pusher in 0..PUSHERS {
        let own = items.iter().filter(|item| item.0 == pusher).map(|item| item.1);
        assert!(own.eq(0..ITEMS), "items of pusher {pusher} are missing or out of order");
    }
}

#[test]
fn an_offer_to_a_full_queue_is_dropped_and_counted() {
    let queue = WriteQueue::new(10);
    queue.offer(&mut vec![(0, 0), (0, 1)], 9);
    queue.offer(&mut vec![(0, 2)], 9); // not full yet: the limit may be exceeded once
    let mut late = vec![(0, 3), (0, 4), (0, 5)];
    queue.offer(&mut late, 3);
    assert!(late.is_empty());
    queue.offer(&mut vec![(0, 6)], 1);
    queue.close();
    assert_eq!(write_into(&queue), (vec![(0, 0), (0, 1), (0, 2)], 4));
}

#[test]
fn a_queue_takes_offers_again_once_it_was_emptied() {
    let queue = WriteQueue::new(1);
    let mut next = 0;
    let mut got = Vec::new();
    queue.offer(&mut vec![(0, next)], 1);
    queue.write_all(|batch| {
        got.extend(batch.items.iter().map(|item| item.1));
        match next {
            3 => queue.close(),
            _ if !batch.items.is_empty() => {
                next += 1;
                queue.offer(&mut vec![(0, next)], 1);
            }
            _ => {}
        }
    });
    assert_eq!(got, [0, 1, 2, 3]);
}

#[test]
fn a_push_waits_for_room() {
    let queue = WriteQueue::new(1);
    let pushed = AtomicUsize::new(0);
    thread::scope(|scope| {
        let pusher = scope.spawn(|| {
            for item in 0..10 {
                push(&queue, (0, item), 1);
                pushed.fetch_add(1, Ordering::SeqCst);
            }
            queue.close();
        });
        // One fits, so a second one can only be pushed after the first was taken.
        let mut taken = 0;
        queue.write_all(|batch| {
            taken += batch.items.len();
            assert!(batch.items.len() <= 1, "more than fits: {}", batch.items.len());
            assert!(pushed.load(Ordering::SeqCst) <= taken + 1);
        });
        assert_eq!(taken, 10);
        pusher.join().expect("the pusher ends");
    });
}

#[test]
fn closing_drains_and_flushes() {
    let queue = WriteQueue::new(100);
    (0..5).for_each(|item| push(&queue, (0, item), 1));
    queue.close();
    let mut calls = Vec::new();
    queue.write_all(|Batch { items, .. }| calls.push(items.len()));
    assert_eq!(calls, [5, 0], "everything, and then a batch that says flush");
}

#[test]
fn a_sleeping_writer_is_woken_by_an_item_and_by_the_close() {
    let queue = WriteQueue::new(100);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| queue.write_all(|batch| sender.send(batch.items).expect("a receiver")));
        assert!(receiver.recv().expect("the first flush").is_empty());
        for item in 0..20 {
            push(&queue, (0, item), 1);
            assert_eq!(receiver.recv().expect("the item"), [(0, item)]);
            assert!(receiver.recv().expect("a flush").is_empty());
        }
        queue.close();
    });
}

#[test]
fn a_panicking_writer_frees_those_who_push() {
    let queue = WriteQueue::new(1);
    thread::scope(|scope| {
        let pusher = scope.spawn(|| (0..100).filter(|&item| !queue.push((0, item), 1, PATIENCE)).count());
        let write = || queue.write_all(|batch| assert!(batch.items.is_empty(), "the writer's bug"));
        assert!(catch_unwind(AssertUnwindSafe(write)).is_err());
        assert!(pusher.join().expect("the pusher ends") > 0, "it is told what is lost");
    });
    assert_eq!(queue.lock().writer, Writer::Gone);
}

/// A regression: without a writer, pushed items must not accumulate.
#[test]
fn a_queue_without_a_writer_grew_without_bound() {
    let queue = WriteQueue::new(10);
    queue.close();
    assert_eq!(write_into(&queue), (vec![], 0));
    for item in 0..1000 {
        assert!(!queue.push((0, item), 1, PATIENCE));
        queue.offer(&mut vec![(0, item)], 1);
    }
    assert!(queue.lock().items.is_empty());
}

#[test]
fn a_push_gives_up_when_there_is_no_room_for_too_long() {
    let queue = WriteQueue::new(1);
    push(&queue, (0, 0), 1);
    assert!(!queue.push((0, 1), 1, Duration::from_millis(5)));
}

#[test]
fn an_abandoned_queue_keeps_nobody_waiting() {
    let queue = WriteQueue::new(1);
    push(&queue, (0, 0), 1);
    thread::scope(|scope| {
        let pusher = scope.spawn(|| queue.push((0, 1), 1, PATIENCE));
        queue.abandon();
        assert!(!pusher.join().expect("the pusher ends"));
    });
    assert!(queue.wait_until_gone(PATIENCE));
}

#[test]
fn a_writer_that_was_slow_and_not_stuck_was_given_up() {
    const PATIENCE: Duration = Duration::from_secs(2);
    let queue = WriteQueue::new(1);
    push(&queue, (0, 0), 1);
    thread::scope(|scope| {
        let pusher = scope.spawn(|| queue.push((0, 1), 1, PATIENCE));
        // Far longer than the patience, but with progress within each.
        for _ in 0..50 {
            thread::sleep(PATIENCE / 40);
            queue.note_progress();
        }
        assert_eq!(queue.take().map(|batch| batch.items), Some(vec![(0, 0)]));
        assert!(pusher.join().expect("the pusher ends"), "there is room now");
    });
}
