//! Keys as JSON Web Keys (RFC 7517, RFC 7518, RFC 8037): our own signing keys (P-256) and other parties' public keys
//! (P-256 for ES256, RSA of 2048 bits or more for PS256, Ed25519 for EdDSA).
//!
//! A key brings its algorithm with it; a message never chooses one. Private members in a key that should be public are
//! refused, because whoever sent them has lost the key.

use crate::category::Category;
use crate::encoding::{base64url, from_base64url, sha256_base64url};
use crate::json;
use aws_lc_rs::encoding::AsBigEndian;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, KeyPair as _,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents,
};
use serde_json::{Map, Value, json};
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// A signature algorithm that is accepted; all others, `none` and HMAC included, do not exist here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// Ed25519.
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256: verified with a foreign issuer's key that is registered for it, nowhere else.
    Rs256,
}

impl Algorithm {
    /// All that we sign with or take from clients, for metadata documents.
    pub const ALL: [Algorithm; 3] = [Algorithm::Es256, Algorithm::Ps256, Algorithm::EdDsa];

    /// The name in JOSE headers.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Es256 => "ES256",
            Algorithm::Ps256 => "PS256",
            Algorithm::EdDsa => "EdDSA",
            Algorithm::Rs256 => "RS256",
        }
    }

    /// Reads a JOSE name exactly; anything else is `None`.
    pub fn parse(name: &str) -> Option<Algorithm> {
        let known = Algorithm::ALL.into_iter().chain([Algorithm::Rs256]);
        known.into_iter().find(|one| one.name() == name)
    }
}

/// Why a key was not accepted. Holds no key material.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not strict JSON, or not an object.
    #[error("a key must be one JSON object without repeated members")]
    Malformed,
    /// A member is missing, of the wrong type, or not canonical base64url.
    #[error("the key's member {0} is missing or malformed")]
    Member(&'static str),
    /// A private or symmetric member where only public ones may be.
    #[error("the key carries private members")]
    Private,
    /// Key type, curve, algorithm or use that is not accepted.
    #[error("the key is of a kind that is not accepted")]
    Unsupported,
    /// The point is not on the curve, the modulus too short, or the parts do not belong together.
    #[error("the key is weak or inconsistent")]
    Weak,
    /// Two keys of one set carry the same `kid`.
    #[error("two keys have the same kid")]
    DuplicateKid,
    /// More keys in one set than any party needs.
    #[error("too many keys in one set")]
    TooMany,
    /// The system gave no randomness.
    #[error("no randomness from the system")]
    Random,
}

impl KeyError {
    /// What kind of failure it is.
    pub fn category(self) -> Category {
        match self {
            KeyError::Random => Category::Unavailable,
            _ => Category::Invalid,
        }
    }
}

/// RFC 7638 thumbprint of a public JWK: SHA-256 over the required members in order, base64url.
pub fn jwk_thumbprint(jwk: &Value) -> Result<String, KeyError> {
    PublicKey::from_value(jwk, Extra::Ignore).map(|key| key.thumbprint)
}

// ---------------------------------------------------------------------------------------------------------------------

/// One of our own keys: P-256, ES256. Cloning shares it. Debug shows the `kid` only.
#[derive(Clone)]
pub struct SigningKey(Arc<Inner>);

struct Inner {
    pair: EcdsaKeyPair,
    secret: Zeroizing<Vec<u8>>,
    public: PublicKey,
    kid: String,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.0.kid)
    }
}

