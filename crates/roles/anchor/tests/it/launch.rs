//! Launch in context: a record system deposits what it opens an app for, the app brings the handle, and the person whom the
//! record system named signs in (SMART App Launch 2.2, "EHR launch"; threats-and-faults sections 2 and 10).

use crate::journey::{PHYSICIAN, VERIFIER, attest, cookie_of, value};
use crate::operate::{operate, with as with_operator};
use crate::region::*;
use anchor::config::{Client, Config, Delegation, DemoPerson, Grant, IDENTITY_SCOPES};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::Ordering;
use trust::ClientUse;
use trust::encoding::sha256_base64url;
use trust::keys::{KeySet, SigningKey};
use trust::scope::Scopes;

const PORTAL: &str = "delt-portal";
const PORTAL_CALLBACK: &str = "https://portal.example/callback";
const MUNICIPALITY: &str = "310001007";
const HOSPITAL: &str = "310001074";
/// The page's choice of the physician's colleague.
const COLLEAGUE: &str = "3";

/// A region with the hospital's portal, which the municipality lets act for its people.
struct Launching {
    region: Region,
    portal: SigningKey,
    operator: SigningKey,
}

/// Another physician.
fn colleague() -> String {
    number("05887410")
}

fn portal(key: &SigningKey) -> Client {
    Client {
        client_id: PORTAL.into(),
        orgnr: org(HOSPITAL),
        use_: ClientUse::Portal,
        keys: KeySet::of(vec![key.public().clone()]).unwrap(),
        scopes: Scopes::parse("user/*.rs").unwrap(),
        identity: IDENTITY_SCOPES.map(str::to_owned).to_vec(),
        grants: vec![Grant::AuthorizationCode, Grant::RefreshToken],
        redirect_uris: vec![PORTAL_CALLBACK.into()],
        post_logout_redirect_uris: vec![],
        audiences: vec![GATEWAY.into()],
        own_audience: None,
    }
}

impl Launching {
    async fn open(folder: &Path) -> Launching {
        Launching::open_as(folder, |_| {}).await
    }

    async fn open_as(folder: &Path, change: impl FnOnce(&mut Config)) -> Launching {
        let (key, operator) = (
            SigningKey::generate().unwrap(),
            SigningKey::generate().unwrap(),
        );
        let region = Region::open_as(folder, Keys::new(), |config| {
            with_operator(config, &operator);
            config.clients.push(portal(&key));
            config.clients.push(Client {
                client_id: "other-app".into(),
                ..portal(&key)
            });
            config.delegations.push(Delegation {
                id: "DEL-PORTAL".into(),
                version: 1,
                from: org(MUNICIPALITY),
                to: org(HOSPITAL),
                from_day: "2026-01-01".into(),
                to_day: None,
                signed: true,
            });
            config.demo.as_mut().unwrap().people.push(DemoPerson {
                number: person(&colleague()),
                name: "Kollega Syntetisk".into(),
                hpr: Some("9144901".into()),
                authorization: Some(("LE".into(), "Lege".into())),
            });
            change(config);
        })
        .await;
        Launching {
            region,
            portal: key,
            operator,
        }
    }

    /// A sound deposit of the municipality's record system for its physician and the story's patient.
    fn deposit(&self) -> Ask {
        let region = &self.region;
        let mut ask = region
            .ask(OTHER_JOURNAL, &region.epj, "", "")
            .without("grant_type")
            .without("resource")
            .without("scope")
            .set("app", PORTAL)
            .set("authorization_details", &json!([need()]).to_string());
        ask.proofs = vec![region.proof_for(&region.epj, "/launch")];
        ask
    }

    async fn handle(&self) -> String {
        let answer = self.region.post("/launch", self.deposit()).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        assert_eq!(answer.body["expires_in"], 60);
        answer.body["launch"].as_str().unwrap().to_owned()
    }

    /// A sound pushed request of the portal.
    fn push(&self, handle: &str) -> Ask {
        self.push_as(PORTAL, handle)
    }

    fn push_as(&self, app: &str, handle: &str) -> Ask {
        let mut ask = self
            .region
            .ask(
                app,
                &self.portal,
                GATEWAY,
                "openid profile offline_access launch user/*.rs",
            )
            .without("grant_type")
            .set("response_type", "code")
            .set("redirect_uri", PORTAL_CALLBACK)
            .set("state", "st-1")
            .set("code_challenge", &sha256_base64url(VERIFIER.as_bytes()))
            .set("code_challenge_method", "S256")
            .set("launch", handle);
        ask.proofs = vec![self.region.proof_for(&self.region.user, "/par")];
        ask
    }

