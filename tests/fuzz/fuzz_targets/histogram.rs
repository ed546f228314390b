//! Histograms from their text: never a panic, no more memory than a histogram takes, and what is read is written so
//! that it reads back as the same.
//!
//! The input is what a text holds in a compressed form, behind its cookie: a fuzzer does not find a zlib stream by
//! itself.
#![no_main]

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use libfuzzer_sys::fuzz_target;
use smtpmock::report::encoding::{decode, encode};

fuzz_target!(|data: &[u8]| {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&[0x1c, 0x84, 0x93, 0x13]).expect("a Vec takes every write");
    encoder.write_all(data).expect("a Vec takes every write");
    let stream = encoder.finish().expect("a Vec takes every write");
    let length = u32::try_from(stream.len()).expect("a short input").to_be_bytes();
    let bytes = [&[0x1c, 0x84, 0x93, 0x14][..], &length, &stream].concat();
    let Ok(histogram) = decode(&STANDARD.encode(bytes)) else { return };
    assert_eq!(decode(&encode(&histogram)).ok(), Some(histogram));
});
