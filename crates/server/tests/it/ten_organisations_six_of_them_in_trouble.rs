//! Ten organisations in processes of their own: one dead, one a black hole, one slow, one lying in several ways, one
//! refusing, one rate-limiting. The answer arrives within 5 s, whole for the rest, and the receipt is exact (issue 5, "Shown
//! by"; threats-and-faults.md sections 7 and 12).

use crate::kit::lookup::{WEIGHT, find, receipt};
use crate::kit::physician::Physician;
use crate::kit::process::{delt, free_port};
use crate::kit::reading::Weight;
use crate::kit::wide::{TEN, Wide};
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::clients::Reply;
use testkit::feed::Feed;
use testkit::liar::{Liar, Lie};
use testkit::people::Directory;
use wire::client::Request;

/// The healthy four.
const WELL: [&str; 4] = ["proveheim", "fjellvik", "provebakken", "sorlia"];
/// Promised: 5 s. A machine that builds other things at the same time is given as much again.
const PATIENCE: Duration = Duration::from_secs(10);

/// State, count and reason of every source by service, in the receipt's order; the locator is not there and says so.
fn account(reply: &Reply) -> Vec<(&'static str, &'static str, u64, String)> {
    let told = receipt(reply).sources;
    let lines = told.iter().map(|one| {
        let id = TEN.iter().find(|(_, orgnr)| *orgnr == one.organisation);
        let id = id.map_or("locator", |(id, _)| *id);
        (
            id,
            one.state.as_str(),
            one.count,
            one.reason.clone().unwrap_or_default(),
        )
    });
    lines.collect()
}

#[tokio::test]
async fn six_sources_in_trouble_cost_only_their_own_data() {
    let liar = async |lie| Liar::start(lie).await.unwrap();
    let hole = liar(Lie::BlackHole).await;
    let slow = liar(Lie::Slow(Duration::from_secs(4))).await;
    let lying = liar(Lie::HangsUp).await;
    let refusing = liar(Lie::Status(403, None)).await;
    let busy = liar(Lie::Status(429, Some("600".into()))).await;
    let dead = format!("http://127.0.0.1:{}", free_port());
    let at = |one: &Arc<Liar>| Some(one.address());
    let region = Wide::new(|id| match id {
        "asdal" => Some(dead.clone()),
        "fjordregionen" => at(&hole),
        "havnes" => at(&slow),
        "testvik" => at(&lying),
        "kystregionen" => at(&refusing),
        "norddrift" => at(&busy),
        _ => None,
    })
    .await;
    let running = region.start().await;
    let patient = &Directory::demo().story_patient().number;
    let mut readings = Vec::new();
    for id in WELL {
        let reading = Weight::of(patient);
        let feed = Feed::new(region.party(&format!("epj-{id}")), id, &region.base(id));
        feed.create("Observation", reading.json()).await.unwrap();
        readings.push(reading);
    }
    let physician = region.physician().await;
    let other = other_patient();
    let outcome =
        r#"{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"exception"}]}"#;
    let lies = [
        (
            Lie::Says("{\"resourceType\":\"Bundle\",".into()),
            "failed",
            "its answer is not strict JSON",
        ),
        (Lie::Endless, "failed", "the peer's answer is too long"),
        (Lie::WrongLength, "failed", "the connection broke"),
        (
            Lie::Says(outcome.into()),
            "failed",
            "its answer is not a searchset",
        ),
        (
            Lie::Says(other),
            "partial",
            "left out: 1 about another patient",
        ),
    ];
    for (turn, (lie, state, reason)) in lies.into_iter().enumerate() {
        lying.tell(lie);
        let since = Instant::now();
        let reply = physician.search("Observation", &[("code", WEIGHT)]).await;
        assert!(since.elapsed() < PATIENCE, "{:?}", since.elapsed());
        assert_eq!(reply.status, 200, "{}", reply.json);
        for reading in &readings {
            assert!(
                find(&reply, &reading.identifier).is_some(),
                "complete for the rest"
            );
        }
        assert!(!String::from_utf8_lossy(&reply.body).contains("13717404089"));
        let left_alone = |reason: &str| reason.starts_with("it asked to be left alone until ");
        let told = account(&reply);
        let line = |id, state, count, reason: &str| (id, state, count, reason.to_owned());
        let busy_says = told
            .iter()
            .find(|one| one.0 == "norddrift")
            .unwrap()
            .3
            .clone();
        assert!(turn == 0 || left_alone(&busy_says), "{busy_says}");
        let busy_says = if turn == 0 {
            "it has too much to do and asked us to wait"
        } else {
            &busy_says
        };
        let mut expected = vec![
            line("proveheim", "complete", 1, ""),
            line("fjellvik", "complete", 1, ""),
            line("provebakken", "complete", 1, ""),
            line("norddrift", "failed", 0, busy_says),
            line("sorlia", "complete", 1, ""),
            line("asdal", "failed", 0, "no connection to the peer"),
            line("havnes", "late", 0, "no answer in time"),
            line("kystregionen", "refused", 0, "it refused"),
            line("fjordregionen", "late", 0, "no answer in time"),
            line("testvik", state, 0, reason),
            line("locator", "not-asked", 0, "no locator is agreed on"),
        ];
        let number = |id: &str| {
            TEN.iter()
                .find(|(one, _)| *one == id)
                .map_or("z", |(_, orgnr)| *orgnr)
        };
        expected[1..].sort_by_key(|one| number(one.0));
        assert_eq!(told, expected);
    }
    assert_eq!(busy.asked(), 1, "it asked to be left alone, and is");

    // Five times in a row is enough: those three are given a rest, and operators see it; the others are asked on.
    let asked = (hole.asked(), slow.asked(), refusing.asked());
    let told = account(&physician.search("Observation", &[("code", WEIGHT)]).await);
    for id in ["asdal", "fjordregionen", "havnes"] {
        let (_, state, _, reason) = told.iter().find(|one| one.0 == id).unwrap();
        assert_eq!(*state, "failed");
        assert!(
            reason.starts_with("it failed again and again and is given a rest"),
            "{reason}"
        );
    }
    assert_eq!(
        (hole.asked(), slow.asked(), refusing.asked()),
        (asked.0, asked.1, asked.2 + 1)
    );
    let figures = figures(region.metrics).await;
    for (id, phase) in [
        ("asdal", "2.0"),
        ("norddrift", "2.0"),
        ("kystregionen", "0.0"),
        ("fjellvik", "0.0"),
    ] {
        let figure = format!(
            "delt_source_circuit{{provider=\"{}\"}} {phase}",
            region.base(id)
        );
        assert!(
            figures.lines().any(|one| one == figure),
            "{figure} is not in\n{figures}"
        );
    }
    assert!(!figures.contains(patient.as_str()));
    the_receipt_is_verified_on_the_command_line(&region, &physician).await;
    for serving in running {
        assert!(!serving.said().contains("panic"), "{}", serving.said());
        assert!(serving.stop().await.success());
    }
}

