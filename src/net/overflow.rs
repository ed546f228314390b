//! Connections that the system dropped because a listener's accept queue was full. Linux has one count for each network
//! namespace.

use std::fs;

/// The file with the counters: lines of names, each followed by a line of values.
const COUNTERS: &str = "/proc/net/netstat";
const GROUP: &str = "TcpExt:";
const NAME: &str = "ListenOverflows";

/// The count since the system started; `None` if the system does not report it.
pub(crate) fn accept_queue_overflows() -> Option<u64> {
    find(&fs::read_to_string(COUNTERS).ok()?)
}

fn find(counters: &str) -> Option<u64> {
    let mut lines = counters.lines().filter_map(|line| line.strip_prefix(GROUP));
    let (names, values) = (lines.next()?, lines.next()?);
    let place = names.split_whitespace().position(|name| name == NAME)?;
    values.split_whitespace().nth(place)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_is_found_by_its_name() {
        let counters = "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 1 23 45\nIpExt: InNoRoutes\nIpExt: 0\n";
        assert_eq!(find(counters), Some(23));
        assert_eq!(find("TcpExt: ListenDrops\nTcpExt: 45\n"), None);
        assert_eq!(find(""), None);
    }
}
