//! One patient's page: what a clinician sees of the story on day 3, and what the page says when something is missing.

use http::StatusCode;
use testkit::people::Directory;

use crate::Portal;
use crate::fake::{EVIL, Mood};

/// The page of the story's patient, opened by the story's physician.
async fn story_page(portal: &mut Portal, more: &[(&str, &str)]) -> crate::Page {
    portal.sign_in("0").await;
    let view = portal.open_first(more).await;
    portal.get(&view).await
}

#[tokio::test]
async fn the_page_shows_readings_of_three_organisations_once_each_with_their_source() {
    let mut portal = Portal::start().await;
    let page = story_page(&mut portal, &[]).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    for name in ["Fjellvik", "Prøveheim", "Prøvebakken"] {
        assert!(page.body.contains(name), "{name}");
    }
    let chart = page.chart();
    assert!(
        chart["sources"].as_array().unwrap().len() >= 3,
        "{}",
        chart["sources"]
    );
    for (index, id) in ["spo2", "pulse", "pressure", "temperature", "weight"]
        .into_iter()
        .enumerate()
    {
        let series = &chart["series"][index];
        assert_eq!(series["id"], id);
        let drawn = series["readings"].as_array().unwrap().len();
        assert!(drawn > 10, "{id}: {drawn}");
        assert_eq!(
            page.body.matches(&format!("data-of=\"{id}\"")).count(),
            drawn,
            "{id}: the table has what the curve has"
        );
    }
    // 08:26 on day 3, red by the plan in force.
    let spo2 = page
        .body
        .split_once("id=\"head-spo2\"")
        .unwrap()
        .1
        .split_once("</table>")
        .unwrap()
        .0;
    let row = spo2
        .split("<tr")
        .find(|row| row.contains("05.03.2026 08:26</th>"))
        .unwrap();
    assert!(
        row.contains(">84<") && row.contains("zone red") && row.contains("Fjellvik"),
        "{row}"
    );
}

#[tokio::test]
async fn limits_stand_as_bands_and_in_words() {
    let mut portal = Portal::start().await;
    let page = story_page(&mut portal, &[]).await;
    let bands = page.chart()["series"][0]["bands"].clone();
    let labels: Vec<&str> = bands
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|band| band["label"].as_str())
        .collect();
    assert_eq!(labels, ["rød ≤ 84", "gul ≤ 87", ""], "{bands}");
    assert_eq!(
        (bands[1]["low"].as_f64(), bands[1]["high"].as_f64()),
        (Some(84.5), Some(87.5))
    );
    let plan = page.body.split_once("id=\"plan\"").unwrap().1;
    for words in [
        "85–87",
        "≥ 88",
        "≤ 84",
        "2 ganger innen 20 min",
        "mandag, onsdag, fredag",
    ] {
        assert!(plan.contains(words), "{words}");
    }
}

#[tokio::test]
async fn the_two_medication_lists_stand_side_by_side() {
    let mut portal = Portal::start().await;
    let page = story_page(&mut portal, &[]).await;
    let medicines = page
        .body
        .split_once("id=\"medicines\"")
        .unwrap()
        .1
        .split_once("id=\"plan\"")
        .unwrap()
        .0;
    assert!(
        medicines.contains("Prøvebakken")
            && medicines.contains("H02AB06")
            && medicines.contains("J01CA04"),
        "{medicines}"
    );
    assert!(
        medicines.matches("<table").count() >= 2,
        "one table an organisation"
    );
}

#[tokio::test]
async fn what_the_catalogue_offers_can_be_chosen_and_a_late_source_is_said_aloud() {
    let mut portal = Portal::start().await;
    portal.sign_in("0").await;
    assert!(portal.get("/patients").await.body.contains("Fjordregionen"));
    let late = Directory::demo().orgnr("fjordregionen").to_owned();
    let view = portal
        .open_first(&[
            ("organization", &late),
            ("purpose", "ETREAT"),
            ("reason", "akutt"),
        ])
        .await;
    let page = portal.get(&view).await;
    assert!(
        page.body.contains("3 av 4 kilder svarte")
            && page.body.contains("bildet er ikke fullstendig")
    );
    let services = Directory::demo().demo_services(|_| String::new());
    let name = &services
        .iter()
        .find(|service| service.orgnr == late)
        .unwrap()
        .name;
    assert!(page.body.contains(&format!("{name}: svarte ikke i tide")));
    assert!(page.body.contains("Akutt behandling (ETREAT)"));
    let asked = portal.fake.asked.lock().unwrap();
    assert_eq!(asked.len(), 4);
    assert!(asked.iter().all(|(_, form)| {
        form.iter()
            .any(|(name, value)| name == "organization" && *value == late)
    }));
    let tokens = portal.fake.tokens.lock().unwrap();
    assert_eq!(
        (tokens[0].purpose.as_str(), tokens[0].reason.as_deref()),
        ("ETREAT", Some("akutt"))
    );
}

