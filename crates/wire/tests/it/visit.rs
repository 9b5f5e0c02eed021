//! A visit from the proven token to the record that ends it: one record for every way out, and each proof once
//! (threats-and-faults sections 1 and 11).

use fhir::ids::{OrganisationNumber, PersonIdentifier, PersonNumbers};
use fhir::resource::ResourceType;
use fhir::systems;
use http::request::Parts;
use http::{Request, StatusCode, header};
use serde_json::json;
use store::{AuditFilter, Change, Expect, LedgerWrite, Store, StoreError, Surroundings};
use trust::audit::{Outcome, Record};
use trust::keys::SigningKey;
use trust::organisation::Register;
use trust::token::{Claims, Kind};
use trust::wish::{Closed, Source, Wish};
use trust::{Ask, Category, ClientUse, Facts, Interaction, Party, dpop};
use uuid::Uuid;
use wire::outcome::{Challenge, Problem, fhir_response};
use wire::request_id::RequestIds;
use wire::visit::{Desk, End, OTHER_MEMBER, Visit};

use crate::region::Region;

const FJELLVIK: &str = "310001007";
const PATIENT: &str = "14835210260";
const OTHER: &str = "12857910174";
const NURSE: &str = "13888410278";
const READ: &str = "GET /fhir/Observation";

fn person(number: &str) -> PersonIdentifier {
    PersonIdentifier::guess(number, PersonNumbers::Lenient).unwrap()
}

fn search() -> Ask {
    Ask::of(Interaction::Search, ResourceType::OBSERVATION)
}

fn nothing() -> axum::response::Response {
    fhir_response(StatusCode::OK, "{}")
}

/// Fjellvik's own service behind its desk, and somebody with a key.
struct Door {
    region: Region,
    desk: Desk,
    key: SigningKey,
    ids: RequestIds,
}

impl Door {
    async fn of(party: Party) -> Door {
        let region = Region::new().await;
        let owner: OrganisationNumber = FJELLVIK.parse().unwrap();
        let mut register = Register::default();
        register.add(owner, "Fjellvik");
        let facts = Facts {
            party,
            owner,
            members: [].into(),
            audience: region.audience().into(),
            register: register.into(),
            wishes: [].into(),
            known: Default::default(),
            now: (region.house.clock)(),
        };
        let desk = Desk {
            guard: region.guard.clone(),
            facts,
            store: region.store.clone(),
            clock: region.house.clock.clone(),
        };
        let ids = RequestIds {
            ours: Uuid::from_u128(7),
            callers: Some("theirs".to_owned()),
        };
        let key = SigningKey::generate().unwrap();
        Door {
            region,
            desk,
            key,
            ids,
        }
    }

    async fn new() -> Door {
        Self::of(Party::Sharing).await
    }

    /// Fjellvik's own record system.
    fn system(&self) -> Claims {
        let claims = self
            .region
            .anchor
            .claims(&self.region.audience(), self.key.thumbprint());
        Claims {
            scope: "system/*.cruds".to_owned(),
            use_: ClientUse::RecordSystem,
            ..claims
        }
    }

    /// Fjellvik's own nurse with a documented need: about one patient, or for the list of them.
    fn nurse(&self, patient: Option<&str>) -> Claims {
        let orgnr = json!({"id": FJELLVIK, "system": systems::ORGNR});
        let number = |number: &str| json!({"id": number, "system": systems::FNR});
        let about = patient.map(|one| json!({"identifier": number(one)}));
        let attest = json!({
            "toa": self.system().iat,
            "practitioner": {
                "identifier": number(NURSE),
                "hpr_nr": {"id": "9144900", "system": systems::HPR},
                "authorization": {"code": "SP", "system": "urn:oid:2.16.578.1.12.4.1.1.9060"},
                "legal_entity": orgnr,
                "point_of_care": orgnr,
            },
            "care_relationship": {
                "healthcare_service": {"code": "any", "system": "any"},
                "purpose_of_use": {"code": "TREAT", "system": systems::PURPOSE_OF_USE},
                "decision_ref": {"id": "decision-1", "user_selected": true},
            },
            "patients": about.into_iter().collect::<Vec<_>>(),
        });
        Claims {
            kind: Kind::Practitioner,
            use_: ClientUse::Test,
            scope: "user/*.rs".to_owned(),
            pid: Some(NURSE.to_owned()),
            security_level: Some("4".to_owned()),
            attest: Some(serde_json::from_value(attest).unwrap()),
            patient: patient.map(person),
            ..self.system()
        }
    }