impl SigningKey {
    /// A new random key; its `kid` is its RFC 7638 thumbprint.
    pub fn generate() -> Result<SigningKey, KeyError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map_err(|_| KeyError::Random)?;
        let secret: aws_lc_rs::encoding::EcPrivateKeyBin<'_> = pair
            .private_key()
            .as_be_bytes()
            .map_err(|_| KeyError::Random)?;
        let secret = Zeroizing::new(secret.as_ref().to_vec());
        SigningKey::assemble(pair, secret, None)
    }

    fn assemble(
        pair: EcdsaKeyPair,
        secret: Zeroizing<Vec<u8>>,
        kid: Option<String>,
    ) -> Result<SigningKey, KeyError> {
        let point = pair.public_key().as_ref();
        // Uncompressed SEC 1 point: 0x04, x (32), y (32).
        let (Some(x), Some(y)) = (point.get(1..33), point.get(33..65)) else {
            return Err(KeyError::Weak);
        };
        let mut public = PublicKey::ec(x, y, None)?;
        let kid = kid.unwrap_or_else(|| public.thumbprint.clone());
        public.kid = Some(kid.clone());
        Ok(SigningKey(Arc::new(Inner {
            pair,
            secret,
            public,
            kid,
        })))
    }

    /// Reads a private P-256 JWK (JSON text). `kid` is kept, or the thumbprint is taken; `alg`, if given, is ES256.
    pub fn from_jwk(text: &str) -> Result<SigningKey, KeyError> {
        let members = json::object(text.as_bytes()).map_err(|_| KeyError::Malformed)?;
        if member(&members, "kty")? != "EC" || member(&members, "crv")? != "P-256" {
            return Err(KeyError::Unsupported);
        }
        if members.get("alg").is_some_and(|alg| alg != "ES256")
            || members.get("use").is_some_and(|to| to != "sig")
        {
            return Err(KeyError::Unsupported);
        }
        let secret = Zeroizing::new(bytes(&members, "d")?);
        let (x, y) = (bytes(&members, "x")?, bytes(&members, "y")?);
        if [secret.len(), x.len(), y.len()] != [32; 3] {
            return Err(KeyError::Weak);
        }
        let point = [&[4u8][..], &x, &y].concat();
        let pair = EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &secret,
            &point,
        )
        .map_err(|_| KeyError::Weak)?;
        SigningKey::assemble(pair, secret, kid_of(&members)?)
    }

    /// The same key under another `kid`.
    pub fn named(&self, kid: &str) -> Result<SigningKey, KeyError> {
        let mut jwk: Value =
            serde_json::from_str(&self.to_private_jwk()).map_err(|_| KeyError::Malformed)?;
        jwk["kid"] = Value::String(kid.to_owned());
        let text = Zeroizing::new(jwk.to_string());
        SigningKey::from_jwk(&text)
    }

    /// The private JWK as JSON text, `kid` and `alg` included. For a file of mode 0600 only.
    pub fn to_private_jwk(&self) -> Zeroizing<String> {
        let mut jwk = self.public_jwk();
        jwk["d"] = Value::String(base64url(&self.0.secret));
        Zeroizing::new(jwk.to_string())
    }

    /// The public JWK, with `kid`, `alg` and `use`.
    pub fn public_jwk(&self) -> Value {
        self.0.public.to_jwk()
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.0.public
    }

    /// The key id put into headers.
    pub fn kid(&self) -> &str {
        &self.0.kid
    }

    /// RFC 7638 thumbprint (what `cnf.jkt` holds).
    pub fn thumbprint(&self) -> &str {
        &self.0.public.thumbprint
    }

    /// Signs; 64 bytes, r then s (RFC 7518 section 3.4).
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let signature = self
            .0
            .pair
            .sign(&SystemRandom::new(), message)
            .map_err(|_| KeyError::Random)?;
        Ok(signature.as_ref().to_vec())
    }
}

// ---------------------------------------------------------------------------------------------------------------------

/// Another party's public key, parsed and checked once. Cloning shares it.
#[derive(Clone)]
pub struct PublicKey {
    algorithm: Algorithm,
    kid: Option<String>,
    thumbprint: String,
    members: Value,
    parsed: Arc<ParsedPublicKey>,
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "PublicKey({}, {})",
            self.algorithm.name(),
            self.thumbprint
        )
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.thumbprint == other.thumbprint && self.algorithm == other.algorithm
    }
}

impl Eq for PublicKey {}

/// Whether members that say what a key is for are looked at.
#[derive(Clone, Copy, PartialEq)]
enum Extra {
    Check,
    Ignore,
    /// As `Check`; `alg` RS256 is taken.
    Foreign,
}

/// Members that only private or symmetric keys have.
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

impl PublicKey {
    /// Reads a public JWK given as JSON text.
    pub fn from_jwk(text: &str) -> Result<PublicKey, KeyError> {
        PublicKey::from_jwk_value(&json::parse(text.as_bytes()).map_err(|_| KeyError::Malformed)?)
    }

    /// Reads a public JWK that came out of a strict parse.
    pub fn from_jwk_value(jwk: &Value) -> Result<PublicKey, KeyError> {
        PublicKey::from_value(jwk, Extra::Check)
    }

