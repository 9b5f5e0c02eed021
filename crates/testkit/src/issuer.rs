//! A stand-in for the anchor in tests of one party alone: a key, its key set and a token endpoint over HTTP, and tokens
//! signed as the test wants them. It keeps no rules: whoever asks gets what was asked for. The real anchor has the rules.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use fhir::ids::OrganisationNumber;
use fhir::systems;
use fhir::time::Instant;
use http::{HeaderMap, Method, StatusCode};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpListener;
use trust::ClientUse;
use trust::dpop;
use trust::jws;
use trust::keys::{KeyError, KeySet, SigningKey};
use trust::token::{self, Claims};
use wire::contract::anchor::{
    self, AGREEMENT_TYP, AgreementDocument, PARTICIPANT_TYP, Participant, TokenAnswer,
};
use wire::contract::demo::{ClientFile, PrivateJwk};
use wire::signed;

use crate::people::{Patient, Practitioner};

/// The issuer's key and address. Ends with the runtime that started it.
#[derive(Clone)]
pub struct Issuer {
    key: SigningKey,
    url: String,
    clock: store::Clock,
    published: Arc<Mutex<Published>>,
}

/// Signed documents about members, as they are served.
#[derive(Default)]
struct Published {
    participants: Vec<String>,
    agreements: Vec<String>,
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Issuer({})", self.url)
    }
}

/// A caller's own key, with which its tokens are bound and its proofs signed.
#[derive(Clone, Debug)]
pub struct ProofKey(SigningKey);

/// A client that acts for itself.
#[derive(Clone, Copy, Debug)]
pub struct SystemClient<'a> {
    /// OAuth client id.
    pub client_id: &'a str,
    /// What it is registered for.
    pub use_: ClientUse,
    /// Its organisation.
    pub orgnr: &'a str,
}

impl Issuer {
    /// Starts one on a free port of the loopback, by the wall clock.
    ///
    /// # Errors
    /// When there is no port or no randomness.
    pub async fn start() -> std::io::Result<Self> {
        Self::start_at(Arc::new(crate::clients::now)).await
    }

    /// The same by another clock, for tests in which time stands still.
    ///
    /// # Errors
    /// When there is no port or no randomness.
    pub async fn start_at(clock: store::Clock) -> std::io::Result<Self> {
        let key = SigningKey::generate().map_err(std::io::Error::other)?;
        let jwks = KeySet::of(vec![key.public().clone()])
            .map_err(std::io::Error::other)?
            .to_jwks()
            .to_string();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let keys = move || {
            std::future::ready((
                [(http::header::CONTENT_TYPE, "application/json")],
                jwks.clone(),
            ))
        };
        let shared = Self {
            key,
            url,
            clock,
            published: Arc::default(),
        };
        let router = Router::new()
            .route(anchor::JWKS, get(keys))
            .route(anchor::TOKEN, post(give_token))
            .route(anchor::PARTICIPANTS, get(participants))
            .route(anchor::AGREEMENTS, get(agreements))
            .with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(shared)
    }

    /// The issuer's name, which is its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where its keys are.
    pub fn jwks_url(&self) -> String {
        format!("{}{}", self.url, anchor::JWKS)
    }

    /// Vouches from now on for these members and agreements, and for no others.
    ///
    /// # Errors
    /// When signing fails.
    pub fn vouch(
        &self,
        participants: &[Participant],
        agreements: &[AgreementDocument],
    ) -> Result<(), KeyError> {
        let sign = |typ, claims| jws::sign(typ, &claims, &self.key);
        let members = participants
            .iter()
            .map(|one| sign(PARTICIPANT_TYP, json(one)));
        let agreed = agreements.iter().map(|one| sign(AGREEMENT_TYP, json(one)));
        let published = Published {
            participants: members.collect::<Result<_, _>>()?,
            agreements: agreed.collect::<Result<_, _>>()?,
        };
        *self.published() = published;
        Ok(())
    }

    fn published(&self) -> MutexGuard<'_, Published> {
        self.published
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Claims of a client that acts for itself: five minutes from `now`, bound to the key with thumbprint `jkt`.
    ///
    /// # Errors
    /// When its organisation number is none.
    pub fn system_claims(
        &self,
        client: SystemClient<'_>,
        audience: &str,
        scope: &str,
        jkt: &str,
        now: Instant,
    ) -> Result<Claims, fhir::ids::IdError> {
        claims(&self.url, client, audience, scope, jkt, now)
    }

