//! Who may look, as the patient is told it, held against what a look-up then gets: by the agreements that the anchor publishes, her
//! own wishes, and what the organisation publishes.

use crate::assess::plan;
use crate::house::*;
use crate::wishes::{actor, closed, looks, patient};
use fhir::ids::OrganisationNumber;
use http::StatusCode;
use serde_json::json;
use store::{Published, Publishing, Share};
use testkit::clients::Reply;
use testkit::door::Held;
use trust::attest::Purpose;
use trust::audit::Outcome;
use trust::may_look::{Way, Work};
use trust::wish::PSEUDONYM;
use trust::{Agreement, Interaction};
use wire::contract::anchor::{AgreementDocument, AgreementKind, EVERY_MEMBER, Participant};
use wire::contract::operate::Standing;
use wire::contract::sharing::MAY_LOOK_BYTES;
use wire::may_look::{Ground, Opens, Reader, Told};

const WHEN: &str = "2026-11-20T08:00:00+01:00";
const TREAT: Way = (Work::Treats, Purpose::Treat);
const BTG: Way = (Work::Treats, Purpose::BreakTheGlass);

pub fn participant(service: &Service, number: &str, state: Standing) -> Participant {
    Participant {
        iss: service.issuer.url().to_owned(),
        sub: number.to_owned(),
        iat: 1,
        name: register().name(&org(number)).unwrap().to_owned(),
        version: 1,
        state,
        units: Vec::new(),
        keys: Vec::new(),
        contacts: Vec::new(),
    }
}

/// An agreement by which `consumer` reads what `provider` is responsible for: measurements, plans and documents.
fn agreement(service: &Service, consumer: &str, provider: &str) -> AgreementDocument {
    AgreementDocument {
        iss: service.issuer.url().to_owned(),
        sub: format!("AVT-{consumer}-{provider}"),
        iat: 1,
        version: 1,
        state: Standing::Active,
        signed: true,
        kind: AgreementKind::DataSharing,
        parties: vec![consumer.to_owned(), provider.to_owned()],
        consumer: Some(consumer.to_owned()),
        provider: Some(provider.to_owned()),
        processor: None,
        services: ["IT08", "IT09", "IT17"].map(str::to_owned).to_vec(),
        from: "2026-01-01".into(),
        until: Some("2026-12-31".into()),
    }
}

fn processing(service: &Service, owner: &str) -> AgreementDocument {
    AgreementDocument {
        sub: "DBA-1".into(),
        kind: AgreementKind::DataProcessing,
        parties: vec![owner.to_owned()],
        consumer: None,
        provider: None,
        processor: Some(NORDDRIFT.to_owned()),
        until: None,
        ..agreement(service, NORDDRIFT, owner)
    }
}

/// The anchor vouches for the story's organisations and for these agreements.
pub fn vouch(service: &Service, agreements: &[AgreementDocument]) {
    let all = [
        FJELLVIK,
        PROVEHEIM,
        PROVEBAKKEN,
        NORDDRIFT,
        KYSTREGIONEN,
        SORLIA,
        ASDAL,
    ];
    let all = all.map(|number| participant(service, number, Standing::Active));
    service.issuer.vouch(&all, agreements).unwrap();
}

async fn asks(service: &Service, who: &Held) -> Reply {
    service
        .post(who, "/$may-look", &json!({"resourceType": "Parameters"}))
        .await
}

async fn told(service: &Service, who: &Held) -> Told {
    let reply = asks(service, who).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    Told::read(&reply.json).unwrap()
}

fn reader<'a>(told: &'a Told, number: &str) -> Option<&'a Reader> {
    let mut all = told.readers.iter();
    all.find(|one| one.who.organisation == org(number))
}

fn opens(reader: &Reader, way: Way) -> Option<&Opens> {
    reader.opens.iter().find(|one| one.ways.contains(&way))
}

/// The kinds that a way opens, or the code of the refusal.
fn said(reader: &Reader, way: Way) -> Result<Vec<String>, String> {
    if let Some(one) = opens(reader, way) {
        return Ok(one.services.iter().map(ToString::to_string).collect());
    }
    let shut = reader.shut.iter().find(|one| one.ways.contains(&way));
    Err(shut.unwrap().code.clone())
}

