//! A citizen's page of who may look: at each holder, by which agreement, what, and who acts for her; in plain words and her language.

use http::StatusCode;
use trust::Detail;
use trust::attest::Purpose;
use trust::may_look::Work;
use wire::may_look::{Ground, Opens, Paper, Processor, Reader, Shut, Told, Who};

use crate::fake::{EVIL, Mood};
use crate::{Page, Portal};

fn who(number: &str, name: &str) -> Who {
    Who {
        organisation: number.parse().unwrap(),
        name: (!name.is_empty()).then(|| name.to_owned()),
    }
}

fn paper(id: &str, until: Option<&str>) -> Paper {
    Paper {
        id: id.to_owned(),
        from: "2026-01-02".to_owned(),
        until: until.map(str::to_owned),
    }
}

fn kinds(codes: &[&str]) -> Vec<fhir::resource::InformationService> {
    codes.iter().map(|code| code.parse().unwrap()).collect()
}

fn opens(ways: &[(Work, Purpose)], services: &[&str]) -> Opens {
    Opens {
        ways: ways.to_vec(),
        services: kinds(services),
        since: None,
        without: Vec::new(),
        broken: false,
    }
}

/// Fjellvik, where she closed her plans and one person, and whose data NordDrift keeps.
fn fjellvik() -> Told {
    use Purpose::{BreakTheGlass, Coordination, EmergencyTreat, Treat};
    use Work::{Assists, Treats, Unauthorised};
    let everybody = [(Treats, Treat), (Assists, Treat), (Unauthorised, Treat)];
    Told {
        holder: who("310001007", "Fjellvik kommune"),
        as_of: "2026-11-21T09:00:00Z".to_owned(),
        held: kinds(&["IT08", "IT12", "IT17"]),
        shut_out: Some(1),
        readers: vec![
            Reader {
                who: who("310001007", "Fjellvik kommune"),
                ground: Ground::Own,
                opens: vec![opens(&everybody, &["IT12", "IT17"])],
                shut: Vec::new(),
            },
            Reader {
                who: who("310001074", ""),
                ground: Ground::Agreement(paper("AVT-7", Some("2026-12-31"))),
                opens: vec![
                    opens(&[(Treats, Treat), (Treats, EmergencyTreat)], &["IT17"]),
                    Opens {
                        broken: true,
                        ..opens(&[(Treats, BreakTheGlass)], &["IT08", "IT17"])
                    },
                    Opens {
                        since: Some("2025-11-21T09:00:00Z".to_owned()),
                        without: vec![Detail::Narrative, Detail::Notes],
                        ..opens(
                            &[(Treats, Coordination), (Assists, Coordination)],
                            &["IT17"],
                        )
                    },
                    opens(&[(Assists, Treat)], &[]),
                ],
                shut: vec![Shut {
                    ways: vec![(Unauthorised, BreakTheGlass)],
                    code: "authorisation_missing".to_owned(),
                }],
            },
            Reader {
                who: who("310001147", "Prøvebakken legesenter"),
                ground: Ground::Agreement(paper("AVT-8", None)),
                opens: Vec::new(),
                shut: vec![Shut {
                    ways: vec![(Treats, Treat)],
                    code: "blocked".to_owned(),
                }],
            },
        ],
        processors: vec![Processor {
            who: who("310001287", "NordDrift"),
            paper: paper("DBA-1", None),
        }],
    }
}

async fn start(told: Vec<Told>) -> Portal {
    let mut portal = Portal::start().await;
    portal.sign_in_as_citizen().await;
    *portal.fake.may_look.lock().unwrap() = told;
    portal
}

fn says(page: &Page, words: &[&str]) {
    assert_eq!(page.status, StatusCode::OK);
    for one in words {
        assert!(page.body.contains(one), "{one} is not in {}", page.body);
    }
}

