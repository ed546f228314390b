//! Delays as text: never a panic, and each prints so that it reads back as the same.
#![no_main]

mod round_trip;

use libfuzzer_sys::fuzz_target;
use smtpmock::smtp::rules::Delay;

fuzz_target!(|data: &[u8]| round_trip::check::<Delay>(data));
