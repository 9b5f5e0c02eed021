//! A small region: Prøveheim reads at Fjellvik by agreement; NordDrift's hub writes for Fjellvik by delegation.

use anchor::config::{
    Agreement, Audience, AudienceKind, Client, Config, Consumer, Delegation, Demo, DemoPerson,
    Grant, IDENTITY_SCOPES, Participant, Unit,
};
use axum::Router;
use axum::body::Body;
use fhir::ids::{OrganisationNumber, PersonIdentifier, PersonNumbers};
use fhir::resource::InformationService;
use fhir::time::{Instant, Zone};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use tower::ServiceExt as _;
use trust::keys::{KeySet, SigningKey};
use trust::scope::Scopes;
use trust::{ClientUse, assertion, dpop};

pub const ISSUER: &str = "http://127.0.0.1:7070/anchor";
pub const FJELLVIK: &str = "http://127.0.0.1:7070/fjellvik/fhir";
pub const PROVEHEIM: &str = "http://127.0.0.1:7070/proveheim/fhir";
pub const PROVEBAKKEN: &str = "http://127.0.0.1:7070/provebakken/fhir";
pub const KYST: &str = "http://127.0.0.1:7070/kystregionen/fhir";
pub const GATEWAY: &str = "http://127.0.0.1:7070/gateway/fhir";
pub const LOCATOR: &str = "http://127.0.0.1:7070/locator";
pub const HUB: &str = "http://127.0.0.1:7070/hub/fhir";
/// The hospital's record system, through which its people sign in.
pub const JOURNAL: &str = "epj-proveheim";
/// The municipality's; it may neither renew nor learn more than who it is.
pub const OTHER_JOURNAL: &str = "epj-fjellvik";
pub const CALLBACK: &str = "https://epj.example/callback";
pub const OTHER_CALLBACK: &str = "http://127.0.0.1:8400/callback?tenant=1";
pub const NOW: i64 = 1_800_000_000;
pub const PATIENT: &str = "14835210260";

pub fn org(number: &str) -> OrganisationNumber {
    OrganisationNumber::parse(number).unwrap()
}

pub fn person(number: &str) -> PersonIdentifier {
    PersonIdentifier::guess(number, PersonNumbers::Strict).unwrap()
}

/// A number with right control digits from its first eight: the ninth is the first that gives any.
pub fn number(first_eight: &str) -> String {
    let control = |weights: &[u32], digits: &[u32]| {
        let sum: u32 = weights
            .iter()
            .zip(digits)
            .map(|(weight, digit)| weight * digit)
            .sum();
        (11 - sum % 11) % 11
    };
    let first: Vec<u32> = first_eight
        .chars()
        .map(|c| c.to_digit(10).unwrap())
        .collect();
    let whole = |ninth: u32| {
        let mut digits = [first.as_slice(), &[ninth]].concat();
        digits.push(control(&[3, 7, 6, 1, 8, 9, 4, 5, 2], &digits));
        digits.push(control(&[5, 4, 3, 2, 7, 6, 5, 4, 3, 2], &digits));
        digits
            .iter()
            .all(|digit| *digit < 10)
            .then(|| digits.iter().map(u32::to_string).collect::<String>())
    };
    (0..10).find_map(whole).unwrap()
}

/// Month 88: marked synthetic.
pub fn physician() -> String {
    number("13888410")
}

pub fn husband() -> String {
    number("10814810")
}

pub struct Region {
    router: Router,
    pub state: Arc<anchor::State>,
    pub clock: Arc<AtomicI64>,
    jtis: AtomicU64,
    pub home: SigningKey,
    pub epj: SigningKey,
    pub gateway: SigningKey,
    pub hub: SigningKey,
    pub user: SigningKey,
    pub hospital: SigningKey,
}

/// Keys that survive a restart of the anchor.
#[derive(Clone)]
pub struct Keys {
    pub home: SigningKey,
    pub epj: SigningKey,
    pub gateway: SigningKey,
    pub hub: SigningKey,
    pub user: SigningKey,
    pub hospital: SigningKey,
}

impl Keys {
    pub fn new() -> Keys {
        let key = || SigningKey::generate().unwrap();
        Keys {
            home: key(),
            epj: key(),
            gateway: key(),
            hub: key(),
            user: key(),
            hospital: key(),
        }
    }
}

