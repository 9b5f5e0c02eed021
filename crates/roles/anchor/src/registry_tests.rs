//! The registry at its borders: what a configuration may not say, and what stands in it.

#![allow(clippy::unwrap_used)] // a failing unwrap is a failing test
use super::*;
use crate::config::{Participant, Unit};
use fhir::resource::InformationService;
use trust::keys::KeySet;

fn org(number: &str) -> OrganisationNumber {
    OrganisationNumber::parse(number).unwrap()
}

const A: &str = "310001074";
const B: &str = "310001007";
const C: &str = "310001147";
const UNIT: &str = "310001422";

fn config() -> Config {
    let participant = |number: &str, units: &[&str]| Participant {
        orgnr: org(number),
        name: number.into(),
        version: 1,
        units: units
            .iter()
            .map(|unit| Unit {
                orgnr: Some(org(unit)),
                resh: None,
                name: String::new(),
            })
            .collect(),
        keys: KeySet::default(),
        contacts: vec![],
    };
    let agreement = |id: &str, consumer, version, from: &str, to: Option<&str>| Agreement {
        id: id.into(),
        version,
        consumer,
        provider: org(B),
        services: vec![InformationService::MEASUREMENTS],
        from: from.into(),
        to: to.map(Into::into),
        signed: true,
    };
    Config {
        issuer: "https://anchor.example".into(),
        zone: Zone::default(),
        participants: vec![
            participant(A, &[UNIT]),
            participant(B, &[]),
            participant(C, &[]),
        ],
        agreements: vec![
            agreement("all", Consumer::Members, 9, "2026-01-01", None),
            agreement("old", Consumer::Organisation(org(A)), 1, "2026-01-01", None),
            agreement(
                "new",
                Consumer::Organisation(org(A)),
                2,
                "2026-03-01",
                Some("2026-03-31"),
            ),
        ],
        papers: vec![],
        delegations: vec![Delegation {
            id: "d".into(),
            version: 1,
            from: org(B),
            to: org(C),
            from_day: "2026-01-01".into(),
            to_day: Some("2026-12-31".into()),
            signed: true,
        }],
        clients: vec![],
        audiences: vec![audience(B, &[])],
        dpop_nonce: false,
        operator: None,
        publish_key_seconds: 600,
        hpr: None,
        identity_providers: vec![],
        stylesheet: None,
        law: None,
        demo: None,
    }
}

fn audience(owner: &str, members: &[&str]) -> Audience {
    Audience {
        url: "https://b.example/fhir".into(),
        owner: Some(org(owner)),
        members: members.iter().map(|one| org(one)).collect(),
        kind: AudienceKind::Service,
    }
}

fn at(text: &str) -> Instant {
    text.parse().unwrap()
}

#[test]
fn what_is_published_says_by_which_agreement_tokens_are_issued() {
    let mut config = config();
    let twin = |id: &str, consumer, version| Agreement {
        id: id.into(),
        consumer: Consumer::Organisation(org(consumer)),
        version,
        services: vec![InformationService::PLANS],
        ..config.agreements[0].clone()
    };
    let more = [
        twin("a-twin", A, 1),
        twin("of-a-unit", UNIT, 1),
        twin("unsigned", C, 99),
    ];
    config.agreements.extend(more);
    if let Some(last) = config.agreements.last_mut() {
        last.signed = false;
    }
    let key = trust::keys::SigningKey::generate().unwrap();
    let book = Arc::<Book>::default();
    let standings = book.standings();
    let documents = crate::documents::Documents::default();
    let published = documents.current(&config, 0, &standings, 1, &key).unwrap();
    let keys = KeySet::of(vec![key.public().clone()]).unwrap();
    let members = wire::members::Documents {
        keys: keys.to_jwks().to_string(),
        participants: published.participants.clone(),
        agreements: published.agreements.clone(),
        at: Instant::from_seconds(0),
    };
    let members = members.read(&config.issuer).unwrap();
    let registry = Registry::new(&config, book.clone()).unwrap();
    let mut by = HashSet::new();
    for time in [
        "2025-12-31T22:59:59Z",
        "2025-12-31T23:00:00Z",
        "2026-02-28T22:59:59Z",
        "2026-02-28T23:00:00Z",
        "2026-03-31T21:59:59Z",
        "2026-03-31T22:00:00Z",
    ] {
        let readers = members.readers(B, at(time));
        assert_eq!(readers.len(), 3);
        for (reader, paper) in readers {
            let issued = registry.agreement(&org(&reader.sub), &audience(B, &[]), at(time));
            let issued = issued.map(|one| (one.id, u64::from(one.version)));
            let told = paper.map(|one| (one.sub.clone(), one.version));
            assert_eq!(told, issued, "{} at {time}", reader.sub);
            by.extend(issued.map(|(id, _)| id));
        }
    }
    let mut by: Vec<_> = by.into_iter().collect();
    by.sort();
    assert_eq!(by, ["all", "new", "old"]);
}

