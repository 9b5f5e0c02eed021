//! Tokens shaped as HelseID's, made by a test issuer, and everything that is wrong with one.
#![allow(clippy::unwrap_used)] // a failing unwrap is a failing test

use super::*;
use crate::caller::Person;
use crate::encoding::sha256_base64url;
use crate::keys::SigningKey;
use crate::scope::{Access, Context};
use fhir::ids::{PersonIdentifier, PersonNumbers};
use fhir::resource::InformationService;
use serde_json::json;

const NOW: i64 = 1_800_000_000;
const OURS: &str = "https://delt.example/fjellvik/fhir";
const PHYSICIAN: &str = "13888410036";
const PATIENT: &str = "14835210260";

fn foreign() -> Foreign {
    Foreign {
        issuer: "https://helseid-sts.test.nhn.no".into(),
        audience: "nhn:delt-fjellvik".into(),
        scopes: vec![
            (
                "nhn:delt-fjellvik/read".into(),
                Scopes::parse("user/*.rs").unwrap(),
            ),
            (
                "nhn:delt-fjellvik/write".into(),
                Scopes::parse("system/Observation.c").unwrap(),
            ),
        ],
        clients: vec![("epj-fjellvik".into(), ClientUse::RecordSystem)],
        names: Names::default(),
        agreements: vec![(
            OrganisationNumber::parse("310001074").unwrap(),
            Range {
                lo: 0,
                hi: i64::MAX,
            },
            Agreement {
                id: "AVT-1".into(),
                version: 1,
                services: vec![InformationService::MEASUREMENTS],
            },
        )],
        believe_stated_authorisations: false,
    }
}

fn attest() -> Value {
    json!({
        "toa": NOW,
        "practitioner": {
            "identifier": {"id": PHYSICIAN, "system": "urn:oid:2.16.578.1.12.4.1.4.1", "authority": "https://www.skatteetaten.no"},
            "hpr_nr": {"id": "9144900", "system": "urn:oid:2.16.578.1.12.4.1.4.4"},
            "legal_entity": {"id": "310001074", "system": "urn:oid:2.16.578.1.12.4.1.4.101"},
            "point_of_care": {"id": "310001074", "system": "urn:oid:2.16.578.1.12.4.1.4.101"},
        },
        "care_relationship": {"purpose_of_use": {"code": "TREAT", "system": "urn:oid:2.16.840.1.113883.1.11.20448"},
            "decision_ref": {"id": "d-1", "user_selected": true}},
        "patients": [{"identifier": {"id": PATIENT, "system": "urn:oid:2.16.578.1.12.4.1.4.1"}}],
    })
}

fn claims() -> Value {
    json!({
        "iss": "https://helseid-sts.test.nhn.no", "aud": "nhn:delt-fjellvik", "client_id": "a-guid",
        "sub": "opaque", "iat": NOW, "nbf": NOW, "exp": NOW + 600, "auth_time": NOW - 60, "jti": "t-1", "sid": "s-1",
        "scope": ["openid", "nhn:delt-fjellvik/read"], "idp": "idporten-oidc", "amr": ["pwd"],
        "cnf": {"jkt": sha256_base64url(b"key")},
        "name": "Lege Syntetisk",
        "helseid://claims/identity/pid": PHYSICIAN,
        "helseid://claims/identity/security_level": "4",
        "helseid://claims/identity/assurance_level": "high",
        "helseid://claims/identity/network": "internett",
        "helseid://claims/hpr/hpr_number": "9144900",
        "helseid://claims/client/claims/orgnr_parent": "310001074",
        "helseid://claims/client/client_name": "Journal",
        "helseid://claims/client/amr": "private_key_jwt",
        "nhn:tillitsrammeverk:parameters": attest(),
    })
}

fn checked(
    foreign: &Foreign,
    typ: &str,
    change: impl FnOnce(&mut Value),
) -> Result<Claims, TokenError> {
    let key = SigningKey::generate().unwrap();
    let keys = KeySet::of(vec![key.public().clone()]).unwrap();
    let mut claims = claims();
    change(&mut claims);
    let jwt = jws::sign(typ, &claims, &key).unwrap();
    assert_eq!(claimed_issuer(&jwt).as_deref(), claims["iss"].as_str());
    verify(&jwt, &keys, foreign, OURS, Instant::from_seconds(NOW))
}