    /// What the portal gets for a code.
    async fn redeem(&self, code: &str) -> Answer {
        let ask = self
            .region
            .ask(PORTAL, &self.portal, "", "")
            .without("resource")
            .without("scope")
            .set("grant_type", "authorization_code")
            .set("code", code)
            .set("redirect_uri", PORTAL_CALLBACK)
            .set("code_verifier", VERIFIER);
        self.token(ask).await
    }

    async fn renew(&self, refresh_token: &str) -> Answer {
        let ask = self
            .region
            .ask(PORTAL, &self.portal, "", "")
            .without("resource")
            .without("scope")
            .set("grant_type", "refresh_token")
            .set("refresh_token", refresh_token);
        self.token(ask).await
    }

    async fn token(&self, mut ask: Ask) -> Answer {
        ask.proofs = vec![self.region.proof(&self.region.user)];
        self.region.token(ask).await
    }

    /// The sign-in page of a launch, in a new browser.
    async fn page(&self, uri: &str) -> crate::journey::Page {
        let answer = self.region.visit(PORTAL, uri, None).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let cookie = cookie_of(&answer).unwrap();
        crate::journey::Page { answer, cookie }
    }

    /// A launch to its tokens.
    async fn launched(&self) -> Value {
        let uri = self.region.pushed(self.push(&self.handle().await)).await;
        let page = self.page(&uri).await;
        let answer = self.region.choose(&page, PHYSICIAN).await;
        let answer = self.redeem(&value(&answer, "code").unwrap()).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.body
    }
}

/// The need as the municipality's record system states it: its own physician, its own places.
fn need() -> Value {
    let mut need = attest();
    let place = json!({"id": MUNICIPALITY, "system": "urn:oid:2.16.578.1.12.4.1.4.101"});
    need["practitioner"] = json!({
        "identifier": {"id": physician(), "system": "urn:oid:2.16.578.1.12.4.1.4.1"},
        "legal_entity": place,
        "point_of_care": place,
    });
    need["patients"][0]["identifier"]["name"] = "Ragnhild Testmo".into();
    need
}

#[tokio::test]
async fn a_record_system_opens_the_portal_for_one_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let launching = Launching::open(folder.path()).await;
    let region = &launching.region;
    let tokens = launching.launched().await;
    assert_eq!(
        tokens["scope"],
        "openid profile offline_access launch user/*.rs"
    );
    // Which patient, in a word that names nobody, and the need as it was deposited.
    let patient = tokens["patient"].as_str().unwrap().to_owned();
    assert!(fhir::ids::LogicalId::parse(&patient).is_ok());
    assert_eq!(tokens["need_patient_banner"], true);
    let granted = &tokens["authorization_details"][0];
    assert_eq!(granted["patients"][0]["identifier"]["id"], PATIENT);
    // The name is for the page, and in no token.
    assert_eq!(
        granted["patients"][0]["identifier"]["name"],
        "Ragnhild Testmo"
    );
    assert_eq!(
        granted["care_relationship"]["decision_ref"]["id"],
        "decision-1"
    );
    // The portal acts in the name of the organisation that opened it, not its own.
    let claims = region
        .claims(tokens["access_token"].as_str().unwrap(), GATEWAY)
        .await;
    assert_eq!(claims.orgnr_parent, Some(org(MUNICIPALITY)));
    assert_eq!(claims.client_id, PORTAL);
    assert_eq!(claims.patient_id.as_ref(), Some(&patient));
    assert_eq!(claims.pid, Some(physician()));
    let attest = claims.attest.unwrap();
    assert_eq!(attest.practitioner.legal_entity.unwrap().id, MUNICIPALITY);
    assert_eq!(claims.patient, Some(person(PATIENT)));
    assert_eq!(attest.patients[0].identifier.name, None);
    // A renewal is for the same patient.
    let again = launching
        .renew(tokens["refresh_token"].as_str().unwrap())
        .await;
    assert_eq!(again.body["patient"], patient, "{}", again.text);
    // Each step is on record, with the decision behind it.
    let records = region.audited().await;
    let decided: Vec<_> = records
        .iter()
        .filter(|one| {
            one.decision_ref
                .as_ref()
                .is_some_and(|one| one.id == "decision-1")
        })
        .map(|one| (one.client.as_deref().unwrap(), one.organisation.unwrap()))
        .collect();
    assert!(
        decided.contains(&(OTHER_JOURNAL, org(MUNICIPALITY)))
            && decided.contains(&(PORTAL, org(MUNICIPALITY))),
        "{decided:?}"
    );
    let pushed = format!("launched-by={OTHER_JOURNAL}");
    assert!(records.iter().any(|one| one.asked.contains(&pushed)));
}

