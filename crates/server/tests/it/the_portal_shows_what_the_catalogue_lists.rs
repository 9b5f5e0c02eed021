//! Whoever is signed in at the portal sees what the catalogue lists: each service at its address, in its owner's signed words.

use crate::kit::region;
use crate::kit::wait::until;
use http::StatusCode;
use testkit::browser::Browser;

#[tokio::test]
async fn each_service_stands_there_with_its_address_and_its_owners_word() {
    let region = region::shared().await;
    let ready = &region.ready;
    let mut browser = Browser::new().unwrap();
    let start = browser.open(&ready.portal).await.unwrap();
    let form = start.field("form").unwrap().to_owned();
    let chosen = browser
        .send(&start, "/session", &[("form", &form), ("person", "0")])
        .await
        .unwrap();
    assert_eq!(chosen.status, StatusCode::OK, "{}", chosen.html);
    // Services state their entries themselves shortly after the start.
    let page = until("every entry is its owner's and believed", async || {
        let page = browser.go(&format!("{}/offers", ready.portal)).await;
        let page = page.unwrap();
        assert_eq!(page.status, StatusCode::OK, "{}", page.html);
        let rows = page
            .html
            .matches("signert av virksomheten selv, og bekreftet");
        (rows.count() == ready.services.len()).then_some(page.html)
    })
    .await;
    for service in &ready.services {
        assert!(page.contains(&service.name), "{}", service.name);
        assert!(page.contains(&format!("<code>{}</code>", service.fhir)));
    }
    assert!(!page.contains("utløpt") && !page.contains("kan ikke bekreftes"));
    // Nothing in it is about anybody.
    for patient in &ready.patients {
        assert!(!page.contains(patient.fnr.expose()));
    }
}
