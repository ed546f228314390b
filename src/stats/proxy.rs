//! Connections by proxies.

use super::catalogue::figures;

figures! {
    /// Connections at listeners that accept PROXY headers, and XCLIENT.
    ///
    /// A session begins when the header is complete. Before that the connection is in no other figure, and it may end
    /// in one of these ways: `malformed`, `late`, `untrusted` or `broken_off`.
    #[derive(Clone, Debug, Default, PartialEq)]
    #[non_exhaustive]
    pub struct ProxyStats {
        /// Sessions that began with a header, whether or not it named a client.
        pub headers: u64 = ["proxy.headers", Number, "sessions that began with a PROXY header"],
        /// Connections closed because their header was malformed, or missing although required.
        pub malformed: u64 = ["proxy.malformed", Number, "closed: the PROXY header was malformed or missing"],
        /// Connections closed because their header was not complete within the session timeout, or came after the
        /// greeting.
        pub late: u64 = ["proxy.late", Number, "closed: the PROXY header was late"],
        /// Connections closed because a header is required, but the peer is not trusted to send one.
        pub untrusted: u64 = ["proxy.untrusted", Number, "closed: a PROXY header is required, and the peer is not trusted"],
        /// Connections closed by their peers before their header was complete.
        pub broken_off: u64 = ["proxy.broken_off", Number, "closed by the peer before the PROXY header was complete"],
        /// XCLIENT commands that were accepted, by any listener. The session continues, and is counted once.
        pub xclients: u64 = ["proxy.xclients", Number, "XCLIENT commands accepted"],
    }
}