/// `delt receipt show`: the receipt of an answer stands, in words; one that somebody changed does not.
async fn the_receipt_is_verified_on_the_command_line(region: &Wide, physician: &Physician) {
    let reply = physician.search("Observation", &[("code", WEIGHT)]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let url = region.gateway().replace("/fhir", "/jwks");
    let keys = testkit::clients::Caller::new().unwrap();
    let keys = keys.send_bare(Request::get(url)).await.unwrap();
    let keys = file("keys.json", &keys.body);
    let answer = file("answer.json", &reply.body);
    let said = delt(&["receipt", "show", &answer, "--keys", &keys]).await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("NOT whole"), "{}", said.out);
    let line = "310001007 fjellvik (syntetisk): complete, 1 resources";
    assert!(said.out.contains(line), "{}", said.out);
    assert!(said.out.contains("refused, 0 resources") && said.err.contains("stands"));
    // One source made to look complete.
    let text = String::from_utf8(reply.body.to_vec()).unwrap();
    let forged = file(
        "forged.json",
        text.replace("\"refused\"", "\"complete\"").as_bytes(),
    );
    let said = delt(&["receipt", "show", &forged, "--keys", &keys]).await;
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("do NOT rely on it"), "{}", said.err);
    let nothing = file("nothing.json", b"{\"resourceType\":\"Bundle\"}");
    let said = delt(&["receipt", "show", &nothing, "--keys", &keys]).await;
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
    assert_eq!(delt(&["receipt", "show", &answer]).await.code, Some(2));
}

/// A searchset with a reading of somebody else's.
fn other_patient() -> String {
    let reading = Weight::of("13717404089").json();
    let reading = reading.replacen('{', r#"{"id":"somebody-elses","#, 1);
    format!(
        r#"{{"resourceType":"Bundle","type":"searchset","entry":[{{"search":{{"mode":"match"}},"resource":{reading}}}]}}"#
    )
}

async fn figures(port: u16) -> String {
    let caller = testkit::clients::Caller::new().unwrap();
    let url = format!("http://127.0.0.1:{port}/metrics");
    let reply = caller.send_bare(Request::get(url)).await.unwrap();
    String::from_utf8(reply.body.to_vec()).unwrap()
}
