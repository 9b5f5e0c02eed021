//! What stands under a good signature: a signer may be careless or hostile, too.

use crate::spell::{RANDOM, spell};
use crate::{KEY, KEYS, signed};
use fhir::time::Instant;
use serde_json::{Value, json};
use trust::attest::{Attestation, CLAIM};
use trust::token::Claims;
use trust::{LEEWAY_SECONDS, assertion, dpop, token};

/// A synthetic person's number.
const PERSON: &str = "14835210260";
const NOW: i64 = 1_800_000_000;
const ISSUER: &str = "https://anchor.example";
const AUDIENCE: &str = "https://fjellvik.example/fhir";
const ATTEST: &str = r#"{"toa":1799999990,"practitioner":{"identifier":{"id":"14835210260","system":"urn:oid:2.16.578.1.12.4.1.4.1"}},"care_relationship":{"purpose_of_use":{"code":"TREAT","system":"x"}},"patients":[{"identifier":{"id":"14835210260","system":"urn:oid:2.16.578.1.12.4.1.4.1"}}]}"#;

const WORDS: &[&str] = &[
    r#"{"iss":"https://anchor.example","aud":"https://fjellvik.example/fhir","sub":"s","client_id":"c","iat":1800000000,"nbf":1800000000,"exp":1800000060,"jti":"j","#,
    r#""cnf":{"jkt":"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"},"#,
    r#""https://delt.example/claims/use":"gateway","#,
    r#""https://delt.example/claims/kind":"practitioner""#,
    r#""https://delt.example/claims/kind":"citizen""#,
    r#""https://delt.example/claims/kind":"system""#,
    r#""helseid://claims/identity/pid":"14835210260","#,
    r#""helseid://claims/identity/security_level":"4","#,
    r#""helseid://claims/hpr/hpr_number":"9144889","#,
    r#""helseid://claims/client/claims/orgnr_parent":"310001007","#,
    r#""nhn:tillitsrammeverk:parameters":"#,
    ATTEST,
    r#""authorization_details":["#,
    r#"{"type":"nhn:tillitsrammeverk:parameters","toa":1,"practitioner":{"identifier":{"id":"1","system":"x"}},"care_relation":{}}"#,
    r#""scope":"user/Observation.rs","#,
    r#""https://delt.example/claims/patient":"#,
    r#"{"system":"urn:oid:2.16.578.1.12.4.1.4.1","value":"14835210260"}"#,
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "null",
    "1",
    "-1",
    "9223372036854775807",
    "1e3",
    "1800000000.5",
    r#""exp":"#,
    r#""iat":"#,
    r#""nbf":"#,
    r#""toa":"#,
    r#""htm":"POST","#,
    r#""htu":"https://fjellvik.example/fhir/Observation""#,
    r#""jti":"j""#,
    r#""ath":"x""#,
    r#""htu":"HTTPS://Fjellvik.example:443/fhir/Observation?a#b""#,
    r#""iss":"c","sub":"c","aud":"https://anchor.example""#,
    r#""aud":["a","b"]"#,
    "æ",
    r#""act":{"client_id":"g"},"#,
];

fn now() -> Instant {
    Instant::from_seconds(NOW)
}

/// An access token: accepted only if everything that the standard demands holds, and read the same way twice.
#[test]
fn token() {
    bolero::check!()
        .with_iterations(RANDOM)
        .for_each(|input: &[u8]| {
            let text = spell(input, WORDS);
            let attest = serde_json::from_str::<Attestation>(&text);
            if let Ok(attest) = &attest {
                let written = serde_json::to_value(attest).unwrap();
                assert_eq!(
                    &serde_json::from_value::<Attestation>(written).unwrap(),
                    attest
                );
                assert!(attest.only_patient().is_none() || attest.patients.len() == 1);
                assert!(!format!("{attest:?}").contains(PERSON));
            }
            let jwt = signed(token::TYP, text.as_bytes());
            let Ok(claims) = token::verify(&jwt, &KEYS, ISSUER, AUDIENCE, now()) else {
                return;
            };
            let members = trust::json::object(text.as_bytes())
                .expect("claims that were taken are strict JSON");
            assert_eq!(
                (claims.iss.as_str(), claims.aud.as_str()),
                (ISSUER, AUDIENCE)
            );
            for time in ["iat", "nbf", "exp"] {
                assert!(members[time].is_i64(), "{time} is a whole number");
            }
            assert!(claims.exp > NOW - LEEWAY_SECONDS);
            assert!(claims.iat <= NOW + LEEWAY_SECONDS && claims.nbf <= NOW + LEEWAY_SECONDS);
            assert!(claims.cnf.is_some(), "a token is bound to a key");
            assert!(
                token::verify(&jwt, &KEYS, ISSUER, "https://elsewhere.example/fhir", now())
                    .is_err()
            );
            let again: Claims =
                serde_json::from_value(serde_json::to_value(&claims).unwrap()).unwrap();
            assert!(again == claims, "written and read");
            let Ok(caller) = claims.caller(&jwt) else {
                return;
            };
            let shown = format!("{caller:?}{claims:?}");
            assert!(!shown.contains(PERSON), "a number in a Debug print");
            let twice = claims.attest.is_some()
                && claims
                    .authorization_details
                    .iter()
                    .any(|one| one["type"] == CLAIM);
            assert!(!twice, "an attest from two places was taken");
        });
}

/// A DPoP proof and a client assertion: taken only for this request, this client and this moment.
#[test]
fn proof() {
    bolero::check!()
        .with_iterations(RANDOM)
        .for_each(|input: &[u8]| {
            let text = spell(input, WORDS);
            let url = "https://fjellvik.example/fhir/Observation";
            if let Ok(claims @ Value::Object(_)) = serde_json::from_str::<Value>(&text) {
                let proof = trust::jws::sign_embedded(dpop::TYP, &claims, &KEY).unwrap();
                let check = |method, url, now| dpop::verify(&proof, method, url, None, None, now);
                if let Ok(good) = check("POST", url, now()) {
                    assert_eq!(good.jkt, KEY.thumbprint());
                    assert_eq!(claims["htm"], "POST");
                    let iat = claims["iat"].as_i64().unwrap();
                    assert!((NOW - dpop::OLDEST_SECONDS..=NOW + LEEWAY_SECONDS).contains(&iat));
                    assert!(
                        good.replay.expires.seconds() > iat,
                        "remembered as long as it could be used"
                    );
                    assert!(
                        check("GET", url, now()).is_err()
                            && check("POST", "https://fjellvik.example/fhir", now()).is_err()
                    );
                    assert!(
                        check(
                            "POST",
                            url,
                            Instant::from_seconds(iat + dpop::OLDEST_SECONDS + 1)
                        )
                        .is_err()
                    );
                    assert!(dpop::verify(&proof, "POST", url, Some("y"), None, now()).is_err());
                }
            }
            let jwt = signed(assertion::TYP, text.as_bytes());
            let claimed = assertion::claimed_client(&jwt);
            if assertion::verify(&jwt, "c", &KEYS, ISSUER, now()).is_ok() {
                assert_eq!(claimed.as_deref(), Some("c"));
                let members = trust::json::object(text.as_bytes()).unwrap();
                assert_eq!(members["aud"], json!(ISSUER), "the audience is one string");
                let life = members["exp"].as_i64().unwrap() - members["iat"].as_i64().unwrap();
                assert!(life <= assertion::LIFETIME_SECONDS);
                assert!(assertion::verify(&jwt, "d", &KEYS, ISSUER, now()).is_err());
            }
        });
}
