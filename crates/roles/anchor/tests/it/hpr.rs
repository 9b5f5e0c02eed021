//! What the register of health personnel says decides, when a token is issued, whether somebody is authorised.

use crate::journey::{CITIZEN, PHYSICIAN, attest};
use crate::region::{Answer, GATEWAY, Keys, NOW, Region, physician};
use anchor::config::{Config, Hpr};
use fhir::time::Instant;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use testkit::health_personnel::{Approval, HealthPersonnel, Mood};
use wire::client::{Http, Policy};

const HPR: &str = "9144900";
/// Seconds that an answer is used.
const KEPT: i64 = 60;

async fn region_asking(
    folder: &std::path::Path,
    register: &HealthPersonnel,
    change: impl FnOnce(&mut Config),
) -> Region {
    let source = Hpr {
        url: register.base().to_owned(),
        client_file: None,
        audience: register.base().to_owned(),
        scope: wire::contract::hpr::SCOPE.to_owned(),
        keep_seconds: KEPT,
    };
    let http = Http::new(Policy::loopback()).unwrap();
    let change = |config: &mut Config| {
        config.hpr = Some(source);
        change(config);
    };
    Region::open_with(folder, Keys::new(), http, change).await
}

/// The attest with another authorisation, or none.
fn stating(code: Option<&str>) -> Value {
    let mut attest = attest();
    match code {
        Some(code) => attest["practitioner"]["authorization"]["code"] = json!(code),
        None => drop(
            attest["practitioner"]
                .as_object_mut()
                .unwrap()
                .remove("authorization"),
        ),
    }
    attest
}

impl Region {
    /// The physician's tokens with this attest in the pushed request, or the refusal.
    async fn attempt(&self, attest: &Value) -> Answer {
        let ask = self
            .push_bare()
            .set("authorization_details", &json!([attest]).to_string());
        let code = self.code_for(ask, PHYSICIAN).await;
        self.token(self.redeem(&code)).await
    }
}

fn refusal(answer: &Answer) -> (u16, String, String) {
    let words = answer.body["error_description"]
        .as_str()
        .unwrap_or_default();
    let (status, code) = answer.error();
    let word = words.split(':').next().unwrap_or_default();
    (status, code.to_owned(), word.to_owned())
}

async fn register_with(approvals: Vec<Approval>) -> HealthPersonnel {
    let register = HealthPersonnel::start().await.unwrap();
    register.enter(HPR, &physician(), approvals);
    register
}

#[tokio::test]
async fn what_is_in_force_today_goes_into_the_token_and_nothing_else_does() {
    // It is 15 January 2027.
    let physician_then = Approval::since("LE", "2020-01-01");
    let nurse = Approval::since("SP", "2010-01-01");
    let le = || physician_then.clone();
    // What the register has; what the sign-in says, if it does; what the client states; what the token says.
    for (approvals, login, stated, expected) in [
        (vec![le()], Some("LE"), Some("LE"), Some("LE")),
        (vec![le()], Some("LE"), None, Some("LE")),
        (vec![nurse.clone(), le()], Some("LE"), None, Some("LE")),
        (vec![nurse.clone(), le()], None, Some("LE"), Some("LE")),
        (vec![nurse.clone(), le()], None, Some("SP"), Some("SP")),
        (vec![nurse.clone(), le()], None, None, Some("SP")),
        (vec![nurse.clone()], None, Some("LE"), None),
        (vec![nurse.clone()], Some("LE"), None, None),
        (vec![le().until("2027-01-15")], Some("LE"), None, Some("LE")),
        (vec![le().until("2027-01-14")], Some("LE"), None, None),
        (
            vec![Approval::since("LE", "2027-01-16")],
            Some("LE"),
            None,
            None,
        ),
        (vec![], None, None, None),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let register = register_with(approvals.clone()).await;
        let said = login.map(|code| (code.to_owned(), "Lege".to_owned()));
        let region = region_asking(folder.path(), &register, |config| {
            config.demo.as_mut().unwrap().people[0].authorization = said;
        });
        let region = region.await;
        let answer = region.attempt(&stating(stated)).await;
        let case = format!("{approvals:?} {login:?} {stated:?}: {}", answer.text);
        match expected {
            Some(code) => {
                assert_eq!(answer.status, 200, "{case}");
                let token = answer.body["access_token"].as_str().unwrap();
                let claims = region.claims(token, GATEWAY).await;
                let attested = claims.attest.unwrap().practitioner;
                assert_eq!(attested.authorization.unwrap().code, code, "{case}");
            }
            None => assert_eq!(
                refusal(&answer),
                (
                    400,
                    "invalid_authorization_details".into(),
                    "authorisation_not_in_force".into()
                ),
                "{case}"
            ),
        }
    }
}

