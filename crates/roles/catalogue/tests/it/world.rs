//! A small region's catalogue behind its router, an issuer on loopback, and a caller with a key of its own.

use std::path::Path;
use std::sync::Arc;

use catalogue::{Concept, Config, Organisation, Service, State, SubUnit};
use fhir::ids::{OrganisationNumber, ReshId};
use fhir::resource::InformationService;
use fhir::time::Instant;
use http::{Method, StatusCode};
use serde_json::Value;
use store::{AuditEntry, AuditFilter};
use testkit::clients::Reply;
use testkit::door::{Door, Held, Knock};
use testkit::issuer::{Issuer, ProofKey, SystemClient};
use testkit::surroundings::{FixedClock, ids};
use trust::ClientUse;
use trust::token::Claims;
use url::Url;
use wire::client::{Http, Policy};
use wire::contract::catalogue::READ_SCOPE;
use wire::{House, Stop};

pub const BASE: &str = "http://127.0.0.1:9/catalogue";
pub const PROVEHEIM: &str = "310001074";
pub const KYSTREGIONEN: &str = "310001708";
pub const SORLIA: &str = "310001422";
pub const NORDDRIFT: &str = "310001287";
pub const FJELLVIK: &str = "310001007";

pub struct World {
    pub issuer: Issuer,
    pub key: ProofKey,
    pub clock: FixedClock,
    pub state: Arc<State>,
    pub door: Door,
    pub folder: tempfile::TempDir,
}

pub fn org(number: &str) -> OrganisationNumber {
    OrganisationNumber::parse(number).unwrap()
}

fn organisation(number: &str, name: &str, kind: &str) -> Organisation {
    Organisation {
        orgnr: org(number),
        name: name.into(),
        her_id: None,
        kind: kind.into(),
        sub_units: Vec::new(),
    }
}

fn service(id: &str, orgnr: &str, concept: Concept, kinds: &[&str]) -> Service {
    let kinds = kinds
        .iter()
        .map(|kind| InformationService::parse(kind).unwrap());
    Service {
        id: id.into(),
        orgnr: org(orgnr),
        name: format!("Datadeling {id}"),
        concept,
        supplier: None,
        members: Vec::new(),
        fhir: Url::parse(&format!("http://127.0.0.1:9/{id}/fhir")).unwrap(),
        services: kinds.collect(),
        telephone: None,
        terms: None,
    }
}

pub fn config(issuer: &str) -> Config {
    let mut proveheim = organisation(PROVEHEIM, "Prøveheim <b>sykehus</b>", "hospital");
    proveheim.sub_units = vec![
        SubUnit {
            orgnr: Some(org("310001929")),
            resh: Some(ReshId::parse("4990001").unwrap()),
            name: "Lungepoliklinikken".into(),
        },
        SubUnit {
            orgnr: None,
            resh: Some(ReshId::parse("4990003").unwrap()),
            name: "Lungesengepost".into(),
        },
    ];
    let mut fjellvik = service("fjellvik", FJELLVIK, Concept::Supplier, &["IT17", "IT08"]);
    fjellvik.supplier = Some(org(NORDDRIFT));
    fjellvik.telephone = Some("+47 00 00 00 00".into());
    fjellvik.terms = Some(Url::parse("https://vilkar.example/fjellvik").unwrap());
    let mut kyst = service("kystregionen", KYSTREGIONEN, Concept::Shared, &["IT17"]);
    kyst.members = vec![org(SORLIA), org("310001562")];
    Config {
        base: Url::parse(BASE).unwrap(),
        issuer: issuer.into(),
        organisations: vec![
            proveheim,
            organisation(FJELLVIK, "Fjellvik kommune", "municipality"),
            organisation(KYSTREGIONEN, "Kystregionen", "collaboration"),
            organisation(SORLIA, "Sørlia kommune", "municipality"),
            organisation("310001562", "Åsdal kommune", "municipality"),
            organisation(NORDDRIFT, "NordDrift", "supplier"),
        ],
        services: vec![
            service("proveheim", PROVEHEIM, Concept::Own, &["IT17", "IT03"]),
            fjellvik,
            kyst,
        ],
    }
}