    /// A request with its proof.
    fn request(&self, claims: &Claims) -> Parts {
        let token = self.region.anchor.sign(claims);
        let now = (self.desk.clock)().seconds();
        let (url, ath) = (self.region.url(), dpop::ath(&token));
        let jti = Uuid::new_v4().to_string();
        let proof = dpop::prove(&self.key, "GET", &url, Some(&ath), now, &jti).unwrap();
        let request = Request::get("/fhir/Observation")
            .header(header::AUTHORIZATION, format!("DPoP {token}"))
            .header("dpop", proof);
        request.body(()).unwrap().into_parts().0
    }

    async fn receive(&self, claims: &Claims) -> Result<Visit<'_>, Problem> {
        let parts = self.request(claims);
        let ids = self.ids.clone();
        self.desk.receive(&parts, ids, Interaction::Search).await
    }

    /// A visit of the record system that ends like this.
    async fn ends(&self, end: End) -> Result<axum::response::Response, Problem> {
        let parts = self.request(&self.system());
        let ids = self.ids.clone();
        let work = async |_: &mut Visit<'_>| Err(end);
        self.desk
            .serve(&parts, ids, Interaction::Search, work)
            .await
    }

    /// What the patient closes.
    async fn closes(&self, patient: &str, closed: Closed) {
        let wish = Wish {
            id: "w-1".to_owned(),
            closed,
            since: (self.desk.clock)(),
            until: None,
            source: Source::Here,
        };
        let made = self.desk.store.wish_made(&person(patient), &wish);
        keep(&self.desk.store, made.unwrap()).await.unwrap();
    }

    /// Everything on record, oldest first.
    async fn trail(&self) -> Vec<Record> {
        trail(&self.desk.store).await
    }
}

async fn keep(store: &Store, write: LedgerWrite) -> Result<(), StoreError> {
    let change = Change {
        ledger: vec![write],
        ..Change::default()
    };
    store.commit(change).await.map(|_| ())
}

async fn trail(store: &Store) -> Vec<Record> {
    let filter = AuditFilter {
        limit: 100,
        ..AuditFilter::default()
    };
    let found = store.audit_search(filter).await.unwrap();
    found.into_iter().rev().map(|one| one.record).collect()
}

fn refused_with(end: Result<impl Sized, End>) -> &'static str {
    match end {
        Err(End::Refused(refusal)) => refusal.code,
        Err(End::Nothing(refusal, _)) => refusal.code,
        Err(End::Problem(_) | End::Audited(_)) => "a problem",
        Ok(_) => "allowed",
    }
}

fn failed(category: Category) -> Outcome {
    Outcome::Failed { category }
}

#[tokio::test]
async fn an_answer_stands_on_its_record_and_its_proof_counts_once() {
    let door = Door::new().await;
    let parts = door.request(&door.system());
    let serve = async || {
        let work = async |visit: &mut Visit<'_>| {
            let permit = visit.permit(&search())?;
            assert_eq!(visit.ids(), &door.ids);
            assert!(parts.headers[header::AUTHORIZATION] == format!("DPoP {}", visit.token()));
            visit.asked("?code=8867-4");
            let record = visit.record().permitted(&permit);
            visit.write(record).await?;
            Ok(nothing())
        };
        let ids = door.ids.clone();
        door.desk
            .serve(&parts, ids, Interaction::Search, work)
            .await
    };
    assert_eq!(serve().await.unwrap().status(), StatusCode::OK);
    let refused = serve().await.unwrap_err();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let trail = door.trail().await;
    let outcomes: Vec<_> = trail.iter().map(|one| one.outcome.clone()).collect();
    let code = "invalid_dpop_proof".to_owned();
    assert_eq!(
        outcomes,
        [Outcome::Allowed, Outcome::Unauthenticated { code }]
    );
    for record in &trail {
        assert_eq!(record.request_id, door.ids.ours.to_string());
        assert_eq!(record.caller_request_id.as_deref(), Some("theirs"));
        assert_eq!(record.interaction, Interaction::Search);
        assert_eq!(record.asked, format!("{READ} ?code=8867-4"));
        assert_eq!(record.client.as_deref(), Some("kit"));
        assert_eq!(record.when, (door.desk.clock)());
    }
}

