//! Percent-encoding (RFC 3986 section 2.1).

/// The decoded octets; `None` if a `%` is not followed by two hexadecimal digits.
pub(crate) fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        octets.push(match first {
            b'%' => {
                let (digits, behind) = rest.split_at_checked(2)?;
                rest = behind;
                let digit = |digit: u8| char::from(digit).to_digit(16);
                (digit(digits[0])? * 16 + digit(digits[1])?) as u8
            }
            octet => *octet,
        });
    }
    Some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_are_decoded_and_broken_encodings_are_none() {
        assert_eq!(percent_decoded("a%20b+%C3%a4%").as_deref(), None);
        assert_eq!(percent_decoded("a%20b+%C3%a4%00").as_deref(), Some(&b"a b+\xc3\xa4\0"[..]));
        for text in ["%", "%4", "%zz", "%+f", "a%\u{e4}"] {
            assert_eq!(percent_decoded(text), None, "{text}");
        }
    }
}