/// Her saturation and her plan at Fjellvik.
async fn with_data(service: &Service) {
    service
        .created(&reading(ragnhild(), "r-1", WHEN, "91"))
        .await;
    service
        .created(&plan(ragnhild(), "1", ("2026-11-01", None), "84"))
        .await;
}

/// What a physician of an organisation gets of each type, with a token as the anchor issues it by this agreement.
async fn gets(
    service: &Service,
    number: &str,
    purpose: &str,
    paper: Option<&AgreementDocument>,
) -> Vec<usize> {
    let who = service.physician_but(ragnhild(), |claims| {
        claims.orgnr_parent = Some(org(number));
        claims.agreement = paper.map(|paper| Agreement {
            id: paper.sub.clone(),
            version: 1,
            services: paper
                .services
                .iter()
                .map(|one| one.parse().unwrap())
                .collect(),
        });
        let attest = claims.attest.as_mut().unwrap();
        attest.practitioner.legal_entity.as_mut().unwrap().id = number.to_owned();
        let relation = &mut attest.care_relationship;
        relation.purpose_of_use.as_mut().unwrap().code = purpose.to_owned();
        relation.reason = Some("bevisstløs".to_owned());
    });
    let mut counts = Vec::new();
    for kind in ["Observation", "CarePlan"] {
        let reply = service
            .search(&who, kind, &[("patient.identifier", &number_of())])
            .await;
        counts.push(reply.matches().len());
    }
    counts
}

fn number_of() -> String {
    number(ragnhild())
}

