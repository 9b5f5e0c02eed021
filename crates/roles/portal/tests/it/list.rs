//! The list of the organisation's own patients, and the steps of an alert, as a browser meets them.

use fhir::ids::{PersonIdentifier, PersonNumbers};
use fhir::plan::Zone;
use fhir::time::Instant;
use http::{Request, StatusCode};
use testkit::people::Directory;
use wire::contract::work_list::{Alert, Quiet, Row, Score, Trend, WorkList};

use crate::own::task;
use crate::{Page, Portal, fake};

/// The story's nurse.
const NURSE: &str = "1";
const MINUTE: i64 = 60;

fn row(number: &str) -> Row {
    Row {
        tag: format!("row-of-{number}"),
        patient: PersonIdentifier::guess(number, PersonNumbers::Lenient).unwrap(),
        name: None,
        zone: Some(Zone::Green),
        news2: None,
        trend: Trend::Same,
        missing: Vec::new(),
        newest: None,
        admitted: false,
        pause: None,
        unread: false,
        alerts: Vec::new(),
    }
}

fn at(minutes_ago: i64) -> Instant {
    fake::now().plus_seconds(-minutes_ago * MINUTE)
}

/// Ragnhild red, and somebody of whom little is known.
pub fn list() -> WorkList {
    let patients = &Directory::demo().patients;
    let red = Row {
        name: Some("Ragnhild <Testmo>".into()),
        zone: Some(Zone::Red),
        news2: Some(Score {
            points: 4,
            missing: vec!["respiration".into(), "consciousness".into()],
            at: at(64),
        }),
        trend: Trend::Worse,
        missing: vec!["body-weight".into()],
        newest: Some(at(64)),
        alerts: vec![Alert {
            task: "a-1".into(),
            version: 1,
            topic: "alert-readings".into(),
            state: "raised".into(),
            zone: Some(Zone::Red),
            owner: None,
            deadline: Some(at(49)),
            level: 1,
            escalated_to: Some("Vakthavende <lege>".into()),
        }],
        ..row(&Directory::demo().story_patient().number)
    };
    let other = Row {
        zone: None,
        admitted: true,
        pause: Some("Innlagt".into()),
        unread: true,
        ..row(&patients[1].number)
    };
    WorkList {
        tag: "tag-1".into(),
        at: fake::now(),
        device: "Delt vurdering. Ikke CE-merket".into(),
        total: 2,
        undecided: 0,
        quiet: Vec::new(),
        offset: 0,
        same: false,
        order: vec![red.tag.clone(), other.tag.clone()],
        rows: vec![red, other],
        gone: Vec::new(),
    }
}

async fn ward() -> Portal {
    let mut portal = Portal::start().await;
    *portal.fake.own.list.lock().unwrap() = Some(list());
    *portal.fake.own.task.lock().unwrap() = Some(task(1, "raised", None));
    portal.sign_in(NURSE).await;
    portal
}

/// The session's address of the first row.
pub fn first(page: &Page) -> String {
    let rest = page.body.split_once("href=\"/views/").unwrap().1;
    format!("/views/{}", rest.split('"').next().unwrap())
}

