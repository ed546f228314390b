//! Signals that end a program: whether SIGHUP is one of them, and whether a signal is the second. Hidden: public
//! because both programs use it.

use std::time::Duration;

use super::own_status;
use crate::time::Clock;

/// The signal of a closed terminal (POSIX).
pub const SIGHUP: i32 = 1;

/// A repetition of the first signal counts as a second one only after this time. Senders that signal a process group,
/// like terminals and `timeout`, may also signal the program itself.
pub const REPETITION: Duration = Duration::from_millis(300);

/// Whether SIGHUP should end the program in an orderly way. It should not if it was ignored at the start, as `nohup`
/// arranges. Must be called before a handler is installed. If the system does not report it, false: the signal has
/// its default effect.
pub fn ends_on_hangup() -> bool {
    own_status("SigIgn").and_then(|mask| is_ignored(&mask, SIGHUP)) == Some(false)
}

/// Bit `n - 1` of the hexadecimal mask is signal `n`.
fn is_ignored(mask: &str, signal: i32) -> Option<bool> {
    let mask = u64::from_str_radix(mask, 16).ok()?;
    Some(mask >> (signal - 1) & 1 == 1)
}

/// Tracks the signals that request the end of the program.
#[derive(Debug)]
pub struct EndRequests {
    clock: Clock,
    first: Option<(i32, Duration)>,
}

/// The effect of one signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndRequest {
    /// The program should end in an orderly way.
    First,
    /// A repetition of the first signal, to be ignored.
    Repeated,
    /// The program should end at once.
    Second,
}

impl EndRequests {
    /// No signal has arrived.
    pub fn new() -> Self {
        Self { clock: Clock::start(), first: None }
    }

    /// Notes a signal and returns its effect.
    pub fn note(&mut self, signal: i32) -> EndRequest {
        self.note_at(signal, self.clock.now().since_start())
    }

    fn note_at(&mut self, signal: i32, now: Duration) -> EndRequest {
        match self.first {
            None => {
                self.first = Some((signal, now));
                EndRequest::First
            }
            Some((first, at)) if first == signal && now.saturating_sub(at) < REPETITION => {
                EndRequest::Repeated
            }
            Some(_) => EndRequest::Second,
        }
    }
}

impl Default for EndRequests {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_to_the_group_and_to_the_program_counted_as_two() {
        let at = Duration::from_millis;
        let mut endings = EndRequests::new();
        assert_eq!(endings.note_at(15, at(5)), EndRequest::First);
        assert_eq!(endings.note_at(15, at(7)), EndRequest::Repeated);
        assert_eq!(endings.note_at(15, at(304)), EndRequest::Repeated);
        assert_eq!(endings.note_at(15, at(305)), EndRequest::Second);
    }

    #[test]
    fn ignored_signals_are_read_from_the_mask() {
        let mask = "0000000000001001";
        assert_eq!(is_ignored(mask, SIGHUP), Some(true));
        assert_eq!(is_ignored(mask, 2), Some(false));
        assert_eq!(is_ignored(mask, 13), Some(true));
        assert_eq!(is_ignored("x", SIGHUP), None);
    }

    #[test]
    fn another_signal_is_a_second_one_at_once() {
        let mut endings = EndRequests::new();
        assert_eq!(endings.note_at(15, Duration::ZERO), EndRequest::First);
        assert_eq!(endings.note_at(2, Duration::ZERO), EndRequest::Second);
    }
}
