//! A citizen's pages: who looked, what she has closed, and what each holder did about it.

use http::StatusCode;
use serde_json::{Value, json};
use trust::wish::PSEUDONYM;

use crate::fake::{EVIL, Mood, NOW, REQUEST};
use crate::{Page, Portal};

/// A look-up as the gateway shows it to the patient.
fn event(name: &str, pseudonym: Option<&str>, purpose: &str, outcome: &str) -> Value {
    let mut practitioner =
        json!({"resourceType": "Practitioner", "id": "practitioner", "name": [{"text": name}]});
    if pseudonym.is_some() {
        practitioner["qualification"] =
            json!([{"code": {"coding": [{"code": "LE", "display": "Lege"}]}}]);
    }
    if let Some(pseudonym) = pseudonym {
        practitioner["identifier"] = json!([{"system": PSEUDONYM, "value": pseudonym}]);
    }
    let organisation =
        |id: &str, name: &str| json!({"resourceType": "Organization", "id": id, "name": name});
    json!({
        "resourceType": "AuditEvent", "id": "1", "recorded": NOW, "outcome": outcome,
        "contained": [practitioner, organisation("legal-entity", "Prøveheim"), organisation("observer", "Fjellvik"),
            organisation("department", "Lungeavdelingen")],
        "agent": [{"name": name, "requestor": true}],
        "purposeOfEvent": [{"coding": [{"code": purpose}], "text": "bevisstløs"}],
        "entity": [
            {"name": "IT17", "detail": [{"type": "count", "valueString": "3"}, {"type": "reduced", "valueString": "narrative notes"}]},
            {"name": "IT03", "detail": [{"type": "reduced", "valueString": "narrative notes"}]},
            {"detail": [{"type": "request-id", "valueString": REQUEST}]},
        ],
    })
}

async fn start() -> Portal {
    let mut portal = Portal::start().await;
    portal.sign_in_as_citizen().await;
    *portal.fake.events.lock().unwrap() = vec![
        event("Berit Testnabo", Some("p-1"), "BTG", "0"),
        event("Ragnhild Testmo", None, "TREAT", "4"),
        json!({"resourceType": "AuditEvent", "recorded": NOW, "outcome": "0", "action": "C", "entity": [{"name": "IT08"}]}),
    ];
    portal
}

/// Sends a form of the blocks page.
async fn send(portal: &mut Portal, path: &str, fields: &[(&str, &str)]) -> Page {
    let form = portal.get("/blocks").await.form();
    let all: Vec<(&str, &str)> = [("form", form.as_str())]
        .into_iter()
        .chain(fields.iter().copied())
        .collect();
    portal.post(path, &all).await
}

#[tokio::test]
async fn she_reads_who_looked_and_shuts_one_of_them_out() {
    let mut portal = start().await;
    let log = portal.get("/log").await;
    assert_eq!(log.status, StatusCode::OK);
    for words in [
        "Hvem har sett",
        "Berit Testnabo",
        "<span class=\"quiet small\">Lege</span>",
        "Prøveheim, Lungeavdelingen",
        "nødrett",
        "«bevisstløs»",
        "målinger og funn, legemidler og vaksiner",
        "uten sammendragsteksten, notater",
        "ingenting, avvist",
        "et fagsystem",
        "lagret: planer",
        "aria-label=\"Sperr for denne personen: Berit Testnabo\"",
        "<th scope=\"row\">",
    ] {
        assert!(log.body.contains(words), "{words} is not in {}", log.body);
    }
    // Of a refusal alone it is asked why.
    assert_eq!(log.body.matches(">Hvorfor?<").count(), 1);
    // Only for health personnel is there a button.
    assert_eq!(log.body.matches(">Sperr for denne personen<").count(), 1);
    let token = portal.fake.tokens.lock().unwrap()[0].clone();
    assert_eq!(token.scope, "patient/*.rs patient/Consent.cds");
    assert_eq!(Some(&token.fnr), token.patient.as_ref());

    let (form, person) = (log.form(), log.value_of("person"));
    assert_eq!(person, "p-1");
    let fields = [
        ("form", form.as_str()),
        ("what", "person"),
        ("person", "p-1"),
    ];
    let sent = portal.post("/blocks", &fields).await;
    assert!(
        sent.body.contains("<h1>Sperren gjelder</h1>"),
        "{}",
        sent.body
    );
    let kept = portal.fake.wishes.lock().unwrap()[0].clone();
    let identifier = &kept["provision"]["actor"][0]["reference"]["identifier"];
    assert_eq!(identifier, &json!({"system": PSEUDONYM, "value": "p-1"}));

    // On her page it has the name that the log knows, and can be taken back.
    let blocks = portal.get("/blocks").await;
    assert!(
        blocks.body.contains("Person: Berit Testnabo"),
        "{}",
        blocks.body
    );
    assert!(blocks.body.contains("Gjelder hos: Fjellvik"));
    let wish = blocks.value_of("wish");
    let ended = send(&mut portal, "/blocks/end", &[("wish", &wish)]).await;
    assert!(ended.body.contains("<h1>Sperren er opphevet</h1>"));
    assert!(
        portal
            .get("/blocks")
            .await
            .body
            .contains("Du har ingen sperrer.")
    );
}

