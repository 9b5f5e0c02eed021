//! Days 7, 8 and 9 of the story: she reads who looked and who may look, closes her record to one of them, and it stays closed, with break the
//! glass too; who has no part in her care is refused; her husband sees what she gave him power of attorney for.

use crate::kit::lookup::{FNR, Screen, person, receipt, request_id, states};
use crate::kit::{region, stores};
use http::Method;
use serde_json::{Value, json};
use testkit::clients::Reply;
use testkit::region::Region;
use trust::attest;
use trust::audit::{Outcome, Record};
use trust::may_look::Work;
use trust::wish::PSEUDONYM;
use wire::client::Request;
use wire::contract::demo::{DemoPatient, DemoPractitioner, DemoService, Fault, Purpose};
use wire::may_look::{Everywhere, Ground, Told};
use wire::receipt::{Receipt, SourceState};

pub const HUSBAND: &str = "27905110115";
/// What she may write besides what she may read.
const HER_SCOPE: &str = "patient/*.rs patient/Consent.cruds";

pub fn practitioner<'a>(region: &'a Region, name: &str) -> &'a DemoPractitioner {
    let mut all = region.ready.practitioners.iter();
    all.find(|one| one.name.expose() == name)
        .unwrap_or_else(|| panic!("{name} is not in the demo"))
}

fn holders<'a>(region: &'a Region, patient: &DemoPatient) -> Vec<&'a DemoService> {
    let all = region.ready.services.iter();
    all.filter(|one| patient.holders.contains(&one.orgnr))
        .collect()
}

/// The patient, or who acts for her, with a right to write wishes.
pub async fn citizen(region: &Region, who: &str, patient: &DemoPatient, audience: &str) -> Screen {
    Screen::with(region, audience, |caller| {
        let mut request = caller.as_citizen(patient, audience);
        request.fnr = who.into();
        request.scope = HER_SCOPE.to_owned();
        request
    })
    .await
}

/// Her wish that one person never sees anything of hers.
pub fn block_of(patient: &DemoPatient, pseudonym: &str) -> Vec<u8> {
    wish(
        patient,
        json!({"type": "deny", "actor": [{
            "role": code("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP"),
            "reference": {"identifier": {"system": PSEUDONYM, "value": pseudonym}},
        }]}),
    )
}

fn code(system: &str, code: &str) -> Value {
    json!({"coding": [{"system": system, "code": code}]})
}

/// A Consent of hers with this provision.
fn wish(patient: &DemoPatient, provision: Value) -> Vec<u8> {
    let consent = json!({
        "resourceType": "Consent", "status": "active",
        "scope": code("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"),
        "category": [code("http://loinc.org", "59284-0")],
        "patient": {"identifier": {"system": FNR, "value": patient.fnr.expose()}},
        "policyRule": code("http://hl7.no/fhir/CodeSystem/no-basis-legal-formality-or-basis", "PBRL5-3"),
        "provision": provision,
    });
    consent.to_string().into_bytes()
}

/// A look-up of her readings at `audience`, for this purpose.
pub async fn looks(
    region: &Region,
    who: &DemoPractitioner,
    patient: &DemoPatient,
    audience: &str,
    purpose: Purpose,
) -> Reply {
    let screen = Screen::with(region, audience, |caller| {
        let mut request = caller.as_practitioner(who, patient, audience);
        request.reason = (purpose == Purpose::Btg).then(|| "bevisstløs ved ankomst".to_owned());
        request.purpose = purpose;
        request
    })
    .await;
    screen
        .search("Observation", &[("patient.identifier", &person(patient))])
        .await
}

/// Who may look at what is held about her, as every holder tells it to whoever asks at the gateway.
async fn may_look(asker: &Screen, gateway: &str) -> Everywhere {
    let url = format!("{gateway}/$may-look");
    let reply = asker.send(Request::post_form(url, [])).await;
    assert_eq!(reply.status, 200, "{}", reply.json);
    let told = Everywhere::read(&reply.json).unwrap();
    assert!(Receipt::read(&told.receipt).unwrap().is_whole());
    told
}

