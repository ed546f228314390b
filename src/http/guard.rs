//! The admission of requests: hosts, origins, credentials. Pure, except for the name of the machine, which is read once.
//!
//! A web page can't choose the `Host` that a browser sends: names that anyone can register are refused ([`hosts`]). Nor can it
//! choose the `Origin`.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use hyper::{StatusCode, Version};
use subtle::ConstantTimeEq as _;

use crate::http::call::Over;
use crate::http::reply::{Refusal, error};
use crate::http::settings::{Credentials, HttpSettings, Secret};
use crate::process::host_name;
use crate::smtp::rules::Glob;
use crate::text::hosts;

/// The checks of every request.
#[derive(Debug)]
pub(super) struct Guard {
    hosts: Vec<Glob>,
    /// This machine's own name.
    machine: String,
    origins: Vec<String>,
    /// `USER:PASSWORD`.
    credentials: Option<Secret>,
    token: Option<Secret>,
}

impl Guard {
    pub(super) fn new(settings: &HttpSettings) -> Self {
        let HttpSettings { hosts, origins, credentials, token, .. } = settings;
        Self {
            hosts: hosts.iter().map(|host| Glob::new(host)).collect(),
            machine: host_name(),
            origins: origins.clone(),
            credentials: credentials
                .as_ref()
                .map(|Credentials { user, password }| Secret(format!("{user}:{}", password.0))),
            token: token.clone(),
        }
    }

    /// Checks `Host` and `Origin`. Returns the origin if it differs from the host's own.
    ///
    /// # Errors
    /// The reply to a request that is refused.
    pub(super) fn check_source(&self, head: &Parts, over: Over) -> Result<Option<HeaderValue>, Refusal> {
        let host = host_of(head, over)?;
        if over == Over::Tcp && !self.accepts(host) {
            let hint = format!(
                "a Host that is an IP address, a name without a dot or below localhost, or one of --http-host; this is {host:?}"
            );
            return Err(error(StatusCode::MISDIRECTED_REQUEST, "host", "Host", hint));
        }
        let Some(origin) = single(&head.headers, &ORIGIN)? else { return Ok(None) };
        let text = origin.to_str().unwrap_or_default();
        let own = text.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host));
        if own {
            return Ok(None);
        }
        if self.origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(text)) {
            return Ok(Some(origin.clone()));
        }
        let hint = "the server's own origin, or one of --http-allow-origin";
        Err(error(StatusCode::FORBIDDEN, "origin", "Origin", hint))
    }

    /// Whether no page of another site can have this host. Any port is accepted.
    fn accepts(&self, host: &str) -> bool {
        hosts::name(host).is_some_and(|name| {
            hosts::is_of_no_site(name)
                || name.eq_ignore_ascii_case(&self.machine)
                || self.hosts.iter().any(|glob| glob.matches(name.as_bytes()))
        })
    }

    /// Whether requests need credentials or a token.
    pub(super) fn wants_credentials(&self) -> bool {
        self.credentials.is_some() || self.token.is_some()
    }

    /// Checks access to the page. A token is entered in the page itself; for a user and password the browser asks.
    ///
    /// # Errors
    /// 401 without the user and password.
    pub(super) fn check_page(&self, head: &Parts) -> Result<(), Refusal> {
        if self.credentials.is_some() { self.check_credentials(head) } else { Ok(()) }
    }

    /// Checks that the request has the credentials or the token, if any are configured.
    ///
    /// # Errors
    /// 401 if it has neither.
    pub(super) fn check_credentials(&self, head: &Parts) -> Result<(), Refusal> {
        if self.credentials.is_none() && self.token.is_none() {
            return Ok(());
        }
        let given = single(&head.headers, &AUTHORIZATION)?.and_then(|value| value.to_str().ok());
        let (scheme, given) = given.and_then(|given| given.split_once(' ')).unwrap_or_default();
        // Compared in constant time, so that the duration discloses nothing.
        let is_it = |secret: &Option<Secret>, given: &[u8]| {
            secret.as_ref().is_some_and(|Secret(secret)| bool::from(secret.as_bytes().ct_eq(given)))
        };
        let is_right = match scheme.to_ascii_lowercase().as_str() {
            "basic" => BASE64.decode(given.trim()).is_ok_and(|pair| is_it(&self.credentials, &pair)),
            "bearer" => is_it(&self.token, given.trim().as_bytes()),
            _ => false,
        };
        if is_right {
            return Ok(());
        }
        let hint = match (&self.credentials, &self.token) {
            (Some(_), None) => "the user and password of --http-auth",
            (None, _) => "the token of --http-token",
            (Some(_), Some(_)) => "the user and password of --http-auth, or the token of --http-token",
        };
        let mut refusal = error(StatusCode::UNAUTHORIZED, "credentials", "Authorization", hint);
        if self.credentials.is_some() {
            let basic = HeaderValue::from_static("Basic realm=\"smtpmock\", charset=\"UTF-8\"");
            refusal = refusal.with(WWW_AUTHENTICATE, basic);
        }
        if self.token.is_some() {
            refusal = refusal.with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"smtpmock\""));
        }
        Err(refusal)
    }
}

/// The host that the request names.
fn host_of(head: &Parts, over: Over) -> Result<&str, Refusal> {
    let refused = |hint: &'static str| error(StatusCode::BAD_REQUEST, "host", "Host", hint);
    let host = single(&head.headers, &HOST)?;
    let host = host.map(|host| host.to_str().map_err(|_| refused("a Host of ASCII"))).transpose()?;
    match (host, head.uri.authority()) {
        (Some(host), Some(authority)) if !authority.as_str().eq_ignore_ascii_case(host) => {
            Err(refused("the same host in the target and in Host"))
        }
        (Some(host), _) => Ok(host),
        (None, _) if over == Over::Unix && head.version < Version::HTTP_11 => Ok(""),
        (None, _) => Err(refused("one field Host")),
    }
}