#[test]
fn a_physicians_token_says_the_same_as_ours_would() {
    for typ in ["at+jwt", "JWT"] {
        let claims = checked(&foreign(), typ, |_| {}).unwrap();
        let caller = claims.caller("").unwrap();
        assert_eq!(caller.audience, OURS);
        assert!(
            caller
                .scopes
                .covers(Context::User, "Observation", Access::Search)
        );
        assert_eq!(caller.agreement.unwrap().id, "AVT-1");
        assert_eq!(
            caller.patient,
            Some(PersonIdentifier::guess(PATIENT, PersonNumbers::Strict).unwrap())
        );
        let Person::Practitioner {
            security_level,
            hpr,
            attestation,
            ..
        } = caller.person
        else {
            panic!("no practitioner");
        };
        assert_eq!((security_level, hpr.unwrap().as_str()), (4, "9144900"));
        assert_eq!(attestation.unwrap().toa, NOW);
    }
}

#[test]
fn the_attest_may_stand_in_authorization_details_but_not_twice() {
    let moved = |claims: &mut Value| {
        let mut detail = claims["nhn:tillitsrammeverk:parameters"].take();
        detail["type"] = attest::CLAIM.into();
        claims.as_object_mut().unwrap().remove(attest::CLAIM);
        claims["authorization_details"] = json!([detail]);
    };
    let claims = checked(&foreign(), "at+jwt", moved).unwrap();
    assert!(claims.caller("").unwrap().patient.is_some());
    let both = |claims: &mut Value| {
        moved(claims);
        claims[attest::CLAIM] = attest();
    };
    assert_eq!(checked(&foreign(), "at+jwt", both), Err(TokenError::Claims));
}

/// HPR number and authorisation of the attest that the caller ends up with.
fn attested(
    foreign: &Foreign,
    change: impl FnOnce(&mut Value),
) -> (Option<String>, Option<String>) {
    let claims = checked(foreign, "at+jwt", change).unwrap();
    let caller = claims.caller("").unwrap();
    let practitioner = &caller.person.attestation().unwrap().practitioner;
    (
        practitioner.hpr_nr.as_ref().map(|one| one.id.clone()),
        practitioner
            .authorization
            .as_ref()
            .map(|one| one.code.clone()),
    )
}

#[test]
fn a_clients_own_word_for_an_authorisation_counts_only_where_the_deployment_believes_it() {
    const NUMBER: &str = "helseid://claims/hpr/hpr_number";
    let physician = |claims: &mut Value| {
        claims[attest::CLAIM]["practitioner"]["authorization"] =
            json!({"code": "LE", "system": "urn:oid:2.16.578.1.12.4.1.1.9060"});
    };
    let in_details = |claims: &mut Value| {
        physician(claims);
        let mut detail = claims
            .as_object_mut()
            .unwrap()
            .remove(attest::CLAIM)
            .unwrap();
        detail["type"] = attest::CLAIM.into();
        claims["authorization_details"] = json!([detail]);
    };
    let unregistered = |claims: &mut Value| {
        physician(claims);
        claims.as_object_mut().unwrap().remove(NUMBER);
    };
    let believed = Foreign {
        believe_stated_authorisations: true,
        ..foreign()
    };
    let (number, le) = (Some("9144900".to_owned()), Some("LE".to_owned()));
    // With an HPR number at the login: registered, and as what is not known.
    assert_eq!(attested(&foreign(), physician), (number.clone(), None));
    assert_eq!(attested(&foreign(), in_details), (number.clone(), None));
    assert_eq!(attested(&believed, physician), (number.clone(), le.clone()));
    assert_eq!(attested(&believed, in_details), (number, le.clone()));
    // Without: the attest's number is nobody's, believed or not.
    assert_eq!(attested(&foreign(), unregistered), (None, None));
    assert_eq!(attested(&believed, unregistered), (None, le));
    // A number that differs from the login's is for the rules to refuse, not to hide.
    let other = |claims: &mut Value| {
        claims[attest::CLAIM]["practitioner"]["hpr_nr"]["id"] = "1234567".into();
    };
    assert_eq!(attested(&foreign(), other).0.as_deref(), Some("1234567"));
}