#[tokio::test]
async fn one_sign_in_is_enough_and_it_must_be_hers() {
    let folder = tempfile::tempdir().unwrap();
    let launching = Launching::open(folder.path()).await;
    let region = &launching.region;
    let pushed = async |launching: &Launching| {
        region
            .pushed(launching.push(&launching.handle().await))
            .await
    };
    // Whom the record system did not name is sent back, and the launch is spent.
    let uri = pushed(&launching).await;
    let page = launching.page(&uri).await;
    assert!(page.answer.text.contains("Fjellvik kommune"));
    let refused = region.choose(&page, COLLEAGUE).await;
    assert_eq!(value(&refused, "error").unwrap(), "access_denied");
    let words = value(&refused, "error_description").unwrap();
    assert!(words.starts_with("attestation_practitioner"), "{words}");
    assert_eq!(region.visit(PORTAL, &uri, None).await.status, 400);
    // The colleague's session does not answer for the physician: she is asked.
    let colleagues = cookie_of(&refused);
    assert!(colleagues.is_some());
    let uri = pushed(&launching).await;
    let page = region.visit(PORTAL, &uri, colleagues.as_deref()).await;
    assert_eq!(page.status, 200, "{}", page.text);
    let silent = launching
        .push(&launching.handle().await)
        .set("prompt", "none");
    let uri = region.pushed(silent).await;
    let answer = region.visit(PORTAL, &uri, colleagues.as_deref()).await;
    assert_eq!(value(&answer, "error").unwrap(), "login_required");
    // Signed in once, for the next patient she is not asked again.
    let uri = pushed(&launching).await;
    let page = launching.page(&uri).await;
    let hers = cookie_of(&region.choose(&page, PHYSICIAN).await);
    let uri = pushed(&launching).await;
    let answer = region.visit(PORTAL, &uri, hers.as_deref()).await;
    assert!(value(&answer, "code").is_some());
}

type Spoil = fn(Ask, &Launching) -> Ask;

/// The deposit with its attest changed.
fn changed(ask: Ask, change: impl FnOnce(&mut Value)) -> Ask {
    let mut one = need();
    change(&mut one);
    ask.set("authorization_details", &json!([one]).to_string())
}

