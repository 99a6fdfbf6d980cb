//! Certificates for a fake that speaks TLS: good ones and those that a client must not accept.

use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivatePkcs8KeyDer},
    },
};

/// Where the fake listens.
const HOST: &str = "127.0.0.1";

/// Signs certificates. No client trusts it that was not given its own.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// What the fake shows of itself.
#[derive(Clone, Copy)]
pub enum Certificate<'a> {
    /// One that nobody vouches for.
    SelfSigned,
    SignedBy(&'a Authority),
    /// Signed, but over since years.
    Expired(&'a Authority),
    /// Signed, but for another host.
    ForAnotherHost(&'a Authority),
}

impl Authority {
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Authority of the fake provider");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?);
        Ok(Self(issuer.context("no certificate authority")?))
    }

    /// Its certificate, for a client that is to trust it.
    #[must_use]
    pub fn pem(&self) -> String {
        pem::encode(&pem::Pem::new("CERTIFICATE", self.0.der().to_vec()))
    }
}

impl Certificate<'_> {
    pub(super) fn acceptor(self) -> Result<TlsAcceptor> {
        let key = KeyPair::generate()?;
        let certificate = self.made_for(&key).context("no certificate")?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key.into())?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    fn made_for(self, key: &KeyPair) -> Result<CertificateDer<'static>, rcgen::Error> {
        let host = if matches!(self, Self::ForAnotherHost(_)) { "elsewhere.invalid" } else { HOST };
        let mut params = CertificateParams::new([host.to_owned()])?;
        let certificate = match self {
            Self::SelfSigned => params.self_signed(key)?,
            Self::SignedBy(authority) | Self::ForAnotherHost(authority) => {
                params.signed_by(key, &authority.0)?
            }
            Self::Expired(authority) => {
                params.not_after = date_time_ymd(2001, 1, 1);
                params.signed_by(key, &authority.0)?
            }
        };
        Ok(certificate.der().clone())
    }
}

#[cfg(test)]
mod tests {
    use reqwest::Client;

    use super::{
        super::{FakeProvider, Script, Step},
        *,
    };

    fn client(trusted: &Authority) -> Client {
        let authority = reqwest::Certificate::from_pem(trusted.pem().as_bytes()).unwrap();
        Client::builder().no_proxy().tls_certs_only([authority]).build().unwrap()
    }

    async fn fake(certificate: Certificate<'_>) -> FakeProvider {
        FakeProvider::start_tls(Script::status(204), certificate).await.unwrap()
    }

    #[tokio::test]
    async fn a_client_that_trusts_the_authority_is_answered() {
        let authority = Authority::new().unwrap();
        let provider = fake(Certificate::SignedBy(&authority)).await;
        assert!(provider.url().starts_with("https://127.0.0.1:"));
        let answer = client(&authority).get(provider.url()).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 204);
        assert_eq!((provider.connections(), provider.calls().len()), (1, 1));
    }

    #[tokio::test]
    async fn a_bad_certificate_is_refused_before_a_request_is_sent() {
        let (authority, stranger) = (Authority::new().unwrap(), Authority::new().unwrap());
        for certificate in [
            Certificate::SelfSigned,
            Certificate::SignedBy(&stranger),
            Certificate::Expired(&authority),
            Certificate::ForAnotherHost(&authority),
        ] {
            let provider = fake(certificate).await;
            let refused = client(&authority).get(provider.url()).send().await.unwrap_err();
            assert!(refused.is_connect(), "{refused:?}");
            assert_eq!((provider.connections(), provider.calls().len()), (1, 0));
        }
    }

    #[tokio::test]
    async fn an_answer_over_tls_is_cut_like_any_other() {
        let authority = Authority::new().unwrap();
        let provider = fake(Certificate::SignedBy(&authority)).await;
        for step in [Step::Cut, Step::Close] {
            provider.always(Script::event_stream().send("half").then(step));
            let broken = match client(&authority).get(provider.url()).send().await {
                Ok(answer) => answer.bytes().await.is_err(),
                Err(_) => true,
            };
            assert!(broken);
        }
    }
}
