//! TLS from a certificate and a key in PEM files, which may be replaced while the server runs.
//!
//! Devices may show certificates of their own: see [`Shown`] and `docs/adr/0010-certificates-bind-tokens.md`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use healthmate_care::{Role, User};
use parking_lot::Mutex;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use sha2::{Digest, Sha256};
use tokio_rustls::TlsAcceptor;

use crate::config::{ClientCertificates, ServerSettings, TlsVersion};
use crate::lifecycle::ServeError;
use crate::telemetry::Metrics;
use crate::telemetry::labels::Reload;

/// How often it is looked whether the files were replaced.
const RELOAD_INTERVAL: Duration = Duration::from_secs(30);

/// What accepts TLS connections.
pub(crate) struct Tls {
    settings: ServerSettings,
    metrics: Arc<Metrics>,
    current: Mutex<Loaded>,
}

/// What the files held when they were read last.
struct Loaded {
    digest: [u8; 32],
    config: Arc<ServerConfig>,
    /// Why they could not be read since; `None` if they could.
    problem: Option<String>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Reads the files; `None` where no certificate is configured.
    ///
    /// # Errors
    /// If one cannot be read, or they do not belong together.
    pub(crate) fn load(
        settings: &ServerSettings,
        metrics: &Arc<Metrics>,
    ) -> Result<Option<Arc<Self>>, ServeError> {
        if settings.tls_certificate.is_none() {
            return Ok(None);
        }
        let digest = digest(settings)?;
        let current = Mutex::new(Loaded { digest, config: Arc::new(config(settings)?), problem: None });
        let (settings, metrics) = (settings.clone(), Arc::clone(metrics));
        Ok(Some(Arc::new(Self { settings, metrics, current })))
    }

    /// For a new connection. Those there are keep what they began with.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.current.lock().config).into()
    }

    /// Reads the files again, if they have changed. What cannot be used is logged and counted, once, and the
    /// certificate before it stays. Blocks.
    pub(crate) fn refresh(&self) {
        // While they are being replaced, one may be missing: they are looked at again soon.
        let digest = match digest(&self.settings) {
            Ok(digest) => digest,
            Err(error) => return self.failed(&mut self.current.lock(), &error),
        };
        {
            let mut current = self.current.lock();
            current.problem = None;
            if current.digest == digest {
                return;
            }
        }
        let config = config(&self.settings);
        let mut current = self.current.lock();
        current.digest = digest;
        match config {
            Ok(config) => {
                current.config = Arc::new(config);
                self.metrics.certificate_reloads.of(Reload::Loaded).inc();
                tracing::info!("the TLS certificate was read again");
            }
            Err(error) => self.failed(&mut current, &error),
        }
    }

    fn failed(&self, current: &mut Loaded, error: &ServeError) {
        let problem = error.to_string();
        if current.problem.as_ref() == Some(&problem) {
            return;
        }
        self.metrics.certificate_reloads.of(Reload::Failed).inc();
        tracing::error!(%error, "the new TLS files cannot be used: the certificate before them stays");
        current.problem = Some(problem);
    }
}

/// The files, those that are configured.
fn files(settings: &ServerSettings) -> impl Iterator<Item = &PathBuf> {
    [&settings.tls_certificate, &settings.tls_key, &settings.tls_client_ca].into_iter().flatten()
}

/// What stands for the contents of all files. Times would not do: links are swapped, and copies keep theirs.
fn digest(settings: &ServerSettings) -> Result<[u8; 32], ServeError> {
    let mut digest = Sha256::new();
    for path in files(settings) {
        let content =
            fs::read(path).map_err(|error: io::Error| wrong(path, format!("cannot be read: {error}")))?;
        digest.update(Sha256::digest(content));
    }
    Ok(digest.finalize().into())
}

fn config(settings: &ServerSettings) -> Result<ServerConfig, ServeError> {
    let (Some(certificate), Some(key)) = (&settings.tls_certificate, &settings.tls_key) else {
        return Err(wrong(Path::new("server.tls_key"), "is missing".to_owned()));
    };
    let chain = certificates(certificate)?;
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| wrong(key, format!("not a private key in PEM: {error}")))?;
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&versions(settings.tls_min_version))
        .map_err(|error| wrong(certificate, format!("TLS cannot be spoken: {error}")))?;
    let builder = match &settings.tls_client_ca {
        Some(ca) if settings.tls_client_certificates != ClientCertificates::Off => {
            builder.with_client_cert_verifier(client_verifier(ca)?)
        }
        _ => builder.with_no_client_auth(),
    };
    builder
        .with_single_cert(chain, private)
        .map_err(|error| wrong(certificate, format!("cannot be used with the key: {error}")))
}

