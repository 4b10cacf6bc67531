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
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use x509_cert::der::Decode;

use crate::access::Looked;

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

/// What is in the files.
#[derive(PartialEq)]
struct Bytes {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    /// As they were when they were last looked at, so that a change is seen and broken files are told once. None: unreadable.
    seen: RwLock<Option<Bytes>>,
    current: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// At a start the files must be whole.
    pub fn open(certificate: PathBuf, key: PathBuf) -> Result<Self, Unusable> {
        let bytes = read(&certificate, &key)?;
        let (config, now) = config(&certificate, &key, &bytes)?;
        tracing::info!("the TLS certificate: {now}");
        Ok(Self {
            certificate,
            key,
            seen: RwLock::new(Some(bytes)),
            current: RwLock::new(Arc::new(config)),
        })
    }

    /// Reads them again if they have changed. Not by their times: what renews certificates puts other files in their place,
    /// which may have any.
    pub fn look(&self) -> Looked<Unusable> {
        let now = read(&self.certificate, &self.key);
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
        let made = config(&self.certificate, &self.key, &bytes);
        *seen = Some(bytes);
        match made {
            Ok((config, now)) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                Looked::Read(now)
            }
            Err(error) => Looked::Broken(error),
        }
    }

    fn current(&self) -> Arc<ServerConfig> {
        let current = self.current.read();
        current.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The handshake; none that takes too long.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let accepting = TlsAcceptor::from(self.current()).accept(stream);
        tokio::time::timeout(HANDSHAKE_TIME, accepting).await?
    }
}

fn read(certificate: &Path, key: &Path) -> Result<Bytes, Unusable> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|source| Unusable::Unreadable {
            path: path.to_owned(),
            source,
        })
    };
    Ok(Bytes {
        certificate: read(certificate)?,
        key: read(key)?,
    })
}

/// And what is in the certificate, for people.
fn config(
    certificate: &Path,
    key: &Path,
    bytes: &Bytes,
) -> Result<(ServerConfig, String), Unusable> {
    let chain = certificates(certificate, &bytes.certificate)?;
    let private = PrivateKeyDer::from_pem_slice(&bytes.key).map_err(|error| Unusable::NoPem {
        path: key.to_owned(),
        what: "private key",
        why: format!(" ({error})"),
    })?;
    let now = described(&chain[0]);
    let pair = |source| Unusable::Pair {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        source,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(pair)?;
    config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
    Ok((config, now))
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
    let Ok(read) = x509_cert::Certificate::from_der(certificate) else {
        return "of a kind that cannot be read here; clients may".to_owned();
    };
    let ends = read.tbs_certificate.validity.not_after.to_unix_duration();
    let ends = i64::try_from(ends.as_secs())
        .ok()
        .and_then(|at| Timestamp::from_second(at).ok());
    let ends = ends.unwrap_or(Timestamp::MAX);
    match ends <= Timestamp::now() {
        true => format!("it EXPIRED at {ends}, and clients will refuse it"),
        false => format!("good until {ends}"),
    }
}
