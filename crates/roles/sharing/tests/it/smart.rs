//! `.well-known/smart-configuration` names what is there, and nothing that is not.

use crate::house::*;
use http::StatusCode;
use serde_json::Value;
use std::collections::BTreeSet;
use trust::scope::{Context, Scope};

const PATH: &str = "/.well-known/smart-configuration";

fn texts(of: &Value) -> Vec<&str> {
    of.as_array()
        .unwrap()
        .iter()
        .map(|one| one.as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn it_names_where_tokens_come_from_and_no_endpoint_that_is_not_there() {
    let service = Service::fjellvik().await;
    let reply = service.door.get(PATH).send().await;
    assert_eq!(
        (reply.status, reply.header("content-type")),
        (StatusCode::OK, "application/json")
    );
    let issuer = service.issuer.url();
    assert_eq!(reply.json["issuer"], issuer);
    assert_eq!(reply.json["token_endpoint"], format!("{issuer}/token"));
    assert_eq!(reply.json["jwks_uri"], format!("{issuer}/jwks"));
    assert_eq!(
        texts(&reply.json["token_endpoint_auth_methods_supported"]),
        ["private_key_jwt"]
    );
    // Without an authorization endpoint there is neither launch, nor PKCE, nor a token to refresh.
    for absent in ["authorization_endpoint", "code_challenge_methods_supported"] {
        assert_eq!(reply.json.get(absent), None, "{absent}");
    }
    assert!(!texts(&reply.json["grant_types_supported"]).contains(&"authorization_code"));
    for capability in texts(&reply.json["capabilities"]) {
        assert!(
            !["launch", "sso", "context"]
                .iter()
                .any(|start| capability.starts_with(start)),
            "{capability}"
        );
    }
    // The statement says that this document is to be found.
    let statement = service.door.get("/metadata").send().await.json;
    assert_eq!(
        statement["rest"][0]["security"]["service"][0]["coding"][0]["code"],
        "SMART-on-FHIR"
    );
}

#[tokio::test]
async fn where_people_sign_in_it_names_the_way() {
    let service = Service::with("fjellvik", FJELLVIK, &[], |config| config.sign_in = true).await;
    let document = service.door.get(PATH).send().await.json;
    let issuer = service.issuer.url();
    for (member, path) in [
        ("authorization_endpoint", "authorize"),
        ("pushed_authorization_request_endpoint", "par"),
        ("revocation_endpoint", "revoke"),
        ("token_endpoint", "token"),
    ] {
        assert_eq!(document[member], format!("{issuer}/{path}"));
    }
    assert_eq!(
        texts(&document["code_challenge_methods_supported"]),
        ["S256"]
    );
    for grant in ["client_credentials", "authorization_code", "refresh_token"] {
        assert!(
            texts(&document["grant_types_supported"]).contains(&grant),
            "{grant}"
        );
    }
    // Launch in context is not there, and not named.
    for capability in texts(&document["capabilities"]) {
        assert!(!capability.starts_with("launch") && !capability.starts_with("context"));
    }
}

#[tokio::test]
async fn each_scope_is_of_a_type_that_the_statement_lists_and_opens_it() {
    let service = Service::fjellvik().await;
    let document = service.door.get(PATH).send().await.json;
    let statement = service.door.get("/metadata").send().await.json;
    let listed: BTreeSet<&str> = statement["rest"][0]["resource"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["type"].as_str().unwrap())
        .collect();
    let mut named = BTreeSet::new();
    for text in texts(&document["scopes_supported"]) {
        let scope = Scope::parse(text).unwrap();
        let kind = text
            .split_once('/')
            .and_then(|(_, rest)| rest.split_once('.'))
            .unwrap()
            .0;
        named.insert(kind);
        let who = match scope.context() {
            Context::System => service.system(trust::ClientUse::RecordSystem, FJELLVIK, text),
            Context::User => {
                service.physician_but(ragnhild(), |claims| claims.scope = text.to_owned())
            }
            Context::Patient => service.held(|jkt| {
                let mut claims = service
                    .issuer
                    .citizen_claims(ragnhild(), &service.base, jkt, NOW);
                claims.scope = text.to_owned();
                claims
            }),
        };
        let reply = service.search(&who, kind, &[]).await;
        assert_eq!(reply.status, StatusCode::OK, "{text}: {}", reply.json);
        let other = if kind == "Observation" {
            "CarePlan"
        } else {
            "Observation"
        };
        let refused = service.search(&who, other, &[]).await;
        assert_eq!(
            refused.status,
            StatusCode::FORBIDDEN,
            "{text} opened {other}"
        );
    }
    assert_eq!(named, listed);
}