    /// Claims of health personnel who attest professional need for one patient: login at level 4, purpose TREAT, attested
    /// now, five minutes from `now`. The agreement between the organisations, if one is needed, is the test's to add.
    ///
    /// # Errors
    /// When the organisation number is none.
    pub fn practitioner_claims(
        &self,
        who: &Practitioner,
        orgnr: &str,
        patient: &Patient,
        audience: &str,
        jkt: &str,
        now: Instant,
    ) -> Result<Claims, fhir::ids::IdError> {
        let mut claims = self.person_claims(patient, audience, jkt, now);
        let entity = serde_json::json!({ "id": orgnr, "system": systems::ORGNR });
        let attest = serde_json::json!({
            "toa": now.seconds(),
            "practitioner": {
                "identifier": { "id": who.number, "system": systems::FNR, "name": who.name },
                "hpr_nr": { "id": who.hpr, "system": systems::HPR },
                "authorization": { "code": who.authorization, "system": "urn:oid:2.16.578.1.12.4.1.1.9060" },
                "legal_entity": entity, "point_of_care": entity,
            },
            "care_relationship": {
                "purpose_of_use": { "code": "TREAT", "system": systems::PURPOSE_OF_USE },
                "purpose_of_use_details": { "code": "VURDHENV", "system": "https://terminology.dips.com/decisiontemplate" },
                "decision_ref": { "id": "decision-1", "description": "Assessment of a referral", "user_selected": true },
            },
            "patients": [{ "identifier": { "id": patient.number, "system": systems::FNR } }],
        });
        claims.attest = Some(read(attest));
        claims.orgnr_parent = Some(OrganisationNumber::parse(orgnr)?);
        claims.name = Some(who.name.clone());
        claims.pid = Some(who.number.clone());
        claims.hpr_number = Some(who.hpr.clone());
        claims.scope = "user/*.rs".to_owned();
        claims.kind = token::Kind::Practitioner;
        Ok(claims)
    }

    /// Claims of a citizen about own data, five minutes from `now`.
    pub fn citizen_claims(
        &self,
        patient: &Patient,
        audience: &str,
        jkt: &str,
        now: Instant,
    ) -> Claims {
        self.person_claims(patient, audience, jkt, now)
    }

    fn person_claims(&self, patient: &Patient, audience: &str, jkt: &str, now: Instant) -> Claims {
        let seconds = now.seconds();
        read(serde_json::json!({
            "iss": self.url, "aud": audience, "sub": "user", "client_id": "delt-test",
            "iat": seconds, "nbf": seconds, "exp": seconds + 300, "jti": uuid::Uuid::new_v4(), "scope": "patient/*.rs",
            "cnf": { "jkt": jkt },
            "name": patient.name,
            "helseid://claims/identity/pid": patient.number,
            "helseid://claims/identity/security_level": "4",
            "https://delt.example/claims/patient": { "system": systems::FNR, "value": patient.number },
            "https://delt.example/claims/use": ClientUse::Test,
            "https://delt.example/claims/kind": "citizen",
        }))
    }

    /// A client file for a party of this issuer.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn client_file(
        &self,
        client: SystemClient<'_>,
        audience: &str,
    ) -> Result<ClientFile, KeyError> {
        let key = SigningKey::generate()?;
        let jwk = serde_json::from_str(&key.to_private_jwk()).map_err(|_| KeyError::Malformed)?;
        Ok(ClientFile {
            client_id: client.client_id.to_owned(),
            orgnr: client.orgnr.to_owned(),
            use_: client.use_,
            issuer: self.url.clone(),
            token_endpoint: format!("{}{}", self.url, anchor::TOKEN),
            jwk: PrivateJwk(jwk),
            scopes: Vec::new(),
            audiences: vec![audience.to_owned()],
        })
    }

    /// Does a request bring a token of this issuer for the audience and scope, bound to the key of its proof?
    pub fn admits(
        &self,
        headers: &HeaderMap,
        method: &str,
        url: &str,
        audience: &str,
        scope: &str,
    ) -> bool {
        let admitted = || {
            let text = |name: &str| headers.get(name)?.to_str().ok();
            let jwt = text("authorization")?.strip_prefix("DPoP ")?;
            let keys = KeySet::of(vec![self.key.public().clone()]).ok()?;
            let now = (self.clock)();
            let claims = token::verify(jwt, &keys, &self.url, audience, now).ok()?;
            let (ath, jkt) = (dpop::ath(jwt), claims.cnf?.jkt);
            dpop::verify(text("dpop")?, method, url, Some(&ath), Some(&jkt), now).ok()?;
            (claims.scope == scope).then_some(())
        };
        admitted().is_some()
    }

    /// Signs claims as they are.
    ///
    /// # Errors
    /// When signing fails.
    pub fn sign(&self, claims: &Claims) -> Result<String, KeyError> {
        token::issue(claims, &self.key)
    }

    /// Signs claims under another `typ` than an access token's.
    ///
    /// # Errors
    /// When signing fails.
    pub fn sign_as(&self, typ: &str, claims: &Claims) -> Result<String, KeyError> {
        token::issue_as(typ, claims, &self.key)
    }
}