/// What an organisation's physicians may see at a holder: the kinds, or the code of the refusal, and whether a block is broken for it.
fn may_see(
    told: &Told,
    orgnr: &str,
    purpose: attest::Purpose,
) -> Result<(Vec<String>, bool), String> {
    let mut readers = told.readers.iter();
    let reader = readers.find(|one| one.who.organisation.as_str() == orgnr);
    let reader = reader.unwrap_or_else(|| panic!("{orgnr} is not among {:?}", told.readers));
    let way = (Work::Treats, purpose);
    if let Some(one) = reader.opens.iter().find(|one| one.ways.contains(&way)) {
        let kinds = one.services.iter().map(ToString::to_string);
        return Ok((kinds.collect(), one.broken));
    }
    let shut = reader.shut.iter().find(|one| one.ways.contains(&way));
    Err(shut.unwrap().code.clone())
}

/// Which rule refused, and with which code.
fn refused(record: &Record) -> Option<(&str, &str)> {
    match &record.outcome {
        Outcome::Refused { rule, code } => Some((rule.as_str(), code.as_str())),
        _ => None,
    }
}

/// The entries of her log about look-ups by a person of this name.
pub fn by<'a>(trail: &'a Reply, name: &str) -> Vec<&'a Value> {
    let events = trail.matches().into_iter();
    events
        .filter(|event| event["agent"][0]["name"] == name)
        .collect()
}

pub fn contained<'a>(event: &'a Value, resource_type: &str) -> &'a Value {
    let mut all = event["contained"].as_array().unwrap().iter();
    all.find(|one| one["resourceType"] == resource_type)
        .unwrap_or_else(|| panic!("no {resource_type} in {event}"))
}