#[tokio::test]
async fn whatever_goes_wrong_is_on_record_by_its_kind() {
    let door = Door::new().await;
    let issue = fhir::outcome::Issue::error(fhir::outcome::IssueCode::Transient, "", "silent");
    let problems = [
        (
            Problem::unauthenticated(Challenge::Plain, "who"),
            Category::Unauthenticated,
        ),
        (Problem::forbidden("no"), Category::Forbidden),
        (Problem::not_found(), Category::NotFound),
        (Problem::conflict("another"), Category::Conflict),
        (Problem::precondition_failed("older"), Category::Conflict),
        (Problem::precondition_required(), Category::Conflict),
        (Problem::gone(), Category::Gone),
        (Problem::throttled(1), Category::Busy),
        (Problem::bug("ours"), Category::Bug),
        (
            Problem::bad_gateway(vec![issue.clone()]),
            Category::Unavailable,
        ),
        (Problem::unavailable(1, "later"), Category::Unavailable),
        (Problem::gateway_timeout(vec![issue]), Category::Unavailable),
        (Problem::too_large(1), Category::Invalid),
        (Problem::slow_body(), Category::Invalid),
        (Problem::not_acceptable(), Category::Invalid),
    ];
    for (n, (problem, category)) in problems.into_iter().enumerate() {
        let told = door.ends(problem.clone().into()).await.unwrap_err();
        assert_eq!(told, problem);
        let trail = door.trail().await;
        assert_eq!(trail.len(), n + 1, "{category:?}");
        assert_eq!(trail[n].outcome, failed(category), "{problem:?}");
        assert_eq!(trail[n].asked, READ);
    }
}

#[tokio::test]
async fn a_refusal_is_told_or_looks_like_nothing_and_is_on_record_either_way() {
    let door = Door::new().await;
    let told = door.ends(End::Refused(OTHER_MEMBER)).await.unwrap_err();
    assert_eq!(told, Problem::from(OTHER_MEMBER));
    assert_eq!(told.status(), StatusCode::FORBIDDEN);
    let hidden = door
        .ends(End::Nothing(OTHER_MEMBER, None))
        .await
        .unwrap_err();
    assert_eq!(hidden, Problem::not_found());
    // Where nothing is found, an answer that says so.
    let parts = door.request(&door.system());
    let empty = || Ok(nothing());
    let work = async |_: &mut Visit<'_>| Err(End::Nothing(OTHER_MEMBER, None));
    let (ids, search) = (door.ids.clone(), Interaction::Search);
    let answer = door.desk.serve_or(&parts, ids, search, empty, work).await;
    assert_eq!(answer.unwrap().status(), StatusCode::OK);
    let trail = door.trail().await;
    assert_eq!(trail.len(), 3);
    let refused = Outcome::Refused {
        rule: "member".to_owned(),
        code: "other_member".to_owned(),
    };
    assert!(trail.iter().all(|one| one.outcome == refused), "{trail:?}");
    // What is on record already gets no second one.
    let audited = End::Audited(Problem::gone());
    assert_eq!(door.ends(audited).await.unwrap_err(), Problem::gone());
    assert_eq!(door.trail().await.len(), 3);
    // Whom it was attempted about finds it too, by a record of her own under the same request.
    let hidden = End::Nothing(OTHER_MEMBER, Some(person(OTHER)));
    assert_eq!(door.ends(hidden).await.unwrap_err(), Problem::not_found());
    let trail = door.trail().await;
    let [.., first, second] = &trail[..] else {
        panic!("{}", trail.len())
    };
    assert_eq!((trail.len(), &first.outcome), (5, &refused));
    assert_eq!(second.patient, Some(person(OTHER)));
    assert_eq!(second.request_id, first.request_id);
    let attempted = Outcome::Refused {
        rule: "patient".to_owned(),
        code: "others_access".to_owned(),
    };
    assert_eq!(second.outcome, attempted);
}

