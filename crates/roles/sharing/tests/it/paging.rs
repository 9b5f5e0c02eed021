//! Pages to the end over sealed links, which are of no use to anybody else.

use crate::house::*;
use http::StatusCode;
use std::collections::HashSet;
use testkit::door::Held;
use trust::audit::Outcome;

async fn filled(count: usize) -> Service {
    let service = Service::fjellvik().await;
    let resources: Vec<_> = (0..count)
        .map(|n| {
            let when = format!("2026-11-{:02}T08:{:02}:00+01:00", 1 + n / 10, n % 10);
            if n % 3 == 0 {
                pulse(ragnhild(), &format!("r-{n}"), &when)
            } else {
                reading(ragnhild(), &format!("r-{n}"), &when, "91")
            }
        })
        .collect();
    let reply = service
        .post(
            &service.record_system(FJELLVIK),
            "/",
            &bundle("batch", &resources),
        )
        .await;
    assert_eq!(reply.status, StatusCode::OK);
    service
        .created(&reading(arne(), "a-1", "2026-11-03T08:00:00+01:00", "97"))
        .await;
    service
}

/// Follows next links; gives each page's ids.
async fn pages(service: &Service, who: &Held, form: &[(&str, &str)]) -> Vec<Vec<String>> {
    let mut reply = service.search(who, "Observation", form).await;
    let mut pages = vec![found(&reply)];
    while let Some(next) = reply.next() {
        let next = next.to_owned();
        assert!(
            next.starts_with(&format!("{}/_page/", service.base))
                && !next.contains(&ragnhild().number)
        );
        reply = service.get(who, &next).await;
        pages.push(found(&reply));
        assert!(pages.len() < 50, "the pages do not end");
    }
    pages
}

#[tokio::test]
async fn all_is_given_once_and_in_order_whatever_the_page() {
    let service = filled(25).await;
    let who = service.physician(ragnhild());
    let number = number(ragnhild());
    for sort in ["date", "-date"] {
        let whole = pages(&service, &who, &[("_count", "200"), ("_sort", sort)])
            .await
            .remove(0);
        assert_eq!(whole.len(), 25);
        for count in ["1", "7", "24", "25", "26"] {
            let pages = pages(
                &service,
                &who,
                &[
                    ("_count", count),
                    ("_sort", sort),
                    ("patient.identifier", &number),
                ],
            )
            .await;
            let size: usize = count.parse().unwrap();
            assert_eq!(pages.len(), 25_usize.div_ceil(size), "{count}");
            assert!(pages.iter().all(|page| page.len() <= size));
            assert_eq!(pages.concat(), whole, "{sort} {count}");
        }
    }
    assert_eq!(
        pages(&service, &who, &[]).await.len(),
        1,
        "fifty are a page if nobody says otherwise"
    );
    let pulses = pages(&service, &who, &[("code", "8867-4"), ("_count", "2")])
        .await
        .concat();
    assert_eq!(pulses.iter().collect::<HashSet<_>>().len(), 9);
}

#[tokio::test]
async fn a_link_serves_only_whom_it_was_given() {
    let service = filled(5).await;
    let form = [("_count", "2")];
    let physician = service.physician(ragnhild());
    let next = service
        .search(&physician, "Observation", &form)
        .await
        .next()
        .unwrap()
        .to_owned();
    let of_other_patient = service.physician(arne());
    let other_person = service.physician_but(ragnhild(), |claims| {
        let other = &testkit::people::Directory::demo().practitioners[1];
        claims.pid = Some(other.number.clone());
        claims.attest.as_mut().unwrap().practitioner.identifier.id = other.number.clone();
    });
    let unknown = service.get(&physician, "/_page/AAAA").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    for who in [
        of_other_patient,
        other_person,
        service.citizen(ragnhild()),
        service.record_system(FJELLVIK),
    ] {
        let reply = service.get(&who, &next).await;
        assert_eq!(reply.visible(), unknown.visible());
        assert!(matches!(
            service.last_record().await.outcome,
            Outcome::Failed { .. }
        ));
    }
    // A new token of the same person about the same patient goes on.
    let renewed = service.get(&service.physician(ragnhild()), &next).await;
    assert_eq!(found(&renewed).len(), 2);
    let record = service.last_record().await;
    assert!(
        record.asked.contains("Observation _count=2"),
        "{}",
        record.asked
    );
    assert_eq!(record.disclosed.len(), 2);
    // Tampered with, at another service, too late, or without the need: nothing.
    let mut tampered = next.clone();
    let last = tampered.pop().unwrap();
    tampered.push(if last == 'A' { 'B' } else { 'A' });
    assert_eq!(
        service.get(&physician, &tampered).await.status,
        StatusCode::NOT_FOUND
    );
    let elsewhere = Service::with("proveheim", PROVEHEIM, &[], |_| {}).await;
    let path = next.strip_prefix(&service.base).unwrap();
    assert_eq!(
        elsewhere
            .get(&elsewhere.physician(ragnhild()), path)
            .await
            .status,
        StatusCode::NOT_FOUND
    );
    let without = service.physician_but(ragnhild(), |claims| claims.agreement = None);
    assert_eq!(
        service.get(&without, &next).await.status,
        StatusCode::FORBIDDEN
    );
    service.clock.advance(16 * 60 * 1_000_000);
    assert_eq!(
        service
            .get(&service.physician(ragnhild()), &next)
            .await
            .status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_link_outlives_a_restart() {
    let service = filled(5).await;
    let next = service
        .search(
            &service.physician(ragnhild()),
            "Observation",
            &[("_count", "2")],
        )
        .await
        .next()
        .unwrap()
        .to_owned();
    let (folder, clock, issuer) = (
        service.folder.clone(),
        service.clock.clone(),
        service.issuer.clone(),
    );
    let config = config(folder.path(), &issuer, "fjellvik", FJELLVIK, &[]);
    drop(service);
    let again = Service::open(folder, clock, issuer, config).await;
    assert_eq!(
        found(&again.get(&again.physician(ragnhild()), &next).await).len(),
        2
    );
}