#[tokio::test]
async fn she_closes_her_record_to_a_neighbour_and_it_stays_closed() {
    let own = region::own(&[]).await;
    let region = &own.region;
    let patient = region.story_patient().unwrap().clone();
    let neighbour = practitioner(region, "Berit Testnabo").clone();
    let colleague = region.physician().unwrap().clone();
    assert_eq!(neighbour.orgnr, colleague.orgnr);
    let services = holders(region, &patient);
    assert!(services.len() >= 3);
    let gateway = region.gateway();

    // Day 7. The neighbour has looked, and the patient reads it: who, from where, why, what kinds, when; no staff numbers.
    let seen = looks(region, &neighbour, &patient, &gateway, Purpose::Treat).await;
    assert!(!seen.matches().is_empty(), "{}", seen.json);
    let her = citizen(region, patient.fnr.expose(), &patient, &gateway).await;
    let trail = her.search("AuditEvent", &[]).await;
    assert_eq!(trail.status, 200, "{}", trail.json);
    let words = trail.json.to_string();
    for staff in region.ready.practitioners.iter() {
        assert!(!words.contains(staff.fnr.expose()) && !words.contains(staff.hpr.expose()));
    }
    let events = by(&trail, neighbour.name.expose());
    assert!(
        events.len() > services.len(),
        "the gateway's and each holder's: {}",
        events.len()
    );
    for event in &events {
        assert!(event.to_string().contains("Prøveheim Diakonale Sykehus"));
        assert_eq!(event["purposeOfEvent"][0]["coding"][0]["code"], "TREAT");
        assert_eq!(event["entity"][0]["name"], "IT17", "{event}");
        assert!(event["recorded"].is_string());
        // As what she works: the code, and the words for it.
        let role = &contained(event, "Practitioner")["qualification"][0]["code"]["coding"][0];
        assert!(
            role["code"].is_string() && role["display"].is_string(),
            "{event}"
        );
    }
    let identifiers = &contained(events[0], "Practitioner")["identifier"];
    assert_eq!(identifiers.as_array().unwrap().len(), 1, "{identifiers}");
    assert_eq!(identifiers[0]["system"], PSEUDONYM);
    let pseudonym = identifiers[0]["value"].as_str().unwrap();

    // Beside who looked she reads who may: at each holder, by which agreement, and who acts for her.
    let before = may_look(&her, &gateway).await;
    assert_eq!(before.holders.len(), services.len());
    for told in &before.holders {
        let (kinds, broken) = may_see(told, &neighbour.orgnr, attest::Purpose::Treat).unwrap();
        assert!(kinds.contains(&"IT17".to_owned()) && !broken, "{kinds:?}");
        assert_eq!(told.shut_out, Some(0));
        let number = told.holder.organisation.to_string();
        let own = number == neighbour.orgnr;
        let reader = told
            .readers
            .iter()
            .find(|one| one.who.organisation.as_str() == neighbour.orgnr);
        let agreed = matches!(&reader.unwrap().ground, Ground::Agreement(paper) if paper.id == format!("AVT-{}-{number}", neighbour.orgnr));
        assert!(own != agreed, "{number}: {reader:?}");
        // A supplier keeps it for two of them, and is no reader.
        let service = services.iter().find(|one| one.orgnr == number).unwrap();
        let keepers: Vec<_> = told
            .processors
            .iter()
            .map(|one| one.who.organisation.to_string())
            .collect();
        assert_eq!(keepers, Vec::from_iter(service.supplier.clone()));
        assert!(
            told.readers
                .iter()
                .all(|one| !keepers.contains(&one.who.organisation.to_string()))
        );
    }
    let [husband] = &before.representatives[..] else {
        panic!("{:?}", before.representatives)
    };
    let chosen: Vec<_> = husband.services.iter().map(ToString::to_string).collect();
    assert_eq!(
        (chosen.as_slice(), husband.log),
        (&["IT08".to_owned(), "IT17".to_owned()][..], false)
    );

    // She closes it at everyone who holds something of hers.
    for service in &services {
        let her = citizen(region, patient.fnr.expose(), &patient, &service.fhir).await;
        let url = format!("{}/Consent", service.fhir);
        let made = her
            .send(Request::post_fhir(url, block_of(&patient, pseudonym)))
            .await;
        assert_eq!(made.status, 201, "{}: {}", service.id, made.json);
    }

    // Everybody else at the hospital may look as before; one person is shut out, and her page counts her.
    let after = may_look(&her, &gateway).await;
    for (told, earlier) in after.holders.iter().zip(&before.holders) {
        assert_eq!(told.shut_out, Some(1));
        for purpose in [attest::Purpose::Treat, attest::Purpose::BreakTheGlass] {
            let now = may_see(told, &neighbour.orgnr, purpose);
            assert_eq!(now, may_see(earlier, &neighbour.orgnr, purpose));
        }
    }

    // Day 8. Nothing for her any more: neither by the gateway nor at any holder's door, nor by break the glass.
    let mut refusals = Vec::new();
    for purpose in [Purpose::Treat, Purpose::Etreat, Purpose::Btg] {
        let reply = looks(region, &neighbour, &patient, &gateway, purpose).await;
        assert_eq!(reply.status, 200, "{}", reply.json);
        assert!(reply.matches().is_empty(), "{purpose:?}: {}", reply.json);
        let account = receipt(&reply);
        for (organisation, state) in states(&account) {
            assert_eq!(state, SourceState::Refused, "{organisation}, {purpose:?}");
        }
        assert_eq!(account.sources.len(), services.len());
        refusals.push(request_id(&reply));
        for service in &services {
            let direct = looks(region, &neighbour, &patient, &service.fhir, purpose).await;
            assert_eq!(direct.status, 403, "{}, {purpose:?}", service.id);
            assert_eq!(direct.matches().len(), 0);
        }
    }
    // A colleague at the same hospital still sees everything.
    let reply = looks(region, &colleague, &patient, &gateway, Purpose::Treat).await;
    assert!(receipt(&reply).is_whole() && !reply.matches().is_empty());

    // The organisation that asked is told why, by the holder that refused; another organisation is not.
    let nurse = practitioner(region, "Mari Syntetisk").clone();
    let fjellvik = &region.service("fjellvik").unwrap().fhir;
    for (who, told) in [(&colleague, true), (&nurse, false)] {
        let screen = Screen::of(region, who, &patient, fjellvik).await;
        let asked = json!({"resourceType": "Parameters", "parameter": [{"name": "request", "valueString": refusals[0]}]});
        let url = format!("{fjellvik}/$explain-access");
        let reply = screen
            .send(Request::post_fhir(url, asked.to_string()))
            .await;
        if told {
            assert_eq!(reply.status, 200, "{}", reply.json);
            let words = reply.json.to_string();
            assert!(words.contains("refused") && words.contains("\"block\""));
            assert!(words.contains("\"nb\"") && words.contains("\"en\""));
        } else {
            assert_eq!(reply.status, 404, "{}", reply.json);
        }
    }

    // She sees that she was refused, and asks why with the id from her own log: every holder says it in plain words.
    let trail = her.search("AuditEvent", &[("_count", "200")]).await;
    let named = by(&trail, neighbour.name.expose())
        .into_iter()
        .filter(|event| event["outcome"] == "4")
        .find_map(|event| {
            let entities = event["entity"].as_array()?;
            let details = entities.iter().flat_map(|one| one["detail"].as_array());
            let mut ids = details.flatten().filter(|one| one["type"] == "request-id");
            let id = ids.next()?["valueString"].as_str()?;
            refusals.iter().find(|one| *one == id)
        });
    let form = [("request", named.unwrap().as_str())];
    let url = format!("{gateway}/$explain-access");
    let reply = her.send(Request::post_form(url, form)).await;
    assert_eq!(reply.status, 200, "{}", reply.json);
    let told = wire::explained::Everywhere::read(&reply.json).unwrap();
    let words = trust::explain::of("practitioner_blocked").into();
    let saying: Vec<_> = told
        .holders
        .iter()
        .filter(|one| {
            one.decisions[0]
                .reasons
                .iter()
                .any(|why| why.words == words)
        })
        .map(|one| one.organisation.to_string())
        .collect();
    assert!(
        services.iter().all(|one| saying.contains(&one.orgnr)),
        "{saying:?}"
    );
    let refused_events = by(&trail, neighbour.name.expose())
        .into_iter()
        .filter(|event| event["outcome"] == "4")
        .count();
    assert!(refused_events >= 6 * services.len() - 1, "{refused_events}");

    // Both sides have it on record, under the one request id.
    let ids: Vec<(String, String)> = services
        .iter()
        .map(|service| (format!("sharing/{}", service.id), service.id.clone()))
        .collect();
    let data = region.data().to_owned();
    own.region.stop().await.unwrap();
    for id in refusals {
        for (folder, owner) in &ids {
            let records = stores::records(&data, folder, owner, &id).await;
            let [record] = &records[..] else {
                panic!("{owner}: {} records of one look-up", records.len())
            };
            assert_eq!(refused(record), Some(("block", "practitioner_blocked")));
            assert!(record.disclosed.is_empty() && record.broken.is_empty());
        }
        let folder = format!("gateway/{}", neighbour.orgnr);
        let records = stores::records(&data, &folder, &neighbour.orgnr, &id).await;
        let [record] = &records[..] else {
            panic!("the gateway: {} records", records.len())
        };
        assert!(record.peers.iter().all(|peer| peer.state == "refused"));
        assert_eq!(record.peers.len(), ids.len());
        assert!(record.disclosed.is_empty());
    }
    stores::all_trails_are_whole(&data).await;
}

