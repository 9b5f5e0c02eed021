//! The list of an organisation's own patients, for health personnel who sign in (decision 0053): a token that names no patient, for
//! the one service and the one scope, and every way in which there is none.

use crate::journey::{CITIZEN, PHYSICIAN, attest};
use crate::region::{Ask, FJELLVIK, GATEWAY, Keys, PROVEBAKKEN, PROVEHEIM, Region, org, physician};
use anchor::config::{AudienceKind, Config};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use trust::audit::Outcome;

const SCOPE: &str = "openid offline_access user/Task.s";

/// An attest that names no patient.
fn of_nobody() -> Value {
    let mut one = attest();
    one["patients"] = json!([]);
    one
}

impl Region {
    /// A sound request of the hospital's record system for the hospital's own list.
    fn push_for_list(&self) -> Ask {
        self.push()
            .set("scope", SCOPE)
            .set("resource", PROVEHEIM)
            .set("authorization_details", &json!([of_nobody()]).to_string())
    }
}

#[tokio::test]
async fn her_token_names_no_patient_and_is_renewed_as_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    let code = region.code_for(region.push_for_list(), PHYSICIAN).await;
    let mut answer = region.token(region.redeem(&code)).await;
    for round in 0..2 {
        assert_eq!(answer.status, 200, "{round}: {}", answer.text);
        let body = &answer.body;
        assert_eq!(body["scope"], SCOPE);
        assert!(body.get("patient").is_none() && body["refresh_token"].is_string());
        assert_eq!(body["authorization_details"][0]["patients"], json!([]));
        let token = body["access_token"].as_str().unwrap();
        let claims = region.claims(token, PROVEHEIM).await;
        assert_eq!(claims.scope, "user/Task.s");
        assert_eq!((claims.patient, claims.agreement), (None, None));
        assert_eq!(claims.pid.as_deref(), Some(physician().as_str()));
        assert_eq!(claims.orgnr_parent, Some(org("310001074")));
        assert!(claims.attest.unwrap().patients.is_empty());
        // A gateway makes nothing of it, neither as it is nor elsewhere.
        for (resource, scope) in [
            (FJELLVIK, "user/Observation.rs"),
            (PROVEHEIM, "user/Task.s"),
            (PROVEHEIM, "user/*.rs"),
        ] {
            let exchanged = region.token(region.exchange(token, resource, scope)).await;
            assert_eq!(exchanged.error(), (400, "invalid_request"), "{resource}");
        }
        // Nor is it renewed as something wider, or for another service; what failed leaves the refresh token as it was.
        let refresh = body["refresh_token"].as_str().unwrap();
        for (name, value, code) in [
            ("scope", "user/*.rs", "invalid_scope"),
            ("scope", "user/Task.rs", "invalid_scope"),
            ("scope", "user/Observation.rs", "invalid_scope"),
            ("resource", FJELLVIK, "invalid_target"),
            ("resource", GATEWAY, "invalid_target"),
        ] {
            let wider = region.token(region.renew(refresh).set(name, value)).await;
            assert_eq!(wider.error(), (400, code), "{value}");
        }
        region.clock.fetch_add(240, Ordering::SeqCst);
        answer = region.token(region.renew(refresh)).await;
    }
    // The need was stated once: an hour later it must be stated anew.
    let refresh = answer.body["refresh_token"].as_str().unwrap().to_owned();
    region.clock.fetch_add(3600, Ordering::SeqCst);
    let late = region.token(region.renew(&refresh)).await;
    assert_eq!(late.error(), (400, "invalid_authorization_details"));
    // Who asked is on record, and no patient.
    let records = region.audited().await;
    let given = records
        .iter()
        .filter(|one| one.outcome == Outcome::Allowed && one.person.is_some());
    assert!(given.clone().count() >= 3);
    assert!(given.clone().all(|one| one.patient.is_none()));
}

