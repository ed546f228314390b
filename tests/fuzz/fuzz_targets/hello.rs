//! Octets in place of a client's hello, over a real socket: an end, and an answer of few records or none.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

use crate::hellos::Encrypting;

#[path = "../../support/hellos.rs"]
mod hellos;

static SERVER: LazyLock<Encrypting> = LazyLock::new(|| {
    let name = format!("smtpmock-fuzz-{}.sock", std::process::id());
    Encrypting::at(std::env::temp_dir().join(name))
});

fuzz_target!(|data: &[u8]| {
    SERVER.feed(data);
});
