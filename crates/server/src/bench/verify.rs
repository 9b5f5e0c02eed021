//! `verify`: what it takes to know who asks, without HTTP and without the store: token and DPoP proof of one request, the
//! token's first and each one after it, beside the bare signature checks that this cannot do without.

use super::figure::Figure;
use super::ground::{self, Ground, OWNER};
use super::limit::Signature;
use super::statistics::Spread;
use super::{Found, Setting, say};
use crate::surroundings;
use anyhow::{Context, ensure};
use std::sync::Arc;
use std::time::{Duration, Instant};
use trust::dpop;
use trust::encoding::sha256;
use trust::keys::KeySet;
use trust::token::memory::{Memory, Standing};
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
    say(
        "token and proof, first and again, and bare ES256 checks by aws-lc-rs, by turns on one thread",
    );
    let access = bearer.access().to_owned();
    let length = access.len();
    let [cold, warm, bare] = tokio::task::spawn_blocking(move || -> anyhow::Result<_> {
        let clock = surroundings::clock();
        let signature = Signature::new(length)?;
        let known = Memory::default();
        let proven = |proof: &String, standing: &Standing| -> anyhow::Result<()> {
            dpop::verify_bound(proof, "POST", &url, &standing.binding, clock())?;
            std::hint::black_box(standing.caller.clone());
            Ok(())
        };
        let first = |proof: &String| -> anyhow::Result<()> {
            let standing = Standing::of(&access, &keys, &issuer, &base, clock())?;
            proven(proof, &standing)?;
            known.keep(Arc::new(standing), clock());
            Ok(())
        };
        let again = |proof: &String| -> anyhow::Result<()> {
            let hash = sha256(access.as_bytes());
            let standing = known
                .find(&hash, &keys, clock())
                .context("the token is kept")?;
            proven(proof, &standing)
        };
        let mut found = [const { Vec::new() }; 3];
        let start = Instant::now();
        while start.elapsed() < during {
            // By turns, so that whatever else the machine does meets all.
            for block in proofs.chunks(BLOCK) {
                let per = |since: Instant| since.elapsed() / block.len() as u32;
                let since = Instant::now();
                block.iter().try_for_each(first)?;
                found[0].push(per(since));
                let since = Instant::now();
                block.iter().try_for_each(again)?;
                found[1].push(per(since));
                let since = Instant::now();
                let sound = (0..block.len()).all(|_| signature.check());
                found[2].push(per(since));
                ensure!(sound, "a sound signature was refused");
            }
        }
        let [cold, warm, bare] =
            found.map(|times| Spread::of(times).median().context("nothing was measured"));
        Ok([cold?, warm?, bare?])
    })
    .await??;
    ground.close().await;
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let figure = |value: Duration, checks: f64| {
        Figure::new("verify/per_request_us", micros(value), "µs")
            .beside(checks * micros(bare))
            .under("token_bytes", length as u64)
            .under("value_is", "median of blocks of 50")
            .under("seconds", during.as_secs())
    };
    let figures = vec![
        figure(warm, 1.0)
            .under("token", "warm")
            .under("what", "a token that was verified before, found by its SHA-256, its issuer's key still there; DPoP proof (ES256, htm, htu, ath, iat, jti) verified in full; on one thread, no HTTP, no store")
            .under("limit", "one bare ES256 check by aws-lc-rs over as many bytes, key parsed ahead, in the same seconds"),
        figure(cold, 2.0)
            .under("token", "cold")
            .under("what", "a token's first request: access token (ES256, attest, claims to caller) and DPoP proof (key read, ES256, htm, htu, ath, iat, jti), and kept; on one thread, no HTTP, no store")
            .under("limit", "two bare ES256 checks by aws-lc-rs over as many bytes, keys parsed ahead, in the same seconds"),
    ];
    Ok(Found {
        figures,
        wrong: Vec::new(),
    })
}
