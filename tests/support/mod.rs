//! What several tests share. A test binary takes it with `#[path = "../support/mod.rs"] mod support;`.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod peer;
pub(crate) mod records;
pub(crate) mod transcript;
