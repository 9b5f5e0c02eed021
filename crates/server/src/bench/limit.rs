//! The bare limit beside a figure: a server in this process that gives the same bytes with nothing behind them, and the
//! bare signature check of the cryptographic library.

use crate::listen;
use anyhow::anyhow;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    ParsedPublicKey,
};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::response::IntoResponse;
use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

/// One ES256 signature that can be checked over and over.
pub struct Signature {
    key: ParsedPublicKey,
    message: Vec<u8>,
    signature: Vec<u8>,
}

impl Signature {
    /// A signature over a message as long as a token.
    pub fn new(length: usize) -> anyhow::Result<Signature> {
        let failed = |_| anyhow!("a key cannot be made");
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?;
        let message = vec![b'a'; length];
        let signature = pair
            .sign(&SystemRandom::new(), &message)
            .map_err(failed)?
            .as_ref()
            .to_vec();
        let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref())
            .map_err(|e| anyhow!("a key cannot be read: {e}"))?;
        Ok(Signature {
            key,
            message,
            signature,
        })
    }

    /// Checks it.
    pub fn check(&self) -> bool {
        self.key.verify_sig(&self.message, &self.signature).is_ok()
    }
}

/// A server that reads a request whole and answers the same bytes, after a signature check if it has one.
pub struct Static {
    /// Where it listens.
    pub address: SocketAddr,
    stop: wire::Stop,
    running: tokio::task::JoinHandle<()>,
}

impl Static {
    /// Starts it on a free port, with the listener that the region has.
    pub async fn start(body: Vec<u8>, signature: Option<Signature>) -> anyhow::Result<Static> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let stop = wire::Stop::new();
        let (body, signature) = (Bytes::from(body), Arc::new(signature));
        let answer = move |request: Request<Body>| {
            let (body, signature) = (body.clone(), signature.clone());
            async move {
                let read = axum::body::to_bytes(request.into_body(), 64 * 1024).await;
                if read.is_err() || signature.as_ref().as_ref().is_some_and(|s| !s.check()) {
                    return StatusCode::INTERNAL_SERVER_ERROR.into_response();
                }
                ([(header::CONTENT_TYPE, wire::contract::FHIR_JSON)], body).into_response()
            }
        };
        let router = Router::new().fallback(answer);
        let ends = stop.clone();
        let running = tokio::spawn(listen::serve(listener, router, None, None, async move {
            ends.stopped().await
        }));
        Ok(Static {
            address,
            stop,
            running,
        })
    }

    /// Ends it.
    pub async fn close(self) {
        self.stop.stop();
        let _ = self.running.await;
    }
}
