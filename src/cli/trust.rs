//! Whose certificate a command takes from the service, and which one it shows.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use clap::ValueHint;
use reqwest::{Certificate, ClientBuilder, Identity};
use rustls::{AlertDescription, CertificateError};

#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Service")]
pub struct Trust {
    /// Over https: trust the authorities in this file (PEM) instead of the system's
    #[arg(long, env = "WAYBILL_CA_FILE", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub ca_file: Option<PathBuf>,

    /// The certificate to show to the service (PEM), with --client-key
    #[arg(long, env = "WAYBILL_CLIENT_CERT", value_name = "FILE", value_hint = ValueHint::FilePath, requires = "client_key")]
    pub client_cert: Option<PathBuf>,

    /// The certificate's key (PEM)
    #[arg(long, env = "WAYBILL_CLIENT_KEY", value_name = "FILE", value_hint = ValueHint::FilePath, requires = "client_cert")]
    pub client_key: Option<PathBuf>,
}

impl Trust {
    /// A client that trusts so; or what is wrong with a file.
    pub fn builder(&self) -> Result<ClientBuilder, String> {
        // Over HTTP/2 an error would no longer say why the service has ended the connection.
        let mut builder = reqwest::Client::builder().http1_only();
        if let Some(path) = &self.ca_file {
            let authorities = Certificate::from_pem_bundle(&read(path, "--ca-file")?)
                .ok()
                .filter(|found| !found.is_empty());
            let authorities = authorities.ok_or_else(|| {
                format!("--ca-file {} holds no certificate in PEM", path.display())
            })?;
            builder = builder.tls_certs_only(authorities);
        }
        if let (Some(certificate), Some(key)) = (&self.client_cert, &self.client_key) {
            let mut both = read(certificate, "--client-cert")?;
            both.push(b'\n');
            both.extend(read(key, "--client-key")?);
            let identity = Identity::from_pem(&both).map_err(|_| {
                format!(
                    "--client-cert {} and --client-key {} hold no certificate and key in PEM",
                    certificate.display(),
                    key.display()
                )
            })?;
            builder = builder.identity(identity);
        }
        Ok(builder)
    }
}

fn read(path: &Path, flag: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path)
        .map_err(|error| format!("{flag} {} cannot be read: {error}", path.display()))
}

/// The innermost cause, which is the one that says something.
pub fn cause(error: &reqwest::Error) -> &(dyn Error + 'static) {
    let mut cause: &(dyn Error + 'static) = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause
}

/// Why there is no TLS with the service, if that is what went wrong.
pub fn distrust(error: &reqwest::Error) -> Option<String> {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return Some(in_words(error));
        }
        // What an IO error holds is not its source: that is the source of what it holds.
        let held = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        cause = match held {
            Some(held) => Some(held),
            None => error.source(),
        };
    }
    None
}

fn in_words(error: &rustls::Error) -> String {
    let not_trusted = |why: &str| format!("its certificate is not to be trusted: {why}");
    match error {
        rustls::Error::InvalidCertificate(why) => not_trusted(&match why {
            CertificateError::UnknownIssuer => {
                "nobody whom we trust has signed it; name who has by --ca-file".to_owned()
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "it has expired".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "it is not valid yet; is the clock right?".to_owned()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "it is of another name".to_owned()
            }
            why => why.to_string(),
        }),
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "the service wants a certificate: name one by --client-cert and --client-key".to_owned()
        }
        rustls::Error::AlertReceived(
            why @ (AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError),
        ) => format!("the service refuses our certificate ({why:?})"),
        why => why.to_string(),
    }
}
