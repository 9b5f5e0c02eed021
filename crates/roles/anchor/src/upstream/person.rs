//! Who signed in, as a provider's verified ID token tells it: national identity number, level, name, HPR number, by the
//! claim names of the configuration (HelseID's claims; ID-porten's `pid` and `acr`; Keycloak's by its mappers). Sources:
//! Tillitsrammeverk ATT-9 (level high) and ATT-10 (FNR or DNR).

use crate::config::IdentityProvider;
use crate::login::Login;
use fhir::ids::{HprNumber, PersonIdentifier, PersonSystem};
use serde_json::Value;
use trust::id_token::IdToken;
use trust::token::Kind;

/// Longest name that is kept, in bytes.
const NAME: usize = 200;

/// The login of this token, at `now` (Unix seconds) under a new session id. Says in words for the client's developer what is
/// missing; no value of the token stands in them.
///
/// Authorisations are not the provider's to tell: who holds an HPR number is asked about elsewhere.
pub(crate) fn login(
    provider: &IdentityProvider,
    token: &IdToken,
    sid: String,
    now: i64,
) -> Result<Login, &'static str> {
    let names = &provider.claims;
    let level = token.claims.get(&names.level).and_then(text);
    if !level.is_some_and(|level| provider.high.contains(&level)) {
        return Err("login_level: the sign-in was not at a high level of assurance (4)");
    }
    let number = token.claims.get(&names.pid).and_then(Value::as_str);
    let number = number
        .and_then(|number| PersonIdentifier::guess(number, provider.person_numbers).ok())
        .filter(|number| matches!(number.series(), PersonSystem::Fnr | PersonSystem::Dnr))
        .ok_or("login_identity: the identity provider gave no national identity number")?;
    let practitioner = provider.people == Kind::Practitioner;
    let hpr = match names.hpr_number.as_ref().filter(|_| practitioner) {
        None => None,
        Some(claim) => match token.claims.get(claim) {
            None | Some(Value::Null) => None,
            Some(value) => Some(
                text(value)
                    .and_then(|number| HprNumber::parse(&number).ok())
                    .ok_or("login_identity: the identity provider's HPR number is none")?
                    .as_str()
                    .to_owned(),
            ),
        },
    };
    Ok(Login {
        patient: (!practitioner).then(|| number.clone()),
        number,
        name: name(provider, token),
        hpr,
        authorization: None,
        kind: provider.people,
        at: token.auth_time.min(now),
        sid,
        provider: Some(provider.id.clone()),
    })
}

/// A claim that issuers write as text or as a whole number.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => number.as_u64().map(|number| number.to_string()),
        _ => None,
    }
}

