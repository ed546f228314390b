//! Addresses in the parameter ORCPT (RFC 3461 section 4.2). Pure.

use std::fmt::Write as _;

/// Appends the type and the encoded address: `rfc822;` with xtext (RFC 3461 section 4), or `utf-8;` in its form for any
/// transport (RFC 6533 section 3) if the address is not ASCII.
pub(crate) fn original_recipient(address: &[u8], out: &mut Vec<u8>) {
    match std::str::from_utf8(address) {
        Ok(text) if !address.is_ascii() => {
            out.extend_from_slice(b"utf-8;");
            text.chars().for_each(|c| unicode(c, out));
        }
        _ => {
            out.extend_from_slice(b"rfc822;");
            address.iter().for_each(|byte| xchar(*byte, out));
        }
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'+' | b'=')
}

fn xchar(byte: u8, out: &mut Vec<u8>) {
    if is_plain(byte) {
        out.push(byte);
    } else {
        out.push(b'+');
        out.extend([byte >> 4, byte & 15].map(|digit| b"0123456789ABCDEF"[usize::from(digit)]));
    }
}

fn unicode(c: char, out: &mut Vec<u8>) {
    match u8::try_from(c) {
        Ok(byte) if is_plain(byte) && byte != b'\\' => out.push(byte),
        _ => {
            let mut code = String::new();
            write!(code, "\\x{{{:X}}}", u32::from(c))
                .unwrap_or_else(|_| unreachable!("a String takes every write"));
            out.extend_from_slice(code.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(address: &str) -> String {
        let mut out = Vec::new();
        original_recipient(address.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn addresses_are_encoded_by_their_alphabet() {
        assert_eq!(encoded("ann@example.com"), "rfc822;ann@example.com");
        assert_eq!(encoded("ann+tag=1@example.com"), "rfc822;ann+2Btag+3D1@example.com");
        assert_eq!(encoded("\"a b\"@x"), "rfc822;\"a+20b\"@x");
        assert_eq!(encoded("a\\b@x"), "rfc822;a\\b@x");
        assert_eq!(encoded("j\u{f6}rg+a=\\@x"), "utf-8;j\\x{F6}rg\\x{2B}a\\x{3D}\\x{5C}@x");
        assert_eq!(encoded("\u{1f4e7}@x"), "utf-8;\\x{1F4E7}@x");
    }
}
