//! Headers of the PROXY protocol: never more octets than there are, an outcome that further octets do not change, and bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smtpmock::smtp::ClientAttributes;
use smtpmock::smtp::proxy::{Client, MAX_HEADER, Scan, scan};

/// Ends of the input at which it is scanned: all of a short one.
const ENDS: usize = 600;

fuzz_target!(|data: &[u8]| {
    let whole = scan(data);
    if let Ok(Scan::Whole { length, client }) = whole {
        assert!(length <= data.len() && length <= MAX_HEADER);
        check_client(client);
        assert_eq!(scan(&data[..length - 1]), Ok(Scan::Incomplete), "a header ends with its last octet");
    }
    assert!(data.len() < MAX_HEADER || whole != Ok(Scan::Incomplete), "a header is bounded");
    let step = data.len() / ENDS + 1;
    for end in (0..data.len()).step_by(step) {
        let front = scan(&data[..end]);
        assert!(front == Ok(Scan::Incomplete) || front == whole, "{front:?} after {end} octets, then {whole:?}");
    }
    if let Some(client) = ClientAttributes::parse(data) {
        let texts = [client.name(), client.helo(), client.login(), client.protocol()];
        assert!(texts.into_iter().flatten().map(<[u8]>::len).sum::<usize>() <= data.len());
    }
});

fn check_client(client: Client<'_>) {
    if let Client::Unix { source, destination } = client {
        assert!(source.len() <= 108 && destination.len() <= 108);
        assert!(!source.contains(&0) && !destination.contains(&0));
    }
}