fn config(keys: &Keys) -> Config {
    let participant = |orgnr: &str, name: &str, units: &[&str]| Participant {
        orgnr: org(orgnr),
        name: name.into(),
        version: 1,
        units: units
            .iter()
            .map(|unit| Unit {
                orgnr: Some(org(unit)),
                resh: None,
                name: "Enhet".into(),
            })
            .collect(),
        keys: KeySet::default(),
        contacts: vec![],
    };
    let client =
        |id: &str, orgnr: &str, use_, key: &SigningKey, scopes: &str, audiences: &[&str]| Client {
            client_id: id.into(),
            orgnr: org(orgnr),
            use_,
            keys: KeySet::of(vec![key.public().clone()]).unwrap(),
            scopes: Scopes::parse(scopes).unwrap(),
            identity: vec![],
            grants: match use_ {
                ClientUse::Gateway => vec![Grant::ClientCredentials, Grant::TokenExchange],
                _ => vec![Grant::ClientCredentials],
            },
            redirect_uris: vec![],
            post_logout_redirect_uris: vec![],
            audiences: audiences.iter().map(|one| (*one).to_owned()).collect(),
            own_audience: (use_ == ClientUse::Gateway).then(|| GATEWAY.to_owned()),
        };
    let audience = |url: &str, owner: Option<&str>, members: &[&str], kind| Audience {
        url: url.into(),
        owner: owner.map(org),
        members: members.iter().map(|one| org(one)).collect(),
        kind,
    };
    Config {
        issuer: ISSUER.into(),
        zone: Zone::default(),
        participants: vec![
            participant("310001074", "Prøveheim Diakonale Sykehus", &[]),
            participant("310001007", "Fjellvik kommune", &[]),
            participant("310001147", "Prøvebakken legesenter", &[]),
            participant("310001287", "NordDrift", &[]),
            participant("310001708", "Kystregionen", &[]),
            participant("310001422", "Sørlia kommune", &[]),
        ],
        agreements: vec![Agreement {
            id: "AVT-1".into(),
            version: 2,
            consumer: Consumer::Organisation(org("310001074")),
            provider: org("310001007"),
            services: vec![InformationService::MEASUREMENTS, InformationService::PLANS],
            from: "2026-01-01".into(),
            to: None,
            signed: true,
        }],
        papers: vec![],
        delegations: vec![Delegation {
            id: "DEL-1".into(),
            version: 1,
            from: org("310001007"),
            to: org("310001287"),
            from_day: "2026-01-01".into(),
            to_day: None,
            signed: true,
        }],
        clients: vec![
            client(
                "hjemmesystem-fjellvik",
                "310001007",
                ClientUse::HomeSystem,
                &keys.home,
                "system/Observation.c",
                &[HUB],
            ),
            client(
                "epj-sorlia",
                "310001422",
                ClientUse::RecordSystem,
                &keys.epj,
                "system/*.cruds",
                &[KYST, FJELLVIK],
            ),
            client(
                "delt-hub",
                "310001287",
                ClientUse::Hub,
                &keys.hub,
                "system/Observation.c",
                &[FJELLVIK, PROVEHEIM],
            ),
            client(
                "deling-proveheim",
                "310001074",
                ClientUse::Service,
                &keys.hospital,
                "system/Task.c system/Observation.c",
                &[FJELLVIK, KYST],
            ),
            client(
                "delt-gateway",
                "310001074",
                ClientUse::Gateway,
                &keys.gateway,
                "user/*.rs user/Pointer.r system/Organization.rs",
                &[FJELLVIK, PROVEHEIM, PROVEBAKKEN, LOCATOR, GATEWAY, HUB],
            ),
            Client {
                identity: IDENTITY_SCOPES.map(str::to_owned).to_vec(),
                grants: vec![
                    Grant::ClientCredentials,
                    Grant::AuthorizationCode,
                    Grant::RefreshToken,
                ],
                redirect_uris: vec![CALLBACK.into(), OTHER_CALLBACK.into()],
                post_logout_redirect_uris: vec![],
                ..client(
                    JOURNAL,
                    "310001074",
                    ClientUse::RecordSystem,
                    &keys.hospital,
                    "system/*.cruds user/*.rs patient/*.rs",
                    &[PROVEHEIM, FJELLVIK, PROVEBAKKEN, GATEWAY],
                )
            },
            Client {
                identity: vec!["openid".into()],
                grants: vec![Grant::AuthorizationCode],
                redirect_uris: vec![CALLBACK.into()],
                post_logout_redirect_uris: vec![],
                ..client(
                    OTHER_JOURNAL,
                    "310001007",
                    ClientUse::RecordSystem,
                    &keys.epj,
                    "user/Observation.rs",
                    &[FJELLVIK],
                )
            },
        ],
        audiences: vec![
            audience(FJELLVIK, Some("310001007"), &[], AudienceKind::Service),
            audience(PROVEHEIM, Some("310001074"), &[], AudienceKind::Service),
            audience(PROVEBAKKEN, Some("310001147"), &[], AudienceKind::Service),
            audience(
                KYST,
                Some("310001708"),
                &["310001422"],
                AudienceKind::Service,
            ),
            audience(GATEWAY, None, &[], AudienceKind::Gateway),
            audience(LOCATOR, None, &[], AudienceKind::Locator),
            audience(HUB, None, &[], AudienceKind::Hub),
        ],
        dpop_nonce: false,
        operator: None,
        publish_key_seconds: 600,
        hpr: None,
        stylesheet: None,
        identity_providers: vec![],
        law: None,
        demo: Some(Demo {
            people: vec![
                DemoPerson {
                    number: person(&physician()),
                    name: "Lege Syntetisk".into(),
                    hpr: Some("9144900".into()),
                    authorization: Some(("LE".into(), "Lege".into())),
                },
                DemoPerson {
                    number: person(PATIENT),
                    name: "Ragnhild Testmo".into(),
                    hpr: None,
                    authorization: None,
                },
                DemoPerson {
                    number: person(&husband()),
                    name: "Ektemann Testmo".into(),
                    hpr: None,
                    authorization: None,
                },
            ],
            represents: vec![anchor::config::Represents {
                citizen: person(&husband()),
                patient: person(PATIENT),
                representation: trust::Representation {
                    id: "fullmakt-1".into(),
                    services: vec![
                        fhir::resource::InformationService::PLANS,
                        fhir::resource::InformationService::MEASUREMENTS,
                    ],
                    log: false,
                    notes: false,
                },
            }],
        }),
    }
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    pub body: Value,
    pub text: String,
}