#[tokio::test]
async fn she_reads_who_may_look_at_what_and_why() {
    let mut portal = start(vec![fjellvik()]).await;
    let page = portal.get("/may-look").await;
    says(
        &page,
        &[
            "<h1>Hvem kan se</h1>",
            "<h2 id=\"holder-1\">Fjellvik kommune</h2>",
            "Finnes her: planer, personopplysninger, målinger og funn",
            "Oppbevares av NordDrift på vegne av Fjellvik kommune, etter databehandleravtale DBA-1 fra 02.01.2026.",
            "sperret for ved navn: 1.",
            "egne ansatte",
            "Alle som arbeider der (behandling):</span> personopplysninger, målinger og funn",
            // By the name that the portal knows, where the holder gives none.
            "<th scope=\"row\">Prøveheim Diakonale Sykehus</th>",
            "avtale AVT-7 fra 02.01.2026 til og med 31.12.2026",
            "Leger, sykepleiere og andre som behandler (behandling, akutt behandling):</span> målinger og funn<br>",
            "(nødrett):</span> planer, målinger og funn, fordi sperren åpnes med en skriftlig grunn",
            "behandler; Annet autorisert helsepersonell (samordning):</span> målinger og funn, ikke eldre enn 21.11.2025, uten sammendragsteksten, notater",
            "Annet autorisert helsepersonell (behandling):</span> ingenting av det som finnes her",
            "ingenting: bare for autorisert helsepersonell",
            "avtale AVT-8 fra 02.01.2026</td>",
            "ingenting: du har sperret",
            "Odd Testmo har fullmakt til å se planer, ikke notater, og ikke hvem som har sett eller kan se",
            "Å være pårørende gir ikke innsyn.",
            "<a class=\"ds-link\" href=\"/may-look\" aria-current=\"page\">",
        ],
    );
    assert!(!page.body.contains("310001074"), "numbers are for systems");
    let log = portal.get("/log").await;
    assert!(
        log.body
            .contains("<a class=\"ds-link\" href=\"/may-look\">Hvem kan se</a>")
    );
}

#[tokio::test]
async fn in_her_own_language() {
    let mut portal = start(vec![fjellvik()]).await;
    for (language, words) in [
        (
            "nn",
            [
                "<h1>Kven kan sjå</h1>",
                "ingenting: du har sperra",
                "målingar og funn",
                "Å vere pårørande",
            ],
        ),
        (
            "en",
            [
                "<h1>Who may look</h1>",
                "nothing: you have blocked it",
                "readings and findings",
                "Being next of kin",
            ],
        ),
    ] {
        let form = portal.get("/blocks").await.form();
        let fields = [
            ("form", form.as_str()),
            ("back", "/may-look"),
            ("language", language),
        ];
        portal.post("/language", &fields).await;
        says(&portal.get("/may-look").await, &words);
    }
}

#[tokio::test]
async fn who_did_not_tell_is_said_and_what_others_wrote_is_text() {
    let mut evil = fjellvik();
    evil.holder.name = Some(EVIL.to_owned());
    evil.readers[1].ground = Ground::Agreement(paper(EVIL, Some(EVIL)));
    evil.readers[2].shut[0].code = EVIL.to_owned();
    evil.shut_out = None;
    evil.held = Vec::new();
    let mut portal = start(vec![evil]).await;
    *portal.fake.away.lock().unwrap() = Some("proveheim");
    let page = portal.get("/may-look").await;
    says(
        &page,
        &[
            "Disse virksomhetene svarte ikke.",
            "Finnes her: ingenting om deg",
            // The words of a refusal that the page does not know.
            "Oppslaget ble ikke tillatt.",
        ],
    );
    assert!(!page.body.contains(EVIL) && !page.body.contains("ved navn:"));
    let nothing = start(Vec::new()).await.get("/may-look").await;
    says(
        &nothing,
        &["Ingen virksomhet som ble spurt, har noe om deg."],
    );
    for (mood, status) in [
        (Mood::Babbling, StatusCode::BAD_GATEWAY),
        (Mood::Refusing, StatusCode::FORBIDDEN),
        (Mood::NoSource, StatusCode::BAD_GATEWAY),
    ] {
        *portal.fake.mood.lock().unwrap() = mood;
        assert_eq!(portal.get("/may-look").await.status, status);
    }
}