    fn from_value(jwk: &Value, extra: Extra) -> Result<PublicKey, KeyError> {
        let members = jwk.as_object().ok_or(KeyError::Malformed)?;
        if PRIVATE.iter().any(|name| members.contains_key(*name)) {
            return Err(KeyError::Private);
        }
        let kid = kid_of(members)?;
        let key = match member(members, "kty")? {
            "EC" if member(members, "crv")? == "P-256" => {
                PublicKey::ec(&bytes(members, "x")?, &bytes(members, "y")?, kid)?
            }
            "OKP" if member(members, "crv")? == "Ed25519" => {
                PublicKey::ed25519(&bytes(members, "x")?, kid)?
            }
            "RSA" => {
                let wide = extra == Extra::Foreign
                    && members.get("alg").and_then(Value::as_str) == Some("RS256");
                let algorithm = if wide {
                    Algorithm::Rs256
                } else {
                    Algorithm::Ps256
                };
                PublicKey::rsa(&bytes(members, "n")?, &bytes(members, "e")?, kid, algorithm)?
            }
            _ => return Err(KeyError::Unsupported),
        };
        if extra != Extra::Ignore {
            let allowed =
                |name: &str, value: &str| members.get(name).is_none_or(|given| given == value);
            let ops = members.get("key_ops").is_none_or(|ops| {
                ops.as_array()
                    .is_some_and(|ops| ops.iter().any(|op| op == "verify"))
            });
            if !allowed("alg", key.algorithm.name()) || !allowed("use", "sig") || !ops {
                return Err(KeyError::Unsupported);
            }
        }
        Ok(key)
    }

    fn ec(x: &[u8], y: &[u8], kid: Option<String>) -> Result<PublicKey, KeyError> {
        if [x.len(), y.len()] != [32; 2] {
            return Err(KeyError::Weak);
        }
        let point = [&[4u8][..], x, y].concat();
        let parsed =
            ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point).map_err(|_| KeyError::Weak)?;
        let (x, y) = (base64url(x), base64url(y));
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let members = json!({"kty": "EC", "crv": "P-256", "x": x, "y": y});
        Ok(PublicKey::assemble(
            Algorithm::Es256,
            kid,
            &canonical,
            members,
            parsed,
        ))
    }

    fn ed25519(x: &[u8], kid: Option<String>) -> Result<PublicKey, KeyError> {
        if x.len() != 32 {
            return Err(KeyError::Weak);
        }
        let parsed = ParsedPublicKey::new(&ED25519, x).map_err(|_| KeyError::Weak)?;
        let x = base64url(x);
        let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        let members = json!({"kty": "OKP", "crv": "Ed25519", "x": x});
        Ok(PublicKey::assemble(
            Algorithm::EdDsa,
            kid,
            &canonical,
            members,
            parsed,
        ))
    }

    fn rsa(
        n: &[u8],
        e: &[u8],
        kid: Option<String>,
        algorithm: Algorithm,
    ) -> Result<PublicKey, KeyError> {
        // 2048 to 8192 bits without leading zeros; an odd public exponent from 3 to 2^32.
        let bits = n
            .first()
            .map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
        let odd = e.last().is_some_and(|last| last & 1 == 1);
        if !(2048..=8192).contains(&bits)
            || n.first() == Some(&0)
            || !odd
            || e.len() > 4
            || e == [1]
            || e.first() == Some(&0)
        {
            return Err(KeyError::Weak);
        }
        let parsed = RsaPublicKeyComponents { n, e }
            .to_parsed_public_key(match algorithm {
                Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
                _ => &RSA_PSS_2048_8192_SHA256,
            })
            .map_err(|_| KeyError::Weak)?;
        let (n, e) = (base64url(n), base64url(e));
        let canonical = format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#);
        let members = json!({"kty": "RSA", "n": n, "e": e});
        Ok(PublicKey::assemble(
            algorithm, kid, &canonical, members, parsed,
        ))
    }

    fn assemble(
        algorithm: Algorithm,
        kid: Option<String>,
        canonical: &str,
        members: Value,
        parsed: ParsedPublicKey,
    ) -> PublicKey {
        let thumbprint = sha256_base64url(canonical.as_bytes());
        PublicKey {
            algorithm,
            kid,
            thumbprint,
            members,
            parsed: Arc::new(parsed),
        }
    }

    /// The one algorithm this key is used with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its id, if it has one.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// RFC 7638 thumbprint.
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// As a public JWK with `kid` (if any), `alg` and `use`.
    pub fn to_jwk(&self) -> Value {
        let mut jwk = self.members.clone();
        if let Some(kid) = &self.kid {
            jwk["kid"] = Value::String(kid.clone());
        }
        jwk["alg"] = Value::String(self.algorithm.name().to_owned());
        jwk["use"] = Value::String("sig".to_owned());
        jwk
    }

    /// The required members only, as a proof's header carries them.
    pub(crate) fn bare_jwk(&self) -> &Value {
        &self.members
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.parsed.verify_sig(message, signature).is_ok()
    }
}