impl Answer {
    /// Status and OAuth error code.
    pub fn error(&self) -> (u16, &str) {
        (
            self.status.as_u16(),
            self.body["error"].as_str().unwrap_or_default(),
        )
    }
}

/// What a request to the token endpoint is made of, ready to be spoiled.
pub struct Ask {
    pub form: Vec<(&'static str, String)>,
    pub proofs: Vec<String>,
    pub headers: Vec<(&'static str, String)>,
}

impl Ask {
    pub fn set(mut self, name: &'static str, value: &str) -> Ask {
        self.form.retain(|(had, _)| *had != name);
        self.form.push((name, value.to_owned()));
        self
    }

    pub fn without(mut self, name: &str) -> Ask {
        self.form.retain(|(had, _)| *had != name);
        self
    }
}

impl Region {
    pub async fn open(folder: &Path) -> Region {
        Region::open_as(folder, Keys::new(), |_| {}).await
    }

    pub async fn open_as(folder: &Path, keys: Keys, change: impl FnOnce(&mut Config)) -> Region {
        let http = wire::client::Http::new(wire::client::Policy::loopback()).unwrap();
        Region::open_with(folder, keys, http, change).await
    }

    /// The same with another client for what the anchor asks of others.
    pub async fn open_with(
        folder: &Path,
        keys: Keys,
        http: wire::client::Http,
        change: impl FnOnce(&mut Config),
    ) -> Region {
        let clock = Arc::new(AtomicI64::new(NOW));
        let reader = clock.clone();
        // A region that is opened anew makes other ids than before.
        let opened_before = std::fs::read_dir(folder).unwrap().next().is_some();
        let count = AtomicU64::new(if opened_before { 1 << 32 } else { 1 });
        let now: store::Clock =
            Arc::new(move || Instant::from_seconds(reader.load(Ordering::SeqCst)));
        let ids: store::Ids = Arc::new(move || {
            uuid::Uuid::from_u128(u128::from(count.fetch_add(1, Ordering::SeqCst)))
        });
        let house = wire::House {
            clock: now.clone(),
            pause: wire::stop::real_pause(),
            ids,
            http,
            data: folder.to_owned(),
            stop: wire::Stop::default(),
            other_issuer: None,
        };
        let mut config = config(&keys);
        change(&mut config);
        let state = anchor::open(config, house).await.unwrap();
        let Keys {
            home,
            epj,
            gateway,
            hub,
            user,
            hospital,
        } = keys;
        Region {
            router: anchor::routes(state.clone()),
            state,
            clock,
            jtis: AtomicU64::new(0),
            home,
            epj,
            gateway,
            hub,
            user,
            hospital,
        }
    }

    pub fn now(&self) -> i64 {
        self.clock.load(Ordering::SeqCst)
    }

    pub fn jti(&self) -> String {
        format!(
            "jti-{}-{}",
            self.now(),
            self.jtis.fetch_add(1, Ordering::SeqCst)
        )
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            text: String::from_utf8_lossy(&bytes).into_owned(),
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap())
            .await
    }

    /// A sound request for client credentials.
    pub fn ask(&self, client: &str, key: &SigningKey, resource: &str, scope: &str) -> Ask {
        let assertion = assertion::make(client, ISSUER, key, self.now(), &self.jti()).unwrap();
        Ask {
            form: vec![
                ("grant_type", "client_credentials".to_owned()),
                ("client_assertion_type", assertion::TYPE.to_owned()),
                ("client_assertion", assertion),
                ("resource", resource.to_owned()),
                ("scope", scope.to_owned()),
            ],
            proofs: vec![self.proof(key)],
            headers: vec![],
        }
    }

    /// A sound request for an exchange by the gateway.
    pub fn exchange(&self, subject: &str, resource: &str, scope: &str) -> Ask {
        self.exchange_by(("delt-gateway", &self.gateway), subject, resource, scope)
    }

    /// The same by another client with its key.
    pub fn exchange_by(
        &self,
        (client, key): (&str, &SigningKey),
        subject: &str,
        resource: &str,
        scope: &str,
    ) -> Ask {
        self.ask(client, key, resource, scope)
            .set(
                "grant_type",
                "urn:ietf:params:oauth:grant-type:token-exchange",
            )
            .set("subject_token", subject)
            .set(
                "subject_token_type",
                "urn:ietf:params:oauth:token-type:access_token",
            )
    }

    pub fn proof(&self, key: &SigningKey) -> String {
        self.proof_for(key, "/token")
    }

    pub fn proof_for(&self, key: &SigningKey, path: &str) -> String {
        dpop::prove(
            key,
            "POST",
            &format!("{ISSUER}{path}"),
            None,
            self.now(),
            &self.jti(),
        )
        .unwrap()
    }

    pub async fn token(&self, ask: Ask) -> Answer {
        self.post("/token", ask).await
    }

    pub async fn post(&self, path: &str, ask: Ask) -> Answer {
        let mut request =
            Request::post(path).header("content-type", "application/x-www-form-urlencoded");
        for proof in &ask.proofs {
            request = request.header("dpop", proof);
        }
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        let body = wire::form::write(ask.form.iter().map(|(name, value)| (*name, value.as_str())));
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    pub async fn test_token(&self, body: &Value) -> Answer {
        self.test_token_text(&body.to_string()).await
    }

    pub async fn test_token_text(&self, body: &str) -> Answer {
        let request = Request::post("/test-token").header("content-type", "application/json");
        self.send(request.body(Body::from(body.to_owned())).unwrap())
            .await
    }

    /// The physician's token for an audience.
    pub async fn physicians_token(
        &self,
        audience: &str,
        scope: &str,
        more: &[(&str, Value)],
    ) -> String {
        let mut body = self.order(audience, scope);
        for (name, value) in more {
            body[*name] = value.clone();
        }
        let answer = self.test_token(&body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body["access_token"].as_str().unwrap().to_owned()
    }

    /// A sound order of a test token.
    pub fn order(&self, audience: &str, scope: &str) -> Value {
        serde_json::json!({
            "as": "practitioner", "fnr": physician(), "orgnr": "310001074", "patient": PATIENT,
            "audience": audience, "scope": scope, "jkt": self.user.thumbprint(),
        })
    }

    pub async fn keys(&self) -> KeySet {
        KeySet::from_value(&self.get("/jwks").await.body).unwrap()
    }

    /// The claims of a token, verified for an audience.
    pub async fn claims(&self, token: &str, audience: &str) -> trust::token::Claims {
        trust::token::verify(
            token,
            &self.keys().await,
            ISSUER,
            audience,
            Instant::from_seconds(self.now()),
        )
        .unwrap()
    }

    pub async fn audited(&self) -> Vec<trust::audit::Record> {
        let report = self.state.store().verify_audit(None).await.unwrap();
        assert!(report.faults.is_empty());
        let entries = self
            .state
            .store()
            .audit_search(store::AuditFilter {
                limit: 100,
                ..store::AuditFilter::default()
            })
            .await
            .unwrap();
        entries.into_iter().map(|entry| entry.record).collect()
    }
}
