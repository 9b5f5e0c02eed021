//! Every defect of CONTRACT section 3, at a sharing service and at the gateway: the right status, the right words, and one
//! record in the trail of the party that refused.

use crate::kit::lookup::{Screen, person, request_id};
use crate::kit::{region, stores};
use testkit::clients::Reply;
use testkit::region::Region;
use trust::audit::Outcome;
use wire::contract::demo::Defect;

const UNAUTHENTICATED: [Defect; 7] = [
    Defect::Expired,
    Defect::NotYetValid,
    Defect::WrongIssuer,
    Defect::WrongAudience,
    Defect::WrongSignature,
    Defect::WrongTyp,
    Defect::NoCnf,
];

const FORBIDDEN: [Defect; 6] = [
    Defect::NoAttest,
    Defect::StaleAttest,
    Defect::OtherPractitioner,
    Defect::NoPatient,
    Defect::NoPurpose,
    Defect::NoDecisionRef,
];

/// A look-up with a token that is wrong in one way.
async fn look_up(region: &Region, audience: &str, defect: Option<Defect>) -> Reply {
    let patient = region.story_patient().unwrap();
    let physician = region.physician().unwrap();
    let screen = Screen::with(region, audience, |caller| {
        let mut request = caller.as_practitioner(physician, patient, audience);
        request.defect = defect;
        request
    })
    .await;
    screen
        .search("Observation", &[("patient.identifier", &person(patient))])
        .await
}

#[tokio::test]
async fn every_defect_is_refused_in_its_own_words_and_put_on_record() {
    let own = region::own(&[]).await;
    let region = &own.region;
    let physician = region.physician().unwrap().clone();
    let fjellvik = region.service("fjellvik").unwrap().fhir.clone();
    let gateway = region.gateway();
    let mut refusals = Vec::new();
    for audience in [&fjellvik, &gateway] {
        assert_eq!(look_up(region, audience, None).await.status, 200);
        for (defects, status) in [(&UNAUTHENTICATED[..], 401), (&FORBIDDEN[..], 403)] {
            for defect in defects {
                let reply = look_up(region, audience, Some(*defect)).await;
                let name = format!("{defect:?} at {audience}");
                assert_eq!(reply.status.as_u16(), status, "{name}: {}", reply.json);
                assert_eq!(reply.json["resourceType"], "OperationOutcome", "{name}");
                assert!(
                    reply.json["issue"][0]["diagnostics"]
                        .as_str()
                        .is_some_and(|words| !words.is_empty()),
                    "{name}"
                );
                let challenge = reply
                    .headers
                    .get("www-authenticate")
                    .map(|value| value.to_str().unwrap());
                if status == 401 {
                    let challenge = challenge.unwrap_or_else(|| panic!("{name}: no challenge"));
                    assert!(
                        challenge.starts_with("DPoP ")
                            && challenge.contains("error=\"invalid_token\""),
                        "{name}: {challenge}"
                    );
                }
                if *defect == Defect::StaleAttest {
                    assert!(
                        reply.json.to_string().contains("attestation_has_expired"),
                        "{name}: {}",
                        reply.json
                    );
                }
                refusals.push((audience == &gateway, status, request_id(&reply), name));
            }
        }
    }
    let data = region.data().to_owned();
    own.region.stop().await.unwrap();
    for (at_gateway, status, id, name) in refusals {
        // At the gateway, those who never proved who they are stand in its own trail, the others in their organisation's.
        let folders = if at_gateway {
            vec![
                ("gateway".to_owned(), "gateway".to_owned()),
                (
                    format!("gateway/{}", physician.orgnr),
                    physician.orgnr.clone(),
                ),
            ]
        } else {
            vec![("sharing/fjellvik".to_owned(), "fjellvik".to_owned())]
        };
        let mut records = Vec::new();
        for (folder, owner) in folders {
            records.extend(stores::records(&data, &folder, &owner, &id).await);
        }
        let [record] = &records[..] else {
            panic!("{name}: {} records", records.len())
        };
        let right = match record.outcome {
            Outcome::Unauthenticated { .. } => status == 401,
            Outcome::Refused { .. } => status == 403,
            _ => false,
        };
        assert!(
            right && record.disclosed.is_empty(),
            "{name}: {:?}",
            record.outcome
        );
    }
}
