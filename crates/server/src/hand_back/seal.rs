//! A file that only one organisation can read: ECDH-ES on P-256 with a key made for this file alone (RFC 7518 section 4.6,
//! Concat KDF with SHA-256), then AES-256-GCM over pieces, each under its own counter and the last one marked, so that pieces
//! cannot be moved, left out or cut off (the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár, 2015).
//!
//! `"DELTSEAL1\n"`, a line of JSON `{"epk": JWK}`, then pieces of 64 KiB and 16 bytes.

use anyhow::{Context, anyhow, bail, ensure};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, ECDH_P256, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::digest::{Context as Digest, SHA256};
use serde_json::{Value, json};
use std::io::{BufRead, Read, Write};
use trust::encoding::{base64url, from_base64url};
use zeroize::Zeroizing;

const MAGIC: &[u8] = b"DELTSEAL1\n";
const PIECE: usize = 64 * 1024;
const TAG: usize = 16;
/// Longest line of the head.
const LONGEST_HEAD: u64 = 4096;

/// A point as ECDH takes it (SEC 1, uncompressed), from a public JWK on P-256.
fn point(jwk: &Value) -> anyhow::Result<Vec<u8>> {
    let curve = (jwk["kty"].as_str(), jwk["crv"].as_str());
    ensure!(
        curve == (Some("EC"), Some("P-256")),
        "the key is not a JWK on P-256"
    );
    let mut point = vec![4];
    for member in ["x", "y"] {
        let bytes = jwk[member].as_str().and_then(from_base64url);
        let bytes = bytes.filter(|bytes| bytes.len() == 32);
        point.extend(bytes.context("the key is not a JWK on P-256")?);
    }
    Ok(point)
}

fn jwk(public: &[u8]) -> Value {
    let (x, y) = public[1..].split_at(32);
    json!({"kty": "EC", "crv": "P-256", "x": base64url(x), "y": base64url(y)})
}

/// RFC 7518 section 4.6.2 with `alg` A256GCM and no party info: one round of SHA-256 gives the 256 bits.
fn derive(shared: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut digest = Digest::new(&SHA256);
    digest.update(&1_u32.to_be_bytes());
    digest.update(shared);
    digest.update(&7_u32.to_be_bytes());
    digest.update(b"A256GCM");
    digest.update(&0_u32.to_be_bytes());
    digest.update(&0_u32.to_be_bytes());
    digest.update(&256_u32.to_be_bytes());
    let mut key = Zeroizing::new([0; 32]);
    key.copy_from_slice(digest.finish().as_ref());
    key
}

fn agreed(own: &PrivateKey, theirs: &Value) -> anyhow::Result<LessSafeKey> {
    let theirs = UnparsedPublicKey::new(&ECDH_P256, point(theirs)?);
    let failed = || anyhow!("the key is not on the curve");
    let key = agreement::agree(own, theirs, failed(), |shared| Ok(derive(shared)))?;
    let key = UnboundKey::new(&AES_256_GCM, &*key).map_err(|_| failed())?;
    Ok(LessSafeKey::new(key))
}

/// The counter, and whether it is the last piece.
fn nonce(count: u64, last: bool) -> Nonce {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&count.to_be_bytes());
    bytes[11] = u8::from(last);
    Nonce::assume_unique_for_key(bytes)
}

/// Reads until the piece is full or nothing more comes.
fn piece(from: &mut impl Read, most: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(most + TAG);
    from.take(most as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Seals all of `from` to the holder of a public key.
pub fn seal(public: &Value, mut from: impl BufRead, mut to: impl Write) -> anyhow::Result<()> {
    let own = PrivateKey::generate(&ECDH_P256).map_err(|_| anyhow!("no randomness"))?;
    let key = agreed(&own, public)?;
    let mine = own.compute_public_key().map_err(|_| anyhow!("no key"))?;
    let head = format!("{}\n", json!({"epk": jwk(mine.as_ref())}));
    to.write_all(MAGIC)?;
    to.write_all(head.as_bytes())?;
    for count in 0.. {
        let mut bytes = piece(&mut from, PIECE)?;
        let last = from.fill_buf()?.is_empty();
        key.seal_in_place_append_tag(nonce(count, last), Aad::from(&head), &mut bytes)
            .map_err(|_| anyhow!("sealing failed"))?;
        to.write_all(&bytes)?;
        if last {
            break;
        }
    }
    Ok(())
}

/// Opens what was sealed to the key with this private JWK; stops at the first piece that is not what was sealed.
pub fn open(private: &Value, mut from: impl BufRead, mut to: impl Write) -> anyhow::Result<()> {
    let scalar = private["d"]
        .as_str()
        .and_then(from_base64url)
        .map(Zeroizing::new);
    let scalar = scalar.context("the key is not a private JWK on P-256")?;
    let own = PrivateKey::from_private_key(&ECDH_P256, &scalar)
        .map_err(|_| anyhow!("the key is not a private JWK on P-256"))?;
    let mut magic = [0; MAGIC.len()];
    from.read_exact(&mut magic).context("not a sealed file")?;
    ensure!(magic == MAGIC, "not a sealed file");
    let mut head = String::new();
    (&mut from)
        .take(LONGEST_HEAD)
        .read_line(&mut head)
        .context("not a sealed file")?;
    let said: Value = serde_json::from_str(&head).context("not a sealed file")?;
    let key = agreed(&own, &said["epk"])?;
    for count in 0.. {
        let mut bytes = piece(&mut from, PIECE + TAG)?;
        let last = from.fill_buf()?.is_empty();
        match key.open_in_place(nonce(count, last), Aad::from(&head), &mut bytes) {
            Ok(plain) => to.write_all(plain)?,
            Err(_) => bail!("it is sealed to another key, or it was changed or cut off"),
        }
        if last {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use trust::keys::SigningKey;

    fn private(key: &SigningKey) -> Value {
        serde_json::from_str(&key.to_private_jwk()).unwrap()
    }

    #[test]
    fn whole_or_not_at_all() {
        let (key, other) = (
            SigningKey::generate().unwrap(),
            SigningKey::generate().unwrap(),
        );
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE] {
            let plain: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            let mut sealed = Vec::new();
            seal(&key.public_jwk(), plain.as_slice(), &mut sealed).unwrap();
            let mut opened = Vec::new();
            open(&private(&key), sealed.as_slice(), &mut opened).unwrap();
            assert_eq!(opened, plain);
            assert!(open(&private(&other), sealed.as_slice(), &mut Vec::new()).is_err());
            // Cut at every border of a piece, and in the middle; changed at the ends; two pieces exchanged.
            let start = sealed
                .iter()
                .skip(MAGIC.len())
                .position(|b| *b == b'\n')
                .unwrap()
                + MAGIC.len()
                + 1;
            let cuts = (start..sealed.len())
                .step_by(PIECE + TAG)
                .chain([sealed.len() - 1]);
            for cut in cuts {
                assert!(
                    open(&private(&key), &sealed[..cut], &mut Vec::new()).is_err(),
                    "{length} {cut}"
                );
            }
            for at in [start, sealed.len() - 1, MAGIC.len() + 20] {
                let mut changed = sealed.clone();
                changed[at] ^= 1;
                assert!(open(&private(&key), changed.as_slice(), &mut Vec::new()).is_err());
            }
            if length == 3 * PIECE {
                let mut moved = sealed.clone();
                let (first, second) =
                    moved[start..start + 2 * (PIECE + TAG)].split_at_mut(PIECE + TAG);
                first.swap_with_slice(second);
                assert!(open(&private(&key), moved.as_slice(), &mut Vec::new()).is_err());
            }
        }
    }
}