#[tokio::test]
async fn a_number_that_is_nobodys_or_another_persons_opens_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let register = HealthPersonnel::start().await.unwrap();
    let region = region_asking(folder.path(), &register, |_| {}).await;
    let code = "invalid_authorization_details".to_owned();
    let answer = region.attempt(&attest()).await;
    assert_eq!(refusal(&answer), (400, code.clone(), "hpr_unknown".into()));
    let all = vec![Approval::since("LE", "2020-01-01")];
    register.enter(HPR, crate::region::PATIENT, all);
    region.clock.fetch_add(KEPT, Ordering::SeqCst);
    let answer = region.attempt(&attest()).await;
    assert_eq!(refusal(&answer), (400, code, "hpr_differs".into()));
}

#[tokio::test]
async fn a_withdrawn_authorisation_gives_no_more_tokens_within_a_minute() {
    let folder = tempfile::tempdir().unwrap();
    let register = register_with(vec![Approval::since("LE", "2020-01-01")]).await;
    let region = region_asking(folder.path(), &register, |_| {}).await;
    let body = region.attempt(&attest()).await.body;
    let first = body["refresh_token"].as_str().unwrap().to_owned();
    assert_eq!(register.asked(), 1);
    register.enter(HPR, &physician(), vec![]);
    // What it said is used for a short while.
    region.clock.fetch_add(KEPT - 1, Ordering::SeqCst);
    let answer = region.token(region.renew(&first)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(register.asked(), 1);
    let second = answer.body["refresh_token"].as_str().unwrap().to_owned();
    region.clock.fetch_add(1, Ordering::SeqCst);
    let answer = region.token(region.renew(&second)).await;
    assert_eq!(refusal(&answer).2, "authorisation_not_in_force");
    assert_eq!(register.asked(), 2);
    // A refusal leaves the sign-in as it was: with the authorisation back, it goes on.
    let back = vec![Approval::since("LE", "2020-01-01")];
    register.enter(HPR, &physician(), back);
    region.clock.fetch_add(KEPT, Ordering::SeqCst);
    assert_eq!(region.token(region.renew(&second)).await.status, 200);
}

#[tokio::test]
async fn a_register_that_does_not_answer_opens_nothing_and_says_so() {
    for mood in [Mood::Silent, Mood::Failing, Mood::Endless] {
        let folder = tempfile::tempdir().unwrap();
        let register = register_with(vec![Approval::since("LE", "2020-01-01")]).await;
        let region = region_asking(folder.path(), &register, |_| {}).await;
        register.be(mood);
        let code = region.code_for(region.push(), PHYSICIAN).await;
        let answer = region.token(region.redeem(&code)).await;
        assert_eq!(
            refusal(&answer),
            (
                503,
                "temporarily_unavailable".into(),
                "authorisation_unconfirmed".into()
            ),
            "{mood:?}"
        );
        // It is no fault of the client's: the same code works when the register is back.
        register.be(Mood::Well);
        let answer = region.token(region.redeem(&code)).await;
        assert_eq!(answer.status, 200, "{mood:?}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_citizen_and_a_token_that_opens_nothing_are_no_business_of_the_registers() {
    let folder = tempfile::tempdir().unwrap();
    let register = HealthPersonnel::start().await.unwrap();
    let region = region_asking(folder.path(), &register, |_| {}).await;
    register.be(Mood::Failing);
    // Who signs in without an attest gets no more than who they are.
    let code = region.code_for(region.push_bare(), PHYSICIAN).await;
    assert_eq!(region.token(region.redeem(&code)).await.status, 200);
    let ask = region
        .push_bare()
        .set("scope", "openid offline_access patient/*.rs");
    let code = region.code_for(ask, CITIZEN).await;
    assert_eq!(region.token(region.redeem(&code)).await.status, 200);
    assert_eq!(register.asked(), 0);
}

#[tokio::test]
async fn it_is_asked_as_a_client_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let register = register_with(vec![Approval::since("LE", "2020-01-01")]).await;
    let now: store::Clock = std::sync::Arc::new(|| Instant::from_seconds(NOW));
    let issuer = testkit::issuer::Issuer::start_at(now).await.unwrap();
    let client = testkit::issuer::SystemClient {
        client_id: "anchor-hpr",
        use_: trust::ClientUse::Service,
        orgnr: "310001287",
    };
    let file = issuer.client_file(client, register.base()).unwrap();
    let path = folder.path().join("hpr.json");
    std::fs::write(&path, serde_json::to_vec(&file).unwrap()).unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&path, private).unwrap();
    let source = Hpr {
        url: register.base().to_owned(),
        client_file: Some(path),
        audience: "nhn:hpr".to_owned(),
        scope: "nhn:hpr/read".to_owned(),
        keep_seconds: KEPT,
    };
    let http = Http::new(Policy::loopback()).unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let region =
        Region::open_with(&data, Keys::new(), http, |config| config.hpr = Some(source)).await;
    let answer = region.attempt(&attest()).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!((register.asked(), register.asked_with_a_token()), (1, 1));
}
