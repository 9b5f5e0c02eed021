//! `delt demo --json`: one line on standard output with every member of CONTRACT section 2, client files that work, and a
//! clean end on SIGTERM.

use crate::kit::lookup::{Screen, person};
use crate::kit::process::terminate;
use crate::kit::{DELT, region, wait};
use fhir::ids::{PersonIdentifier, PersonNumbers};
use serde_json::Value;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use wire::client::{Http, Party, Policy};

const MEMBERS: [&str; 12] = [
    "ready",
    "portal",
    "issuer",
    "catalogue",
    "locator",
    "hub",
    "gateway",
    "services",
    "clients",
    "control",
    "patients",
    "practitioners",
];

fn list<'a>(line: &'a Value, name: &str) -> &'a Vec<Value> {
    line[name]
        .as_array()
        .unwrap_or_else(|| panic!("{name} is no list"))
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name]
        .as_str()
        .unwrap_or_else(|| panic!("{name} is no text in {value}"))
}

fn names(value: &Value) -> BTreeSet<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

#[tokio::test]
async fn a_demo_without_a_folder_says_one_line_works_and_is_gone_at_the_end() {
    let mut child = tokio::process::Command::new(DELT)
        .args(["demo", "--json", "--port", "0"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    tokio::time::timeout(wait::PATIENCE * 3, out.read_line(&mut first))
        .await
        .expect("ready in time")
        .unwrap();
    let line: Value = serde_json::from_str(&first).expect("one line of JSON");

    assert_eq!(names(&line), MEMBERS.into_iter().collect());
    assert_eq!(line["ready"], true);
    addresses(&line);
    services(&line);
    people(&line);
    let keys = clients(&line).await;

    terminate(child.id().unwrap()).await;
    let status = tokio::time::timeout(wait::PATIENCE, child.wait())
        .await
        .expect("stopped in time")
        .unwrap();
    assert_eq!(status.code(), Some(0));
    let (mut rest, mut said) = (String::new(), String::new());
    out.read_to_string(&mut rest).await.unwrap();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .await
        .unwrap();
    assert_eq!(
        rest, "",
        "standard output carries the one line and nothing else"
    );
    assert!(
        said.contains("gone"),
        "it must say that everything is gone afterwards: {said}"
    );
    assert!(!Path::new(&keys).exists(), "{keys} is still there");
}

/// Every URL is on the loopback and ends without a slash; control is a port of its own.
fn addresses(line: &Value) {
    let bases = [
        "portal",
        "issuer",
        "catalogue",
        "locator",
        "hub",
        "gateway",
        "control",
    ]
    .map(|name| text(line, name).to_owned());
    let services = list(line, "services")
        .iter()
        .map(|s| text(s, "fhir").to_owned());
    for url in bases.iter().cloned().chain(services) {
        assert!(
            url.starts_with("http://127.0.0.1:") && !url.ends_with('/'),
            "{url}"
        );
    }
    let [portal, .., control] = &bases;
    assert!(
        bases[1..6]
            .iter()
            .all(|base| base.starts_with(&format!("{portal}/"))),
        "{bases:?}"
    );
    assert!(!control.starts_with(portal), "{control}");
}

fn services(line: &Value) {
    let services = list(line, "services");
    let concepts: BTreeSet<&str> = services.iter().map(|s| text(s, "concept")).collect();
    assert_eq!(
        concepts,
        BTreeSet::from(["own", "shared", "shared-supplier", "supplier"])
    );
    let mut suppliers = Vec::new();
    for service in services {
        assert!(
            ["id", "orgnr", "name"]
                .iter()
                .all(|name| !text(service, name).is_empty()),
            "{service}"
        );
        let concept = text(service, "concept");
        assert_eq!(
            service.get("supplier").is_some(),
            concept.ends_with("supplier"),
            "{service}"
        );
        assert_eq!(
            service.get("members").is_some(),
            concept.starts_with("shared"),
            "{service}"
        );
        assert!(
            service
                .get("members")
                .is_none_or(|members| members.as_array().unwrap().len() >= 2),
            "{service}"
        );
        if concept == "supplier" {
            suppliers.push(text(service, "supplier"));
        }
    }
    assert!(
        suppliers.len() == 2 && suppliers[0] == suppliers[1],
        "two organisations use the same supplier: {suppliers:?}"
    );
}

fn people(line: &Value) {
    let synthetic = |one: &Value| {
        PersonIdentifier::guess(text(one, "fnr"), PersonNumbers::Strict)
            .unwrap()
            .is_synthetic()
    };
    let patients = list(line, "patients");
    assert!(patients.len() >= 8 && patients.iter().all(synthetic));
    assert!(
        patients
            .iter()
            .all(|one| names(one) == BTreeSet::from(["fnr", "holders", "name"]))
    );
    let holders = |one: &Value| {
        list(one, "holders")
            .iter()
            .map(|o| o.as_str().unwrap().to_owned())
            .collect::<BTreeSet<_>>()
    };
    let organisations: BTreeSet<String> = list(line, "services")
        .iter()
        .map(|s| text(s, "orgnr").to_owned())
        .collect();
    assert!(holders(&patients[0]).len() >= 3);
    assert_eq!(
        patients.iter().flat_map(holders).collect::<BTreeSet<_>>(),
        organisations,
        "every service holds somebody's data"
    );
    let home = list(line, "clients")
        .iter()
        .find(|c| c["use"] == "home-system")
        .expect("a home system");
    assert!(
        holders(&patients[0]).contains(text(home, "orgnr")),
        "the first home system sends for the story's municipality"
    );
    let practitioners = list(line, "practitioners");
    assert!(practitioners.iter().all(|one| synthetic(one)
        && names(one) == BTreeSet::from(["fnr", "hpr", "name", "orgnr", "role"])));
}

/// Client files: absolute, mode 0600, of the contract's shape, and good for a token. Gives the folder they lie in.
async fn clients(line: &Value) -> String {
    let clients = list(line, "clients");
    let uses: BTreeSet<&str> = clients.iter().map(|c| text(c, "use")).collect();
    assert_eq!(
        uses,
        BTreeSet::from(["gateway", "home-system", "record-system"])
    );
    for client in clients {
        let path = Path::new(text(client, "file"));
        assert!(path.is_absolute());
        assert_eq!(
            std::fs::metadata(path).unwrap().permissions().mode() & 0o777,
            0o600,
            "{}",
            path.display()
        );
        let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let expected = [
            "audiences",
            "client_id",
            "issuer",
            "jwk",
            "orgnr",
            "scopes",
            "token_endpoint",
            "use",
        ];
        assert_eq!(names(&file), BTreeSet::from(expected), "{}", path.display());
        assert!(
            ["client_id", "orgnr", "use"]
                .iter()
                .all(|name| file[name] == client[name]),
            "{}",
            path.display()
        );
        assert_eq!(text(&file, "issuer"), text(line, "issuer"));
        assert!(
            ["kid", "alg", "d"]
                .iter()
                .all(|name| file["jwk"][name].is_string()),
            "{}",
            path.display()
        );
        let system = |scope: &&Value| scope.as_str().unwrap().starts_with("system/");
        let scope = list(&file, "scopes")
            .iter()
            .find(system)
            .and_then(Value::as_str)
            .expect("a scope of its own");
        let audience = match text(&file, "use") {
            "gateway" => format!("{}/fhir", text(line, "catalogue")),
            _ => list(&file, "audiences")[0].as_str().unwrap().to_owned(),
        };
        let http = Http::new(Policy::loopback()).unwrap();
        let party = Party::from_file(
            path,
            http,
            std::sync::Arc::new(testkit::clients::now),
            std::sync::Arc::new(uuid::Uuid::new_v4),
        )
        .unwrap();
        party
            .token(&audience, scope)
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    Path::new(text(&clients[0], "file"))
        .parent()
        .unwrap()
        .display()
        .to_string()
}

#[tokio::test]
async fn every_holder_that_the_line_names_holds_something() {
    let region = region::shared().await;
    for patient in &region.ready.patients {
        for service in region
            .ready
            .services
            .iter()
            .filter(|service| patient.holders.contains(&service.orgnr))
        {
            let screen =
                Screen::of(region, region.physician().unwrap(), patient, &service.fhir).await;
            let reply = screen
                .search(
                    "Observation",
                    &[("patient.identifier", &person(patient)), ("_count", "1")],
                )
                .await;
            assert_eq!(
                (reply.status.as_u16(), reply.matches().len()),
                (200, 1),
                "{}: {}",
                service.id,
                reply.json
            );
        }
    }
}
