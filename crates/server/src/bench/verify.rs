//! `verify`: what it takes to know who asks, without HTTP and without the store: token and DPoP proof of one request,
//! beside the bare signature checks that this cannot do without.

use super::figure::Figure;
use super::ground::{self, Ground, OWNER};
use super::limit::Signature;
use super::{Found, Setting, say};
use crate::surroundings;
use anyhow::Context;
use std::time::{Duration, Instant};
use trust::keys::KeySet;
use trust::{dpop, token};
use wire::client::Request;
use wire::contract::anchor::JWKS;

/// Proofs made ahead: each is valid for a minute.
const PROOFS: usize = 2_000;

/// Measures on one thread.
pub async fn run(setting: Setting) -> anyhow::Result<Found> {
    let ground = Ground::open().await?;
    let base = ground.service(OWNER);
    let url = format!("{base}/Observation/_search");
    let patient = ground::load(6, 1)?
        .numbers()
        .next()
        .context("a patient")?
        .to_owned();
    let bearer = ground.physician(&patient, &base).await?;
    let keys = ground
        .http()
        .send(&Request::get(format!("{}{JWKS}", ground.issuer())))
        .await?;
    let keys = KeySet::parse(&keys.body)?;
    let issuer = ground.issuer();
    let proofs: Vec<String> = (0..PROOFS).filter_map(|_| bearer.proof(&url)).collect();
    let during = Duration::from_secs(setting.seconds.min(20));
    say("verifying token and proof, one thread");
    let access = bearer.access().to_owned();
    let length = access.len();
    let (each, bare) = tokio::task::spawn_blocking(move || -> anyhow::Result<_> {
        let clock = surroundings::clock();
        let (start, mut count) = (Instant::now(), 0u32);
        while start.elapsed() < during {
            for proof in &proofs {
                let claims = token::verify(&access, &keys, &issuer, &base, clock())?;
                let caller = claims.caller(&access)?;
                let jkt = claims.cnf.as_ref().map(|cnf| cnf.jkt.as_str());
                dpop::verify(proof, "POST", &url, Some(&dpop::ath(&access)), jkt, clock())?;
                std::hint::black_box(caller);
            }
            count += PROOFS as u32;
        }
        let each = start.elapsed() / count;
        say("the bare limit: two ES256 checks by aws-lc-rs");
        Ok((each, Signature::new(length)?.time(during)?))
    })
    .await??;
    ground.close().await;
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let figure = Figure::new("verify/per_request_us", micros(each), "µs")
        .beside(2.0 * micros(bare))
        .under("what", "access token (ES256, attest, claims to caller) and DPoP proof (ES256, htm, htu, ath, iat, jti) of one request, on one thread, no HTTP, no store")
        .under("token_bytes", length as u64)
        .under("limit", "two bare ES256 checks by aws-lc-rs over as many bytes, keys parsed ahead")
        .under("seconds", during.as_secs());
    Ok(Found {
        figures: vec![figure],
        wrong: Vec::new(),
    })
}
