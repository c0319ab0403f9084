//! A key pair for a simulated GitHub App, made when it is needed, so that no private key lies in the repository.

use std::sync::OnceLock;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Both halves of an App's key, as PEM.
#[derive(Debug, Clone)]
pub struct AppKey {
    /// For the product's key file.
    pub private_pem: String,
    /// For [`App::public_key`](crate::App::public_key).
    pub public_pem: String,
}

impl AppKey {
    /// The key of this process; always the same one.
    pub fn shared() -> &'static Self {
        static KEY: OnceLock<AppKey> = OnceLock::new();
        KEY.get_or_init(Self::generate)
    }

    /// A new key.
    ///
    /// # Panics
    /// If the machine has no randomness.
    pub fn generate() -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("an RSA key can be made");
        let private: Pkcs8V1Der<'_> = pair.as_der().expect("a key has a PKCS#8 form");
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("a key has an X.509 form");
        Self { private_pem: pem("PRIVATE KEY", private.as_ref()), public_pem: pem("PUBLIC KEY", public.as_ref()) }
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("base64 is ASCII")).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
