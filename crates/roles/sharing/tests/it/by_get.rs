//! Search by GET and in a patient's compartment: the same answers as by POST, and never a person's number in a URL.

use crate::house::*;
use http::StatusCode;
use trust::Interaction;
use trust::audit::Outcome;

const WHEN: &str = "2026-11-20T08:00:00+01:00";

async fn patient_id(service: &Service, of: &testkit::people::Patient) -> String {
    let owner = service.record_system(FJELLVIK);
    let reply = service
        .search(&owner, "Patient", &[("identifier", &number(of))])
        .await;
    found(&reply).remove(0)
}

async fn filled() -> Service {
    let service = Service::fjellvik().await;
    for (key, day) in [("r-1", 18), ("r-2", 19), ("r-3", 20)] {
        let when = format!("2026-11-{day}T08:00:00+01:00");
        service
            .created(&reading(ragnhild(), key, &when, "91"))
            .await;
    }
    service.created(&pulse(ragnhild(), "p-1", WHEN)).await;
    service.created(&reading(arne(), "a-1", WHEN, "95")).await;
    service
}

#[tokio::test]
async fn get_and_post_give_the_same() {
    let service = filled().await;
    let her = patient_id(&service, ragnhild()).await;
    for who in [
        service.physician(ragnhild()),
        service.record_system(FJELLVIK),
    ] {
        for form in [
            vec![("code", SPO2)],
            vec![("code", SPO2), ("date", "ge2026-11-19")],
            vec![("_count", "2"), ("_sort", "date")],
            vec![("category", "vital-signs")],
            vec![],
        ] {
            let mut form: Vec<(&str, &str)> = form;
            form.push(("patient", &her));
            let posted = service.search(&who, "Observation", &form).await;
            let query = wire::form::write(form.iter().copied());
            let got = service.get(&who, &format!("/Observation?{query}")).await;
            assert_eq!(found(&got), found(&posted));
            assert_eq!(got.link("self"), posted.link("self"));
            let record = service.last_record().await;
            assert_eq!(
                (record.interaction, record.outcome),
                (Interaction::Search, Outcome::Allowed)
            );
            assert!(
                record.asked.starts_with("GET /Observation "),
                "{}",
                record.asked
            );
            assert_eq!(record.disclosed.len(), found(&got).len());
            form.pop();
            let query = wire::form::write(form.iter().copied());
            let inside = service
                .get(&who, &format!("/Patient/{her}/Observation?{query}"))
                .await;
            assert_eq!(found(&inside), found(&posted));
            let inside = service
                .search(&who, &format!("Patient/{her}/Observation"), &form)
                .await;
            assert_eq!(found(&inside), found(&posted));
        }
        let page = service
            .get(&who, &format!("/Patient/{her}/Observation?_count=3"))
            .await;
        let rest = service.get(&who, page.next().unwrap()).await;
        assert_eq!((found(&page).len(), found(&rest).len()), (3, 1));
    }
}

#[tokio::test]
async fn a_persons_number_in_a_url_is_refused_and_kept_nowhere() {
    let service = filled().await;
    let her = patient_id(&service, ragnhild()).await;
    for who in [
        service.physician(ragnhild()),
        service.record_system(FJELLVIK),
    ] {
        for (path, name) in [
            ("/Observation", "patient.identifier"),
            ("/Observation", "subject:identifier"),
            ("/Patient", "identifier"),
            ("/AuditEvent", "patient.identifier"),
        ] {
            let query = wire::form::write([(name, number(ragnhild()).as_str())]);
            let reply = service.get(&who, &format!("{path}?{query}")).await;
            assert_eq!(reply.status, StatusCode::BAD_REQUEST);
            assert_eq!(issues(&reply.json), [format!("security @ {name}")]);
            let words = reply.json["issue"][0]["diagnostics"].as_str().unwrap();
            assert!(words.contains("_search"), "{words}");
            let record = service.last_record().await;
            assert!(matches!(record.outcome, Outcome::Failed { .. }));
            assert!(!format!("{} {}", record.asked, reply.json).contains(&ragnhild().number));
        }
        for query in ["codes=x", "code=", "code=%zz", "_count=201"] {
            for path in [
                "/Observation".to_owned(),
                format!("/Patient/{her}/Observation"),
            ] {
                let reply = service.get(&who, &format!("{path}?{query}")).await;
                assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{query}");
            }
        }
    }
    let long = format!("/Observation?code={}", "x".repeat(9000));
    let reply = service.get(&service.physician(ragnhild()), &long).await;
    assert_eq!(
        (reply.status, issues(&reply.json)),
        (StatusCode::BAD_REQUEST, vec!["too-long @ -".to_owned()])
    );
}

#[tokio::test]
async fn another_patients_compartment_is_empty_and_told_so_to_the_trail() {
    let service = filled().await;
    let his = patient_id(&service, arne()).await;
    let nobody = "00000000-0000-4000-8000-000000000009";
    for who in [service.physician(ragnhild()), service.citizen(ragnhild())] {
        let empty = service
            .get(&who, &format!("/Patient/{nobody}/Observation"))
            .await;
        for path in [
            format!("/Patient/{his}/Observation"),
            format!("/Observation?patient={his}"),
        ] {
            let reply = service.get(&who, &path).await;
            assert_eq!(
                (found(&reply).len(), reply.visible()),
                (0, empty.visible()),
                "{path}"
            );
            assert!(matches!(
                service.last_record().await.outcome,
                Outcome::Refused { .. }
            ));
        }
    }
    let who = service.physician(ragnhild());
    let twice = service
        .get(&who, &format!("/Patient/{his}/Observation?patient={his}"))
        .await;
    assert_eq!(twice.status, StatusCode::BAD_REQUEST);
    for path in [
        format!("/Patient/{his}/Patient"),
        format!("/Patient/{his}/Practitioner"),
        format!("/Observation/{his}/Observation"),
        "/Patient/x/Observation".to_owned(),
    ] {
        assert_eq!(
            service.get(&who, &path).await.status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
}
