//! The argument of BDAT: `chunk-size [SP "LAST"]` (RFC 3030 section 2).

/// A chunk of a message, as announced by BDAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Chunk {
    /// Octets after the line; at most [`MAX_SIZE`](Self::MAX_SIZE).
    pub size: u64,
    /// It completes the message.
    pub is_last: bool,
}

impl Chunk {
    /// Largest number that is accepted as a size.
    pub const MAX_SIZE: u64 = 1 << 63;

    /// Parses the argument after the verb; `None` if the number of octets after the line is unknown.
    pub(super) fn parse_argument(argument: &[u8]) -> Option<Self> {
        let mut words = argument.split(|&octet| octet == b' ').filter(|word| !word.is_empty());
        let size = number(words.next()?)?;
        let is_last = match words.next() {
            None => false,
            Some(word) if word.eq_ignore_ascii_case(b"LAST") => true,
            Some(_) => return None,
        };
        (words.next().is_none()).then_some(Self { size, is_last })
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    digits
        .iter()
        .try_fold(0_u64, |number, digit| {
            let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
            number.checked_mul(10)?.checked_add(digit)
        })
        .filter(|&number| number <= Chunk::MAX_SIZE)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(argument: &str) -> Option<(u64, bool)> {
        Chunk::parse_argument(argument.as_bytes()).map(|Chunk { size, is_last }| (size, is_last))
    }

    #[test]
    fn a_chunk_has_a_number_of_octets_and_may_be_the_last() {
        for (argument, size, is_last) in [
            (" 0", 0, false),
            (" 0 LAST", 0, true),
            (" 86 last", 86, true),
            ("  0086   Last", 86, true),
            (" 9223372036854775808", 1 << 63, false),
        ] {
            assert_eq!(parsed(argument), Some((size, is_last)), "{argument}");
        }
        for argument in [
            "",
            " ",
            " LAST",
            " 10LAST",
            " 10 FIRST",
            " 10 LAST LAST",
            " 10 20",
            " -1",
            " +1",
            " 0x10",
            " 1.5",
            " 1\t2",
            " 9223372036854775809",
            " 18446744073709551616",
            " 99999999999999999999999999",
        ] {
            assert_eq!(parsed(argument), None, "{argument:?}");
        }
    }

    proptest! {
        /// Compares with the standard library's parser.
        #[test]
        fn digits_are_a_number_up_to_2_to_the_63rd(digits in "[0-9]{1,22}", is_last: bool) {
            let expected = digits.parse::<u128>().ok().filter(|&size| size <= 1 << 63);
            let expected = expected.map(|size| (u64::try_from(size).unwrap(), is_last));
            let last = if is_last { " LAST" } else { "" };
            prop_assert_eq!(parsed(&format!(" {digits}{last}")), expected);
        }
    }
}