impl ProofKey {
    /// A new one.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn generate() -> Result<Self, KeyError> {
        SigningKey::generate().map(Self)
    }

    /// Its thumbprint (RFC 7638).
    pub fn jkt(&self) -> &str {
        self.0.thumbprint()
    }

    /// What its holder says of a version of a Task, signed by her ([`wire::signed`]).
    ///
    /// # Errors
    /// When signing fails.
    pub fn says(
        &self,
        (task, version): (&str, u64),
        words: &str,
        now: Instant,
    ) -> Result<String, KeyError> {
        let jti = uuid::Uuid::new_v4().to_string();
        signed::Claims::of(task, version, words, now, jti).sign(&self.0)
    }

    /// The `DPoP` header of one request with a token.
    ///
    /// # Errors
    /// When the URL is none or signing fails.
    pub fn proof(
        &self,
        method: &Method,
        url: &str,
        access_token: &str,
        now: Instant,
    ) -> Result<String, KeyError> {
        let jti = uuid::Uuid::new_v4().to_string();
        dpop::prove(
            &self.0,
            method.as_str(),
            url,
            Some(&dpop::ath(access_token)),
            now.seconds(),
            &jti,
        )
    }
}

fn claims(
    issuer: &str,
    client: SystemClient<'_>,
    audience: &str,
    scope: &str,
    jkt: &str,
    now: Instant,
) -> Result<Claims, fhir::ids::IdError> {
    let orgnr = OrganisationNumber::parse(client.orgnr)?;
    let seconds = now.seconds();
    let json = serde_json::json!({
        "iss": issuer, "aud": audience, "sub": client.client_id, "client_id": client.client_id,
        "iat": seconds, "nbf": seconds, "exp": seconds + 300, "jti": uuid::Uuid::new_v4(), "scope": scope,
        "cnf": { "jkt": jkt },
        "helseid://claims/client/claims/orgnr_parent": orgnr.as_str(),
        "https://delt.example/claims/use": client.use_,
        "https://delt.example/claims/kind": "system",
    });
    Ok(read(json))
}

/// Reads what this file wrote a few lines above.
fn read<T: serde::de::DeserializeOwned>(json: serde_json::Value) -> T {
    serde_json::from_value(json)
        .expect("the members above are those of the type, which this crate's tests read")
}

/// A contract type as JSON, which each has.
fn json(value: &impl serde::Serialize) -> serde_json::Value {
    serde_json::to_value(value).unwrap_or_default()
}

async fn participants(State(issuer): State<Issuer>) -> Response {
    axum::Json(issuer.published().participants.clone()).into_response()
}

async fn agreements(State(issuer): State<Issuer>) -> Response {
    axum::Json(issuer.published().agreements.clone()).into_response()
}

/// The organisation of a client that asks: the one whose number its id ends with, else a supplier's.
fn organisation_of(assertion: Option<&str>) -> String {
    let read = || {
        let payload = trust::encoding::from_base64url(assertion?.split('.').nth(1)?)?;
        let claims: serde_json::Value = serde_json::from_slice(&payload).ok()?;
        let (_, number) = claims["sub"].as_str()?.rsplit_once('-')?;
        let number = OrganisationNumber::parse(number).ok()?;
        Some(number.to_string())
    };
    read().unwrap_or_else(|| "310001287".to_owned())
}

/// Gives a token for whatever resource and scope the form names, bound to the key of the proof.
async fn give_token(State(issuer): State<Issuer>, headers: HeaderMap, form: String) -> Response {
    let answer = || {
        let form = wire::form::Form::parse(form.as_bytes()).ok()?;
        let field = |name: &str| form.get(name);
        let proof = headers.get("dpop")?.to_str().ok()?;
        let url = format!("{}{}", issuer.url, anchor::TOKEN);
        let proof = dpop::verify(proof, "POST", &url, None, None, (issuer.clock)()).ok()?;
        let client = SystemClient {
            client_id: "test-client",
            use_: ClientUse::Service,
            orgnr: &organisation_of(field("client_assertion")),
        };
        let (resource, scope) = (field("resource")?, field("scope")?);
        let claims = claims(
            &issuer.url,
            client,
            resource,
            scope,
            &proof.jkt,
            (issuer.clock)(),
        )
        .ok()?;
        let access_token = issuer.sign(&claims).ok()?.into();
        Some(TokenAnswer {
            access_token,
            token_type: "DPoP".into(),
            expires_in: 300,
            ..TokenAnswer::default()
        })
    };
    match answer() {
        Some(answer) => axum::Json(answer).into_response(),
        None => StatusCode::BAD_REQUEST.into_response(),
    }
}
