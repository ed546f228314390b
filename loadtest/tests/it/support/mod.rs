//! A scriptable server and a way to run the program against it.

pub(crate) mod program;
pub(crate) mod sink;

pub(crate) use program::{Load, Outcome};
pub(crate) use sink::{Act, Sink, Verb};
