//! What several tests share. A test binary takes it with `#[path = "../support/mod.rs"] mod support;`.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod browser;
pub(crate) mod client;
pub(crate) mod dialogue;
pub(crate) mod expectations;
pub(crate) mod figures;
pub(crate) mod files;
pub(crate) mod oracle;
pub(crate) mod peer;
pub(crate) mod performance;
pub(crate) mod program;
pub(crate) mod records;
pub(crate) mod reference;
pub(crate) mod transcript;