#[tokio::test]
async fn each_form_closes_what_it_says() {
    let mut portal = start().await;
    for (what, value, provision, words) in [
        ("all", "", json!({"type": "deny"}), "Alle opplysninger"),
        (
            "kind",
            "IT17",
            json!({"type": "deny", "class": [{"system": "https://delt.example/fhir/CodeSystem/information-service", "code": "IT17"}]}),
            "Type opplysninger: målinger og funn",
        ),
        (
            "sharing",
            "",
            json!({"type": "deny", "action": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentaction", "code": "disclose"}]}]}),
            "Reservasjon mot deling",
        ),
    ] {
        let sent = send(&mut portal, "/blocks", &[("what", what), (what, value)]).await;
        assert_eq!(sent.status, StatusCode::OK, "{what}");
        let kept = portal.fake.wishes.lock().unwrap().last().unwrap().clone();
        assert_eq!(kept["provision"], provision);
        let listed = portal.get("/blocks").await;
        assert!(listed.body.contains(&format!("<b>{words}</b>")), "{words}");
    }
    let organisation = [("what", "organisation"), ("organisation", "310001074")];
    send(&mut portal, "/blocks", &organisation).await;
    let kept = portal.fake.wishes.lock().unwrap().last().unwrap().clone();
    let identifier = &kept["provision"]["actor"][0]["reference"]["identifier"];
    assert_eq!(identifier["value"], "310001074");
    for wrong in [
        &[("what", "kind"), ("kind", "IT99")][..],
        &[("what", "organisation"), ("organisation", "310001075")],
        &[("what", "person"), ("person", "")],
        &[("what", "nobody")],
        &[],
    ] {
        let reply = send(&mut portal, "/blocks", wrong).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{wrong:?}");
    }
    let reply = send(&mut portal, "/blocks/end", &[("wish", "../x")]).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(portal.fake.wishes.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn who_did_not_do_it_is_said_and_it_is_sent_again() {
    let mut portal = start().await;
    *portal.fake.away.lock().unwrap() = Some("proveheim");
    let fields = [("what", "kind"), ("kind", "IT08")];
    let sent = send(&mut portal, "/blocks", &fields).await;
    assert!(sent.body.contains("<h1>Ikke alle har gjort det</h1>"));
    assert!(sent.body.contains("Sykehus: svarte ikke"), "{}", sent.body);
    *portal.fake.away.lock().unwrap() = None;
    let (form, what, kind) = (sent.form(), sent.value_of("what"), sent.value_of("kind"));
    let again = [("form", form.as_str()), ("what", &what), ("kind", &kind)];
    let sent = portal.post("/blocks", &again).await;
    assert!(sent.body.contains("<h1>Sperren gjelder</h1>"));
    assert_eq!(portal.fake.wishes.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn nobody_else_has_her_pages_and_she_has_nobody_elses() {
    let mut portal = start().await;
    assert_eq!(portal.get("/").await.location(), "/log");
    assert_eq!(portal.get("/patients").await.status, StatusCode::NOT_FOUND);
    let form = portal.get("/blocks").await.form();
    let reply = portal.post("/views", &[("form", &form)]).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    let forged = portal
        .post("/blocks", &[("form", "x"), ("what", "all")])
        .await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN);
    portal.cookies.clear();
    portal.sign_in("0").await;
    for path in ["/log", "/may-look", "/blocks"] {
        assert_eq!(portal.get(path).await.status, StatusCode::NOT_FOUND);
    }
    let form = portal.get("/patients").await.form();
    let reply = portal
        .post("/blocks", &[("form", &form), ("what", "all")])
        .await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    assert!(portal.fake.wishes.lock().unwrap().is_empty());
}

#[tokio::test]
async fn she_asks_why_somebody_was_refused_and_is_told_in_her_language() {
    let mut portal = start().await;
    let words = |code| wire::explained::Texts::from(trust::explain::of(code));
    let reason = |rule: &str, code| wire::explained::Reason {
        rule: rule.to_owned(),
        words: words(code),
        withheld: Vec::new(),
        left_out: Vec::new(),
    };
    let told = |number: &str, reasons| wire::explained::Told {
        organisation: number.parse().unwrap(),
        decisions: vec![wire::explained::Decision {
            when: NOW.to_owned(),
            outcome: "refused".to_owned(),
            rules: String::new(),
            reasons,
            inputs: Vec::new(),
        }],
    };
    *portal.fake.explained.lock().unwrap() = vec![
        told("310001007", vec![reason("block", "practitioner_blocked")]),
        told("310001074", Vec::new()),
    ];
    let code = trust::explain::of("practitioner_blocked");
    for (language, title, words) in [
        ("nb", "Hvorfor noen ikke fikk se", code.nb),
        ("nn", "Kvifor nokon ikkje fekk sjå", code.nn),
        ("en", "Why somebody was not allowed to see", code.en),
    ] {
        let form = portal.get("/log").await.form();
        let fields = [
            ("form", form.as_str()),
            ("language", language),
            ("back", "/log"),
        ];
        portal.post("/language", &fields).await;
        let log = portal.get("/log").await;
        let request = log.value_of("request");
        assert_eq!(request, REQUEST);
        let fields = [("form", &*log.form()), ("request", &*request)];
        let why = portal.post("/why", &fields).await;
        assert_eq!(why.status, StatusCode::OK, "{}", why.body);
        for said in [title, words, "Fjellvik"] {
            assert!(why.body.contains(said), "{said} is not in {}", why.body);
        }
        // Who has no reason to give is not shown.
        assert_eq!(why.body.matches("id=\"party-").count(), 1);
    }
    // What nobody knows of is said; what our pages do not send is refused; trouble is said.
    let form = portal.get("/log").await.form();
    let unknown = "00000000-0000-4000-8000-000000000000";
    let none = portal
        .post("/why", &[("form", &*form), ("request", unknown)])
        .await;
    assert!(
        none.body.contains("None of those who answered knows"),
        "{}",
        none.body
    );
    let strange = portal
        .post("/why", &[("form", &*form), ("request", "1")])
        .await;
    assert_eq!(strange.status, StatusCode::BAD_REQUEST);
    let forged = portal
        .post("/why", &[("form", "x"), ("request", unknown)])
        .await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN);
    *portal.fake.mood.lock().unwrap() = Mood::Babbling;
    let trouble = portal
        .post("/why", &[("form", &*form), ("request", unknown)])
        .await;
    assert_eq!(trouble.status, StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn what_others_wrote_is_text_and_trouble_is_said() {
    let mut portal = start().await;
    *portal.fake.events.lock().unwrap() = vec![event(EVIL, Some(EVIL), EVIL, "0")];
    let log = portal.get("/log").await;
    assert!(log.body.contains("onerror") && !log.body.contains("<img"));
    *portal.fake.mood.lock().unwrap() = Mood::NoSource;
    for path in ["/log", "/blocks"] {
        let page = portal.get(path).await;
        assert_eq!(page.status, StatusCode::BAD_GATEWAY, "{path}");
        assert!(page.body.contains("href=\"/log\""));
    }
    let number = testkit::people::Directory::demo()
        .story_patient()
        .number
        .clone();
    *portal.fake.mood.lock().unwrap() = Mood::Well;
    for path in ["/log", "/blocks"] {
        assert!(!portal.get(path).await.body.contains(&number), "{path}");
    }
}
