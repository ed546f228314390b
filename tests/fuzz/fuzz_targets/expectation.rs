//! Expectations as text: never a panic, each prints so that it reads back as the same, and can be judged.
#![no_main]

mod round_trip;

use libfuzzer_sys::fuzz_target;
use smtpmock::stats::{Expectation, Stats};

fuzz_target!(|data: &[u8]| {
    round_trip::check::<Expectation>(data);
    let expectation = std::str::from_utf8(data).ok().and_then(|text| text.parse::<Expectation>().ok());
    if let Some(expectation) = expectation {
        assert!(!expectation.judge(&Stats::default()).found.is_empty());
    }
});
