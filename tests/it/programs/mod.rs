//! What takes other processes: the built program behind its pipes and files, real clients, and a witness.

mod clients;
#[cfg(feature = "cli")]
mod mailboxes;
#[cfg(feature = "cli")]
mod transcripts;
mod witness;
