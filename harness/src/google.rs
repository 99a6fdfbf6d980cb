//! A service account as Google Cloud gives one out: a file with a key, by which whoever has it signs tokens of its
//! own and asks nobody for them.

use anyhow::{Result, anyhow};
use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
};
use serde_json::{Value, json};

/// The account `duologue` in the project `p1`, with a key of its own.
pub struct ServiceAccount {
    pub key: KeyPair,
    /// What the account's file holds.
    pub file: Value,
}

impl ServiceAccount {
    pub fn new() -> Result<Self> {
        let key = KeyPair::generate(KeySize::Rsa2048).map_err(|_| anyhow!("no RSA key"))?;
        let der: Pkcs8V1Der<'_> = key.as_der().map_err(|_| anyhow!("a key without an encoding"))?;
        let file = json!({
            "type": "service_account",
            "client_email": "duologue@p1.iam.example",
            "private_key_id": "key-1",
            "private_key": pem::encode(&pem::Pem::new("PRIVATE KEY", der.as_ref())),
            "project_id": "p1",
        });
        Ok(Self { key, file })
    }
}
