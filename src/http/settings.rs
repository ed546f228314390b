//! The settings of the control plane.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{ConfigError, ListenAt, http_listener};

/// Connections that may wait to be accepted.
pub(super) const BACKLOG: u32 = 1024;

/// How long a client may take to send the head of a request, or its body, by default.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The settings of a [`ControlPlane`](crate::ControlPlane).
///
/// Requests are answered only if their `Host` is one that no web page of another site can have: an IP address, a name without a
/// dot, a name below `localhost`, this machine's own name, or one of [`allow_host`](Self::allow_host). Over a Unix socket it may
/// be any. A request with an `Origin`, which browsers send, is answered only if that is the host's own or one of
/// [`allow_origin`](Self::allow_origin).
#[derive(Clone, Debug)]
pub struct HttpSettings {
    pub(super) listen: String,
    pub(super) hosts: Vec<String>,
    pub(super) origins: Vec<String>,
    pub(super) credentials: Option<Credentials>,
    pub(super) token: Option<Secret>,
    pub(super) request_timeout: Duration,
    pub(super) effective: Vec<(String, String)>,
    pub(super) on_stop: Option<StopHook>,
}

/// Called when a request stops the server.
#[derive(Clone)]
pub(super) struct StopHook(pub(super) Arc<dyn Fn(Option<Duration>) + Send + Sync>);

impl std::fmt::Debug for StopHook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StopHook")
    }
}

/// Of Basic authentication.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    pub(super) user: String,
    pub(super) password: Secret,
}

/// A text that is not shown.
#[derive(Clone)]
pub(super) struct Secret(pub(super) String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<redacted>")
    }
}

impl HttpSettings {
    /// Listens at this address: a port of 127.0.0.1, like `8025` (0: any free one), `ADDRESS:PORT`, or `unix:PATH` with an
    /// absolute path. A socket that no process listens at is replaced.
    #[must_use]
    pub fn at(listen: impl Into<String>) -> Self {
        Self {
            listen: listen.into(),
            hosts: Vec::new(),
            origins: Vec::new(),
            credentials: None,
            token: None,
            request_timeout: REQUEST_TIMEOUT,
            effective: Vec::new(),
            on_stop: None,
        }
    }

    /// Also accepts requests whose `Host` matches this pattern: `*` matches any octets, `?` exactly one.
    #[must_use]
    pub fn allow_host(mut self, glob: impl Into<String>) -> Self {
        self.hosts.push(glob.into());
        self
    }

    /// Accepts requests of web pages of this origin, like `http://localhost:3000`.
    #[must_use]
    pub fn allow_origin(mut self, origin: impl Into<String>) -> Self {
        self.origins.push(origin.into());
        self
    }

    /// Requires Basic authentication (RFC 7617) with these. The name has no colon. If a [token](Self::token) is set too, either
    /// is accepted.
    #[must_use]
    pub fn auth(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.credentials = Some(Credentials { user: user.into(), password: Secret(password.into()) });
        self
    }

    /// Requires this bearer token (RFC 6750); or the [credentials](Self::auth), if they are set too.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(Secret(token.into()));
        self
    }

    /// How long a client may take to send a request's head, and its body, and how long a connection may be idle. Default 30 s.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Calls `hook` when `POST /v1/stop` has begun to stop the server, with the timeout in the request, if any: to end
    /// a program with its server. The hook runs on the plane's thread, which answers nothing meanwhile, and must neither
    /// [stop](crate::Server::stop) the server nor drop the plane itself: let it send a message to a thread that does.
    #[must_use]
    pub fn on_stop(mut self, hook: impl Fn(Option<Duration>) + Send + Sync + 'static) -> Self {
        self.on_stop = Some(StopHook(Arc::new(hook)));
        self
    }

    /// The settings of the run, as pairs of name and value, for the report. For the program.
    #[doc(hidden)]
    #[must_use]
    pub fn effective(mut self, settings: Vec<(String, String)>) -> Self {
        self.effective = settings;
        self
    }

    /// Validates the settings.
    ///
    /// # Errors
    /// The first invalid setting.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.checked().map(drop)
    }

    /// Where it listens, if all settings are valid.
    pub(super) fn checked(&self) -> Result<ListenAt, ConfigError> {
        let at = http_listener(&self.listen)?;
        let is_host = |host: &&String| {
            !host.is_empty() && host.bytes().all(|octet| octet.is_ascii_graphic() && !b"/:@".contains(&octet))
        };
        if let Some(host) = self.hosts.iter().find(|host| !is_host(host)) {
            let expected = "names of hosts without a port, like mail.example.com or *.example.com";
            return Err(ConfigError::new("http_host", host, expected));
        }
        if let Some(origin) = self.origins.iter().find(|origin| !is_origin(origin)) {
            let expected =
                "origins as browsers send them, like http://localhost:3000 or https://app.example.com";
            return Err(ConfigError::new("http_allow_origin", origin, expected));
        }
        let user = self.credentials.as_ref().map(|Credentials { user, .. }| user);
        if let Some(user) = user.filter(|user| user.is_empty() || user.contains(':')) {
            return Err(ConfigError::new("http_auth", user, "the name of a user, without a colon"));
        }
        let is_token =
            |Secret(text): &Secret| !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_graphic());
        if self.token.as_ref().is_some_and(|token| !is_token(token)) {
            let expected = "a token of visible characters of ASCII, without spaces";
            return Err(ConfigError::new("http_token", "", expected));
        }
        Ok(at)
    }
}

/// Scheme, host and port (RFC 6454 section 6.2).
fn is_origin(text: &str) -> bool {
    let authority = ["http://", "https://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    authority.is_some_and(|authority| {
        !authority.is_empty()
            && authority.bytes().all(|octet| octet.is_ascii_graphic() && !b"/?#@".contains(&octet))
    })
}

/// The error of a server without records.
pub(super) fn no_records() -> ConfigError {
    ConfigError::new("keep_records", false, "true: the control plane shows the records")
}