/// The name, whole or in its parts; ID-porten gives none.
fn name(provider: &IdentityProvider, token: &IdToken) -> Option<String> {
    let said = |claim: &str| {
        let text = token.claims.get(claim).and_then(Value::as_str);
        text.map(str::trim).filter(|text| !text.is_empty())
    };
    let whole = said(&provider.claims.name).map(str::to_owned);
    let parts = ["given_name", "middle_name", "family_name"];
    let joined = parts.into_iter().filter_map(said).collect::<Vec<_>>();
    whole
        .or_else(|| (!joined.is_empty()).then(|| joined.join(" ")))
        .filter(|name| name.len() <= NAME && !name.chars().any(char::is_control))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;
    use crate::config::LoginClaims;
    use fhir::ids::PersonNumbers;
    use serde_json::json;
    use trust::keys::{Algorithm, SigningKey};

    const NOW: i64 = 1_800_000_000;
    const PID: &str = "14835210260";

    fn helseid() -> IdentityProvider {
        IdentityProvider {
            id: "helseid".into(),
            name: "HelseID".into(),
            people: Kind::Practitioner,
            issuer: "https://helseid-sts.test.nhn.no".into(),
            client_id: "c".into(),
            key: SigningKey::generate().unwrap(),
            algorithms: vec![Algorithm::Ps256],
            dpop: false,
            scope: "openid".into(),
            acr_values: None,
            claims: LoginClaims {
                pid: "helseid://claims/identity/pid".into(),
                name: "name".into(),
                hpr_number: Some("helseid://claims/hpr/hpr_number".into()),
                level: "helseid://claims/identity/security_level".into(),
            },
            high: vec!["4".into()],
            person_numbers: PersonNumbers::Strict,
            sign_out: false,
        }
    }

    fn idporten() -> IdentityProvider {
        IdentityProvider {
            people: Kind::Citizen,
            claims: LoginClaims {
                pid: "pid".into(),
                name: "name".into(),
                hpr_number: None,
                level: "acr".into(),
            },
            high: vec!["idporten-loa-high".into()],
            ..helseid()
        }
    }

    fn read(provider: &IdentityProvider, claims: Value) -> Result<Login, &'static str> {
        let token = IdToken {
            auth_time: NOW - 60,
            claims: claims.as_object().unwrap().clone(),
        };
        login(provider, &token, "sid".into(), NOW)
    }

    fn practitioner() -> Value {
        json!({
            "helseid://claims/identity/pid": PID, "helseid://claims/identity/security_level": "4",
            "helseid://claims/hpr/hpr_number": "9144900", "name": "Lege Syntetisk",
        })
    }

    #[test]
    fn helseids_claims_make_health_personnel() {
        let login = read(&helseid(), practitioner()).unwrap();
        assert_eq!(login.number.value().expose(), PID);
        assert_eq!(login.hpr.as_deref(), Some("9144900"));
        assert_eq!(login.name.as_deref(), Some("Lege Syntetisk"));
        assert_eq!((login.kind, login.at), (Kind::Practitioner, NOW - 60));
        assert!(login.patient.is_none() && login.authorization.is_none());
        // Personnel without HPR number signs in too; what that opens is the rules' to say.
        let mut without = practitioner();
        without["helseid://claims/hpr/hpr_number"] = Value::Null;
        without["name"] = Value::Null;
        without["given_name"] = "Sekretær".into();
        without["family_name"] = "Syntetisk".into();
        let login = read(&helseid(), without).unwrap();
        assert_eq!(
            (login.hpr, login.name.as_deref()),
            (None, Some("Sekretær Syntetisk"))
        );
    }

    #[test]
    fn id_portens_claims_make_a_citizen_about_herself() {
        let login = read(&idporten(), json!({"pid": PID, "acr": "idporten-loa-high"})).unwrap();
        assert_eq!((login.kind, login.name.clone()), (Kind::Citizen, None));
        assert_eq!(login.patient, Some(login.number));
    }

    #[test]
    fn too_low_a_level_or_no_number_is_nobody() {
        let level = "helseid://claims/identity/security_level";
        for (claim, value, word) in [
            (level, json!("3"), "login_level"),
            (level, json!(" 4"), "login_level"),
            (level, json!("high"), "login_level"),
            (level, json!(4.5), "login_level"),
            (level, json!(["4"]), "login_level"),
            (level, Value::Null, "login_level"),
            (
                "helseid://claims/identity/pid",
                json!("14835210261"),
                "login_identity",
            ),
            (
                "helseid://claims/identity/pid",
                json!(14835210260_u64),
                "login_identity",
            ),
            (
                "helseid://claims/identity/pid",
                json!("80000000000"),
                "login_identity",
            ),
            (
                "helseid://claims/identity/pid",
                Value::Null,
                "login_identity",
            ),
            (
                "helseid://claims/hpr/hpr_number",
                json!("abc"),
                "login_identity",
            ),
            (
                "helseid://claims/hpr/hpr_number",
                json!(["9144900"]),
                "login_identity",
            ),
        ] {
            let mut wrong = practitioner();
            wrong[claim] = value.clone();
            let said = read(&helseid(), wrong).map(drop).unwrap_err();
            assert!(said.starts_with(word), "{claim} {value}: {said}");
        }
        for acr in ["idporten-loa-substantial", "Level4", ""] {
            let said = read(&idporten(), json!({"pid": PID, "acr": acr})).map(drop);
            assert!(said.unwrap_err().starts_with("login_level"), "{acr}");
        }
    }
}
