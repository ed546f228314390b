//! Running out of file descriptors: a shortage of this process or system, which passes.

use std::time::Duration;
use std::{io, thread};

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// First and last pause between attempts; the pauses grow.
const PAUSES: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(100)];

/// macOS accepts no limit above its `OPEN_MAX`, although it names a higher one, or none.
const OPEN_MAX: u64 = 10_240;

/// Raises the soft limit of descriptors, of which each session needs one, to the hard limit or as close to it as the
/// system accepts. If that fails the soft limit is unchanged, and `loop.accept_rests` counts the effects.
pub fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    if setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).is_err() {
        let accepted = limit.maximum.unwrap_or(u64::MAX).min(OPEN_MAX);
        if limit.current.is_some_and(|current| current < accepted) {
            let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(accepted), ..limit });
        }
    }
}

/// EMFILE (the process) or ENFILE (the system).
pub(crate) fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// Opens something, retrying while no descriptor is free. For threads that may block.
///
/// # Errors
/// Any other error of `open`.
pub(crate) fn with_descriptor<R>(mut open: impl FnMut() -> io::Result<R>) -> io::Result<R> {
    let [mut pause, longest] = PAUSES;
    loop {
        match open() {
            Err(error) if is_out_of_descriptors(&error) => thread::sleep(pause),
            result => return result,
        }
        pause = (2 * pause).min(longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_is_waited_for_and_other_errors_are_not() {
        let mut errors = vec![Errno::NOENT, Errno::NFILE, Errno::MFILE, Errno::MFILE];
        let result = with_descriptor(|| errors.pop().map_or(Ok(()), |errno| Err(errno.into())));
        assert_eq!(result.expect_err("the last").kind(), io::ErrorKind::NotFound);
        assert_eq!(with_descriptor(|| Ok(7)).expect("at once"), 7);
    }
}
