//! `[auth.passkeys]`: signing in with passkeys.

use serde::{Deserialize, Serialize};

use super::Settings;
use super::problem::Findings;

/// The name of the machine itself, where browsers take passkeys without TLS.
const LOCALHOST: &str = "localhost";

/// What the origin of an Android app begins with; the SHA-256 of its certificate in base64url follows.
const ANDROID: &str = "android:apk-key-hash:";

/// Signing in with passkeys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PasskeySettings {
    /// Whether users may sign in with passkeys, where `rp_id` is known. Default true.
    pub enabled: bool,
    /// The domain that passkeys belong to: the one of the app's page, or one above it. With another one, passkeys have to be
    /// registered anew. Default: the host of `server.allowed_origins`, if all have the same; `localhost` with `demo`; else
    /// nobody signs in with a passkey.
    pub rp_id: Option<String>,
    /// The pages and apps that may ask for passkeys, such as `https://app.example.org`. Default: those of
    /// `server.allowed_origins` at `rp_id` or below it, and `https://` and `rp_id`; for `localhost`, any port of it.
    pub origins: Vec<String>,
    /// How long after signing in a passkey may be added without the password, in seconds: 0 to 86400. Default 600.
    pub fresh_sign_in_s: u32,
}

impl Default for PasskeySettings {
    fn default() -> Self {
        Self { enabled: true, rp_id: None, origins: Vec::new(), fresh_sign_in_s: 600 }
    }
}

/// The pages and apps that may ask for passkeys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedOrigins {
    exact: Vec<String>,
    /// Whether `http://localhost` is among them, with any port.
    localhost: bool,
}

impl AllowedOrigins {
    /// Whether this one is among them, as browsers write it.
    pub fn include(&self, origin: &str) -> bool {
        let on_localhost = || {
            let port = origin.strip_prefix("http://localhost");
            port.is_some_and(|port| {
                port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
            })
        };
        self.exact.iter().any(|one| one == origin) || (self.localhost && on_localhost())
    }
}

impl Settings {
    /// The domain that passkeys belong to, and who may ask for them; `None` where nobody signs in with a passkey.
    pub fn passkeys(&self) -> Option<(String, AllowedOrigins)> {
        let PasskeySettings { enabled, rp_id, origins, .. } = &self.auth.passkeys;
        let allowed = &self.server.allowed_origins;
        let rp_id = rp_id.clone().or_else(|| self.demo.then(|| LOCALHOST.to_owned())).or_else(|| {
            let mut hosts = allowed.iter().map(|origin| host(origin));
            let first = hosts.next()?;
            first
                .filter(|_| hosts.all(|host| host == first))
                .filter(|host| is_domain(host))
                .map(str::to_owned)
        });
        let rp_id = rp_id.filter(|_| *enabled)?;
        let exact = if origins.is_empty() {
            let below = allowed.iter().filter(|origin| is_of(origin, &rp_id)).cloned();
            below.chain([format!("https://{rp_id}")]).collect()
        } else {
            origins.clone()
        };
        let localhost = origins.is_empty() && rp_id == LOCALHOST;
        Some((rp_id, AllowedOrigins { exact, localhost }))
    }

    pub(super) fn check_passkeys(&self, found: &mut Findings) {
        let PasskeySettings { rp_id, origins, fresh_sign_in_s, .. } = &self.auth.passkeys;
        found.range("auth.passkeys.fresh_sign_in_s", *fresh_sign_in_s, 0..=86_400, "seconds");
        if let Some(rp_id) = rp_id.as_ref().filter(|rp_id| !is_domain(rp_id)) {
            let message = format!(
                "`{rp_id}` must be a domain such as health.example.org, in lower case, without scheme, port and path"
            );
            found.add("auth.passkeys.rp_id", message);
            return;
        }
        let known = PasskeySettings { enabled: true, origins: Vec::new(), ..self.auth.passkeys.clone() };
        let auth = super::AuthSettings { passkeys: known, ..self.auth.clone() };
        let Some((rp_id, _)) = (Self { auth, ..self.clone() }).passkeys() else {
            if !origins.is_empty() {
                found.add("auth.passkeys.origins", "needs auth.passkeys.rp_id beside it");
            }
            return;
        };
        for origin in origins.iter().filter(|origin| !is_of(origin, &rp_id)) {
            let message = format!(
                "`{origin}` must be https:// and {rp_id}, or a name below it, as browsers write it, or {ANDROID}…"
            );
            found.add("auth.passkeys.origins", message);
        }
    }
}

/// The host of a page that comes by TLS.
fn host(origin: &str) -> Option<&str> {
    let authority = origin.strip_prefix("https://")?;
    Some(authority.split_once(':').map_or(authority, |(host, _)| host))
}

/// Whether pages of this origin may ask for passkeys of the domain; an app is believed to be the domain's.
fn is_of(origin: &str, rp_id: &str) -> bool {
    if let Some(hash) = origin.strip_prefix(ANDROID) {
        return hash.len() == 43 && hash.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    }
    let (scheme, authority) = origin.split_once("://").unwrap_or_default();
    let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
    let below = host.strip_suffix(rp_id).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    let own_port = match scheme {
        "https" => "443",
        "http" if rp_id == LOCALHOST => "80",
        _ => return false,
    };
    let as_written = |port: &str| port.parse::<u16>().is_ok_and(|number| number.to_string() == port);
    is_domain(host) && below && port.is_none_or(|port| port != own_port && as_written(port))
}