#[tokio::test]
async fn what_is_wrong_with_a_deposit() {
    let folder = tempfile::tempdir().unwrap();
    let launching = Launching::open(folder.path()).await;
    let table: [(&str, Spoil, u16, &str); 16] = [
        (
            "no proof",
            |mut ask, _| {
                ask.proofs.clear();
                ask
            },
            400,
            "invalid_dpop_proof",
        ),
        (
            "a proof for another endpoint",
            |mut ask, l| {
                ask.proofs = vec![l.region.proof(&l.region.epj)];
                ask
            },
            400,
            "invalid_dpop_proof",
        ),
        (
            "no client",
            |ask, _| ask.without("client_assertion"),
            401,
            "invalid_client",
        ),
        (
            "an app that nobody knows",
            |ask, _| ask.set("app", "nobody"),
            400,
            "invalid_target",
        ),
        (
            "an app that is not opened in context",
            |ask, _| ask.set("app", "delt-hub"),
            400,
            "invalid_target",
        ),
        ("no app", |ask, _| ask.without("app"), 400, "invalid_target"),
        (
            "no need",
            |ask, _| ask.without("authorization_details"),
            400,
            "invalid_authorization_details",
        ),
        (
            "an empty list",
            |ask, _| ask.set("authorization_details", "[]"),
            400,
            "invalid_authorization_details",
        ),
        (
            "not JSON",
            |ask, _| ask.set("authorization_details", "x"),
            400,
            "invalid_authorization_details",
        ),
        (
            "no patient",
            |ask, _| changed(ask, |one| one["patients"] = json!([])),
            400,
            "invalid_authorization_details",
        ),
        (
            "no practitioner",
            |ask, _| {
                changed(ask, |one| {
                    one["practitioner"]
                        .as_object_mut()
                        .unwrap()
                        .remove("identifier");
                })
            },
            400,
            "invalid_authorization_details",
        ),
        (
            "a practitioner who is no person",
            |ask, _| {
                changed(ask, |one| {
                    one["practitioner"]["identifier"]["id"] = "1".into()
                })
            },
            400,
            "invalid_authorization_details",
        ),
        (
            "another organisation's place",
            |ask, _| {
                changed(ask, |one| {
                    one["practitioner"]["legal_entity"]["id"] = HOSPITAL.into()
                })
            },
            400,
            "invalid_authorization_details",
        ),
        (
            "an old attest",
            |ask, _| changed(ask, |one| one["toa"] = (NOW - 3601).into()),
            400,
            "invalid_authorization_details",
        ),
        (
            "no purpose",
            |ask, _| {
                changed(ask, |one| {
                    one["care_relationship"]
                        .as_object_mut()
                        .unwrap()
                        .remove("purpose_of_use");
                })
            },
            400,
            "invalid_authorization_details",
        ),
        (
            "a parameter twice",
            |mut ask, _| {
                ask.form.push(("app", PORTAL.into()));
                ask
            },
            400,
            "invalid_request",
        ),
    ];
    for (what, spoil, status, code) in table {
        let answer = launching
            .region
            .post("/launch", spoil(launching.deposit(), &launching))
            .await;
        assert_eq!(answer.error(), (status, code), "{what}: {}", answer.text);
        assert!(!answer.text.contains(PATIENT), "{what}");
    }
    // Only record systems deposit: the portal cannot launch itself.
    let mut ask = launching
        .region
        .ask(PORTAL, &launching.portal, "", "")
        .set("app", PORTAL)
        .set("authorization_details", &json!([need()]).to_string());
    ask.proofs = vec![launching.region.proof_for(&launching.portal, "/launch")];
    let answer = launching.region.post("/launch", ask).await;
    assert_eq!(answer.error(), (400, "unauthorized_client"));
    // One assertion, one proof, one deposit.
    let (first, second) = (launching.deposit(), launching.deposit());
    let again = Ask {
        form: first.form.clone(),
        proofs: second.proofs.clone(),
        headers: vec![],
    };
    assert_eq!(launching.region.post("/launch", first).await.status, 201);
    let answer = launching.region.post("/launch", again).await;
    assert_eq!(answer.error(), (401, "invalid_client"));
}

#[tokio::test]
async fn without_a_delegation_another_organisations_app_is_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let launching = Launching::open_as(folder.path(), |config| {
        config.delegations.retain(|one| one.id != "DEL-PORTAL");
    })
    .await;
    let answer = launching.region.post("/launch", launching.deposit()).await;
    assert_eq!(answer.error(), (400, "invalid_target"));
}

#[tokio::test]
async fn what_is_wrong_with_a_launch() {
    let folder = tempfile::tempdir().unwrap();
    let launching = Launching::open(folder.path()).await;
    let region = &launching.region;
    let table: [(&str, Spoil, &str); 8] = [
        (
            "an unknown handle",
            |ask, _| ask.set("launch", &"A".repeat(54)),
            "invalid_request",
        ),
        (
            "no handle's form",
            |ask, _| ask.set("launch", "123"),
            "invalid_request",
        ),
        (
            "an empty handle",
            |ask, _| ask.set("launch", ""),
            "invalid_request",
        ),
        (
            "scope launch alone",
            |ask, _| ask.without("launch"),
            "invalid_request",
        ),
        (
            "the handle alone",
            |ask, _| ask.set("scope", "openid user/*.rs"),
            "invalid_request",
        ),
        (
            "an attest of the app's own",
            |ask, _| ask.set("authorization_details", &json!([need()]).to_string()),
            "invalid_authorization_details",
        ),
        (
            "more than the app may have",
            |ask, _| ask.set("scope", "launch user/*.cruds"),
            "invalid_scope",
        ),
        (
            "another server",
            |ask, _| ask.set("aud", FJELLVIK),
            "invalid_target",
        ),
    ];
    let handle = launching.handle().await;
    for (what, spoil, code) in table {
        let answer = region
            .post("/par", spoil(launching.push(&handle), &launching))
            .await;
        assert_eq!(answer.error(), (400, code), "{what}: {}", answer.text);
    }
    // Another app's handle opens nothing, and is not used up by the try; SMART's `aud` names the audience alone, too.
    let answer = region
        .post("/par", launching.push_as("other-app", &handle))
        .await;
    assert_eq!(answer.error(), (400, "invalid_request"));
    let sound = launching.push(&handle).without("resource");
    assert_eq!(
        region.post("/par", sound.set("aud", GATEWAY)).await.status,
        201
    );
    // Used: once and no more.
    let again = region.post("/par", launching.push(&handle)).await;
    assert_eq!(again.error(), (400, "invalid_request"));
    // 60 seconds, and not one more.
    for (seconds, status) in [(60, 201), (61, 400)] {
        let handle = launching.handle().await;
        region.clock.fetch_add(seconds, Ordering::SeqCst);
        let answer = region.post("/par", launching.push(&handle)).await;
        assert_eq!(answer.status.as_u16(), status, "{seconds}: {}", answer.text);
    }
}

