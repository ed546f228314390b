//! The name of this machine.

/// As `hostname` prints it; empty if unset.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_name_is_the_kernels() {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("Linux has it");
        assert_eq!(host_name(), name.trim());
    }
}