#[tokio::test]
async fn who_has_no_part_in_her_care_is_refused_and_her_husband_sees_what_she_gave_him() {
    let own = region::own(&[]).await;
    let region = &own.region;
    let patient = region.story_patient().unwrap().clone();
    let gateway = region.gateway();
    let fjellvik = region.service("fjellvik").unwrap().fhir.clone();
    let person = person(&patient);

    // Day 9. A physician whose ground is quality work, not care.
    let physician = region.physician().unwrap().clone();
    let stranger = practitioner(region, "Geir Prøveheimli").clone();
    let mut refusals = Vec::new();
    for who in [&stranger, &physician] {
        for audience in [&gateway, &fjellvik] {
            for purpose in [Purpose::Treat, Purpose::Btg] {
                let screen = Screen::with(region, audience, |caller| {
                    let mut request = caller.as_practitioner(who, &patient, audience);
                    request.purpose = purpose;
                    request.reason = Some("kvalitetsarbeid".to_owned());
                    request.purpose_details = Some("KVAL".to_owned());
                    request
                })
                .await;
                let form = [("patient.identifier", person.as_str())];
                let reply = screen.search("Observation", &form).await;
                assert_eq!(reply.status, 403, "{audience}: {}", reply.json);
                let at_gateway = audience == &gateway;
                refusals.push((who.clone(), at_gateway, request_id(&reply)));
            }
        }
    }

    // Her husband: plan and curves, not her medicines, not the log, and whom to shut out is hers alone to say.
    let husband = citizen(region, HUSBAND, &patient, &gateway).await;
    for (kind, open) in [
        ("CarePlan", true),
        ("Observation", true),
        ("MedicationStatement", false),
    ] {
        let form = [("patient.identifier", person.as_str())];
        let reply = husband.search(kind, &form).await;
        assert_eq!(reply.status, 200, "{kind}: {}", reply.json);
        assert_eq!(!reply.matches().is_empty(), open, "{kind}: {}", reply.json);
        let account = receipt(&reply);
        let all_refused = states(&account)
            .iter()
            .all(|(_, state)| *state == SourceState::Refused);
        assert_eq!(all_refused, !open, "{kind}: {:?}", account.sources);
    }
    let at_home = citizen(region, HUSBAND, &patient, &fjellvik).await;
    for (screen, base) in [(&husband, &gateway), (&at_home, &fjellvik)] {
        let reply = screen.search("AuditEvent", &[]).await;
        assert_eq!(reply.status, 403, "{}", reply.json);
        let who = screen
            .send(Request::post_form(format!("{base}/$may-look"), []))
            .await;
        assert_eq!(who.status, 403, "{}", who.json);
    }
    let wish = block_of(&patient, "anybody");
    let url = format!("{fjellvik}/Consent");
    let reply = at_home.send(Request::post_fhir(url, wish)).await;
    assert_eq!(reply.status, 403, "{}", reply.json);

    let data = region.data().to_owned();
    own.region.stop().await.unwrap();
    for (who, at_gateway, id) in refusals {
        let folder = format!("gateway/{}", who.orgnr);
        let (folder, owner) = if at_gateway {
            (folder.as_str(), who.orgnr.as_str())
        } else {
            ("sharing/fjellvik", "fjellvik")
        };
        let records = stores::records(&data, folder, owner, &id).await;
        let [record] = &records[..] else {
            panic!("{folder}: {} records", records.len())
        };
        let (rule, code) = refused(record).unwrap();
        let care = (rule, code) == ("care_relationship", "care_relationship_other");
        // At a holder's door the missing agreement is told first.
        assert!(care || who == stranger && !at_gateway, "{rule}: {code}");
        assert!(record.disclosed.is_empty() && record.person.is_some());
    }
    stores::all_trails_are_whole(&data).await;
}

