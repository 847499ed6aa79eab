//! `[server]`: where it listens and what it serves.

use std::net::SocketAddr;
use std::path::PathBuf;

use healthmate_ws::OriginPolicy;
use serde::{Deserialize, Deserializer, Serialize};

use super::network::Network;
use super::problem::Findings;

/// Where the server listens and what it serves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerSettings {
    /// The address and port to listen on; port 0 takes a free one. Default `127.0.0.1:8080`.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// The folder that holds the database and the secret; made if it is missing. Default `healthmate-data`.
    pub data: PathBuf,
    /// How many shards hold the connections, each on a thread of its own: 0 to 256, 0 for one per core. Default 0.
    pub shards: u32,
    /// The certificate chain in PEM; with `tls_key`, the server speaks TLS. Default: plain, behind a proxy.
    pub tls_certificate: Option<PathBuf>,
    /// The certificate's private key in PEM.
    pub tls_key: Option<PathBuf>,
    /// The oldest version of TLS that is spoken: `1.2` or `1.3`. Default `1.2`.
    pub tls_min_version: TlsVersion,
    /// The authorities, in PEM, that sign the certificates of devices. Default: none.
    pub tls_client_ca: Option<PathBuf>,
    /// Whether devices show certificates: `off`, `optional` or `required`. Default `off`.
    pub tls_client_certificates: ClientCertificates,
    /// Proxies whose `X-Forwarded-For` is believed: addresses or blocks in CIDR notation. Default: none.
    pub trusted_proxies: Vec<Network>,
    /// Web origins besides the server's own that may connect, such as `https://app.example.org`. Default: none.
    pub allowed_origins: Vec<String>,
    /// Serves the web app from this folder instead of the binary, for its development. Default: the binary.
    pub web_dir: Option<PathBuf>,
    /// How long connections have to end when the server stops, in seconds: 0 to 600. Default 10.
    pub shutdown_grace_s: u32,
    /// How many clients a second are asked to come back after a restart: 1 to 100000. Default 200.
    pub reconnects_per_second: u32,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TlsVersion {
    /// 1.2
    #[serde(rename = "1.2")]
    V1_2,
    /// 1.3
    #[serde(rename = "1.3")]
    V1_3,
}

/// Whether devices show certificates of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// Nobody is asked for one.
    Off,
    /// Whoever shows one may use the tokens of the user that it names, and no others.
    Optional,
    /// As `Optional`, and the token of a device is good only with its certificate.
    Required,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            data: PathBuf::from("healthmate-data"),
            shards: 0,
            tls_certificate: None,
            tls_key: None,
            tls_min_version: TlsVersion::V1_2,
            tls_client_ca: None,
            tls_client_certificates: ClientCertificates::Off,
            trusted_proxies: Vec::new(),
            allowed_origins: Vec::new(),
            web_dir: None,
            shutdown_grace_s: 10,
            reconnects_per_second: 200,
        }
    }
}

impl ServerSettings {
    pub(super) fn check(&self, found: &mut Findings) {
        found.range("server.shards", self.shards, 0..=256, "");
        found.range("server.reconnects_per_second", self.reconnects_per_second, 1..=100_000, "");
        found.range("server.shutdown_grace_s", self.shutdown_grace_s, 0..=600, "seconds");
        if self.data.as_os_str().is_empty() {
            found.add("server.data", "must not be empty");
        }
        match (&self.tls_certificate, &self.tls_key) {
            (Some(_), None) => found.add("server.tls_certificate", "needs server.tls_key beside it"),
            (None, Some(_)) => found.add("server.tls_key", "needs server.tls_certificate beside it"),
            _ => {}
        }
        let certificates = self.tls_client_certificates != ClientCertificates::Off;
        if certificates && (self.tls_client_ca.is_none() || self.tls_certificate.is_none()) {
            let message = "needs server.tls_client_ca and server.tls_certificate beside it";
            found.add("server.tls_client_certificates", message);
        }
        if !certificates && self.tls_client_ca.is_some() {
            let message = "needs server.tls_client_certificates = \"optional\" or \"required\" beside it";
            found.add("server.tls_client_ca", message);
        }
        if let Err(error) = OriginPolicy::only(&self.allowed_origins) {
            found.add("server.allowed_origins", error.to_string());
        }
    }
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    let refuse = |_| {
        let message =
            format!("`{text}` must be an IP address with a port, such as 127.0.0.1:8080 or [::1]:8080");
        serde::de::Error::custom(message)
    };
    text.parse().map_err(refuse)
}