#[tokio::test]
async fn a_source_with_an_old_copy_is_said_to_be_so_and_its_readings_are_shown() {
    let mut portal = Portal::start().await;
    portal.sign_in("0").await;
    *portal.fake.mood.lock().unwrap() = Mood::Old;
    let view = portal.open_first(&[]).await;
    let page = portal.get(&view).await;
    let services = Directory::demo().demo_services(|_| String::new());
    let fjellvik = Directory::demo().orgnr("fjellvik");
    let name = &services.iter().find(|s| s.orgnr == fjellvik).unwrap().name;
    let said = format!("{name}: svarte, men kan mangle nyere data");
    assert!(page.body.contains(&said), "{}", page.body);
    assert!(page.body.contains("3 av 3 kilder svarte"));
    assert!(page.body.contains("bildet er ikke fullstendig"));
    // To when it is whole, by the reader's clock.
    assert!(
        page.body.contains("07.15") || page.body.contains("07:15"),
        "{}",
        page.body
    );
}

#[tokio::test]
async fn one_view_is_one_decision_and_each_session_has_its_own_key() {
    let mut portal = Portal::start().await;
    portal.sign_in("0").await;
    let view = portal.open_first(&[]).await;
    portal.get(&view).await;
    portal.get(&view).await;
    let other = portal.open_first(&[]).await;
    portal.get(&other).await;
    portal.cookies.clear();
    portal.sign_in("0").await;
    let third = portal.open_first(&[]).await;
    portal.get(&third).await;
    let tokens = portal.fake.tokens.lock().unwrap();
    assert_eq!(tokens[0].decision_ref, tokens[1].decision_ref);
    assert_ne!(tokens[0].decision_ref, tokens[2].decision_ref);
    assert_eq!(tokens[0].jkt, tokens[2].jkt);
    assert_ne!(tokens[0].jkt, tokens[3].jkt);
    assert!(tokens.iter().all(|token| token.scope == "user/*.rs"
        && token.audience == format!("{}/gateway/fhir", portal.fake.base)));
}

#[tokio::test]
async fn when_nothing_comes_the_page_says_why_and_shows_no_empty_curves() {
    let mut portal = Portal::start().await;
    portal.sign_in("0").await;
    for (mood, status, words) in [
        (
            Mood::NoSource,
            StatusCode::BAD_GATEWAY,
            "Ingen av kildene svarte",
        ),
        (
            Mood::Refusing,
            StatusCode::FORBIDDEN,
            "Oppslaget ble avslått",
        ),
        (
            Mood::Babbling,
            StatusCode::BAD_GATEWAY,
            "Svaret kunne ikke brukes",
        ),
    ] {
        *portal.fake.mood.lock().unwrap() = mood;
        let view = portal.open_first(&[]).await;
        let page = portal.get(&view).await;
        assert_eq!(page.status, status, "{words}");
        assert!(
            page.body.contains(words) && !page.body.contains("chart-data"),
            "{}",
            page.body
        );
    }
}

#[tokio::test]
async fn a_next_link_that_leads_elsewhere_is_not_followed_and_the_gap_is_said() {
    let mut portal = Portal::start().await;
    *portal.fake.mood.lock().unwrap() = Mood::Astray;
    let page = story_page(&mut portal, &[]).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(
        page.body
            .contains("Målinger kunne ikke hentes: Svaret kunne ikke brukes")
    );
}

#[tokio::test]
async fn another_patients_page_holds_nothing_of_the_first() {
    let mut portal = Portal::start().await;
    portal.sign_in("0").await;
    let first = portal.open_first(&[]).await;
    let list = portal.get("/patients").await;
    let second = list
        .body
        .split("name=\"patient\" value=\"")
        .nth(2)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    let opened = portal
        .post("/views", &[("form", &list.form()), ("patient", &second)])
        .await;
    let other = opened.location().to_owned();
    portal.get(&first).await;
    let page = portal.get(&other).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    assert!(
        !page.body.contains("Testmo") && !page.body.contains("148352"),
        "the first patient's banner"
    );
    assert_eq!(
        page.chart()["series"][0]["readings"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
}

#[tokio::test]
async fn what_a_source_sends_is_shown_as_text_once_with_its_routes_and_digits() {
    let mut portal = Portal::start().await;
    *portal.fake.mood.lock().unwrap() = Mood::Hostile;
    let page = story_page(&mut portal, &[]).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(
        !page.body.contains(EVIL) && !page.body.contains("<img"),
        "escaped everywhere"
    );
    let chart = page.chart();
    assert!(
        chart["sources"]
            .as_array()
            .unwrap()
            .iter()
            .any(|source| source == EVIL),
        "whole in the data"
    );
    let spo2 = page
        .body
        .split_once("id=\"head-spo2\"")
        .unwrap()
        .1
        .split_once("</table>")
        .unwrap()
        .0;
    let rows: Vec<&str> = spo2
        .split("<tr")
        .filter(|row| row.contains("onerror"))
        .collect();
    assert_eq!(rows.len(), 1);
    assert!(
        rows[0].contains(">91,0<"),
        "the last zero is kept: {}",
        rows[0]
    );
    assert!(
        rows[0].contains("mottatt via Fjellvik kommune, Prøvebakken legesenter"),
        "{}",
        rows[0]
    );
    assert!(
        rows[0].contains("kopiene er ulike hos kildene"),
        "{}",
        rows[0]
    );
}