#[tokio::test]
async fn of_twenty_who_bring_one_handle_at_once_one_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let launching = Launching::open(folder.path()).await;
    let handle = launching.handle().await;
    let all = (0..20).map(|_| launching.region.post("/par", launching.push(&handle)));
    let answers = futures::future::join_all(all).await;
    let taken = answers.iter().filter(|one| one.status == 201).count();
    assert_eq!(taken, 1);
    for answer in answers.iter().filter(|one| one.status != 201) {
        assert_eq!(answer.error(), (400, "invalid_request"), "{}", answer.text);
    }
    // The refusals are on record like the rest.
    let records = launching.region.audited().await;
    let refused = records
        .iter()
        .filter(|one| !matches!(one.outcome, trust::audit::Outcome::Allowed));
    assert_eq!(refused.count(), 19);
}

#[tokio::test]
async fn a_launch_ends_with_the_right_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let launching = Launching::open(folder.path()).await;
    let region = &launching.region;
    for order in [
        json!({"kind": "delegation", "id": "DEL-PORTAL"}),
        json!({"kind": "client", "id": OTHER_JOURNAL}),
        json!({"kind": "participant", "id": MUNICIPALITY}),
    ] {
        let tokens = launching.launched().await;
        let handle = launching.handle().await;
        let mut stop = order.clone();
        stop["reason"] = "test".into();
        let done = operate(
            region,
            &launching.operator,
            "/operate/suspend",
            stop.clone(),
        )
        .await;
        assert_eq!(done.status, 200, "{order}: {}", done.text);
        let answer = region.post("/par", launching.push(&handle)).await;
        assert_eq!(answer.error(), (400, "invalid_request"), "{order}");
        let answer = launching
            .renew(tokens["refresh_token"].as_str().unwrap())
            .await;
        assert_eq!(answer.error(), (400, "access_denied"), "{order}");
        let done = operate(region, &launching.operator, "/operate/resume", stop).await;
        assert_eq!(done.status, 200, "{order}: {}", done.text);
    }
}

/// A pushed request of the portal on its own: the need is stated, the patient left open.
fn alone(launching: &Launching) -> Ask {
    let mut need = attest();
    need["patients"] = json!([]);
    launching
        .push("")
        .without("launch")
        .set("scope", "launch/patient offline_access user/*.rs")
        .set("authorization_details", &json!([need]).to_string())
}

impl Launching {
    /// Sends the form that names a patient.
    async fn name(&self, page: &crate::journey::Page, more: (&str, &str), cookie: &str) -> Answer {
        let form = wire::form::write([("ticket", page.ticket().as_str()), more]);
        let headers = [("cookie", cookie), ("sec-fetch-site", "same-origin")];
        self.region
            .send_form("/sign-in/patient", &form, &headers)
            .await
    }
}

