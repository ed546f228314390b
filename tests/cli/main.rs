//! The program, run as its users run it: arguments and variables in, output, exit code and SMTP out.

mod endings;
mod failures;
mod flags;
mod lifetime;
mod output;
mod program;
mod readiness;
mod reports;
