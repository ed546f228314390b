//! Finding `CRLF.` with the widest vectors the processor has.
//!
//! It is rare in any message, and so is LF before a dot: a loop asks four vectors at a time for that pair, and only
//! where there is one whether CR stands before it. No input makes it slow; a search for one octet has one that does: a
//! message made of that octet.

use fearless_simd::prelude::*;
use fearless_simd::{Level, Simd, dispatch};

const CRLF_DOT: &[u8; 3] = b"\r\n.";
/// Vectors looked at together.
const TOGETHER: usize = 4;
/// Octets that a vector's last match reaches beyond it.
const BEYOND: usize = CRLF_DOT.len() - 1;

/// Where the first `CRLF.` starts.
pub(super) fn find_crlf_dot(text: &[u8]) -> Option<usize> {
    find_with(Level::new(), text)
}

/// With the instructions of a processor of this level.
fn find_with(level: Level, text: &[u8]) -> Option<usize> {
    dispatch!(level, simd => find(simd, text))
}

#[inline(always)]
fn find<S: Simd>(simd: S, text: &[u8]) -> Option<usize> {
    let width = S::u8s::LEN;
    let mut at = 0;
    while let Some(block) = text.get(at..at + TOGETHER * width + BEYOND) {
        let mut vectors = (0..TOGETHER).map(|vector| vector * width);
        let pairs = vectors.clone().map(|from| lf_dot(simd, &block[from..]));
        if pairs.fold(S::mask8s::splat(simd, false), |any, own| any | own).any_true()
            && let Some(found) = vectors.find_map(|from| Some(from + first(simd, &block[from..])?))
        {
            return Some(at + found);
        }
        at += TOGETHER * width;
    }
    find_in_rest(simd, text, at)
}

/// Less than a block is left, from `at`.
#[inline(always)]
fn find_in_rest<S: Simd>(simd: S, text: &[u8], mut at: usize) -> Option<usize> {
    let width = S::u8s::LEN;
    let Some(last) = text.len().checked_sub(width + BEYOND) else {
        return text.windows(CRLF_DOT.len()).position(|octets| octets == CRLF_DOT);
    };
    while at < last {
        if let Some(found) = first(simd, &text[at..]) {
            return Some(at + found);
        }
        at += width;
    }
    // The last vector overlaps the one before it, which held none.
    first(simd, &text[last..]).map(|found| last + found)
}

/// Which of the first octets stand before LF and a dot.
#[inline(always)]
fn lf_dot<S: Simd>(simd: S, octets: &[u8]) -> S::mask8s {
    is(simd, &octets[1..], b'\n') & is(simd, &octets[2..], b'.')
}

/// Where the first `CRLF.` starts within the first vector.
#[inline(always)]
fn first<S: Simd>(simd: S, octets: &[u8]) -> Option<usize> {
    let bits = (is(simd, octets, b'\r') & lf_dot(simd, octets)).to_bitmask();
    (bits != 0).then(|| bits.trailing_zeros() as usize)
}

/// Which of the first octets are this one.
#[inline(always)]
fn is<S: Simd>(simd: S, octets: &[u8], octet: u8) -> S::mask8s {
    S::u8s::from_slice(simd, &octets[..S::u8s::LEN]).simd_eq(octet)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(text: &[u8]) -> Option<usize> {
        text.windows(3).position(|octets| octets == CRLF_DOT)
    }

    /// Octets near the one that is looked for, and text.
    fn text() -> impl Strategy<Value = Vec<u8>> {
        let octet = prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), Just(b'x')];
        let dense = prop::collection::vec(octet, 0..600);
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
        fn finds_what_a_look_at_each_octet_finds(text in text()) {
            prop_assert_eq!(find_crlf_dot(&text), naive(&text));
            prop_assert_eq!(find_with(Level::baseline(), &text), naive(&text));
        }
    }

    #[test]
    fn finds_it_at_every_place_of_every_length() {
        for length in 3..300 {
            for place in 0..=length - 3 {
                let mut text = vec![b'.'; length];
                text[place..place + 3].copy_from_slice(CRLF_DOT);
                assert_eq!(find_crlf_dot(&text), Some(place), "of {length}");
            }
        }
    }
}