#[tokio::test]
async fn every_way_in_which_there_is_none() {
    const DETAILS: &str = "invalid_authorization_details";
    const TARGET: &str = "invalid_target";
    type Row = (&'static str, fn(Ask) -> Ask, &'static str);
    fn stated(ask: Ask, change: impl FnOnce(&mut Value)) -> Ask {
        let mut one = of_nobody();
        change(&mut one);
        ask.set("authorization_details", &json!([one]).to_string())
    }
    fn purpose(ask: Ask, code: &str) -> Ask {
        stated(ask, |one| {
            one["care_relationship"]["purpose_of_use"]["code"] = code.into();
            one["care_relationship"]["reason"] = "unconscious".into();
        })
    }
    let rows: [Row; 15] = [
        (
            "reading too",
            |ask| ask.set("scope", "user/Task.rs"),
            DETAILS,
        ),
        ("all types", |ask| ask.set("scope", "user/*.s"), DETAILS),
        (
            "another type besides",
            |ask| ask.set("scope", "user/Task.s user/Observation.s"),
            DETAILS,
        ),
        ("emergency", |ask| purpose(ask, "ETREAT"), DETAILS),
        ("coordination", |ask| purpose(ask, "COC"), DETAILS),
        ("break the glass", |ask| purpose(ask, "BTG"), DETAILS),
        (
            "no decision",
            |ask| {
                stated(ask, |one| {
                    let care = one["care_relationship"].as_object_mut().unwrap();
                    care.remove("decision_ref");
                })
            },
            DETAILS,
        ),
        (
            "no relation of care",
            |ask| {
                stated(ask, |one| {
                    let care = one["care_relationship"].as_object_mut().unwrap();
                    care.remove("purpose_of_use_details");
                })
            },
            DETAILS,
        ),
        (
            "another organisation's service, by agreement",
            |ask| ask.set("resource", FJELLVIK),
            TARGET,
        ),
        (
            "another organisation's service, without",
            |ask| ask.set("resource", PROVEBAKKEN),
            TARGET,
        ),
        ("a gateway", |ask| ask.set("resource", GATEWAY), TARGET),
        (
            "two services, of which one is named",
            |mut ask| {
                ask.form.push(("resource", FJELLVIK.to_owned()));
                ask
            },
            TARGET,
        ),
        (
            "the scope of a launch besides",
            |ask| ask.set("scope", "launch user/Task.s"),
            "invalid_request",
        ),
        (
            "a citizen's",
            |ask| ask.set("scope", "patient/Task.s"),
            DETAILS,
        ),
        (
            "outside the registration",
            |ask| ask.set("scope", "user/Task.su"),
            "invalid_scope",
        ),
    ];
    let folder = tempfile::tempdir().unwrap();
    let region = Region::open(folder.path()).await;
    for (what, change, code) in rows {
        let refused = region.refused_list(change(region.push_for_list())).await;
        assert_eq!(refused, code, "{what}");
    }
    // Without an attest there is no token to open anything with.
    let bare = region.push_for_list().without("authorization_details");
    let code = region
        .code_for(bare.set("scope", "user/Task.s"), PHYSICIAN)
        .await;
    let answer = region.token(region.redeem(&code)).await;
    assert_eq!(answer.error(), (400, DETAILS));
    // A citizen does not answer it.
    let uri = region.pushed(region.push_for_list()).await;
    let page = region.page(&uri).await;
    assert_eq!(region.choose(&page, CITIZEN).await.status, 400);
    // With one patient the same scope is that patient's, as for any other.
    let one = json!([attest()]).to_string();
    let named = region.push_for_list().set("authorization_details", &one);
    let code = region.code_for(named, PHYSICIAN).await;
    let answer = region.token(region.redeem(&code)).await;
    let token = answer.body["access_token"].as_str().unwrap();
    assert!(region.claims(token, PROVEHEIM).await.patient.is_some());
}

#[tokio::test]
async fn neither_a_shared_register_nor_a_record_system_has_one() {
    type Row = (&'static str, fn(&mut Config), &'static str);
    fn own(config: &mut Config) -> &mut anchor::config::Audience {
        let mut all = config.audiences.iter_mut();
        all.find(|one| one.url == PROVEHEIM).unwrap()
    }
    let rows: [Row; 3] = [
        (
            "a register shared with others",
            |config| own(config).members = vec![org("310001074"), org("310001422")],
            "invalid_authorization_details",
        ),
        (
            "another's register, as a member",
            |config| {
                own(config).owner = Some(org("310001708"));
                own(config).members = vec![org("310001074")];
            },
            "invalid_target",
        ),
        (
            "the record system",
            |config| own(config).kind = AudienceKind::RecordSystem,
            "invalid_target",
        ),
    ];
    for (what, change, code) in rows {
        let folder = tempfile::tempdir().unwrap();
        let region = Region::open_as(folder.path(), Keys::new(), change).await;
        let refused = region.refused_list(region.push_for_list()).await;
        assert_eq!(refused, code, "{what}");
    }
}

impl Region {
    /// The OAuth error that a request for a list ends in: when it is pushed, or when its code is redeemed at the first service named.
    async fn refused_list(&self, ask: Ask) -> String {
        let mut resources = ask.form.iter().filter(|(name, _)| *name == "resource");
        let first = resources.next().map(|(_, url)| url.clone()).unwrap();
        let pushed = self.post("/par", ask).await;
        let answer = match pushed.body["request_uri"].as_str() {
            None => pushed,
            Some(uri) => {
                let page = self.page(uri).await;
                let code = crate::journey::value(&self.choose(&page, PHYSICIAN).await, "code");
                let ask = self.redeem(&code.unwrap()).set("resource", &first);
                self.token(ask).await
            }
        };
        answer.body["error"].as_str().unwrap_or("none").to_owned()
    }
}
