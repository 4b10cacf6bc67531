//! A certificate authority of a test's own: no `openssl` is asked, and nothing lies about that could expire.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    dir: PathBuf,
    /// Its own certificate: what a client trusts.
    pub root: PathBuf,
}

pub struct Certificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Certificate {
    /// As `waybill serve` is told of it.
    pub fn flags(&self) -> [&str; 4] {
        let (certificate, key) = (self.certificate.to_str(), self.key.to_str());
        [
            "--tls-cert",
            certificate.unwrap(),
            "--tls-key",
            key.unwrap(),
        ]
    }

    /// As reqwest shows it.
    pub fn identity(&self) -> reqwest::Identity {
        let both = [&self.certificate, &self.key].map(|path| fs::read(path).unwrap());
        reqwest::Identity::from_pem(&both.concat()).unwrap()
    }

    /// Puts another one into its place, the key first.
    pub fn is_replaced_by(&self, other: &Self) {
        for (from, to) in [
            (&other.key, &self.key),
            (&other.certificate, &self.certificate),
        ] {
            fs::copy(from, to).unwrap();
        }
    }
}

impl Authority {
    pub fn new(dir: &Path, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = dir.join(format!("{name}.crt"));
        fs::write(&root, params.self_signed(&key).unwrap().pem()).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            dir: dir.to_owned(),
            root,
        }
    }

    /// For a server that is called by these names (or addresses), or for a client.
    pub fn issue(&self, common_name: &str, names: &[&str]) -> Certificate {
        self.issue_with(common_name, names, |_| ())
    }

    /// One that is unusual in some way.
    pub fn issue_with(
        &self,
        common_name: &str,
        names: &[&str],
        unusual: impl FnOnce(&mut CertificateParams),
    ) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        unusual(&mut params);
        let issued = Certificate {
            certificate: self.dir.join(format!("{common_name}.crt")),
            key: self.dir.join(format!("{common_name}.key")),
        };
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(&issued.certificate, certificate.pem()).unwrap();
        fs::write(&issued.key, key.serialize_pem()).unwrap();
        issued
    }

    /// A client that trusts this authority alone.
    pub fn client(&self) -> reqwest::ClientBuilder {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let root = reqwest::Certificate::from_pem(&fs::read(&self.root).unwrap()).unwrap();
        reqwest::Client::builder().tls_certs_only([root])
    }
}