/// The value of a field that may occur once.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h HeaderValue>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    match values.next() {
        None => Ok(first),
        Some(_) => Err(error(StatusCode::BAD_REQUEST, "twice", name.as_str().to_owned(), "this field once")),
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn guard(settings: &HttpSettings) -> Guard {
        Guard { machine: "build-7.example.net".to_owned(), ..Guard::new(settings) }
    }

    fn open() -> HttpSettings {
        HttpSettings::at("0")
    }

    fn head(fields: &[(&str, &str)]) -> Parts {
        let request =
            fields.iter().fold(Request::builder(), |request, (name, value)| request.header(*name, *value));
        request.body(()).expect("a request").into_parts().0
    }

    fn status<T>(result: Result<T, Refusal>) -> u16 {
        result.map_or_else(|refusal| refusal.into_reply().status().as_u16(), |_| 200)
    }

    #[test]
    fn only_hosts_that_no_other_site_can_have_are_accepted() {
        let guard = guard(&open().allow_host("*.test.example").allow_host("mail.example.com"));
        for (host, expected) in [
            ("127.0.0.1:8025", 200),
            ("127.0.0.1", 200),
            ("[::1]:8025", 200),
            ("[::1]", 200),
            ("192.168.7.1:1", 200),
            ("localhost:8025", 200),
            ("LOCALHOST", 200),
            ("localhost.:8025", 200),
            ("mailhost", 200),
            ("smtp_mock:8025", 200),
            ("app.localhost", 200),
            ("a.b.LocalHost:3", 200),
            ("build-7.example.net:8025", 200),
            ("a.test.example", 200),
            ("mail.example.com:8025", 200),
            ("evil.example", 421),
            ("127.0.0.1.evil.example", 421),
            ("localhost.evil.example:8025", 421),
            (".localhost.evil.example", 421),
            ("127.0.0.1:8025@evil.example", 421),
            ("evil.example:x", 421),
            ("[::1].evil.example", 421),
            ("[evil.example]", 421),
            ("", 421),
            (":8025", 421),
            ("test.example", 421),
        ] {
            assert_eq!(status(guard.check_source(&head(&[("Host", host)]), Over::Tcp)), expected, "{host}");
            assert_eq!(status(guard.check_source(&head(&[("Host", host)]), Over::Unix)), 200, "{host}");
        }
        assert_eq!(status(guard.check_source(&head(&[]), Over::Tcp)), 400);
        let twice = [("Host", "localhost"), ("Host", "evil.example")];
        assert_eq!(status(guard.check_source(&head(&twice), Over::Tcp)), 400);
        let mut absolute = head(&[("Host", "localhost")]);
        absolute.uri = "http://evil.example/v1/messages".parse().expect("a URI");
        assert_eq!(status(guard.check_source(&absolute, Over::Tcp)), 400);
    }

    #[test]
    fn an_origin_is_the_host_s_own_or_one_that_is_allowed() {
        let guard = guard(&open().allow_origin("http://localhost:3000"));
        for (origin, expected) in [
            ("http://localhost:8025", 200),
            ("HTTP://LOCALHOST:8025", 200),
            ("http://localhost:3000", 200),
            ("http://localhost:3001", 403),
            ("http://localhost", 403),
            ("http://evil.example", 403),
            ("null", 403),
            ("", 403),
        ] {
            let head = head(&[("Host", "localhost:8025"), ("Origin", origin)]);
            for over in [Over::Tcp, Over::Unix] {
                let checked = guard.check_source(&head, over);
                let is_other = matches!(&checked, Ok(Some(_)));
                assert_eq!(is_other, origin.ends_with("3000"), "{origin}");
                assert_eq!(status(checked), expected, "{origin}");
            }
        }
    }

    #[test]
    fn credentials_or_the_token_are_needed_where_they_are_set() {
        let basic = |pair: &str| format!("Basic {}", BASE64.encode(pair));
        let ask = |settings: HttpSettings, value: &str| {
            let reply = guard(&settings).check_credentials(&head(&[("Authorization", value)]));
            status(reply)
        };
        assert_eq!(status(guard(&open()).check_credentials(&head(&[]))), 200);
        let (user, token) = (|| open().auth("ann", "se:cret"), || open().token("t0ken"));
        for (settings, value, expected) in [
            (user(), basic("ann:se:cret"), 200),
            (user(), basic("ann:se:cret").replace("Basic", "basic"), 200),
            (user(), basic("ann:se:cre"), 401),
            (user(), basic("ann:se:cret "), 401),
            (user(), "Basic !".to_owned(), 401),
            (user(), "Bearer ann:se:cret".to_owned(), 401),
            (user(), String::new(), 401),
            (token(), "Bearer t0ken".to_owned(), 200),
            (token(), "Bearer t0ke".to_owned(), 401),
            (token(), basic("t0ken"), 401),
            (token().auth("ann", "x"), "Bearer t0ken".to_owned(), 200),
            (token().auth("ann", "x"), basic("ann:x"), 200),
            (token().auth("ann", "x"), "Bearer ann:x".to_owned(), 401),
        ] {
            assert_eq!(ask(settings.clone(), &value), expected, "{settings:?} {value}");
        }
        let refused = guard(&user()).check_credentials(&head(&[])).expect_err("none given");
        assert!(refused.into_reply().headers().contains_key(WWW_AUTHENTICATE));
    }
}
