//! A small region for `delt serve`: configuration files as an operator writes them, keys made by `delt client-key`.
//!
//! Two organisations, Prøveheim (`own`) and Fjellvik (`supplier`, run by NordDrift), as few or as many processes as the
//! story wants. There is no test-token here: outside the demo that route does not exist.

use super::physician::Physician;
use super::process::{Serving, delt, free_port};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use testkit::clients::now;
use testkit::record_system::{self, RecordSystem};
use wire::client::{Http, Party, Policy};
use wire::{House, Stop};

/// Organisation numbers of STORY.md.
pub const PROVEHEIM: &str = "310001074";
pub const FJELLVIK: &str = "310001007";
pub const NORDDRIFT: &str = "310001287";

/// One process: its name and the roles it runs.
pub type Part = (&'static str, &'static [&'static str]);

/// A region whose parts are started one by one.
pub struct Apart {
    folder: tempfile::TempDir,
    parts: Vec<(Part, u16)>,
    /// Port of Fjellvik's record system, which is the story's own peer.
    pub record_system: u16,
}

/// A client: id, organisation, use, scopes, and the roles whose audiences it may ask for. One without any has a key and is not
/// registered.
pub type Client = (
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

/// What a story adds to the region.
#[derive(Clone, Copy)]
pub struct More {
    /// Further lines of every file.
    pub facts: fn(&Apart) -> String,
    /// Further clients.
    pub clients: &'static [Client],
}

/// The registered clients.
const CLIENTS: &[Client] = &[
    (
        "home",
        FJELLVIK,
        "home-system",
        &[
            "system/Composition.c",
            "system/DetectedIssue.c",
            "system/Observation.c",
            "system/QuestionnaireResponse.c",
        ],
        &["hub"],
    ),
    (
        "epj-proveheim",
        PROVEHEIM,
        "record-system",
        &["system/*.cruds"],
        &["sharing:proveheim"],
    ),
    (
        "hub",
        NORDDRIFT,
        "hub",
        &["system/Observation.c", "system/QuestionnaireResponse.c"],
        &["sharing:proveheim", "sharing:fjellvik", "record-system"],
    ),
    (
        "gateway",
        PROVEHEIM,
        "gateway",
        &[
            "user/*.rs",
            "user/Pointer.r",
            "system/Organization.rs",
            "system/HealthcareService.rs",
            "system/Endpoint.rs",
            "system/OrganizationAffiliation.rs",
        ],
        &[
            "sharing:proveheim",
            "sharing:fjellvik",
            "catalogue",
            "locator",
            "gateway",
        ],
    ),
    (
        "proveheim",
        PROVEHEIM,
        "service",
        &["system/Pointer.c", "system/Endpoint.ru"],
        &["locator", "catalogue"],
    ),
    (
        "fjellvik",
        FJELLVIK,
        "service",
        &["system/Pointer.c", "system/Endpoint.ru"],
        &["locator", "catalogue"],
    ),
];

impl Apart {
    /// Chooses ports, makes keys and writes a configuration file a process. `head` holds further lines at the top of each
    /// file, such as `person_numbers = "lenient"`.
    pub async fn new(parts: &[Part], head: &str) -> Apart {
        let more = More {
            facts: |_| String::new(),
            clients: &[],
        };
        Apart::with(parts, head, "", more).await
    }

    /// As [`Apart::new`], with further lines in `[anchor]`, facts and clients.
    pub async fn with(parts: &[Part], head: &str, anchor: &str, more: More) -> Apart {
        let parts = parts.iter().map(|part| (*part, free_port())).collect();
        let region = Apart {
            folder: tempfile::tempdir().unwrap(),
            parts,
            record_system: free_port(),
        };
        std::fs::create_dir(region.folder.path().join("keys")).unwrap();
        let clients = region.make_clients(more.clients).await;
        let further = (more.facts)(&region);
        for ((name, roles), port) in &region.parts {
            let text = format!(
                "roles = {roles:?}\ndata = \"data/{name}\"\n{head}\n[listen]\naddress = \"127.0.0.1:{port}\"\n{}\n{further}\n{clients}",
                region.facts(anchor)
            );
            std::fs::write(region.config(name), text).unwrap();
        }
        region
    }

    /// The configuration file of a process.
    pub fn config(&self, part: &str) -> PathBuf {
        self.folder.path().join(format!("{part}.toml"))
    }

    /// The data folder of a process.
    pub fn data(&self, part: &str) -> PathBuf {
        self.folder.path().join("data").join(part)
    }

    /// A folder for a peer of the story's own.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves the folder where it is, for whoever looks for what went wrong.
    pub fn keep(self) -> PathBuf {
        self.folder.keep()
    }

    /// The port on which a process listens.
    pub fn port_of(&self, part: &str) -> u16 {
        self.parts
            .iter()
            .find(|((name, _), _)| *name == part)
            .map(|(_, port)| *port)
            .expect("a part of the region")
    }

    /// Starts one process.
    pub async fn start(&self, part: &str) -> Serving {
        Serving::start(&self.config(part), self.port_of(part)).await
    }

    /// Starts one process that trusts the certificates of this file.
    pub async fn start_trusting(&self, part: &str, certificates: &Path) -> Serving {
        let variables = [("SSL_CERT_FILE", certificates)];
        Serving::start_in(&self.config(part), self.port_of(part), &variables).await
    }

    /// Starts Fjellvik's record system, a peer in this process, until `stop`.
    pub async fn open_record_system(&self, stop: &Stop) -> Arc<RecordSystem> {
        let data = self.folder.path().join("epj");
        let house = House {
            clock: Arc::new(now),
            pause: wire::stop::real_pause(),
            ids: Arc::new(uuid::Uuid::new_v4),
            http: Http::new(Policy::loopback()).unwrap(),
            data: data.clone(),
            stop: stop.clone(),
            other_issuer: None,
        };
        let issuer = self.base("anchor");
        let config = record_system::Config {
            orgnr: FJELLVIK.to_owned(),
            base: self.base("record-system"),
            jwks_url: format!("{issuer}{}", wire::contract::anchor::JWKS),
            issuer,
            data,
            rules: fhir::check::Rules::default(),
        };
        let system = RecordSystem::open(&config, &house).unwrap();
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", self.record_system))
            .await
            .unwrap();
        tokio::spawn(record_system::serve(
            listener,
            vec![("fjellvik".to_owned(), system.clone())],
            stop.clone(),
        ));
        system
    }

    /// A role's base URL; roles that no process runs have an address where nobody answers.
    pub fn base(&self, role: &str) -> String {
        let runs = |roles: &[&str]| {
            roles.contains(&role) || (role.starts_with("sharing:") && roles.contains(&"sharing"))
        };
        let port = self
            .parts
            .iter()
            .find(|((_, roles), _)| runs(roles))
            .map_or(9, |(_, port)| *port);
        match role {
            "record-system" => format!("http://127.0.0.1:{}/fjellvik", self.record_system),
            other => match other.strip_prefix("sharing:") {
                Some(id) => format!("http://127.0.0.1:{port}/{id}/fhir"),
                None => format!("http://127.0.0.1:{port}/{other}"),
            },
        }
    }

    /// A role's audience.
    pub fn audience(&self, role: &str) -> String {
        match role {
            "hub" | "gateway" | "catalogue" | "record-system" => {
                format!("{}/fhir", self.base(role))
            }
            "operate" => format!("{}/operate", self.base("anchor")),
            other => self.base(other),
        }
    }

    /// The hospital's physician with a token for the gateway; the anchor must have run.
    pub async fn physician(&self) -> Physician {
        let key = self.data("anchor").join("anchor/signing-key.json");
        let gateway = self.audience("gateway");
        Physician::signed(&key, &self.base("anchor"), PROVEHEIM, gateway).await
    }

    /// A client's file.
    pub fn client_file(&self, client: &str) -> PathBuf {
        self.folder.path().join(format!("keys/{client}.json"))
    }

    /// A registered client, ready to speak.
    pub fn party(&self, client: &str) -> Party {
        Party::from_file(
            &self.client_file(client),
            Http::new(Policy::loopback()).unwrap(),
            Arc::new(now),
            Arc::new(uuid::Uuid::new_v4),
        )
        .unwrap()
    }

    /// A registered client as a document for the anchor's register, with one more audience.
    pub fn document_with(&self, client: &str, role: &str) -> serde_json::Value {
        let known = CLIENTS.iter().find(|one| one.0 == client).unwrap();
        let (id, orgnr, use_, scopes, audiences) = known;
        let audiences = audiences.iter().chain([&role]);
        let audiences: Vec<String> = audiences.map(|role| self.audience(role)).collect();
        serde_json::json!({
            "client_id": id, "orgnr": orgnr, "use": use_, "keys": [self.public_key(client)],
            "scopes": scopes, "audiences": audiences,
        })
    }

    /// The public part of a client's key.
    pub fn public_key(&self, client: &str) -> serde_json::Value {
        let file = self.folder.path().join(format!("keys/{client}.json"));
        let file: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let mut jwk = file["jwk"].clone();
        jwk.as_object_mut().unwrap().remove("d").unwrap();
        jwk
    }

    /// Makes every client's key and gives their public parts as the anchor's list.
    async fn make_clients(&self, more: &[Client]) -> String {
        let mut listed = String::new();
        for (id, orgnr, use_, scopes, audiences) in CLIENTS.iter().chain(more) {
            let file = self.folder.path().join(format!("keys/{id}.json"));
            let issuer = self.base("anchor");
            let mut arguments = vec![
                "client-key",
                "--client-id",
                id,
                "--orgnr",
                orgnr,
                "--use",
                use_,
                "--issuer",
                &issuer,
            ];
            arguments.extend(["--file", file.to_str().unwrap()]);
            let audiences: Vec<String> = audiences.iter().map(|role| self.audience(role)).collect();
            arguments.extend(scopes.iter().flat_map(|scope| ["--scope", scope]));
            arguments.extend(
                audiences
                    .iter()
                    .flat_map(|audience| ["--audience", audience]),
            );
            let said = delt(&arguments).await;
            assert_eq!(said.code, Some(0), "{}", said.err);
            if audiences.is_empty() {
                continue;
            }
            let jwk = said.out.trim();
            listed += &format!(
                "[[client]]\nclient_id = \"{id}\"\norgnr = \"{orgnr}\"\nuse = \"{use_}\"\njwk = '{jwk}'\nscopes = {scopes:?}\naudiences = {audiences:?}\n\n"
            );
        }
        listed
    }

    /// What is true of the region, the same in every file.
    fn facts(&self, more_of_the_anchor: &str) -> String {
        let base = |role| self.base(role);
        format!(
            r#"
[network]
allow = ["127.0.0.0/8"]

[anchor]
base = "{anchor}"
{more_of_the_anchor}

[catalogue]
base = "{catalogue}"

[locator]
base = "{locator}"

[locator.collaboration]
id = "LOK-TEST-1"
date = "2026-01-15"
scope = "Which member holds which kind of data"
controller_arrangement = "Joint controllers"
patients_rights = "At any member"
exit_terms = "Pointers go within a day"
members = ["{PROVEHEIM}", "{FJELLVIK}"]

[hub]
base = "{hub}"
operator = "{NORDDRIFT}"
client_file = "keys/hub.json"

[gateway]
base = "{gateway}"
client_file = "keys/gateway.json"

[[organisation]]
orgnr = "{PROVEHEIM}"
name = "Prøveheim Diakonale Sykehus"
kind = "hospital"
her_id = "99001"
sub_unit = [{{ orgnr = "310001929", resh = "4990001", name = "Lungepoliklinikken" }}]

[[organisation]]
orgnr = "{FJELLVIK}"
name = "Fjellvik kommune"
kind = "municipality"
record_system = {{ base = "{record_system}", kinds = ["IT17"] }}

[[organisation]]
orgnr = "{NORDDRIFT}"
name = "NordDrift"
kind = "supplier"

[[service]]
id = "proveheim"
orgnr = "{PROVEHEIM}"
name = "Prøveheim Diakonale Sykehus"
concept = "own"
fhir = "{proveheim}"
client_file = "keys/proveheim.json"
unknown_patients = "enrol"

[[service]]
id = "fjellvik"
orgnr = "{FJELLVIK}"
name = "Fjellvik kommune"
concept = "supplier"
supplier = "{NORDDRIFT}"
processing_agreement = {{ id = "DBA-1", date = "2026-01-10" }}
delegation = {{ id = "DEL-1", date = "2026-01-10" }}
fhir = "{fjellvik}"
client_file = "keys/fjellvik.json"
unknown_patients = "enrol"
telephone = "+47 00 00 00 01"
terms = "https://vilkar.example/fjellvik"

[[delegation]]
id = "DEL-VKP"
version = 1
from = "{FJELLVIK}"
to = "{NORDDRIFT}"
from_day = "2026-01-10"

[[agreement]]
id = "AVT-1"
version = 1
consumer = "{PROVEHEIM}"
provider = "{FJELLVIK}"
services = ["IT03", "IT08", "IT12", "IT17"]
from = "2026-01-01"
"#,
            anchor = base("anchor"),
            catalogue = base("catalogue"),
            locator = base("locator"),
            hub = base("hub"),
            gateway = base("gateway"),
            record_system = base("record-system"),
            proveheim = base("sharing:proveheim"),
            fjellvik = base("sharing:fjellvik"),
        )
    }
}