#[test]
fn what_helseid_did_not_fill_in_opens_no_more_than_saying_nothing() {
    use crate::rules::people::{Case, permit, refused_by};
    const NUMBER: &str = "helseid://claims/hpr/hpr_number";
    let opened = |foreign: &Foreign, login: bool, purpose: &'static str, code: Option<&str>| {
        let claims = checked(foreign, "at+jwt", |claims| {
            let attest = &mut claims[attest::CLAIM];
            attest["care_relationship"]["purpose_of_use"]["code"] = purpose.into();
            attest["care_relationship"]["reason"] = "unconscious".into();
            if let Some(code) = code {
                attest["practitioner"]["authorization"] =
                    json!({"code": code, "system": "urn:oid:2.16.578.1.12.4.1.1.9060"});
            }
            if !login {
                claims.as_object_mut().unwrap().remove(NUMBER);
            }
        });
        let mut case = Case::practitioner();
        case.agreement(&["IT03", "IT08", "IT09", "IT17"]);
        let said = claims.unwrap().caller("").unwrap();
        let practitioner = said.person.attestation().unwrap().practitioner.clone();
        case.purpose(purpose, Some("unconscious"));
        case.attest(|attest| {
            attest.practitioner.hpr_nr = practitioner.hpr_nr;
            attest.practitioner.authorization = practitioner.authorization;
        });
        if let (Person::Practitioner { hpr, .. }, Person::Practitioner { hpr: own, .. }) =
            (&mut case.caller.person, said.person)
        {
            *hpr = own;
        }
        refused_by(&case).map_or_else(
            || {
                Ok((
                    permit(&case).services().to_vec(),
                    permit(&case).reduced().to_vec(),
                ))
            },
            |refused| Err(refused.1),
        )
    };
    for purpose in ["TREAT", "BTG"] {
        for login in [true, false] {
            let silent = opened(&foreign(), login, purpose, None);
            assert_eq!(
                opened(&foreign(), login, purpose, Some("LE")),
                silent,
                "{purpose} {login}"
            );
        }
    }
    let believed = Foreign {
        believe_stated_authorisations: true,
        ..foreign()
    };
    let silent = opened(&foreign(), true, "TREAT", None).unwrap();
    let physician = opened(&believed, true, "TREAT", Some("LE")).unwrap();
    assert!(physician.0.len() > silent.0.len() && physician.1.len() < silent.1.len());
    assert_eq!(
        opened(&believed, false, "TREAT", Some("LE")),
        Err("authorisation_without_number")
    );
}

#[test]
fn audience_and_scope_have_either_shape() {
    let either = |claims: &mut Value| {
        claims["aud"] = json!(["nhn:delt-fjellvik"]);
        claims["scope"] = "openid nhn:delt-fjellvik/read".into();
    };
    assert_eq!(
        checked(&foreign(), "JWT", either).unwrap().scope,
        "user/*.rs"
    );
    let unknown = |claims: &mut Value| claims["scope"] = json!(["user/*.cruds", "nhn:other/read"]);
    assert_eq!(checked(&foreign(), "JWT", unknown).unwrap().scope, "");
}

#[test]
fn a_client_on_its_own_is_what_the_configuration_says() {
    let system = |id: &'static str| {
        move |claims: &mut Value| {
            *claims = json!({
                "iss": "https://helseid-sts.test.nhn.no", "aud": "nhn:delt-fjellvik", "client_id": id, "jti": "t-2",
                "iat": NOW, "exp": NOW + 600, "scope": ["nhn:delt-fjellvik/write"], "cnf": {"jkt": sha256_base64url(b"key")},
                "helseid://claims/client/claims/orgnr_parent": "310001007",
            });
        }
    };
    let claims = checked(&foreign(), "at+jwt", system("epj-fjellvik")).unwrap();
    let caller = claims.caller("").unwrap();
    assert_eq!(caller.person, Person::System);
    assert_eq!(caller.use_, ClientUse::RecordSystem);
    assert_eq!(claims.sub, "epj-fjellvik");
    assert_eq!(
        checked(&foreign(), "at+jwt", system("nobody")),
        Err(TokenError::Claims)
    );
}

#[test]
fn what_only_our_anchor_may_say_is_not_believed_from_elsewhere() {
    let claims = checked(&foreign(), "at+jwt", |claims| {
        claims["https://delt.example/claims/use"] = "hub".into();
        claims["https://delt.example/claims/kind"] = "system".into();
        claims["https://delt.example/claims/patient"] = PHYSICIAN.into();
        claims["https://delt.example/claims/agreement"] =
            json!({"id": "X", "version": 9, "services": ["IT03"]});
        claims["https://delt.example/claims/delegation"] =
            json!({"id": "X", "version": 9, "from": "310001007"});
        claims["act"] = json!({"client_id": "delt-gateway"});
    })
    .unwrap();
    assert_eq!(
        (claims.use_, claims.kind),
        (ClientUse::RecordSystem, Kind::Practitioner)
    );
    assert_eq!((claims.patient, claims.delegation), (None, None));
    assert_eq!(claims.agreement.unwrap().id, "AVT-1");
    assert!(claims.act.is_none());
    // No agreement with that organisation, or none today.
    let other = |c: &mut Value| {
        c["helseid://claims/client/claims/orgnr_parent"] = "310001147".into();
    };
    assert!(
        checked(&foreign(), "at+jwt", other)
            .unwrap()
            .agreement
            .is_none()
    );
    let mut ended = foreign();
    ended.agreements[0].1.hi = NOW * 1_000_000;
    assert!(
        checked(&ended, "at+jwt", |_| {})
            .unwrap()
            .agreement
            .is_none()
    );
}

