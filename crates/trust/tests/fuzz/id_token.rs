//! What an identity provider signs: accepted only as the answer to the one sign-in that asked, whatever else stands in it.

use crate::spell::{RANDOM, spell};
use crate::{KEYS, signed};
use fhir::time::Instant;
use serde_json::{Value, json};
use trust::LEEWAY_SECONDS;
use trust::id_token::{self, Expected};
use trust::keys::Algorithm;

const NOW: i64 = 1_800_000_000;
const ISSUER: &str = "https://helseid.example";

const WORDS: &[&str] = &[
    r#"{"iss":"https://helseid.example","aud":"c","sub":"s","nonce":"n","iat":1799999990,"exp":1800000060,"auth_time":1799999980"#,
    r#","aud":["c"]"#,
    r#","azp":"c""#,
    r#","helseid://claims/identity/pid":"14835210260""#,
    r#""iss":"https://helseid.example","#,
    r#""aud":"c","#,
    r#""aud":["c","d"],"#,
    r#""azp":"#,
    r#""nonce":"n","#,
    r#""sub":"s","#,
    r#""iat":"#,
    r#""nbf":"#,
    r#""exp":"#,
    r#""auth_time":"#,
    "9223372036854775807",
    "-9223372036854775808",
    "1799999940",
    "1800000010",
    "1e3",
    "null",
    "{",
    "}",
    "[",
    "]",
    ",",
];

/// Every claim is what was asked for, exactly and of the right type, and the person stands in no print.
#[test]
fn answer() {
    bolero::check!()
        .with_iterations(RANDOM)
        .for_each(|input: &[u8]| {
            let text = spell(input, WORDS);
            let jwt = signed("JWT", text.as_bytes());
            let expected = Expected {
                issuer: ISSUER,
                client_id: "c",
                algorithms: &[Algorithm::Es256],
                nonce: "n",
                began: NOW - 60,
                max_age: 3600,
                anew: false,
            };
            let verify =
                |expected| id_token::verify(&jwt, &KEYS, expected, Instant::from_seconds(NOW));
            let Ok(token) = verify(expected) else {
                return;
            };
            let members = trust::json::object(text.as_bytes())
                .expect("claims that were taken are strict JSON");
            assert_eq!(members["iss"], ISSUER);
            assert!(members["aud"] == "c" || members["aud"] == json!(["c"]));
            assert_eq!(members.get("azp").unwrap_or(&json!("c")), "c");
            assert_eq!(members["nonce"], "n");
            let time = |name: &str| {
                members
                    .get(name)
                    .map(|value: &Value| value.as_i64().unwrap())
            };
            assert!(time("exp").unwrap() > NOW - LEEWAY_SECONDS);
            let iat = NOW - 60 - LEEWAY_SECONDS..=NOW + LEEWAY_SECONDS;
            assert!(iat.contains(&time("iat").unwrap()));
            assert!(time("nbf").is_none_or(|nbf| nbf <= NOW + LEEWAY_SECONDS));
            let sat_down = NOW - 3600 - LEEWAY_SECONDS..=NOW + LEEWAY_SECONDS;
            assert!(sat_down.contains(&token.auth_time));
            assert_eq!(time("auth_time"), Some(token.auth_time));
            assert!(!format!("{token:?}").contains("14835210260"));
            for other in [
                Expected {
                    issuer: "https://other.example",
                    ..expected
                },
                Expected {
                    client_id: "d",
                    ..expected
                },
                Expected {
                    nonce: "m",
                    ..expected
                },
                Expected {
                    algorithms: &[Algorithm::Ps256],
                    ..expected
                },
            ] {
                assert!(verify(other).is_err(), "the answer to another question");
            }
        });
}
