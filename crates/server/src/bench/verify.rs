//! `verify`: what it takes to know who asks, without HTTP and without the store: token and DPoP proof of one request,
//! beside the bare signature checks that this cannot do without.

use super::figure::Figure;
use super::ground::{self, Ground, OWNER};
use super::limit::Signature;
use super::statistics::Spread;
use super::{Found, Setting, say};
use crate::surroundings;
use anyhow::{Context, ensure};
use std::time::{Duration, Instant};
use trust::keys::KeySet;
use trust::{dpop, token};
use wire::client::Request;
use wire::contract::anchor::JWKS;

/// Proofs made ahead: each is valid for a minute.
const PROOFS: usize = 2_000;
/// Requests in one measured block.
const BLOCK: usize = 50;

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
    say("token and proof, and two bare ES256 checks by aws-lc-rs, by turns on one thread");
    let access = bearer.access().to_owned();
    let length = access.len();
    let (each, bare) = tokio::task::spawn_blocking(move || -> anyhow::Result<_> {
        let clock = surroundings::clock();
        let signature = Signature::new(length)?;
        let verify = |proof: &String| -> anyhow::Result<()> {
            let claims = token::verify(&access, &keys, &issuer, &base, clock())?;
            let caller = claims.caller(&access)?;
            let jkt = claims.cnf.as_ref().map(|cnf| cnf.jkt.as_str());
            dpop::verify(proof, "POST", &url, Some(&dpop::ath(&access)), jkt, clock())?;
            std::hint::black_box(caller);
            Ok(())
        };
        let (mut whole, mut bare) = (Vec::new(), Vec::new());
        let start = Instant::now();
        while start.elapsed() < during {
            // By turns, so that whatever else the machine does meets both.
            for block in proofs.chunks(BLOCK) {
                let since = Instant::now();
                block.iter().try_for_each(verify)?;
                whole.push(since.elapsed() / block.len() as u32);
                let since = Instant::now();
                let sound = (0..2 * block.len()).all(|_| signature.check());
                bare.push(since.elapsed() / block.len() as u32);
                ensure!(sound, "a sound signature was refused");
            }
        }
        let median = |times| Spread::of(times).median().context("nothing was measured");
        Ok((median(whole)?, median(bare)?))
    })
    .await??;
    ground.close().await;
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let figure = Figure::new("verify/per_request_us", micros(each), "µs")
        .beside(micros(bare))
        .under("what", "access token (ES256, attest, claims to caller) and DPoP proof (ES256, htm, htu, ath, iat, jti) of one request, on one thread, no HTTP, no store")
        .under("token_bytes", length as u64)
        .under("limit", "two bare ES256 checks by aws-lc-rs over as many bytes, keys parsed ahead, in the same seconds")
        .under("value_is", "median of blocks of 50").under("seconds", during.as_secs());
    Ok(Found {
        figures: vec![figure],
        wrong: Vec::new(),
    })
}
