//! A citizen signs in at the trust anchor to her own pages in the portal, and out of both. Her husband, who may see her plan, signs in on
//! her behalf and is told that these pages are one's own.

use crate::kit::region;
use testkit::browser::{Browser, Page};

const SHE: &str = "Ragnhild Testmo";

/// From the portal's start page to where the sign-in ends or asks.
async fn begin(browser: &mut Browser, portal: &str) -> Page {
    let start = browser.open(portal).await.unwrap();
    let form = start.field("form").unwrap().to_owned();
    let page = browser
        .send(&start, "/sign-in/citizen", &[("form", &form)])
        .await;
    page.unwrap()
}

async fn choose(browser: &mut Browser, page: &Page, person: &str) -> Page {
    let ticket = page.field("ticket").expect("the sign-in page").to_owned();
    let form = [("ticket", ticket.as_str()), ("person", person)];
    browser.send(page, "/anchor/sign-in", &form).await.unwrap()
}

#[tokio::test]
async fn a_citizen_signs_in_to_her_own_pages_and_out_of_both() {
    let region = region::shared().await;
    let portal = &region.ready.portal;
    let she = region.story_patient().unwrap();
    let mut browser = Browser::new().unwrap();

    let page = begin(&mut browser, portal).await;
    assert!(page.html.contains("<h1>Logg inn</h1>"), "{}", page.html);
    // Citizens alone are asked for.
    assert!(page.html.contains("Innbyggere") && !page.html.contains("Helsepersonell"));
    let person = page.person(SHE).expect("she can sign in").to_owned();
    let log = choose(&mut browser, &page, &person).await;
    assert_eq!(log.status, 200, "{}", log.html);
    assert!(log.url.ends_with("/log"), "{}", log.url);
    assert!(log.html.contains("<h1>Hvem har sett</h1>") && log.html.contains(SHE));
    let may = browser.go(&format!("{portal}/may-look")).await.unwrap();
    assert_eq!(may.status, 200, "{}", may.html);
    assert!(
        may.html.contains("<h1>Hvem kan se</h1>") && may.html.contains("har fullmakt til å se")
    );
    assert!(may.html.contains("Prøvebakken legesenter") && may.html.contains("avtale AVT-"));
    let blocks = browser.go(&format!("{portal}/blocks")).await.unwrap();
    assert_eq!(blocks.status, 200, "{}", blocks.html);

    // While she is signed in at the anchor nobody is asked; that is what the sign-out must end too.
    let again = begin(&mut browser, portal).await;
    assert!(again.url.ends_with("/log"), "{}", again.url);
    let form = again.field("form").unwrap().to_owned();
    let left = browser
        .send(&again, "/session/end", &[("form", &form)])
        .await
        .unwrap();
    assert!(left.html.contains("Logg på som innbygger"), "{}", left.url);
    assert!(
        browser
            .history
            .iter()
            .any(|one| one.contains("/anchor/end-session?"))
    );
    let asked = begin(&mut browser, portal).await;
    assert!(asked.html.contains("<h1>Logg inn</h1>"), "{}", asked.html);
    for address in &browser.history {
        assert!(!address.contains(she.fnr.expose()), "{address}");
    }

    // Her husband, on her behalf.
    let (before, _) = asked
        .html
        .split_once(&format!("På vegne av {SHE}"))
        .unwrap();
    let (_, value) = before.rsplit_once("name=\"person\" value=\"").unwrap();
    let husband = value.split('"').next().unwrap().to_owned();
    let told = choose(&mut browser, &asked, &husband).await;
    assert_eq!(told.status, 403);
    assert!(told.html.contains("på vegne av en annen"), "{}", told.html);
    let log = browser.go(&format!("{portal}/log")).await.unwrap();
    assert!(!log.html.contains("Hvem har sett</h1>"), "{}", log.url);
}