#[test]
fn the_agreement_in_force_and_its_borders() {
    let registry = Registry::new(&config(), Arc::default()).unwrap();
    let id = |consumer: &str, time: &str| {
        registry
            .agreement(&org(consumer), &audience(B, &[]), at(time))
            .map(|one| one.id)
    };
    // Days count in Oslo: 2026-01-01 begins at 23:00 UTC on the day before.
    assert_eq!(id(A, "2025-12-31T22:59:59Z"), None);
    assert_eq!(id(A, "2025-12-31T23:00:00Z").as_deref(), Some("old"));
    assert_eq!(id(UNIT, "2026-03-15T12:00:00Z").as_deref(), Some("new"));
    assert_eq!(id(A, "2026-03-31T21:59:59Z").as_deref(), Some("new"));
    assert_eq!(id(A, "2026-03-31T22:00:00Z").as_deref(), Some("old"));
    assert_eq!(id(C, "2026-03-15T12:00:00Z").as_deref(), Some("all"));
    assert_eq!(id("310001287", "2026-03-15T12:00:00Z"), None);
    assert!(
        registry
            .agreement(&org(A), &audience(C, &[]), at("2026-03-15T12:00:00Z"))
            .is_none()
    );
}

#[test]
fn delegations_come_from_the_owner_or_a_member() {
    let registry = Registry::new(&config(), Arc::default()).unwrap();
    let now = at("2026-06-01T12:00:00Z");
    assert!(
        registry
            .delegation(&org(C), &audience(B, &[]), now)
            .is_some()
    );
    assert!(
        registry
            .delegation(&org(C), &audience(A, &[B]), now)
            .is_some()
    );
    assert!(
        registry
            .delegation(&org(C), &audience(A, &[]), now)
            .is_none()
    );
    assert!(
        registry
            .delegation(&org(A), &audience(B, &[]), now)
            .is_none()
    );
    assert!(
        registry
            .delegation(&org(C), &audience(B, &[]), at("2027-01-01T12:00:00Z"))
            .is_none()
    );
}

#[test]
fn codes_are_sent_to_safe_places_only() {
    for (uri, safe) in [
        ("https://epj.example/callback", true),
        ("https://epj.example/callback?tenant=1", true),
        ("http://127.0.0.1:8400/callback", true),
        ("http://[::1]/callback", true),
        ("http://localhost/callback", false),
        ("http://epj.example/callback", false),
        ("https://epj.example/#fragment", false),
        ("https://user@epj.example/", false),
        ("epj:/callback", false),
        ("/callback", false),
        ("javascript:alert(1)", false),
    ] {
        assert_eq!(is_redirect(uri), safe, "{uri}");
    }
}

