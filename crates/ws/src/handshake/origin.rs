//! Which web pages may connect.

use std::collections::HashSet;

/// Which browser origins may open a WebSocket. Browsers send `Origin` with every handshake and let any page connect
/// to any server, so the server has to look.
///
/// The default admits pages of the same origin. A request without `Origin` is not from a browser and is admitted;
/// what it may do is decided by its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginPolicy {
    same_origin: bool,
    /// Normal form: lower case, without the scheme's own port.
    listed: HashSet<String>,
}

/// An entry in a list of origins that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("origin `{0}` must be scheme://host or scheme://host:port, without path")]
pub struct InvalidOrigin(String);

impl Default for OriginPolicy {
    fn default() -> Self {
        Self { same_origin: true, listed: HashSet::new() }
    }
}

impl OriginPolicy {
    /// Exactly these origins, such as `https://app.example.org` or `capacitor://localhost`.
    ///
    /// # Errors
    /// If one is not an origin: it has a path, no scheme, a wildcard, or is `null`.
    pub fn only<S: AsRef<str>>(origins: impl IntoIterator<Item = S>) -> Result<Self, InvalidOrigin> {
        let normal = |origin: S| {
            let origin = origin.as_ref();
            Origin::parse(origin)
                .map(|parsed| parsed.normal())
                .ok_or_else(|| InvalidOrigin(origin.to_owned()))
        };
        Ok(Self { same_origin: false, listed: origins.into_iter().map(normal).collect::<Result<_, _>>()? })
    }

    /// The same origin, and these.
    ///
    /// # Errors
    /// As [`OriginPolicy::only`].
    pub fn same_and<S: AsRef<str>>(origins: impl IntoIterator<Item = S>) -> Result<Self, InvalidOrigin> {
        Ok(Self { same_origin: true, ..Self::only(origins)? })
    }

    /// Whether a request with this `Origin` to this `Host` is admitted; both as the headers have them.
    ///
    /// The same origin means the same host and port; a scheme's own port may be left out on either side. The
    /// scheme itself cannot be compared, since a proxy may have ended TLS.
    pub fn allows(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        let Some(origin) = origin else { return true };
        let Some(origin) = Origin::parse(origin) else {
            return false;
        };
        if self.listed.contains(&origin.normal()) {
            return true;
        }
        self.same_origin && host.is_some_and(|host| origin.is_of(host))
    }
}

/// `scheme://host[:port]`
struct Origin<'a> {
    scheme: &'a str,
    host: &'a str,
    port: Option<u16>,
}

impl<'a> Origin<'a> {
    fn parse(origin: &'a str) -> Option<Self> {
        let (scheme, authority) = origin.split_once("://")?;
        let scheme_char = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.chars().all(scheme_char) {
            return None;
        }
        let (host, port) = split_port(authority)?;
        Some(Self { scheme, host, port })
    }

    /// The port in use, if the scheme is the web's.
    fn web_port(&self) -> Option<u16> {
        if self.scheme.eq_ignore_ascii_case("https") {
            Some(443)
        } else if self.scheme.eq_ignore_ascii_case("http") {
            Some(80)
        } else {
            None
        }
    }

    fn is_of(&self, host_header: &str) -> bool {
        let Some(default) = self.web_port() else {
            return false;
        };
        split_port(host_header).is_some_and(|(host, port)| {
            host.eq_ignore_ascii_case(self.host) && port.unwrap_or(default) == self.port.unwrap_or(default)
        })
    }

    fn normal(&self) -> String {
        let base = format!("{}://{}", self.scheme, self.host).to_ascii_lowercase();
        match self.port.filter(|port| Some(*port) != self.web_port()) {
            Some(port) => format!("{base}:{port}"),
            None => base,
        }
    }
}

/// Host, with the brackets of an IPv6 address, and port; `None` if it is not `host[:port]`.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let host_end = if authority.starts_with('[') {
        authority.find(']')? + 1
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, port) = authority.split_at(host_end);
    let host_char = |c: char| c.is_ascii_alphanumeric() || "-._~[:]".contains(c);
    if host.is_empty() || !host.chars().all(host_char) {
        return None;
    }
    match port.strip_prefix(':') {
        None => port.is_empty().then_some((host, None)),
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            Some((host, Some(digits.parse().ok()?)))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::OriginPolicy;

    #[test]
    fn without_an_origin_it_is_no_browser_and_is_admitted() {
        assert!(OriginPolicy::default().allows(None, Some("example.org")));
        assert!(OriginPolicy::only(["https://a.example"]).unwrap().allows(None, None));
    }

    #[test]
    fn the_same_origin_has_the_same_host_and_port() {
        let cases = [
            ("https://example.org", "example.org", true),
            ("https://Example.ORG", "example.org", true),
            ("https://example.org", "example.org:443", true),
            ("https://example.org:443", "example.org", true),
            ("http://example.org", "example.org:80", true),
            ("http://127.0.0.1:8080", "127.0.0.1:8080", true),
            ("http://[::1]:8080", "[::1]:8080", true),
            ("http://[::1]", "[::1]", true),
            ("http://[::1]:8080", "[::1]:8081", false),
            ("http://[::2]:8080", "[::1]:8080", false),
            ("https://example.org", "example.org:80", false),
            ("http://example.org", "example.org:443", false),
            ("http://127.0.0.1:5173", "127.0.0.1:8080", false),
            ("https://evil.example", "example.org", false),
            ("https://example.org.evil.example", "example.org", false),
            ("https://evil.example#example.org", "example.org", false),
            ("https://user@example.org", "example.org", false),
            ("https://example.org/", "example.org", false),
            ("capacitor://example.org", "example.org", false),
            ("https://example.org:", "example.org", false),
            ("https://example.org:+443", "example.org", false),
            ("https://example.org:99999", "example.org", false),
            ("https://", "", false),
            ("null", "example.org", false),
            ("", "example.org", false),
            ("example.org", "example.org", false),
        ];
        for (origin, host, expected) in cases {
            let allowed = OriginPolicy::default().allows(Some(origin), Some(host));
            assert_eq!(allowed, expected, "{origin} to {host}");
        }
        assert!(!OriginPolicy::default().allows(Some("https://example.org"), None));
    }

    #[test]
    fn a_list_admits_exactly_what_it_lists() {
        let policy = OriginPolicy::only(["https://app.example:443", "capacitor://localhost"]).unwrap();
        for (origin, expected) in [
            ("https://app.example", true),
            ("https://APP.example", true),
            ("capacitor://localhost", true),
            ("http://app.example", false),
            ("https://app.example:8443", false),
            ("https://here.example", false),
            ("null", false),
        ] {
            assert_eq!(policy.allows(Some(origin), Some("here.example")), expected, "{origin}");
        }
    }

    #[test]
    fn a_list_may_stand_beside_the_same_origin() {
        let policy = OriginPolicy::same_and(["http://localhost:5173"]).unwrap();
        assert!(policy.allows(Some("http://localhost:5173"), Some("localhost:8080")));
        assert!(policy.allows(Some("http://localhost:8080"), Some("localhost:8080")));
        assert!(!policy.allows(Some("http://localhost:9"), Some("localhost:8080")));
    }

    #[test]
    fn an_entry_that_is_no_origin_is_refused_by_name() {
        for entry in
            ["*", "null", "app.example", "https://app.example/", "https://*.example", "https://", "://a"]
        {
            let error = OriginPolicy::only([entry]).unwrap_err();
            assert!(error.to_string().contains(&format!("`{entry}`")), "{error}");
        }
    }
}
