//! TLS of the service itself: its certificate and key, read again when one of the files changes, and the handshake. Called by
//! the listener for each connection, and once a second by the gate's watching.
//!
//! Files that cannot be used change nothing: what was read last goes on, and connections that are there keep what they
//! have. Deliberately absent: getting certificates; whatever gets them writes the files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::access::{Certificate, Looked};

/// A handshake is two round trips and some milliseconds of work; a client on a bad line may need some of TCP's repetitions.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
pub const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error("{path} cannot be read: {source}", path = path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{path} holds no {what} in PEM{why}", path = path.display())]
    NoPem {
        path: PathBuf,
        what: &'static str,
        why: String,
    },
    #[error("the certificate {certificate} and the key {key} cannot be used together: {source}", certificate = certificate.display(), key = key.display())]
    Pair {
        certificate: PathBuf,
        key: PathBuf,
        source: rustls::Error,
    },
}

/// Where they are.
#[derive(Clone)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// The authorities whose word about clients counts.
    pub client_authorities: Option<PathBuf>,
}

/// What is in them.
#[derive(PartialEq)]
struct Bytes {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_authorities: Option<Vec<u8>>,
}

/// The same with and without the demand that a client shows a certificate; one it shows is verified by both.
struct Configs {
    optional: Arc<ServerConfig>,
    required: Arc<ServerConfig>,
}

pub struct Tls {
    files: TlsFiles,
    /// As they were when they were last looked at, so that a change is seen and broken files are told once. None: unreadable.
    seen: RwLock<Option<Bytes>>,
    current: RwLock<Configs>,
}

impl Tls {
    /// At a start the files must be whole.
    pub fn open(files: TlsFiles) -> Result<Self, Unusable> {
        let bytes = read(&files)?;
        let (configs, now) = configs(&files, &bytes)?;
        tracing::info!("the TLS certificate: {now}");
        Ok(Self {
            files,
            seen: RwLock::new(Some(bytes)),
            current: RwLock::new(configs),
        })
    }

    /// Reads them again if they have changed. Not by their times: what renews certificates puts other files in their place,
    /// which may have any.
    pub fn look(&self) -> Looked<Unusable> {
        let now = read(&self.files);
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        let bytes = match now {
            Ok(bytes) if seen.as_ref() == Some(&bytes) => return Looked::Unchanged,
            Err(_) if seen.is_none() => return Looked::Unchanged,
            Ok(bytes) => bytes,
            Err(error) => {
                *seen = None;
                return Looked::Broken(error);
            }
        };
        let made = configs(&self.files, &bytes);
        *seen = Some(bytes);
        match made {
            Ok((configs, now)) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = configs;
                Looked::Read(now)
            }
            Err(error) => Looked::Broken(error),
        }
    }

    fn config(&self, certificate_required: bool) -> Arc<ServerConfig> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        match certificate_required {
            true => current.required.clone(),
            false => current.optional.clone(),
        }
    }

    /// The handshake; none that takes too long.
    pub async fn accept(
        &self,
        stream: TcpStream,
        certificate_required: bool,
    ) -> io::Result<TlsStream<TcpStream>> {
        let accepting = TlsAcceptor::from(self.config(certificate_required)).accept(stream);
        tokio::time::timeout(HANDSHAKE_TIME, accepting).await?
    }
}

fn read(files: &TlsFiles) -> Result<Bytes, Unusable> {
    let read = |path: &PathBuf| {
        std::fs::read(path).map_err(|source| Unusable::Unreadable {
            path: path.clone(),
            source,
        })
    };
    Ok(Bytes {
        certificate: read(&files.certificate)?,
        key: read(&files.key)?,
        client_authorities: files.client_authorities.as_ref().map(read).transpose()?,
    })
}

/// And what is in the certificate, for people.
fn configs(files: &TlsFiles, bytes: &Bytes) -> Result<(Configs, String), Unusable> {
    let chain = certificates(&files.certificate, &bytes.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(&bytes.key).map_err(|error| Unusable::NoPem {
        path: files.key.clone(),
        what: "private key",
        why: format!(" ({error})"),
    })?;
    let now = described(&chain[0]);
    let pair = |source| Unusable::Pair {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        source,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = |clients: Arc<dyn ClientCertVerifier>| {
        let mut config = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(pair)?
            .with_client_cert_verifier(clients)
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(pair)?;
        config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
        Ok(Arc::new(config))
    };
    let (Some(path), Some(bytes)) = (&files.client_authorities, &bytes.client_authorities) else {
        let config = config(WebPkiClientVerifier::no_client_auth())?;
        let configs = Configs {
            optional: config.clone(),
            required: config,
        };
        return Ok((configs, now));
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates(path, bytes)?);
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let authorities = |error: VerifierBuilderError| Unusable::NoPem {
        path: path.clone(),
        what: "authority",
        why: format!(" ({error})"),
    };
    let optional = clients.clone().allow_unauthenticated().build();
    let configs = Configs {
        optional: config(optional.map_err(authorities)?)?,
        required: config(clients.build().map_err(authorities)?)?,
    };
    Ok((configs, now))
}

/// At least one.
fn certificates(path: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let none = |why| Unusable::NoPem {
        path: path.to_owned(),
        what: "certificate",
        why,
    };
    let found: Vec<_> = CertificateDer::pem_slice_iter(bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| none(format!(" ({error})")))?;
    match found.is_empty() {
        true => Err(none(String::new())),
        false => Ok(found),
    }
}

/// One that has expired is shown all the same: a clock may be wrong, and clients say what they think of it.
fn described(certificate: &CertificateDer) -> String {
    let ends = Certificate::read(certificate).ends();
    match ends <= Timestamp::now() {
        true => format!("it EXPIRED at {ends}, and clients will refuse it"),
        false => format!("good until {ends}"),
    }
}
