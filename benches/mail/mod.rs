//! The mail that the benchmarks send: one for all, so that their figures are comparable.
#![allow(dead_code, reason = "each benchmark uses a part of it")]

use std::error::Error;
use std::io::Read;

pub(crate) const HELO: &[u8] = b"HELO client.example.com\r\n";
pub(crate) const EHLO: &[u8] = b"EHLO client.example.com\r\n";

/// The commands of a mail transaction before its data, each with the code of its reply.
pub(crate) const ENVELOPE: [(&[u8], &[u8]); 3] = [
    (b"MAIL FROM:<sender@example.com>\r\n", b"250"),
    (b"RCPT TO:<recipient@example.com>\r\n", b"250"),
    (b"DATA\r\n", b"354"),
];

/// MAIL with parameters, as sent by clients that were offered extensions.
pub(crate) const MAIL_WITH_PARAMETERS: &[u8] = b"MAIL FROM:<sender@example.com> SIZE=1028 BODY=8BITMIME\r\n";

/// This many octets of text in lines.
pub(crate) fn text_lines(size: usize) -> Vec<u8> {
    let line = b"The quick brown fox jumps over the lazy dog. 0123456789 and so on, 76 columns.\r\n";
    line.iter().copied().cycle().take(size).collect()
}

/// This text as the only chunk of a message.
pub(crate) fn chunk(text: &[u8]) -> Vec<u8> {
    [format!("BDAT {} LAST\r\n", text.len()).as_bytes(), text].concat()
}

/// Message data of this text, with their final dot.
pub(crate) fn data(text: &[u8]) -> Vec<u8> {
    [text, b"\r\n.\r\n"].concat()
}

/// Reads one reply. Fails unless it has this code.
pub(crate) fn expect(server: &mut impl Read, code: &[u8]) -> Result<(), Box<dyn Error>> {
    let mut reply = [0; 512];
    let length = server.read(&mut reply)?;
    if reply[..length].starts_with(code) {
        return Ok(());
    }
    Err(format!("got {:?}", String::from_utf8_lossy(&reply[..length])).into())
}
