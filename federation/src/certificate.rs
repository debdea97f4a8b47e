//! Until when may a certificate be used?

use std::time::SystemTime;

use x509_cert::{Certificate, der::Decode};

/// The first and the last moment of a certificate's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    pub begin: SystemTime,
    pub end: SystemTime,
}

impl Validity {
    /// Reads it from a certificate in DER.
    pub fn of(der: &[u8]) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        let validity = certificate.tbs_certificate.validity;
        let begin = SystemTime::UNIX_EPOCH + validity.not_before.to_unix_duration();
        let end = SystemTime::UNIX_EPOCH + validity.not_after.to_unix_duration();
        Some(Self { begin, end })
    }
}
