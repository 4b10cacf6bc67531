//! What of a client's certificate counts: whom it names, and until when. Whether to believe it was decided in the handshake,
//! by the authorities of `--tls-client-ca`.
//!
//! Deliberately absent: revocation. Whoever is to be kept out is taken out of the tokens file.

use jiff::Timestamp;
use x509_cert::der::Decode;
use x509_cert::name::Name;

use super::token::Hash;

pub struct Certificate {
    subject: String,
    hash: Hash,
    ends: Timestamp,
}

impl Certificate {
    /// As it came in the handshake, in DER. One that cannot be read names nobody.
    pub fn read(der: &[u8]) -> Self {
        let read = x509_cert::Certificate::from_der(der).ok();
        let read = read.map(|read| read.tbs_certificate);
        // No entry of the file can have this subject.
        let subject = read
            .as_ref()
            .map_or("?".to_owned(), |read| read.subject.to_string());
        let ends = read.and_then(|read| {
            let seconds = read.validity.not_after.to_unix_duration().as_secs();
            Timestamp::from_second(i64::try_from(seconds).ok()?).ok()
        });
        Self {
            hash: Hash::of(&subject),
            subject,
            ends: ends.unwrap_or(Timestamp::MAX),
        }
    }

    /// Of a subject as people write it. It is read and written again, so that it is spelled as `read` does.
    pub(super) fn hash_of(subject: &str) -> Result<Hash, String> {
        let name: Name = subject.parse().map_err(|_| {
            format!("{subject:?} is no subject of a certificate, like CN=ada,O=Acme")
        })?;
        match name.is_empty() {
            true => Err("a certificate without a subject names nobody".to_owned()),
            false => Ok(Hash::of(&name.to_string())),
        }
    }

    /// As RFC 4514 writes it.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    pub fn hash(&self) -> &Hash {
        &self.hash
    }

    pub fn ends(&self) -> Timestamp {
        self.ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_one_however_it_is_written() {
        let hash = |text: &str| Certificate::hash_of(text).unwrap();
        let ada = hash("CN=ada,O=Acme");
        assert!(ada.is(&hash("cn=ada,o=Acme")) && !ada.is(&hash("O=Acme,CN=ada")));
        assert!(
            !ada.is(&hash("CN=Ada,O=Acme")),
            "names are compared exactly"
        );
        // What is inside a name does not become a part of the subject.
        assert!(!ada.is(&hash("CN=ada\\,O=Acme")));
        for text in ["", "ada", "CN", "?", "CN=ada,,O=Acme", "NO-SUCH=ada"] {
            assert!(Certificate::hash_of(text).is_err(), "{text}");
        }
        assert_eq!(Certificate::read(b"junk").subject(), "?");
    }
}