/// `localhost`, or labels with dots between, of which the last is no number.
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let (last, more) = text.rsplit_once('.').map_or((text, false), |(_, last)| (last, true));
    text.len() <= 253
        && text.split('.').all(is_label)
        && (text == LOCALHOST || more)
        && !last.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(demo: bool, allowed: &[&str], rp_id: Option<&str>, origins: &[&str]) -> Settings {
        let mut settings = Settings { demo, ..Settings::default() };
        settings.server.allowed_origins = allowed.iter().map(|one| (*one).to_owned()).collect();
        settings.auth.passkeys.rp_id = rp_id.map(str::to_owned);
        settings.auth.passkeys.origins = origins.iter().map(|one| (*one).to_owned()).collect();
        settings
    }

    #[test]
    fn the_domain_is_told_or_follows_from_other_settings() {
        let app = "https://app.example.org";
        for (settings, expected) in [
            (settings(false, &[], None, &[]), None),
            (settings(true, &[], None, &[]), Some("localhost")),
            (settings(true, &[], Some("example.org"), &[]), Some("example.org")),
            (settings(false, &[app], None, &[]), Some("app.example.org")),
            (settings(false, &[app, "https://app.example.org:8443"], None, &[]), Some("app.example.org")),
            (settings(false, &[app, "https://other.example.org"], None, &[]), None),
            (settings(false, &[app, "capacitor://localhost"], None, &[]), None),
            (settings(false, &["https://192.0.2.1"], None, &[]), None),
            (settings(false, &["http://app.example.org"], None, &[]), None),
        ] {
            assert_eq!(settings.passkeys().map(|(id, _)| id).as_deref(), expected, "{settings:?}");
            assert_eq!(settings.validate(), Ok(()));
            let mut off = settings;
            off.auth.passkeys.enabled = false;
            assert_eq!(off.passkeys(), None);
        }
    }

    #[test]
    fn only_pages_of_the_domain_may_ask() {
        let included = |settings: &Settings, origin: &str| {
            settings.passkeys().is_some_and(|(_, origins)| origins.include(origin))
        };
        let demo = settings(true, &[], None, &[]);
        for (origin, expected) in [
            ("http://localhost", true),
            ("http://localhost:8080", true),
            ("http://localhost:65536", false),
            ("http://localhost:8080.evil.example", false),
            ("http://localhost.evil.example", false),
            ("http://127.0.0.1:8080", false),
            ("https://localhost", true),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(included(&demo, origin), expected, "{origin}");
        }
        let allowed = ["https://app.example.org", "https://example.com", "capacitor://localhost"];
        let derived = settings(false, &allowed, Some("example.org"), &[]);
        for (origin, expected) in [
            ("https://example.org", true),
            ("https://app.example.org", true),
            ("https://www.example.org", false),
            ("https://example.com", false),
            ("capacitor://localhost", false),
            ("http://example.org", false),
            ("http://localhost", false),
        ] {
            assert_eq!(included(&derived, origin), expected, "{origin}");
        }
        let told = settings(false, &allowed, Some("example.org"), &["https://www.example.org:8443"]);
        assert!(included(&told, "https://www.example.org:8443") && !included(&told, "https://example.org"));
    }

    #[test]
    fn what_is_no_domain_and_no_page_of_it_is_refused() {
        for rp_id in [
            "",
            "https://a.example",
            "a.example:443",
            "a.example/",
            "A.example",
            "192.0.2.1",
            "[::1]",
            "example",
            ".a.example",
            "a.example.",
            "-a.example",
            "é.example",
            &format!("{}.example", "a".repeat(64)),
        ] {
            let error = settings(false, &[], Some(rp_id), &[]).validate().expect_err(rp_id);
            assert_eq!(error.problems[0].key, "auth.passkeys.rp_id");
        }
        let android = format!("android:apk-key-hash:{}", "a".repeat(43));
        for origin in ["https://a.example", "https://b.a.example:8443", &android] {
            assert_eq!(settings(false, &[], Some("a.example"), &[origin]).validate(), Ok(()), "{origin}");
        }
        for origin in [
            "http://a.example",
            "https://a.example:443",
            "https://a.example/",
            "https://a.example:0443",
            "https://A.example",
            "https://nota.example",
            "https://a.example.evil",
            "https://user@a.example",
            "a.example",
            "null",
            "",
            "android:apk-key-hash:a",
        ] {
            let error = settings(false, &[], Some("a.example"), &[origin]).validate().expect_err(origin);
            assert_eq!(error.problems[0].key, "auth.passkeys.origins");
        }
        for origin in ["http://localhost:5173", "https://localhost"] {
            assert_eq!(settings(false, &[], Some("localhost"), &[origin]).validate(), Ok(()), "{origin}");
        }
        let error = settings(false, &[], None, &["https://a.example"]).validate().expect_err("alone");
        assert_eq!(error.to_string(), "auth.passkeys.origins (default): needs auth.passkeys.rp_id beside it");
    }
}
