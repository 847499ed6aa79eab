//! `[passkeys]`: signing in with passkeys.

use serde::{Deserialize, Serialize};

use super::problem::Findings;

/// Signing in with passkeys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PasskeySettings {
    /// The domain that passkeys are made for, such as `app.example.org`: the host of the app's pages, or what it ends
    /// in. Default: none, and no passkeys.
    pub rp_id: Option<String>,
    /// The origins of the pages that may ask for them, such as `https://app.example.org`. Default: `https://` and
    /// `rp_id`.
    pub origins: Vec<String>,
    /// How long a challenge may be answered, in seconds: 10 to 3600. Default 300.
    pub challenge_s: u32,
}

impl Default for PasskeySettings {
    fn default() -> Self {
        Self { rp_id: None, origins: Vec::new(), challenge_s: 300 }
    }
}

impl PasskeySettings {
    pub(super) fn check(&self, found: &mut Findings) {
        found.range("passkeys.challenge_s", self.challenge_s, 10..=3600, "seconds");
        let Some(rp_id) = &self.rp_id else {
            if !self.origins.is_empty() {
                found.add("passkeys.origins", "needs passkeys.rp_id beside it");
            }
            return;
        };
        let is_domain = rp_id.split('.').all(|label| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        });
        if !is_domain {
            found.add(
                "passkeys.rp_id",
                "must be a domain such as app.example.org, without scheme, port or path",
            );
        }
        if let Some(origin) = self.origins.iter().find(|origin| !is_origin_of(origin, rp_id)) {
            let message = format!(
                "origin `{origin}` must be https://host or https://host:port (http:// for localhost only), and its host \
                 must be passkeys.rp_id or end in it"
            );
            found.add("passkeys.origins", message);
        }
    }
}

/// Whether browsers let a page of this origin use passkeys of `rp_id`.
fn is_origin_of(origin: &str, rp_id: &str) -> bool {
    let Some((scheme, rest)) = origin.split_once("://") else { return false };
    let (host, port) = rest.split_once(':').unwrap_or((rest, "443"));
    let within = host == rp_id || host.strip_suffix(rp_id).is_some_and(|front| front.ends_with('.'));
    let local = host == "localhost" || host.ends_with(".localhost");
    within && port.parse::<u16>().is_ok() && (scheme == "https" || (scheme == "http" && local))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_of_the_domain_or_below_it() {
        for (origin, good) in [
            ("https://example.org", true),
            ("https://app.example.org:8443", true),
            ("http://example.org", false),
            ("https://notexample.org", false),
            ("https://example.org.evil.example", false),
            ("https://example.org/", false),
            ("example.org", false),
        ] {
            assert_eq!(is_origin_of(origin, "example.org"), good, "{origin}");
        }
        assert!(is_origin_of("http://localhost:8080", "localhost"));
    }

    #[test]
    fn wrong_domains_and_origins_are_found() {
        let found = |rp_id: Option<&str>, origins: &[&str]| {
            let origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
            let settings = PasskeySettings { rp_id: rp_id.map(str::to_owned), origins, challenge_s: 300 };
            let mut findings = Findings::default();
            settings.check(&mut findings);
            findings.0.into_iter().map(|(key, _)| key).collect::<Vec<_>>()
        };
        assert!(found(None, &[]).is_empty());
        assert!(found(Some("localhost"), &["http://localhost:8080"]).is_empty());
        assert_eq!(found(None, &["https://a.example"]), ["passkeys.origins"]);
        assert_eq!(found(Some("https://a.example"), &[]), ["passkeys.rp_id"]);
        assert_eq!(found(Some("a.example"), &["https://b.example"]), ["passkeys.origins"]);
    }
}
