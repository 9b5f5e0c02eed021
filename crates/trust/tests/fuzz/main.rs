//! Fuzz targets of what a stranger proves itself with: compact JWS, access token, attest, DPoP proof, client assertion, ID token.
//!
//! Made and run as those of `fhir` (see there): tests with a corpus, spelt inputs, and libFuzzer by `cargo xtask fuzz`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod claims;
mod id_token;
mod jws;
#[path = "../../../fhir/tests/fuzz/spell.rs"]
mod spell;

use std::sync::LazyLock;
use trust::encoding::base64url;
use trust::jws::sign_detached;
use trust::keys::{KeySet, SigningKey};

/// The issuer's key, new in every run: no corpus can hold a signature of it.
static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate().unwrap());

/// The set in which the issuer's key is known.
static KEYS: LazyLock<KeySet> = LazyLock::new(|| KeySet::of(vec![KEY.public().clone()]).unwrap());

/// Any bytes as a payload under a good header and a good signature of [`KEY`].
fn signed(typ: &str, payload: &[u8]) -> String {
    let detached = sign_detached(typ, payload, &KEY).unwrap();
    detached.replacen("..", &format!(".{}.", base64url(payload)), 1)
}