#[tokio::test]
async fn the_rules_are_asked_with_the_patient_that_is_named() {
    let door = Door::new().await;
    let visit = door.receive(&door.nurse(Some(PATIENT))).await.unwrap();
    assert_eq!(refused_with(visit.permit(&search())), "allowed");
    let other = Ask {
        patient: Some(person(OTHER)),
        ..search()
    };
    let found = visit.permit(&other);
    assert!(matches!(&found, Err(End::Nothing(_, Some(about))) if *about == person(OTHER)));
    assert_eq!(refused_with(found), "other_patient");
    let write = Ask::of(Interaction::Create, ResourceType::OBSERVATION);
    let found = visit.permit(&write);
    assert!(matches!(&found, Err(End::Refused(_))));
    assert_eq!(refused_with(visit.may_list()), "list_bound_to_patient");
}

#[tokio::test]
async fn what_a_patient_closed_counts_from_the_next_request() {
    let door = Door::new().await;
    let claims = door.nurse(Some(PATIENT));
    let before = door.receive(&claims).await.unwrap();
    door.closes(PATIENT, Closed::Everything).await;
    let after = door.receive(&claims).await.unwrap();
    assert_eq!(refused_with(before.permit(&search())), "allowed");
    assert_eq!(refused_with(after.permit(&search())), "blocked");
    let part = after.part(Interaction::Search, READ.to_owned());
    assert_eq!(refused_with(part.permit(&search())), "blocked");
    let desk = &door.desk;
    assert_eq!(refused_with(after.at(desk).permit(&search())), "blocked");
}

#[tokio::test]
async fn each_patient_of_a_list_is_decided_about_with_what_she_closed() {
    let door = Door::new().await;
    let mut claims = door.nurse(None);
    claims.scope = "user/Task.s".to_owned();
    door.closes(PATIENT, Closed::Everything).await;
    let visit = door.receive(&claims).await.unwrap();
    assert_eq!(refused_with(visit.may_list()), "allowed");
    let ask = Ask::of(Interaction::WorkList, ResourceType::TASK);
    for (patient, code) in [(PATIENT, Some("blocked")), (OTHER, None)] {
        let found = visit.permit_about(&ask, &person(patient)).await.unwrap().0;
        assert_eq!(found.err().map(|refusal| refusal.code), code);
    }
}

#[tokio::test]
async fn not_knowing_what_a_patient_closed_nothing_is_opened() {
    for party in [Party::Sharing, Party::Gateway] {
        let door = Door::of(party).await;
        let wish = Wish {
            id: "w-1".to_owned(),
            closed: Closed::Everything,
            since: (door.desk.clock)(),
            until: None,
            source: Source::Here,
        };
        let made = door.desk.store.wish_made(&person(PATIENT), &wish).unwrap();
        let damaged = LedgerWrite {
            value: Some(b"damaged".to_vec()),
            ..made
        };
        keep(&door.desk.store, damaged).await.unwrap();
        // Nobody asks in the name of a system, and of another patient nothing is damaged.
        assert!(door.receive(&door.system()).await.is_ok());
        assert!(door.receive(&door.nurse(Some(OTHER))).await.is_ok());
        assert!(door.trail().await.is_empty());
        let received = door.receive(&door.nurse(Some(PATIENT))).await;
        if party == Party::Gateway {
            assert!(received.is_ok(), "a gateway holds nothing of hers");
            continue;
        }
        let problem = received.err().unwrap();
        assert_eq!(problem.status(), StatusCode::SERVICE_UNAVAILABLE);
        let trail = door.trail().await;
        assert_eq!(trail.len(), 1);
        assert_eq!(trail[0].outcome, failed(Category::Unavailable));
        assert_eq!(trail[0].patient, Some(person(PATIENT)));
    }
}

