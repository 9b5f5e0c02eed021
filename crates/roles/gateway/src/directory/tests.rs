//! A restart must not make a gateway forget what it has read: an older version of an entry, or one without its owner's signature,
//! is believed no more after it than before.
#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

use super::*;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use trust::jws;
use trust::keys::{KeySet, SigningKey};
use wire::client::{Http, Policy};
use wire::contract::anchor::{PARTICIPANT_TYP, Participant};
use wire::contract::catalogue::searchset;
use wire::contract::demo::{ClientFile, PrivateJwk};
use wire::contract::operate::Standing;
use wire::contract::statement::{STATEMENT, STATEMENT_TYP, Said, Statement};

const OWNER: &str = "310001007";
const NOW: i64 = 1_800_000_000;

/// An anchor that vouches for the owner, and a catalogue that gives what it is told to.
struct Region {
    address: String,
    owner: SigningKey,
    party: Party,
    given: Arc<Mutex<Value>>,
}

impl Region {
    async fn start() -> Region {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let [anchor, owner, client] = [(); 3].map(|()| SigningKey::generate().unwrap());
        let participant = Participant {
            iss: address.clone(),
            sub: OWNER.into(),
            iat: 1,
            name: OWNER.into(),
            version: 1,
            state: Standing::Active,
            units: Vec::new(),
            keys: vec![owner.public_jwk()],
            contacts: Vec::new(),
        };
        let participant = serde_json::to_value(participant).unwrap();
        let participant = jws::sign(PARTICIPANT_TYP, &participant, &anchor).unwrap();
        let keys = KeySet::of(vec![anchor.public().clone()]).unwrap().to_jwks();
        let give = |value: Value| move || std::future::ready(Json(value.clone()));
        let token = json!({"access_token": "x.y.z", "token_type": "DPoP", "expires_in": 300});
        let given: Arc<Mutex<Value>> = Arc::default();
        let told = given.clone();
        let told = move || std::future::ready(Json(told.lock().unwrap().clone()));
        let router = Router::new()
            .route("/jwks", get(give(keys)))
            .route("/participants", get(give(json!([participant]))))
            .route("/agreements", get(give(json!([]))))
            .route("/token", post(give(token)))
            .route("/fhir/Endpoint/_search", post(told));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let file = ClientFile {
            client_id: "gateway".into(),
            orgnr: "310001074".into(),
            use_: trust::ClientUse::Gateway,
            issuer: address.clone(),
            token_endpoint: format!("{address}/token"),
            jwk: PrivateJwk(serde_json::from_str(&client.to_private_jwk()).unwrap()),
            scopes: Vec::new(),
            audiences: Vec::new(),
        };
        let ids: store::Ids = Arc::new(Uuid::new_v4);
        let party = Party::new(file, http(), clock(0), ids).unwrap();
        Region {
            address,
            owner,
            party,
            given,
        }
    }

    /// A gateway's directory that starts so many seconds later and was told this before.
    fn directory(&self, seconds: i64, before: Vec<Told>) -> Arc<Directory> {
        let clock = clock(seconds);
        let members = MemberBook::new(&self.address, http(), clock.clone());
        let grace = Duration::from_secs(24 * 3600);
        let base = self.address.parse().unwrap();
        let party = self.party.clone();
        Arc::new(Directory::new(&base, grace, party, members, before, clock))
    }

    /// The catalogue gives the entry in this version, or as nobody's.
    fn gives(&self, version: Option<u64>) {
        let mut entry = entry(version.unwrap_or_default());
        if let Some(version) = version {
            let statement = Statement {
                iss: OWNER.into(),
                owner: OWNER.into(),
                sub: "Endpoint/e".into(),
                version,
                iat: NOW,
                exp: NOW + 48 * 3600,
                said: Said::Listed,
                resource: Some(entry.clone()),
            };
            let statement = serde_json::to_value(statement).unwrap();
            let signed = jws::sign(STATEMENT_TYP, &statement, &self.owner).unwrap();
            entry["extension"] = json!([{"url": STATEMENT, "valueString": signed}]);
        }
        *self.given.lock().unwrap() = searchset("https://catalogue.example/fhir", &[entry]);
    }
}

fn entry(version: u64) -> Value {
    let address = format!("https://v{version}.example/fhir");
    let mut endpoint = Endpoint {
        id: "e".into(),
        service: "fjellvik".into(),
        status: catalogue::EndpointStatus::Active,
        name: "fjellvik".into(),
        address,
        managing: OWNER.into(),
        managing_name: None,
        payload_kinds: vec!["IT17".into()],
        concept: None,
        supplier: None,
    }
    .to_json();
    if let Some(members) = endpoint.as_object_mut() {
        members.remove("extension");
    }
    endpoint
}

fn http() -> Http {
    Http::new(Policy::loopback()).unwrap()
}

fn clock(seconds: i64) -> Clock {
    Arc::new(move || Instant::from_seconds(NOW + seconds))
}

/// Where the organisation is reached.
async fn addresses(directory: &Arc<Directory>) -> Vec<String> {
    let deadline = Deadline::after(Duration::from_secs(60));
    let owner = OrganisationNumber::parse(OWNER).unwrap();
    let found = directory.endpoints(owner, Uuid::nil(), &deadline).await;
    let found = found.unwrap();
    found.iter().map(|one| one.address.clone()).collect()
}

/// What a gateway that stops leaves to the next, as it stands on disk.
fn left(directory: &Directory) -> Vec<Told> {
    let text = serde_json::to_string(&directory.told()).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn an_older_version_or_none_is_not_believed_after_a_restart_either() {
    let region = Region::start().await;
    region.gives(Some(2));
    let first = region.directory(0, Vec::new());
    assert_eq!(addresses(&first).await, ["https://v2.example/fhir"]);
    // Also when longer ago than a copy serves, as long as a statement may live.
    for seconds in [61, 30 * 3600] {
        for rolled_back in [Some(1), None] {
            region.gives(rolled_back);
            let second = region.directory(seconds, left(&first));
            let nobody: [&str; 0] = [];
            assert_eq!(addresses(&second).await, nobody, "{rolled_back:?}");
            // What was refused takes the place of nothing: the next start knows as much.
            let third = region.directory(seconds + 61, left(&second));
            assert_eq!(addresses(&third).await, nobody, "{rolled_back:?}");
            region.gives(Some(3));
            let fourth = region.directory(seconds + 122, left(&third));
            assert_eq!(addresses(&fourth).await, ["https://v3.example/fhir"]);
        }
    }
    // Nobody who starts with nothing can know.
    region.gives(Some(1));
    let stranger = region.directory(61, Vec::new());
    assert_eq!(addresses(&stranger).await, ["https://v1.example/fhir"]);
}
