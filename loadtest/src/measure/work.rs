//! Processor time of the generator's own threads.
//!
//! Linux counts for each thread the time on a processor and the time ready without a processor
//! (`/proc/thread-self/schedstat`, nanoseconds). If both fill an interval, the thread had no time left, and late
//! messages are due to the generator. Other systems have no such figures, and the reports state that.

use std::time::Duration;

/// Processor time used and missed by a thread since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    /// Time on a processor.
    pub(crate) ran: Duration,
    /// Time spent ready, waiting for a processor.
    pub(crate) waited: Duration,
}

/// The calling thread's times so far; `None` where the system has no figures.
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
