//! The reply parser takes any bytes, however they are cut, and gives the same lines.
//!
//! Run with `cargo +nightly fuzz run reply` in `loadtest/`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smtpload::reply::{ReplyError, ReplyParser};

type Lines = Vec<(u16, bool, Vec<u8>)>;

fn parse<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<Lines, ReplyError> {
    let mut parser = ReplyParser::new();
    let mut lines = Vec::new();
    for piece in pieces {
        parser.feed(piece, |line| -> Result<bool, ReplyError> {
            lines.push((line.code, line.last, line.text.to_vec()));
            Ok(true)
        })?;
    }
    Ok(lines)
}

fuzz_target!(|data: &[u8]| {
    let Some((cut, bytes)) = data.split_first() else { return };
    let size = usize::from(*cut).max(1);
    assert_eq!(parse(bytes.chunks(size)), parse(std::iter::once(bytes)));
});
