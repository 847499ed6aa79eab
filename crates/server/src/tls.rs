//! TLS from a certificate and a key in PEM files.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::ServerSettings;
use crate::lifecycle::ServeError;

/// What accepts TLS connections; `None` where no certificate is configured.
pub(crate) fn acceptor(settings: &ServerSettings) -> Result<Option<TlsAcceptor>, ServeError> {
    let (Some(certificate), Some(key)) = (&settings.tls_certificate, &settings.tls_key) else {
        return Ok(None);
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
    let chain = chain.map_err(|error| wrong(certificate, format!("not a certificate in PEM: {error}")))?;
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| wrong(key, format!("not a private key in PEM: {error}")))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
        .map_err(|error| wrong(certificate, format!("cannot be used with the key: {error}")))?;
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

fn wrong(path: &Path, problem: String) -> ServeError {
    ServeError::Tls { path: path.to_owned(), problem }
}