fn versions(least: TlsVersion) -> Vec<&'static SupportedProtocolVersion> {
    match least {
        TlsVersion::V1_2 => vec![&TLS13, &TLS12],
        TlsVersion::V1_3 => vec![&TLS13],
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ServeError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    read.map_err(|error| wrong(path, format!("not a certificate in PEM: {error}")))
}

/// Takes connections without a certificate too: browsers have none. One that is shown must be good.
fn client_verifier(ca: &Path) -> Result<Arc<dyn ClientCertVerifier>, ServeError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca)? {
        roots.add(certificate).map_err(|error| wrong(ca, format!("not an authority: {error}")))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(ring::default_provider()))
        .allow_unauthenticated()
        .build()
        .map_err(|error| wrong(ca, format!("cannot be used: {error}")))
}

fn wrong(path: &Path, problem: String) -> ServeError {
    ServeError::Tls { path: path.to_owned(), problem }
}

/// The names in the certificate that the client of a connection showed, and whether devices must show one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shown {
    /// `None` if it showed none.
    names: Option<Arc<[String]>>,
    required: bool,
}

impl Shown {
    /// What was shown in a handshake; the certificate has been verified.
    pub(crate) fn new(settings: &ServerSettings, certificates: Option<&[CertificateDer<'_>]>) -> Self {
        let names = certificates.and_then(<[_]>::first).map(|certificate| {
            let parsed = webpki::EndEntityCert::try_from(certificate);
            // One that cannot be read names nobody, and so is nobody's.
            parsed.map_or_else(|_| Arc::default(), |end| end.valid_dns_names().map(str::to_owned).collect())
        });
        Self { names, required: settings.tls_client_certificates == ClientCertificates::Required }
    }

    /// Whether a good token of `user` may be used here: a certificate is for those it names alone, and where devices
    /// must show one, their tokens are nothing without it.
    pub(crate) fn admits(&self, user: &User) -> bool {
        match &self.names {
            Some(names) => names.iter().any(|name| name == user.id.as_str()),
            None => !(self.required && user.role == Role::Device),
        }
    }
}

/// What is said of a token that comes without its certificate.
pub(crate) const NOT_ITS_CERTIFICATE: &str =
    "this token is good only on a connection with its user's certificate";

/// Looks now and then whether the files were replaced.
pub(crate) async fn watch(tls: Arc<Tls>) {
    let mut turns = tokio::time::interval(RELOAD_INTERVAL);
    loop {
        turns.tick().await;
        let tls = Arc::clone(&tls);
        // A panic in there was logged; the next turn tries again.
        let _ = tokio::task::spawn_blocking(move || tls.refresh()).await;
    }
}

#[cfg(test)]
mod tests {
    use healthmate_protocol::UserId;

    use super::*;

    fn user(id: &str, role: Role) -> User {
        let of = (role == Role::Device).then(|| UserId::new("ana").expect("valid"));
        let id = UserId::new(id).expect("valid");
        User { id, role, name: String::new(), device_of: of, active: true }
    }

    #[test]
    fn a_certificate_is_for_whom_it_names_and_devices_may_have_to_show_one() {
        let shown = |names: Option<&[&str]>, required| Shown {
            names: names.map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
            required,
        };
        let (watch, nora) = (user("watch", Role::Device), user("nora", Role::Nurse));
        for (names, required, admits_watch, admits_nora) in [
            (None, false, true, true),
            (None, true, false, true),
            (Some(&["watch"][..]), false, true, false),
            (Some(&["watch"]), true, true, false),
            (Some(&["other", "watch"]), true, true, false),
            (Some(&["WATCH"]), true, false, false),
            (Some(&["*"]), true, false, false),
            (Some(&[]), false, false, false),
        ] {
            let shown = shown(names, required);
            assert_eq!((shown.admits(&watch), shown.admits(&nora)), (admits_watch, admits_nora), "{shown:?}");
        }
    }
}