#[tokio::test]
async fn whoever_is_on_the_list_is_let_in_and_nobody_else_is() {
    let service = Service::fjellvik().await;
    with_data(&service).await;
    let paper = agreement(&service, PROVEHEIM, FJELLVIK);
    vouch(&service, &[paper.clone(), processing(&service, FJELLVIK)]);
    let her = patient(&service);

    let list = told(&service, &her).await;
    assert_eq!(list.holder.organisation, org(FJELLVIK));
    assert_eq!(list.as_of, NOW.to_string());
    let held: Vec<String> = list.held.iter().map(ToString::to_string).collect();
    // Who she is is held too; a document is not, though the agreement covers some.
    assert_eq!(held, ["IT08", "IT12", "IT17"]);
    let names: Vec<&str> = list
        .readers
        .iter()
        .map(|one| one.who.name.as_deref().unwrap())
        .collect();
    assert_eq!(names, ["Fjellvik kommune", "Prøveheim Diakonale Sykehus"]);
    let [own, hospital] = &list.readers[..] else {
        panic!()
    };
    assert_eq!(own.ground, Ground::Own);
    assert_eq!(said(own, TREAT).unwrap(), held);
    let Ground::Agreement(ground) = &hospital.ground else {
        panic!()
    };
    assert_eq!(
        (ground.id.as_str(), ground.from.as_str()),
        (paper.sub.as_str(), "2026-01-01")
    );
    assert_eq!(ground.until.as_deref(), Some("2026-12-31"));
    assert_eq!(said(hospital, TREAT).unwrap(), ["IT08", "IT17"]);
    let [processor] = &list.processors[..] else {
        panic!()
    };
    assert_eq!(
        (processor.who.organisation, processor.paper.id.as_str()),
        (org(NORDDRIFT), "DBA-1")
    );
    assert_eq!(list.shut_out, Some(0));
    assert_eq!(
        gets(&service, PROVEHEIM, "TREAT", Some(&paper)).await,
        [1, 1]
    );
    assert_eq!(gets(&service, PROVEBAKKEN, "TREAT", None).await, [0, 0]);
    assert!(reader(&list, PROVEBAKKEN).is_none());

    // She closes her plans: the list says so, and so does the door.
    let kinds = json!({"class": [{"system": "https://delt.example/fhir/CodeSystem/information-service", "code": "IT08"}]});
    closed(&service, kinds).await;
    let list = told(&service, &her).await;
    let hospital = reader(&list, PROVEHEIM).unwrap();
    assert_eq!(said(hospital, TREAT).unwrap(), ["IT17"]);
    assert_eq!(said(hospital, BTG).unwrap(), ["IT08", "IT17"]);
    assert!(opens(hospital, BTG).unwrap().broken);
    assert_eq!(
        said(reader(&list, FJELLVIK).unwrap(), TREAT).unwrap(),
        ["IT12", "IT17"]
    );
    assert_eq!(
        gets(&service, PROVEHEIM, "TREAT", Some(&paper)).await,
        [1, 0]
    );
    assert_eq!(gets(&service, PROVEHEIM, "BTG", Some(&paper)).await, [1, 1]);

    // A neighbour by name, then the whole hospital.
    closed(&service, actor(PSEUDONYM, "the-neighbour")).await;
    assert_eq!(told(&service, &her).await.shut_out, Some(1));
    let neighbour = service
        .search(
            &looks(&service, "TREAT", None),
            "Observation",
            &[("patient.identifier", &number_of())],
        )
        .await;
    assert_eq!(neighbour.status, StatusCode::FORBIDDEN);
    closed(&service, actor(fhir::systems::ORGNR, PROVEHEIM)).await;
    let list = told(&service, &her).await;
    let hospital = reader(&list, PROVEHEIM).unwrap();
    assert_eq!(said(hospital, TREAT).unwrap_err(), "blocked");
    assert!(opens(hospital, BTG).is_some());
    assert_eq!(
        gets(&service, PROVEHEIM, "TREAT", Some(&paper)).await,
        [0, 0]
    );
    assert_eq!(gets(&service, PROVEHEIM, "BTG", Some(&paper)).await, [1, 1]);

    // Reserved against sharing: to others it is as if nothing were shared, whatever the purpose.
    closed(&service, json!({"action": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentaction", "code": "disclose"}]}]})).await;
    let list = told(&service, &her).await;
    let hospital = reader(&list, PROVEHEIM).unwrap();
    assert!(hospital.opens.is_empty());
    assert_eq!(said(hospital, BTG).unwrap_err(), "reserved");
    assert!(said(reader(&list, FJELLVIK).unwrap(), TREAT).is_ok());
    assert_eq!(gets(&service, PROVEHEIM, "BTG", Some(&paper)).await, [0, 0]);

    // That she asked is on record, as hers, and nothing was given of what is held.
    let record = service.last_record_of(Interaction::MayLook).await;
    assert!(matches!(record.outcome, Outcome::Allowed) && record.disclosed.is_empty());
    assert_eq!(record.patient, Some(identifier(ragnhild())));
}

#[tokio::test]
async fn an_agreement_counts_while_it_is_in_force_and_both_take_part() {
    let service = Service::fjellvik().await;
    with_data(&service).await;
    let her = patient(&service);
    let sound = agreement(&service, PROVEHEIM, FJELLVIK);
    let but = |change: &dyn Fn(&mut AgreementDocument)| {
        let mut one = sound.clone();
        change(&mut one);
        one
    };
    let readers = async |agreements: &[AgreementDocument]| -> Vec<String> {
        vouch(&service, agreements);
        // Beyond the age at which the documents are renewed.
        service.clock.advance(60_000_000);
        let list = told(&service, &patient(&service)).await;
        list.readers
            .iter()
            .map(|one| one.who.organisation.to_string())
            .collect()
    };
    assert_eq!(
        readers(std::slice::from_ref(&sound)).await,
        [FJELLVIK, PROVEHEIM]
    );
    for (one, what) in [
        (but(&|one| one.until = Some("2026-11-20".into())), "ended"),
        (but(&|one| one.from = "2026-11-22".into()), "not begun"),
        (but(&|one| one.signed = false), "unsigned"),
        (but(&|one| one.state = Standing::Suspended), "suspended"),
        (
            but(&|one| one.kind = AgreementKind::Locator),
            "about something else",
        ),
        (
            but(&|one| one.provider = Some(PROVEBAKKEN.into())),
            "another's data",
        ),
        (agreement(&service, FJELLVIK, PROVEHEIM), "the other way"),
    ] {
        // A version that is newer than what is known; the older is not taken back.
        let one = AgreementDocument {
            version: 2,
            sub: what.into(),
            ..one
        };
        assert_eq!(readers(&[one]).await, [FJELLVIK], "{what}");
    }
    let everybody =
        but(&|one| (one.consumer, one.sub) = (Some(EVERY_MEMBER.into()), "every".into()));
    let all = readers(std::slice::from_ref(&everybody)).await;
    assert_eq!(all.len(), 7);
    // The one that names the reader comes before the one for all.
    let narrow = but(&|one| {
        one.services = vec!["IT17".into()];
        one.sub = "narrow".into();
    });
    readers(&[everybody, narrow]).await;
    let list = told(&service, &patient(&service)).await;
    assert_eq!(
        said(reader(&list, PROVEHEIM).unwrap(), TREAT).unwrap(),
        ["IT17"]
    );
    assert_eq!(
        said(reader(&list, PROVEBAKKEN).unwrap(), TREAT).unwrap(),
        ["IT08", "IT17"]
    );
    // Whoever is suspended at the anchor gets no token.
    let gone = participant(&service, PROVEHEIM, Standing::Suspended);
    let here = participant(&service, FJELLVIK, Standing::Active);
    service.issuer.vouch(&[gone, here], &[sound]).unwrap();
    service.clock.advance(60_000_000);
    let list = told(&service, &patient(&service)).await;
    assert!(reader(&list, PROVEHEIM).is_none() && reader(&list, FJELLVIK).is_some());
    let _ = her;
}

#[tokio::test]
async fn members_of_a_shared_register_stand_by_their_own_ground() {
    let service = Service::kystregionen().await;
    let written = reading(ragnhild(), "r-1", WHEN, "91");
    service
        .post(&service.record_system(SORLIA), "/Observation", &written)
        .await;
    vouch(&service, &[agreement(&service, PROVEHEIM, KYSTREGIONEN)]);
    let list = told(&service, &patient(&service)).await;
    let grounds: Vec<_> = list
        .readers
        .iter()
        .map(|one| {
            (
                one.who.organisation.to_string(),
                matches!(one.ground, Ground::Register),
            )
        })
        .collect();
    let expected = [
        (KYSTREGIONEN, false),
        (SORLIA, true),
        (ASDAL, true),
        (PROVEHEIM, false),
    ];
    let mut expected = expected
        .map(|(one, shares)| (one.to_owned(), shares))
        .to_vec();
    expected[1..3].sort();
    assert_eq!(grounds, expected);
    assert_eq!(
        said(reader(&list, ASDAL).unwrap(), TREAT).unwrap(),
        ["IT12", "IT17"]
    );
}

#[tokio::test]
async fn what_is_not_published_is_open_to_the_organisations_own_alone() {
    let service = Service::with("fjellvik", FJELLVIK, &[], |config| {
        config.publish = Publishing {
            shares: vec![Share {
                kinds: vec![Published::parse("IT17").unwrap()],
                ..Share::default()
            }],
        };
    })
    .await;
    with_data(&service).await;
    let paper = agreement(&service, PROVEHEIM, FJELLVIK);
    vouch(&service, std::slice::from_ref(&paper));
    let list = told(&service, &patient(&service)).await;
    assert_eq!(
        said(reader(&list, PROVEHEIM).unwrap(), TREAT).unwrap(),
        ["IT17"]
    );
    let own = reader(&list, FJELLVIK).unwrap();
    assert_eq!(said(own, TREAT).unwrap(), ["IT08", "IT12", "IT17"]);
    assert_eq!(
        gets(&service, PROVEHEIM, "TREAT", Some(&paper)).await,
        [1, 0]
    );
}

#[tokio::test]
async fn whoever_represents_her_hears_what_is_open_and_nothing_of_what_she_closed() {
    let service = Service::fjellvik().await;
    with_data(&service).await;
    let papers = [
        agreement(&service, PROVEHEIM, FJELLVIK),
        agreement(&service, PROVEBAKKEN, FJELLVIK),
    ];
    vouch(&service, &papers);
    closed(&service, actor(fhir::systems::ORGNR, PROVEHEIM)).await;
    closed(&service, actor(fhir::systems::ORGNR, PROVEBAKKEN)).await;
    closed(&service, actor(PSEUDONYM, "the-neighbour")).await;
    let husband = |log: bool| {
        service.held(|jkt| {
            let mut claims =
                service
                    .issuer
                    .citizen_claims(arne(), &service.base, jkt, service.clock.now());
            claims.patient = Some(identifier(ragnhild()));
            claims.represents = Some(trust::Representation {
                id: "r-1".into(),
                services: vec![fhir::resource::InformationService::PLANS],
                log,
                notes: false,
            });
            claims
        })
    };
    let refused = asks(&service, &husband(false)).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let list = told(&service, &husband(true)).await;
    assert_eq!(list.shut_out, None);
    assert_eq!(list.held, [fhir::resource::InformationService::PLANS]);
    assert!(list.readers.iter().all(|one| one.shut.is_empty()));
    // Whom she shut out is not named for what breaking the glass would open: that would tell what she closed.
    let opened = list.readers.iter().flat_map(|one| &one.opens);
    assert!(opened.clone().count() > 0 && opened.clone().all(|one| !one.broken));
    assert!(reader(&list, PROVEHEIM).is_none() && reader(&list, PROVEBAKKEN).is_none());
    assert!(reader(&list, FJELLVIK).is_some());
    closed(&service, json!({"action": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentaction", "code": "disclose"}]}]})).await;
    let list = told(&service, &husband(true)).await;
    assert_eq!(list.readers.len(), 1);
}

#[tokio::test]
async fn it_is_hers_to_ask_without_parameters_and_nothing_is_said_that_is_not_known() {
    let service = Service::fjellvik().await;
    with_data(&service).await;
    let silent = asks(&service, &patient(&service)).await;
    assert_eq!(
        silent.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "the anchor published nothing"
    );
    vouch(&service, &[]);
    service.clock.advance(60_000_000);
    for who in [
        service.physician(ragnhild()),
        service.record_system(FJELLVIK),
        service.hub(FJELLVIK),
    ] {
        assert_eq!(asks(&service, &who).await.status, StatusCode::FORBIDDEN);
    }
    let her = patient(&service);
    let body = json!({"resourceType": "Parameters", "parameter": [{"name": "patient", "valueString": "x"}]});
    let asked = service.post(&her, "/$may-look", &body).await;
    assert_eq!(asked.status, StatusCode::BAD_REQUEST);
    // Nobody has written anything about him: nothing is held, and the organisation's own are named all the same.
    let list = told(&service, &service.citizen(arne())).await;
    assert_eq!((list.held.len(), list.readers.len()), (0, 1));
}

#[tokio::test]
async fn every_one_of_some_hundred_members_is_told_in_an_answer_that_a_gateway_takes() {
    let service = Service::fjellvik().await;
    with_data(&service).await;
    // Each by an agreement of its own.
    let numbers = (310_100_000..).map(|number: u32| number.to_string());
    let numbers = numbers.filter(|one| OrganisationNumber::parse(one).is_ok());
    let numbers: Vec<String> = numbers.take(400).collect();
    let own = participant(&service, FJELLVIK, Standing::Active);
    let members = numbers.iter().map(|number| Participant {
        sub: number.clone(),
        name: format!("Prøveforetak nummer {number} med et langt navn"),
        ..own.clone()
    });
    let members: Vec<_> = members.chain([own.clone()]).collect();
    let papers = numbers.iter().map(|one| agreement(&service, one, FJELLVIK));
    service
        .issuer
        .vouch(&members, &papers.collect::<Vec<_>>())
        .unwrap();
    // One of them is shut out, which takes words for each way.
    closed(&service, actor(fhir::systems::ORGNR, &numbers[7])).await;
    let reply = asks(&service, &patient(&service)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    let told = Told::read(&reply.json).unwrap();
    assert_eq!(told.readers.len(), 401);
    let told_of: Vec<_> = told.readers[1..]
        .iter()
        .map(|one| one.who.organisation.to_string())
        .collect();
    assert_eq!(told_of, numbers);
    let opened = told.readers.iter().filter(|one| said(one, TREAT).is_ok());
    assert_eq!(opened.count(), 400);
    // So much for each, and no more however many they are.
    let each = reply.body.len() / told.readers.len();
    assert!(each < 4_000, "{each} bytes each");
    assert!(reply.body.len() < MAY_LOOK_BYTES / 2);
}