#[tokio::test]
async fn parts_have_records_of_their_own_and_need_no_proof_again() {
    let door = Door::new().await;
    let visit = door.receive(&door.system()).await.ok().unwrap();
    visit.write(visit.record()).await.ok().unwrap();
    let again = visit.write(visit.record()).await;
    assert!(matches!(again, Err(End::Audited(_))), "the proof was used");
    for entry in ["POST Observation", "GET Observation/1"] {
        let part = visit.part(Interaction::Create, entry.to_owned());
        part.write(part.record()).await.ok().unwrap();
    }
    let trail = door.trail().await;
    let told: Vec<_> = trail
        .iter()
        .map(|one| (one.interaction, one.asked.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (Interaction::Search, READ),
            (Interaction::Search, READ),
            (Interaction::Create, "POST Observation"),
            (Interaction::Create, "GET Observation/1")
        ]
    );
    assert!(
        trail
            .iter()
            .all(|one| one.request_id == trail[0].request_id)
    );
}

#[tokio::test]
async fn a_visit_that_moves_to_another_desk_is_on_record_there() {
    let door = Door::new().await;
    let surroundings = Surroundings {
        clock: door.desk.clock.clone(),
        ids: door.region.house.ids.clone(),
    };
    let folder = door.region.folder.path().join("elsewhere");
    let elsewhere = Desk {
        guard: door.region.guard.clone(),
        facts: door.desk.facts.clone(),
        store: Store::open(&folder, "elsewhere", surroundings).unwrap(),
        clock: door.desk.clock.clone(),
    };
    let visit = door.receive(&door.system()).await.ok().unwrap();
    let visit = visit.at(&elsewhere);
    assert_eq!(visit.store().owner(), "elsewhere");
    visit.write(visit.record()).await.ok().unwrap();
    assert_eq!(trail(&elsewhere.store).await.len(), 1);
    assert!(door.trail().await.is_empty());
}

#[tokio::test]
async fn broken_glass_waits_for_the_controller_from_the_commit_that_records_it() {
    let door = Door::new().await;
    let visit = door.receive(&door.system()).await.ok().unwrap();
    let mut record = visit.record();
    record.broken = vec!["block".to_owned()];
    visit.write(record).await.ok().unwrap();
    let waiting = door.desk.store.reviews(false, 10).await.unwrap();
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].request, door.ids.ours.to_string());
    assert_eq!(waiting[0].rules, ["block"]);
}

#[tokio::test]
async fn a_ledger_that_moved_on_is_for_the_caller_to_tell_where_she_tries() {
    let door = Door::new().await;
    let taken = || LedgerWrite {
        ledger: "kit",
        key: b"one".to_vec(),
        value: Some(b"value".to_vec()),
        expect: Expect::Absent,
    };
    keep(&door.desk.store, taken()).await.unwrap();
    let visit = door.receive(&door.system()).await.ok().unwrap();
    let change = |visit: &Visit<'_>| Change {
        ledger: vec![taken()],
        ..visit.change(visit.record())
    };
    let tried = visit.attempt(change(&visit)).await.ok().unwrap();
    assert!(matches!(tried, Err(StoreError::LedgerMismatch { .. })));
    let committed = visit.commit(change(&visit)).await;
    assert!(matches!(committed, Err(End::Problem(problem)) if problem.status() == 409));
    assert!(door.trail().await.is_empty(), "the whole change was undone");
    // What is nobody's to tell ends the request as in a commit; a proof that was used is on record.
    let sound = |visit: &Visit<'_>| visit.change(visit.record());
    assert!(visit.attempt(sound(&visit)).await.ok().unwrap().is_ok());
    let used = visit.attempt(sound(&visit)).await;
    assert!(matches!(used, Err(End::Audited(problem)) if problem.status() == 401));
    assert_eq!(door.trail().await.len(), 2);
}