#[tokio::test]
async fn who_opens_the_app_on_its_own_names_the_patient_in_a_form() {
    let folder = tempfile::tempdir().unwrap();
    let launching = Launching::open(folder.path()).await;
    let region = &launching.region;
    let uri = region.pushed(alone(&launching)).await;
    let page = launching.page(&uri).await;
    let answer = region.choose(&page, PHYSICIAN).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(answer.text.contains("Hvilken pasient gjelder det?"));
    assert!(
        answer
            .text
            .contains("Lege Syntetisk, Prøveheim Diakonale Sykehus")
    );
    assert!(answer.text.contains("Behandling (TREAT)"));
    let cookie = cookie_of(&answer).unwrap();
    assert_ne!(cookie, page.cookie, "a new session id at sign-in");
    let page = crate::journey::Page {
        answer,
        cookie: cookie.clone(),
    };
    // What is no number, or might be a living person's, is asked for again.
    for wrong in ["", "1", "14835210261", "01010112345", "x' or 1=1"] {
        let answer = launching.name(&page, ("number", wrong), &cookie).await;
        assert_eq!(answer.status, 422, "{wrong}");
        assert!(answer.text.contains("aria-invalid=\"true\""));
    }
    // Another browser's form, the sign-in page's value here, and this page's value there, are refused.
    let other = launching
        .page(&region.pushed(alone(&launching)).await)
        .await;
    let foreign = launching
        .name(&page, ("number", PATIENT), &other.cookie)
        .await;
    assert_eq!(foreign.status, 403);
    let early = launching
        .name(&other, ("number", PATIENT), &other.cookie)
        .await;
    assert_eq!(early.status, 400);
    let again = region.choose(&page, COLLEAGUE).await;
    assert_eq!(again.status, 400);
    // As people write it.
    let answer = launching
        .name(&page, ("number", "148352 10260"), &cookie)
        .await;
    let code = value(&answer, "code").unwrap();
    let answer = launching.redeem(&code).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let details = &answer.body["authorization_details"][0];
    assert_eq!(details["patients"][0]["identifier"]["id"], PATIENT);
    assert!(fhir::ids::LogicalId::parse(answer.body["patient"].as_str().unwrap()).is_ok());
    // Once.
    let again = launching.name(&page, ("number", PATIENT), &cookie).await;
    assert_eq!(again.status, 400);
    // Signed in, she is asked for the next patient only; and may break off.
    let uri = region.pushed(alone(&launching)).await;
    let answer = region.visit(PORTAL, &uri, Some(&cookie)).await;
    assert!(answer.text.contains("Hvilken pasient gjelder det?"));
    let page = crate::journey::Page {
        answer,
        cookie: cookie.clone(),
    };
    let answer = launching.name(&page, ("stop", "1"), &cookie).await;
    assert_eq!(value(&answer, "error").unwrap(), "access_denied");
    let silent = alone(&launching).set("prompt", "none");
    let uri = region.pushed(silent).await;
    let answer = region.visit(PORTAL, &uri, Some(&cookie)).await;
    assert_eq!(value(&answer, "error").unwrap(), "login_required");
    // Without a need there is nobody to name a patient for.
    let ask = alone(&launching).without("authorization_details");
    let answer = region.post("/par", ask).await;
    assert_eq!(answer.error(), (400, "invalid_authorization_details"));
}

#[tokio::test]
async fn a_citizen_is_her_own_patient_and_asked_for_no_number() {
    let folder = tempfile::tempdir().unwrap();
    let launching = Launching::open_as(folder.path(), |config| {
        for one in config
            .clients
            .iter_mut()
            .filter(|one| one.client_id == PORTAL)
        {
            one.scopes = Scopes::parse("patient/*.rs user/*.rs").unwrap();
        }
    })
    .await;
    let region = &launching.region;
    let ask = alone(&launching)
        .without("authorization_details")
        .set("scope", "launch/patient patient/*.rs");
    let page = launching.page(&region.pushed(ask).await).await;
    let answer = region.choose(&page, crate::journey::CITIZEN).await;
    let answer = launching.redeem(&value(&answer, "code").unwrap()).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(answer.body["patient"].is_string());
    assert!(answer.body.get("authorization_details").is_none());
}

#[tokio::test]
async fn what_is_not_brought_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let launching = Launching::open(folder.path()).await;
    launching.handle().await;
    launching.region.clock.fetch_add(61, Ordering::SeqCst);
    assert_eq!(launching.region.state.sweep().await.unwrap(), 1);
    // On disk it named nobody: the store's files do not hold the physician's number.
    let mut read = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes
                .windows(11)
                .any(|window| window == physician().as_bytes());
            assert!(!found, "{}", path.display());
            read += 1;
        }
    }
    assert!(read > 0);
}