#[tokio::test]
async fn each_row_says_what_is_known_and_leads_to_the_patient() {
    let mut portal = ward().await;
    let page = portal.get("/list").await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    for words in [
        "Mine pasienter i dag",
        "Ikke CE-merket",
        "Viser 1–2 av 2",
        "Ragnhild &#60;Testmo&#62;",
        "verre",
        "så langt",
        "respirasjon, bevissthet",
        "vekt",
        "64 min siden",
        "utløst",
        "frist 08:41 er passert",
        "frister passert: 1",
        "nå til: Vakthavende &#60;lege&#62;",
        "Arne Syntetisk",
        "ikke vurdert",
        "innlagt",
        "ikke alt kunne leses",
        "ikke kjent",
    ] {
        assert!(page.body.contains(words), "{words}: {}", page.body);
    }
    let number = &Directory::demo().story_patient().number;
    assert!(!page.body.contains(&format!("/{number}")) && !page.body.contains("token."));
    // The token for it was of nobody, for this service and this alone.
    {
        let tokens = portal.fake.tokens.lock().unwrap();
        let token = tokens.last().unwrap();
        assert_eq!(
            (token.patient.as_ref(), token.scope.as_str()),
            (None, "user/Task.s")
        );
        assert_eq!(
            token.audience,
            format!("{}/fjellvik/fhir", portal.fake.base)
        );
    }
    let patient = portal.get(&first(&page)).await;
    assert_eq!(patient.status, StatusCode::OK, "{}", patient.body);
    let again = portal.get("/list").await;
    assert_eq!(first(&again), first(&page), "her address stays hers");
    let mut stranger = Portal {
        cookies: Vec::new(),
        ..portal.another_tab()
    };
    stranger.sign_in(NURSE).await;
    assert_eq!(
        stranger.get(&first(&page)).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_page_that_asks_by_itself_gets_what_changed_and_keeps_nobody_signed_in() {
    let mut portal = ward().await;
    portal.get("/list").await;
    let same = portal.get("/list/rows?from=0&known=tag-1").await;
    assert_eq!(
        (same.status, same.body.as_str()),
        (StatusCode::NO_CONTENT, "")
    );
    let rows = portal.get("/list/rows?known=older").await;
    assert_eq!(rows.status, StatusCode::OK);
    assert!(rows.body.contains("<tbody id=\"rows\"") && !rows.body.contains("<html"));
    assert!(rows.body.contains("Viser 1–2 av 2"), "{}", rows.body);
    // Ages are counted from the service's own moment.
    let now = format!("data-now=\"{}\"", fake::now().0 / 1000);
    assert!(rows.body.contains(&now), "{}", rows.body);
    for _ in 0..5 {
        portal.clock.advance(5 * 60_000_000);
        portal.get("/list/rows?known=tag-1").await;
    }
    let over = portal.get("/list").await;
    assert_eq!((over.status, over.location()), (StatusCode::SEE_OTHER, "/"));
}

#[tokio::test]
async fn a_row_that_the_page_has_is_its_place_alone_and_nobody_is_left_out() {
    let mut portal = ward().await;
    let page = portal.get("/list").await;
    let [red, other] = &list().order[..] else {
        panic!("two rows")
    };
    assert!(
        page.body
            .contains(&format!("data-tag=\"{red}\" class=\"edge-red\""))
    );
    // She has changed; the other has not, and comes first now.
    let mut changed = list();
    changed.tag = "tag-2".into();
    changed.rows[0].tag = "row-anew".into();
    changed.order = vec![other.clone(), "row-anew".into()];
    *portal.fake.own.list.lock().unwrap() = Some(changed.clone());
    let address = format!("/list/rows?from=0&known=tag-1,{red},{other}");
    let rows = portal.get(&address).await;
    assert_eq!(rows.status, StatusCode::OK, "{}", rows.body);
    let place = format!("<tr data-tag=\"{other}\" data-held></tr>");
    let (before, after) = rows.body.split_once(&place).expect("its place");
    assert!(before.contains("data-tag=\"tag-2\"") && !before.contains("<tr"));
    assert!(after.contains("data-tag=\"row-anew\" class=\"edge-red\""));
    assert!(!rows.body.contains("Arne Syntetisk"), "{}", rows.body);
    assert!(rows.body.contains("Ragnhild &#60;Testmo&#62;"));
    assert!(rows.body.contains("Viser 1–2 av 2"));
    assert_eq!(first(&rows), first(&page), "her address stays hers");
    // A service that leaves out a row that the page does not have is not believed.
    changed.rows.remove(0);
    *portal.fake.own.list.lock().unwrap() = Some(changed);
    let missing = portal.get(&address).await;
    assert!(missing.status.is_server_error(), "{}", missing.status);
    assert_ne!(portal.get("/list").await.status, StatusCode::OK);
}

#[tokio::test]
async fn who_could_not_be_decided_about_is_told_as_a_number_in_three_languages() {
    let mut portal = ward().await;
    assert!(
        portal
            .get("/list")
            .await
            .body
            .contains("id=\"undecided\" role=\"alert\" hidden>")
    );
    let with = |undecided| WorkList {
        tag: format!("tag-{undecided}"),
        undecided,
        ..list()
    };
    for (language, one, three) in [
        (
            "nb",
            "Én pasient er ikke på listen",
            "3 pasienter er ikke på listen",
        ),
        (
            "nn",
            "Éin pasient er ikkje på lista",
            "3 pasientar er ikkje på lista",
        ),
        (
            "en",
            "One patient is not on the list",
            "3 patients are not on the list",
        ),
    ] {
        portal.cookies.retain(|(name, _)| name != "delt-language");
        portal
            .cookies
            .push(("delt-language".into(), language.into()));
        for (undecided, words) in [(1, one), (3, three)] {
            *portal.fake.own.list.lock().unwrap() = Some(with(undecided));
            for address in ["/list", "/list/rows?known=tag-0"] {
                let page = portal.get(address).await;
                assert!(page.body.contains(words), "{address}: {}", page.body);
                assert!(page.body.contains("id=\"undecided\" role=\"alert\">"));
            }
        }
    }
}

#[tokio::test]
async fn who_has_not_been_heard_is_told_in_plain_words_in_three_languages() {
    let mut portal = ward().await;
    let page = portal.get("/list").await;
    assert!(
        page.body.contains("id=\"quiet\" role=\"alert\" hidden>"),
        "{}",
        page.body
    );
    let quiet = |home_system, since| Quiet {
        name: "<Nord>".into(),
        home_system,
        since,
    };
    let all = [
        quiet(false, Some(fake::now())),
        quiet(false, None),
        quiet(true, Some(at(60 * 24))),
        quiet(true, None),
    ];
    *portal.fake.own.list.lock().unwrap() = Some(WorkList {
        tag: "tag-quiet".into(),
        quiet: all.into(),
        ..list()
    });
    let when = portal.get("/list").await;
    let lines = when.body.split_once("id=\"quiet\"").unwrap().1;
    assert_eq!(
        lines.split_once("</div>").unwrap().0.matches("<p ").count(),
        4
    );
    for (language, said) in [
        (
            "nb",
            [
                "Det har ikke kommet noe fra &#60;Nord&#62; siden 09:30.",
                "Det har aldri kommet noe fra &#60;Nord&#62;.",
                "Hjemmesystemet &#60;Nord&#62; har ikke sendt noe siden 04.03. 09:30.",
                "Hjemmesystemet &#60;Nord&#62; har aldri sendt noe.",
            ],
        ),
        (
            "nn",
            [
                "Det har ikkje kome noko frå &#60;Nord&#62; sidan 09:30.",
                "Det har aldri kome noko frå &#60;Nord&#62;.",
                "Heimesystemet &#60;Nord&#62; har ikkje sendt noko sidan 04.03. 09:30.",
                "Heimesystemet &#60;Nord&#62; har aldri sendt noko.",
            ],
        ),
        (
            "en",
            [
                "Nothing has come from &#60;Nord&#62; since 09:30.",
                "Nothing has ever come from &#60;Nord&#62;.",
                "The home system &#60;Nord&#62; has sent nothing since 04.03. 09:30.",
                "The home system &#60;Nord&#62; has never sent anything.",
            ],
        ),
    ] {
        portal.cookies.retain(|(name, _)| name != "delt-language");
        portal
            .cookies
            .push(("delt-language".into(), language.into()));
        for address in ["/list", "/list/rows?known=tag-0"] {
            let page = portal.get(address).await;
            assert!(page.body.contains("id=\"quiet\" role=\"alert\">"));
            for words in said {
                assert!(page.body.contains(words), "{words}: {}", page.body);
            }
        }
    }
}

#[tokio::test]
async fn a_list_that_begins_empty_has_where_the_first_row_goes() {
    let mut portal = ward().await;
    let empty = WorkList {
        tag: "tag-0".into(),
        total: 0,
        order: Vec::new(),
        rows: Vec::new(),
        ..list()
    };
    *portal.fake.own.list.lock().unwrap() = Some(empty);
    let page = portal.get("/list").await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    assert!(page.body.contains("Ingen pasienter"), "{}", page.body);
    let rows = "<tbody id=\"rows\" data-tag=\"tag-0\"";
    let (_, after) = page.body.split_once(rows).expect("where rows go");
    assert!(!after.split_once("</tbody>").unwrap().0.contains("<tr"));
    // The first patient comes with the count and the way to the others, which are there to be brought up to date.
    *portal.fake.own.list.lock().unwrap() = Some(WorkList {
        total: 60,
        ..list()
    });
    let update = portal.get("/list/rows?from=0&known=tag-0").await;
    assert!(update.body.contains("Viser 1–2 av 60"), "{}", update.body);
    for place in ["id=\"shows\"", "id=\"pages\""] {
        assert!(page.body.contains(place), "{place}: {}", page.body);
        assert!(update.body.contains(place), "{place}: {}", update.body);
    }
    assert!(update.body.contains("href=\"/list?from=2\""));
}

#[tokio::test]
async fn an_alert_is_taken_and_closed_with_a_note_by_forms_of_ours_alone() {
    let mut portal = ward().await;
    let address = format!("{}/alerts", first(&portal.get("/list").await));
    let page = portal.get(&address).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    assert!(page.body.contains("Kari &#60;Prøve&#62;") && page.body.contains("&#60;b&#62;"));
    let form = page.form();
    let send = [("form", form.as_str()), ("task", "a-1"), ("version", "1")];
    let with = |more: &[(&'static str, &'static str)]| [&send[..], more].concat();
    // Another site's form, and one without the session's value, change nothing.
    let strange = Request::builder()
        .method("POST")
        .uri(&address)
        .header("sec-fetch-site", "cross-site")
        .header("content-type", "application/x-www-form-urlencoded");
    let body = wire::form::write(with(&[("step", "own")]).iter().copied());
    assert_eq!(
        portal.send(strange, body).await.status,
        StatusCode::FORBIDDEN
    );
    let bare = [("task", "a-1"), ("version", "1"), ("step", "own")];
    assert_eq!(
        portal.post(&address, &bare).await.status,
        StatusCode::FORBIDDEN
    );
    let tell = portal.post(&address, &with(&[("step", "tell")])).await;
    assert_eq!(tell.status, StatusCode::BAD_REQUEST);
    assert!(portal.fake.own.steps.lock().unwrap().is_empty());

    let own = portal.post(&address, &with(&[("step", "own")])).await;
    assert_eq!(
        (own.status, own.location()),
        (StatusCode::SEE_OTHER, address.as_str())
    );
    let scope = {
        let tokens = portal.fake.tokens.lock().unwrap();
        tokens.last().unwrap().scope.clone()
    };
    assert_eq!(scope, "user/*.rs user/Task.u");
    let send = [("form", form.as_str()), ("task", "a-1"), ("version", "2")];
    let silent = [&send[..], &[("step", "resolve"), ("note", "  ")]].concat();
    let silent = portal.post(&address, &silent).await;
    assert_eq!(silent.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(silent.body.contains("krever et notat"), "{}", silent.body);
    let closed = [
        &send[..],
        &[
            ("step", "resolve"),
            ("note", "Planens trinn er tatt"),
            ("shared", "true"),
        ],
    ]
    .concat();
    assert_eq!(
        portal.post(&address, &closed).await.status,
        StatusCode::SEE_OTHER
    );
    let steps = portal.fake.own.steps.lock().unwrap();
    assert_eq!(steps.len(), 2);
    assert_eq!(steps[1].0, "$resolve");
    assert_eq!(steps[1].1.get("note"), Some("Planens trinn er tatt"));
    assert_eq!(steps[1].1.get("shared"), Some("true"));
    assert_eq!(steps[0].1.get("shared"), None);
    assert_eq!(steps[0].1.get("signature"), None);
    // She signed what she said of the version that she saw, by the key of her session, which the browser never has.
    let signature = steps[1].1.get("signature").unwrap();
    let signature = trust::jws::parse(signature, trust::jws::Embedded::Required).unwrap();
    let claims: wire::signed::Claims =
        serde_json::from_slice(signature.verify_embedded().unwrap()).unwrap();
    assert_eq!((claims.task.as_str(), claims.version), ("Task/a-1", 2));
    assert_eq!(
        claims.words,
        trust::encoding::sha256_base64url("Planens trinn er tatt".as_bytes())
    );
}

#[tokio::test]
async fn an_open_alert_is_reached_behind_however_many_closed_ones() {
    let mut portal = ward().await;
    let numbered = |n: usize, state: &str| {
        let mut one = task(1, state, None);
        one["id"] = format!("b-{n}").into();
        one
    };
    let closed = (0..15).map(|n| numbered(n, "resolved"));
    *portal.fake.own.others.lock().unwrap() = closed.chain([numbered(99, "raised")]).collect();
    let address = format!("{}/alerts", first(&portal.get("/list").await));
    let page = portal.get(&address).await;
    let place = |id: &str| page.body.find(&format!("id=\"head-{id}\""));
    assert!(place("b-99").unwrap() < place("b-0").unwrap());
    assert_eq!(place("b-9").is_some(), place("b-10").is_none());
    assert_eq!(page.body.matches("id=\"head-").count(), 12);
}

#[tokio::test]
async fn who_came_too_late_is_told_who_has_it_and_keeps_what_she_wrote() {
    let mut portal = ward().await;
    let address = format!("{}/alerts", first(&portal.get("/list").await));
    let page = portal.get(&address).await;
    *portal.fake.own.rival.lock().unwrap() = Some("Kari Prøve, Fjellvik kommune");
    let form = page.form();
    let sent = [
        ("form", form.as_str()),
        ("task", "a-1"),
        ("version", "1"),
        ("step", "own"),
        ("note", "Jeg <ringer>"),
    ];
    let late = portal.post(&address, &sent).await;
    assert_eq!(late.status, StatusCode::CONFLICT);
    assert!(
        late.body
            .contains("Kari Prøve, Fjellvik kommune har tatt varselet."),
        "{}",
        late.body
    );
    assert!(late.body.contains("Jeg &#60;ringer&#62;"), "{}", late.body);
    assert_eq!(late.value_of("version"), "2");
}

/// Two about the same that she has: one stays, and the page shows one. Another's, and one about something else, are not on offer.
#[tokio::test]
async fn two_alerts_that_one_person_has_are_made_one_by_a_form() {
    const MARI: &str = "Mari Syntetisk, Fjellvik kommune";
    let mut portal = ward().await;
    let of = |id: &str, state: &str, owner: Option<&str>| {
        let mut one = task(4, state, owner);
        one["id"] = id.into();
        one
    };
    let mut missing = of("b-4", "owned", Some(MARI));
    missing["code"]["coding"][0]["code"] = "alert-missing".into();
    let others = [
        of("b-1", "acknowledged", Some(MARI)),
        of("b-2", "owned", Some("Kari Prøve, Fjellvik kommune")),
        of("b-3", "handing-over", Some(MARI)),
        missing,
        of("b-5", "raised", None),
        of("b-6", "resolved", Some(MARI)),
    ];
    *portal.fake.own.task.lock().unwrap() = Some(task(1, "owned", Some(MARI)));
    *portal.fake.own.others.lock().unwrap() = others.to_vec();
    let address = format!("{}/alerts", first(&portal.get("/list").await));
    for (language, words, states) in [
        ("nn", "Slå saman med", "slått saman med eit anna"),
        ("en", "Join with", "joined with another"),
        ("nb", "Slå sammen med", "slått sammen med et annet"),
    ] {
        portal.cookies.retain(|(name, _)| name != "delt-language");
        let cookie = ("delt-language".into(), language.into());
        portal.cookies.push(cookie);
        let page = portal.get(&address).await;
        assert!(page.body.contains(words), "{language}: {}", page.body);
        assert!(!page.body.contains(states), "{language}");
    }
    let page = portal.get(&address).await;
    // Each of the two may stay; no other has the form.
    let values = ["Task/b-1/_history/4", "Task/a-1/_history/1"];
    assert_eq!(
        page.body
            .matches("<select class=\"ds-input\" id=\"with-")
            .count(),
        2
    );
    assert_eq!(page.body.matches("<option value=\"Task/").count(), 2);
    assert!(
        values
            .iter()
            .all(|one| page.body.contains(&format!("<option value=\"{one}\">")))
    );
    let form = page.form();
    let sent = |note: &'static str| {
        [
            ("form", form.clone()),
            ("task", "a-1".into()),
            ("version", "1".into()),
            ("step", "join".into()),
            ("with", values[0].into()),
            ("note", note.into()),
        ]
    };
    let post = async |portal: &mut Portal, note: &'static str| {
        let sent = sent(note);
        let sent: Vec<_> = sent
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        portal.post(&address, &sent).await
    };
    let silent = post(&mut portal, " ").await;
    assert_eq!(silent.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(silent.body.contains("krever et notat"), "{}", silent.body);
    // What the service does not join is told as that, and what she wrote is kept.
    for (refuses, status) in [
        (StatusCode::CONFLICT, StatusCode::CONFLICT),
        (StatusCode::PRECONDITION_FAILED, StatusCode::CONFLICT),
        (StatusCode::BAD_REQUEST, StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        *portal.fake.own.refuses.lock().unwrap() = Some(refuses);
        let two = post(&mut portal, "Samme <sak>").await;
        assert_eq!(two.status, status);
        assert!(
            two.body.contains("Varslene er fortsatt to."),
            "{}",
            two.body
        );
        assert!(two.body.contains("Samme &#60;sak&#62;"), "{}", two.body);
    }
    *portal.fake.own.refuses.lock().unwrap() = None;
    assert!(portal.fake.own.steps.lock().unwrap().is_empty());
    let joined = post(&mut portal, "Samme sak").await;
    assert_eq!(joined.location(), address, "{}", joined.body);
    let steps = portal.fake.own.steps.lock().unwrap().clone();
    let [(step, form)] = &steps[..] else {
        panic!("one step: {steps:?}")
    };
    assert_eq!(
        (step.as_str(), form.get("with")),
        ("$join", Some(values[0]))
    );
    assert_eq!(form.get("note"), Some("Samme sak"));
    let page = portal.get(&address).await;
    assert!(
        page.body.contains("slått sammen med et annet"),
        "{}",
        page.body
    );
    assert!(!page.body.contains("value=\"join\""), "{}", page.body);
}

#[tokio::test]
async fn who_has_no_list_is_told_so_and_a_citizen_has_none() {
    let mut portal = ward().await;
    *portal.fake.own.list.lock().unwrap() = None;
    let none = portal.get("/list").await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
    assert!(
        none.body.contains("ingen tjeneste med arbeidsliste"),
        "{}",
        none.body
    );
    let rows = portal.get("/list/rows").await;
    assert_eq!(rows.status, StatusCode::NOT_FOUND);
    let mut citizen = Portal::start().await;
    citizen.sign_in_as_citizen().await;
    assert_eq!(citizen.get("/list").await.status, StatusCode::NOT_FOUND);
    let mut nobody = Portal::start().await;
    assert_eq!(nobody.get("/list").await.location(), "/");
}