pub fn house(folder: &Path, clock: &FixedClock) -> House {
    House {
        clock: clock.clock(),
        pause: wire::stop::real_pause(),
        ids: ids(1),
        http: Http::new(Policy::loopback()).unwrap(),
        data: folder.to_owned(),
        stop: Stop::new(),
        other_issuer: None,
    }
}

/// What the record of a start says.
const CONFIGURATION: &str = "the operator's configuration";

impl World {
    pub async fn new() -> Self {
        let clock = FixedClock::at(Instant::from_seconds(1_800_000_000));
        let issuer = Issuer::start_at(clock.clock()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let state = catalogue::open(config(issuer.url()), house(folder.path(), &clock))
            .await
            .unwrap();
        Self::around(issuer, clock, state, folder)
    }

    /// The same issuer and folder round another opening.
    pub fn around(
        issuer: Issuer,
        clock: FixedClock,
        state: Arc<State>,
        folder: tempfile::TempDir,
    ) -> Self {
        let door = Door::new(catalogue::routes(state.clone()), BASE);
        Self {
            issuer,
            key: ProofKey::generate().unwrap(),
            clock,
            state,
            door,
            folder,
        }
    }

    /// Closes the store and gives its folder back.
    pub fn close(self) -> tempfile::TempDir {
        let Self {
            state,
            door,
            folder,
            ..
        } = self;
        drop((state, door));
        folder
    }

    /// A portal's own claims, good for the catalogue.
    pub fn claims(&self) -> Claims {
        let client = SystemClient {
            client_id: "portal",
            use_: ClientUse::Portal,
            orgnr: PROVEHEIM,
        };
        let (audience, now) = (format!("{BASE}/fhir"), self.clock.now());
        self.issuer
            .system_claims(client, &audience, READ_SCOPE, self.key.jkt(), now)
            .unwrap()
    }

    /// Sends a request with these claims and a fresh proof.
    pub async fn send_as(&self, claims: &Claims, method: Method, path: &str, form: &str) -> Reply {
        let held = Held::of(&self.issuer, &self.key, claims).unwrap();
        let knock = self.knock(method, path, form);
        knock.by(&held, self.clock.now()).send().await
    }

    /// A request without credentials yet.
    pub fn knock(&self, method: Method, path: &str, form: &str) -> Knock<'_> {
        let knock = self.door.knock(method, path);
        if form.is_empty() {
            return knock;
        }
        knock
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.to_owned())
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send_as(&self.claims(), Method::GET, path, "").await
    }

    /// Service ids or organisation numbers found, in order.
    pub async fn found(&self, path: &str) -> Vec<String> {
        let reply = self.get(path).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.json);
        let entries = reply.json["entry"].as_array().cloned().unwrap_or_default();
        let identifier = |entry: &Value| {
            let first = &entry["resource"]["identifier"][0]["value"];
            first.as_str().unwrap().to_owned()
        };
        entries.iter().map(identifier).collect()
    }

    /// The audit trail of requests, oldest first.
    pub async fn trail(&self) -> Vec<AuditEntry> {
        let mut entries = self.whole_trail().await;
        entries.retain(|one| one.record.asked != CONFIGURATION);
        entries
    }

    /// What the configuration changed, as it is on record: of each start the entries and their versions.
    pub async fn settled(&self) -> Vec<Vec<(String, u64)>> {
        let mut entries = self.whole_trail().await;
        entries.retain(|one| one.record.asked == CONFIGURATION);
        let told = |one: AuditEntry| {
            assert_eq!(one.record.interaction, trust::Interaction::Publish);
            let disclosed = one.record.disclosed.into_iter();
            disclosed.map(|one| (one.resource, one.version)).collect()
        };
        entries.into_iter().map(told).collect()
    }

    async fn whole_trail(&self) -> Vec<AuditEntry> {
        let filter = AuditFilter {
            limit: 1_000,
            ..AuditFilter::default()
        };
        let mut entries = self.state.store().audit_search(filter).await.unwrap();
        entries.reverse();
        entries
    }
}
