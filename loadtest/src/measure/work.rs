//! How busy the generator's own threads are.
//!
//! Linux counts, per thread, the time it ran and the time it stood ready to run with no
//! processor free (`/proc/thread-self/schedstat`, nanoseconds). A thread whose two times
//! fill an interval had no moment left: what was late then was late because of the
//! generator. Other systems do not tell, and the reports say so.

use std::time::Duration;

/// Time a thread has used and missed since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    /// Time on a processor.
    pub(crate) ran: Duration,
    /// Time spent ready, waiting for a processor.
    pub(crate) waited: Duration,
}

/// The calling thread's work so far; `None` where the system does not tell.
pub(crate) fn of_this_thread() -> Option<Work> {
    parse(&std::fs::read_to_string("/proc/thread-self/schedstat").ok()?)
}

fn parse(text: &str) -> Option<Work> {
    let mut fields = text.split_ascii_whitespace();
    let ran = Duration::from_nanos(fields.next()?.parse().ok()?);
    let waited = Duration::from_nanos(fields.next()?.parse().ok()?);
    Some(Work { ran, waited })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_times_are_read_and_anything_else_is_not() {
        let work = parse("1500 20 3\n").unwrap();
        assert_eq!(work.ran, Duration::from_nanos(1500));
        assert_eq!(work.waited, Duration::from_nanos(20));
        assert_eq!(parse("x 20 3"), None);
        assert_eq!(parse(""), None);
    }
}