#[tokio::test]
async fn by_the_gateway_one_wish_reaches_everybody_and_whom_it_missed_is_said() {
    let own = region::own(&[]).await;
    let region = &own.region;
    let patient = region.story_patient().unwrap().clone();
    let gateway = region.gateway();
    let her = citizen(region, patient.fnr.expose(), &patient, &gateway).await;
    let everything = wish(&patient, json!({"type": "deny"}));
    let make = async || {
        let url = format!("{gateway}/Consent");
        her.send(Request::post_fhir(url, everything.clone())).await
    };
    let sees = async |purpose| {
        let physician = region.physician().unwrap();
        let reply = looks(region, physician, &patient, &gateway, purpose).await;
        !reply.matches().is_empty()
    };
    assert!(sees(Purpose::Treat).await);

    // One holder is away: the others take it, and the receipt says who did not.
    let (gone, orgnr) = {
        let service = region.service("provebakken").unwrap();
        (service.id.clone(), service.orgnr.clone())
    };
    region.fault(&gone, Fault::Dead, None).await.unwrap();
    let made = make().await;
    assert_eq!(made.status, 201, "{}", made.json);
    let account = Receipt::read(&made.json).unwrap();
    for (organisation, state) in states(&account) {
        let missed = organisation == orgnr;
        let expected = [SourceState::Complete, SourceState::Failed][usize::from(missed)];
        assert_eq!(state, expected, "{organisation}");
    }
    region.fault(&gone, Fault::None, None).await.unwrap();
    assert!(sees(Purpose::Treat).await, "the one that was away is open");

    // The same again repairs it, and is no second wish.
    let made = make().await;
    assert!(Receipt::read(&made.json).unwrap().is_whole());
    let listed = her.search("Consent", &[]).await;
    assert_eq!(listed.matches().len(), 1, "{}", listed.json);
    assert!(!sees(Purpose::Treat).await);
    assert!(
        sees(Purpose::Btg).await,
        "a reasoned break of the glass opens"
    );
    // Who may look says the same as the doors do.
    let hospital = &region.physician().unwrap().orgnr;
    for told in may_look(&her, &gateway).await.holders {
        let blocked = may_see(&told, hospital, attest::Purpose::Treat);
        assert_eq!(blocked.unwrap_err(), "blocked");
        let (kinds, broken) = may_see(&told, hospital, attest::Purpose::BreakTheGlass).unwrap();
        assert!(broken && kinds.contains(&"IT17".to_owned()));
    }

    // Taken back everywhere by its one id.
    let place = made.headers["location"].to_str().unwrap();
    let ended = her.send(Request::new(Method::DELETE, place)).await;
    assert_eq!(ended.status, 200, "{}", ended.json);
    assert!(Receipt::read(&ended.json).unwrap().is_whole());
    assert!(sees(Purpose::Treat).await);
    let listed = her.search("Consent", &[]).await;
    assert!(listed.matches().is_empty() && receipt(&listed).is_whole());
}
