//! The buffer against a plain vector, and what the pool retains.

use proptest::prelude::*;

use super::{Buffer, POOLED, POOLED_CAPACITY, Pool};

proptest! {
    #[test]
    fn a_buffer_is_a_queue_of_bytes(steps in prop::collection::vec((0..50_usize, 0..60_usize), 0..100)) {
        let mut buffer = Buffer::default();
        let mut model: Vec<u8> = Vec::new();
        let mut next = 0_u8;
        for (append, consume) in steps {
            let bytes: Vec<u8> = (0..append).map(|_| { next = next.wrapping_add(1); next }).collect();
            buffer.append(&bytes);
            model.extend(&bytes);
            let consume = consume.min(model.len());
            buffer.consume(consume);
            model.drain(..consume);
            prop_assert_eq!(buffer.bytes(), &model[..]);
            prop_assert_eq!(buffer.is_empty(), model.is_empty());
            prop_assert!(!buffer.is_empty() || buffer.start == 0);
        }
    }

    /// Bytes that keep coming and going must not grow a buffer beyond the bytes that it holds at a time.
    #[test]
    fn a_buffer_does_not_grow_with_what_passed_through(size in 1..300_usize) {
        let mut buffer = Buffer::default();
        buffer.append(&[0]);
        for _ in 0..1000 {
            buffer.append(&vec![0; size]);
            buffer.consume(size);
        }
        prop_assert_eq!(buffer.bytes().len(), 1);
        prop_assert!(buffer.bytes.capacity() <= 4 * (size + 8), "{} bytes", buffer.bytes.capacity());
    }
}

#[test]
fn an_empty_place_gets_a_buffer_only_for_bytes() {
    let mut pool = Pool::default();
    let mut place = None;
    pool.append(&mut place, b"");
    assert!(place.is_none());
    pool.append(&mut place, b"abc");
    pool.append(&mut place, b"def");
    assert_eq!(place.as_ref().map(Buffer::bytes), Some(&b"abcdef"[..]));
}

#[test]
fn a_buffer_is_reclaimed_when_it_is_empty_and_used_again() {
    let mut pool = Pool::default();
    let mut place = None;
    pool.append(&mut place, b"abc");
    pool.reclaim(&mut place);
    assert!(place.is_some(), "it still holds bytes");
    place.as_mut().expect("a buffer").consume(3);
    pool.reclaim(&mut place);
    assert!(place.is_none());
    assert_eq!(pool.spare.len(), 1);
    pool.append(&mut place, b"x");
    assert!(pool.spare.is_empty());
    assert_eq!(place.as_ref().map(Buffer::bytes), Some(&b"x"[..]));
}

#[test]
fn a_burst_leaves_a_bounded_pool() {
    let mut pool = Pool::default();
    let mut places: Vec<Option<Buffer>> = (0..4 * POOLED).map(|_| None).collect();
    for place in &mut places {
        pool.append(place, &[0; 100]);
    }
    for place in &mut places {
        place.as_mut().expect("a buffer").consume(100);
        pool.reclaim(place);
        assert!(place.is_none());
    }
    assert_eq!(pool.spare.len(), POOLED);
}

#[test]
fn a_grown_buffer_is_freed() {
    let mut pool = Pool::default();
    let mut place = None;
    pool.append(&mut place, &vec![0; POOLED_CAPACITY + 1]);
    place.as_mut().expect("a buffer").consume(POOLED_CAPACITY + 1);
    pool.reclaim(&mut place);
    assert!(place.is_none());
    assert!(pool.spare.is_empty());
}

#[test]
fn what_waits_in_a_large_buffer_gets_one_of_its_size() {
    let (mut pool, mut place) = (Pool::default(), None);
    pool.append(&mut place, &[b'x'; 100_000]);
    place.as_mut().expect("a buffer").consume(99_000);
    pool.fit(&mut place);
    let fitting = place.as_ref().expect("the same bytes");
    assert_eq!((fitting.bytes(), fitting.memory()), (&[b'x'; 1000][..], 1000));
    assert_eq!(pool.spare.len(), 1, "the large one may serve others");
    pool.fit(&mut place);
    assert_eq!(pool.spare.len(), 1);
    let mut full = None;
    pool.append(&mut full, &[b'x'; 50_000]);
    pool.fit(&mut full);
    assert_eq!(full.expect("a buffer").bytes().len(), 50_000);
    assert!(pool.spare.is_empty());
}
