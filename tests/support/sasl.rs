//! Lines of AUTH (RFC 4954).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// A message of a mechanism, as it is sent.
pub(crate) fn base64(message: impl AsRef<[u8]>) -> String {
    BASE64.encode(message)
}

/// AUTH PLAIN with these credentials as its initial response.
pub(crate) fn plain(user: &str, password: &str) -> String {
    format!("AUTH PLAIN {}", base64(format!("\0{user}\0{password}")))
}