#[test]
fn other_names_of_claims_are_configuration() {
    let mut renamed = foreign();
    renamed.names.pid = "pid".into();
    renamed.names.security_level = "acr_level".into();
    let claims = checked(&renamed, "at+jwt", |claims| {
        claims["pid"] = PHYSICIAN.into();
        claims["acr_level"] = "4".into();
        claims["helseid://claims/identity/pid"] = PATIENT.into();
    })
    .unwrap();
    assert_eq!(claims.pid.as_deref(), Some(PHYSICIAN));
}

#[test]
fn every_single_fault_is_refused() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change, TokenError); 14] = [
        (
            "issuer",
            |c| c["iss"] = "https://helseid-sts.nhn.no".into(),
            TokenError::Issuer,
        ),
        (
            "issuer with a slash",
            |c| c["iss"] = "https://helseid-sts.test.nhn.no/".into(),
            TokenError::Issuer,
        ),
        (
            "audience",
            |c| c["aud"] = "nhn:other".into(),
            TokenError::Audience,
        ),
        (
            "our own name",
            |c| c["aud"] = OURS.into(),
            TokenError::Audience,
        ),
        (
            "two audiences",
            |c| c["aud"] = json!(["nhn:delt-fjellvik", "nhn:other"]),
            TokenError::Audience,
        ),
        (
            "no audience",
            |c| c["aud"] = json!([]),
            TokenError::Audience,
        ),
        (
            "expired",
            |c| c["exp"] = (NOW - 10).into(),
            TokenError::Expired,
        ),
        (
            "future",
            |c| c["nbf"] = (NOW + 11).into(),
            TokenError::NotYetValid,
        ),
        (
            "exp as text",
            |c| c["exp"] = "1800000600".into(),
            TokenError::Claims,
        ),
        (
            "no client",
            |c| c["client_id"] = 7.into(),
            TokenError::Claims,
        ),
        (
            "scope of another shape",
            |c| c["scope"] = json!([1]),
            TokenError::Claims,
        ),
        (
            "pid of another shape",
            |c| c["helseid://claims/identity/pid"] = 13888410036_i64.into(),
            TokenError::Claims,
        ),
        ("unbound", |c| c["cnf"] = Value::Null, TokenError::Unbound),
        (
            "bound to nothing",
            |c| c["cnf"] = json!({"jkt": "x"}),
            TokenError::Unbound,
        ),
    ];
    for (what, change, expected) in cases {
        assert_eq!(
            checked(&foreign(), "at+jwt", change),
            Err(expected),
            "{what}"
        );
    }
    for typ in ["dpop+jwt", "client-authentication+jwt", "logout+jwt"] {
        let refused = checked(&foreign(), typ, |_| {});
        assert!(matches!(refused, Err(TokenError::Jws(_))), "{typ}");
    }
    // An ID token has the client as audience.
    let id_token = |c: &mut Value| c["aud"] = "a-guid".into();
    assert_eq!(
        checked(&foreign(), "JWT", id_token),
        Err(TokenError::Audience)
    );
    assert_eq!(claimed_issuer("a.b.c"), None);
}

#[test]
fn what_was_found_stands_until_the_next_border_of_the_consumers_agreements() {
    let mut foreign = foreign();
    let second = |n: i64| Instant::from_seconds(NOW + n).0;
    let agreement = foreign.agreements[0].2.clone();
    let (own, other) = (
        OrganisationNumber::parse("310001074").unwrap(),
        OrganisationNumber::parse("310001007").unwrap(),
    );
    foreign.agreements = [
        (own, -100, 50),
        (own, 30, 90),
        (other, 0, 10),
        (own, -90, 0),
    ]
    .map(|(who, lo, hi)| {
        let (lo, hi) = (second(lo), second(hi));
        (who, Range { lo, hi }, agreement.clone())
    })
    .to_vec();
    let claims = checked(&foreign, "at+jwt", |_| {}).unwrap();
    for (now, until) in [
        (0, Some(30)),
        (29, Some(30)),
        (30, Some(50)),
        (50, Some(90)),
        (90, None),
    ] {
        assert_eq!(
            unchanged_until(&foreign, &claims, Instant(second(now))),
            until.map(|until| Instant(second(until))),
            "{now}"
        );
    }
}