/// A party's public keys (JWKS), read strictly.
#[derive(Debug, Clone, Default)]
pub struct KeySet(Vec<PublicKey>);

/// More keys than this in one set are refused.
const MOST_KEYS: usize = 32;

impl KeySet {
    /// Reads `{"keys":[…]}`. One bad key refuses the set; a duplicate `kid` too; members beside `keys` are ignored.
    pub fn parse(text: &[u8]) -> Result<KeySet, KeyError> {
        KeySet::from_value(&json::parse(text).map_err(|_| KeyError::Malformed)?)
    }

    /// The same from a value that came out of a strict parse (or our own configuration).
    pub fn from_value(set: &Value) -> Result<KeySet, KeyError> {
        let keys = set
            .get("keys")
            .and_then(Value::as_array)
            .ok_or(KeyError::Member("keys"))?;
        let keys = keys
            .iter()
            .map(PublicKey::from_jwk_value)
            .collect::<Result<Vec<_>, _>>()?;
        KeySet::of(keys)
    }

    /// A foreign issuer's set, for its tokens alone: keys of kinds that we do not know are left out (nothing verifies with
    /// them), RSA keys for RS256 are taken. A private or malformed key refuses the set all the same.
    pub fn parse_foreign(text: &[u8]) -> Result<KeySet, KeyError> {
        let set = json::parse(text).map_err(|_| KeyError::Malformed)?;
        let keys = set
            .get("keys")
            .and_then(Value::as_array)
            .ok_or(KeyError::Member("keys"))?;
        let known = keys
            .iter()
            .map(|key| PublicKey::from_value(key, Extra::Foreign))
            .filter(|key| *key != Err(KeyError::Unsupported));
        KeySet::of(known.collect::<Result<_, _>>()?)
    }

    /// A set of keys already parsed.
    pub fn of(keys: Vec<PublicKey>) -> Result<KeySet, KeyError> {
        if keys.len() > MOST_KEYS {
            return Err(KeyError::TooMany);
        }
        let clash = |(at, key): (usize, &PublicKey)| {
            key.kid.is_some() && keys.iter().skip(at + 1).any(|other| other.kid == key.kid)
        };
        if keys.iter().enumerate().any(clash) {
            return Err(KeyError::DuplicateKid);
        }
        Ok(KeySet(keys))
    }

    /// The key a message names. Without a `kid` only a set of exactly one key answers.
    pub fn find(&self, kid: Option<&str>) -> Option<&PublicKey> {
        match kid {
            Some(kid) => self.0.iter().find(|key| key.kid.as_deref() == Some(kid)),
            None => match self.0.as_slice() {
                [only] => Some(only),
                _ => None,
            },
        }
    }

    /// All keys, in order.
    pub fn keys(&self) -> &[PublicKey] {
        &self.0
    }

    /// As a JWKS document.
    pub fn to_jwks(&self) -> Value {
        json!({"keys": self.0.iter().map(PublicKey::to_jwk).collect::<Vec<_>>()})
    }
}

fn member<'a>(members: &'a Map<String, Value>, name: &'static str) -> Result<&'a str, KeyError> {
    members
        .get(name)
        .and_then(Value::as_str)
        .ok_or(KeyError::Member(name))
}

fn bytes(members: &Map<String, Value>, name: &'static str) -> Result<Vec<u8>, KeyError> {
    from_base64url(member(members, name)?).ok_or(KeyError::Member(name))
}

fn kid_of(members: &Map<String, Value>) -> Result<Option<String>, KeyError> {
    match members.get("kid") {
        None => Ok(None),
        Some(Value::String(kid)) if !kid.is_empty() && kid.len() <= 256 => Ok(Some(kid.clone())),
        Some(_) => Err(KeyError::Member("kid")),
    }
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
