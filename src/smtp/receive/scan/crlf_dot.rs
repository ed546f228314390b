//! Finds `CRLF.` with the widest vectors of the processor.
//!
//! `CRLF.` is rare in messages, and so is LF before a dot. A loop searches four vectors at a time for that pair, and
//! checks for CR only where the pair is found. All matches in a vector are visited before the next vector is loaded. So
//! each octet is inspected once for any input, and only matches cost more. A search for a single octet, or one that
//! restarts after each match, would be slow for some inputs.

use std::ops::ControlFlow;

use fearless_simd::prelude::*;
use fearless_simd::{Level, Simd, dispatch};

const CRLF_DOT: &[u8; 3] = b"\r\n.";
/// Number of vectors searched together.
const TOGETHER: usize = 4;
/// Octets after a vector that its last match includes.
const BEYOND: usize = CRLF_DOT.len() - 1;

/// Visits the start of every `CRLF.` from an index on, in order, until `visit` breaks.
pub(super) fn each_crlf_dot<B>(
    text: &[u8],
    from: usize,
    mut visit: impl FnMut(usize) -> ControlFlow<B>,
) -> ControlFlow<B> {
    each_with(Level::new(), &text[from..], |at| visit(from + at))
}

/// The search with the instructions of this processor level.
fn each_with<B>(level: Level, text: &[u8], visit: impl FnMut(usize) -> ControlFlow<B>) -> ControlFlow<B> {
    dispatch!(level, simd => each(simd, text, visit))
}

#[inline(always)]
fn each<S: Simd, B>(simd: S, text: &[u8], mut visit: impl FnMut(usize) -> ControlFlow<B>) -> ControlFlow<B> {
    let width = S::u8s::LEN;
    let mut rest = text;
    while let Some(block) = rest.get(..TOGETHER * width + BEYOND) {
        let vectors = (0..TOGETHER).map(|vector| vector * width);
        let pairs = vectors.clone().map(|from| lf_dot(simd, &block[from..]));
        if pairs.fold(S::mask8s::splat(simd, false), |any, own| any | own).any_true() {
            let at = text.len() - rest.len();
            for from in vectors {
                each_bit(crlf_dot(simd, &block[from..]), at + from, &mut visit)?;
            }
        }
        rest = &rest[TOGETHER * width..];
    }
    each_in_rest(simd, text, text.len() - rest.len(), visit)
}

/// Searches the rest from `at`, which is shorter than a block.
#[inline(always)]
fn each_in_rest<S: Simd, B>(
    simd: S,
    text: &[u8],
    mut at: usize,
    mut visit: impl FnMut(usize) -> ControlFlow<B>,
) -> ControlFlow<B> {
    let width = S::u8s::LEN;
    let Some(last) = text.len().checked_sub(width + BEYOND) else {
        let mut places = text.windows(CRLF_DOT.len()).enumerate();
        return places.try_for_each(|(at, octets)| match octets == CRLF_DOT {
            true => visit(at),
            false => ControlFlow::Continue(()),
        });
    };
    while at < last {
        each_bit(crlf_dot(simd, &text[at..]), at, &mut visit)?;
        at += width;
    }
    // The last vector overlaps those before it, or all octets have been inspected.
    let unseen = u64::MAX.checked_shl((at - last) as u32).unwrap_or(0);
    each_bit(crlf_dot(simd, &text[last..]) & unseen, last, visit)
}

#[inline(always)]
fn each_bit<B>(mut bits: u64, from: usize, mut visit: impl FnMut(usize) -> ControlFlow<B>) -> ControlFlow<B> {
    while bits != 0 {
        visit(from + bits.trailing_zeros() as usize)?;
        bits &= bits - 1;
    }
    ControlFlow::Continue(())
}

/// Which of the first octets precede LF and a dot.
#[inline(always)]
fn lf_dot<S: Simd>(simd: S, octets: &[u8]) -> S::mask8s {
    is(simd, &octets[1..], b'\n') & is(simd, &octets[2..], b'.')
}

/// Where a `CRLF.` starts within the first vector: a bit for each octet.
#[inline(always)]
fn crlf_dot<S: Simd>(simd: S, octets: &[u8]) -> u64 {
    (is(simd, octets, b'\r') & lf_dot(simd, octets)).to_bitmask()
}

/// Which of the first octets equal this one.
#[inline(always)]
fn is<S: Simd>(simd: S, octets: &[u8], octet: u8) -> S::mask8s {
    S::u8s::from_slice(simd, &octets[..S::u8s::LEN]).simd_eq(octet)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(text: &[u8]) -> Vec<usize> {
        let places = text.windows(3).enumerate();
        places.filter(|(_, octets)| octets == CRLF_DOT).map(|(at, _)| at).collect()
    }

    fn found(level: Level, text: &[u8]) -> Vec<usize> {
        let mut places = Vec::new();
        let _: ControlFlow<()> = each_with(level, text, |at| {
            places.push(at);
            ControlFlow::Continue(())
        });
        places
    }

    /// Octets close to the sequence searched for, and text.
    fn text() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop::sample::select(vec![&b"\r"[..], b"\n", b".", b"x", b"\r\n."]);
        let dense = prop::collection::vec(piece, 0..400).prop_map(|pieces| pieces.concat());
        let sparse = (0usize..600, prop::collection::vec(any::<prop::sample::Index>(), 0..4));
        let sparse = sparse.prop_map(|(length, places)| {
            let mut text = vec![b'x'; length];
            for place in places.iter().filter(|_| length >= 3) {
                let from = place.index(length - 2);
                text[from..from + 3].copy_from_slice(CRLF_DOT);
            }
            text
        });
        prop_oneof![dense, sparse]
    }

    proptest! {
        #[test]
        fn finds_what_a_search_of_each_octet_finds(text in text()) {
            prop_assert_eq!(found(Level::new(), &text), naive(&text));
            prop_assert_eq!(found(Level::baseline(), &text), naive(&text));
        }
    }

    #[test]
    fn finds_it_at_every_place_of_every_length() {
        for length in 3..300 {
            for place in 0..=length - 3 {
                let mut text = vec![b'.'; length];
                text[place..place + 3].copy_from_slice(CRLF_DOT);
                assert_eq!(found(Level::new(), &text), [place], "of {length}");
            }
        }
    }
}