#[test]
fn keys_that_others_have_are_for_the_demo_alone() {
    let own = trust::keys::SigningKey::generate().unwrap();
    let demo = own.named("demo-1").unwrap();
    let printed = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
    let printed = trust::keys::PublicKey::from_jwk(printed).unwrap();
    for (key, sample) in [
        (own.public(), false),
        (demo.public(), true),
        (&printed, true),
    ] {
        let mut config = config();
        config.clients = vec![Client {
            client_id: "epj".into(),
            orgnr: org(A),
            use_: trust::ClientUse::RecordSystem,
            keys: trust::keys::KeySet::of(vec![key.clone()]).unwrap(),
            scopes: trust::scope::Scopes::default(),
            identity: vec![],
            grants: vec![],
            redirect_uris: vec![],
            post_logout_redirect_uris: vec![],
            audiences: vec![],
            own_audience: None,
        }];
        let refused = sample.then(|| RegistryError::Sample("epj".into()));
        let opened = |config: &Config| Registry::new(config, Arc::default()).err();
        assert_eq!(opened(&config), refused, "{key:?}");
        // Nor does a participant sign papers by one.
        let mut signs = self::config();
        signs.participants[0].keys = trust::keys::KeySet::of(vec![key.clone()]).unwrap();
        let orgnr = signs.participants[0].orgnr.to_string();
        let refused = sample.then_some(RegistryError::Sample(orgnr));
        assert_eq!(opened(&signs), refused, "{key:?}");
        for mut config in [config, signs] {
            config.demo = Some(crate::config::Demo::default());
            assert_eq!(opened(&config), None, "{key:?}");
        }
    }
}

#[test]
fn impossible_registers_are_refused() {
    let broken = |change: &dyn Fn(&mut Config)| {
        let mut config = config();
        change(&mut config);
        Registry::new(&config, Arc::default()).err()
    };
    assert_eq!(broken(&|_| {}), None);
    for from in [
        "2026-02-30",
        "2026",
        "2026-02",
        "today",
        "2026-01-01T00:00:00Z",
    ] {
        assert_eq!(
            broken(&|c| c.agreements[0].from = from.into()),
            Some(RegistryError::Days("agreement all".into())),
            "{from}"
        );
    }
    assert_eq!(
        broken(&|c| c.agreements[0].to = Some("2025-12-31".into())),
        Some(RegistryError::Days("agreement all".into()))
    );
    assert_eq!(
        broken(&|c| c.agreements[0].provider = org("310001287")),
        Some(RegistryError::Stranger(
            "agreement all".into(),
            org("310001287")
        ))
    );
    assert_eq!(
        broken(&|c| c.publish_key_seconds = 59),
        Some(RegistryError::Published)
    );
    assert_eq!(
        broken(&|c| c.operator = Some(org("310001287"))),
        Some(RegistryError::Stranger("operator".into(), org("310001287")))
    );
    let mut operator = crate::config::Client {
        client_id: "natt".into(),
        orgnr: org(A),
        use_: trust::ClientUse::Operator,
        keys: trust::keys::KeySet::default(),
        scopes: trust::scope::Scopes::default(),
        identity: vec![],
        grants: vec![Grant::ClientCredentials],
        redirect_uris: vec![],
        post_logout_redirect_uris: vec![],
        audiences: vec!["https://anchor.example/operate".into()],
        own_audience: None,
    };
    for (organisation, audiences, use_, taken) in [
        (Some(A), 1, trust::ClientUse::Operator, true),
        (Some(C), 1, trust::ClientUse::Operator, false),
        (None, 1, trust::ClientUse::Operator, false),
        (Some(A), 0, trust::ClientUse::Operator, false),
        (Some(A), 1, trust::ClientUse::RecordSystem, false),
    ] {
        operator.use_ = use_;
        let refused = broken(&|c| {
            let mut one = operator.clone();
            one.audiences.truncate(audiences);
            c.operator = organisation.map(org);
            c.clients.push(one);
        });
        let expected = (!taken).then(|| RegistryError::Operator("natt".into()));
        assert_eq!(refused, expected, "{organisation:?} {audiences} {use_:?}");
    }
    assert_eq!(
        broken(&|c| c.audiences.push(audience(A, &[]))),
        Some(RegistryError::Twice(
            "audience https://b.example/fhir".into()
        ))
    );
}
