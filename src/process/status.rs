//! Linux's report of this process (proc_pid_status(5)). Other systems have no such file.

use std::fs;

/// The value of a line of `/proc/self/status`, like `VmRSS`; `None` if the system has no such line.
pub(crate) fn own_status(name: &str) -> Option<String> {
    find(&fs::read_to_string("/proc/self/status").ok()?, name).map(str::to_owned)
}

fn find<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_its_whole_name() {
        let status = "Name:\tsmtpmock\nSigIgn:\t0000000000001001\nVmRSS:\t    1844 kB\n";
        assert_eq!(find(status, "VmRSS"), Some("1844 kB"));
        assert_eq!(find(status, "SigIgn"), Some("0000000000001001"));
        assert_eq!(find(status, "Sig"), None);
        assert_eq!(find("", "VmRSS"), None);
    }
}
