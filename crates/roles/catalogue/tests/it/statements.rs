//! An entry is its owner's: who may state, change and withdraw it; what is never taken in; that it lapses; and that a reader
//! needs the anchor's documents alone to believe it.

use fhir::resource::InformationService;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::clients::Reply;
use testkit::issuer::SystemClient;
use trust::ClientUse;
use trust::audit::Outcome;
use trust::keys::SigningKey;
use wire::contract::anchor::{AgreementDocument, AgreementKind, Participant};
use wire::contract::catalogue::{AffiliationRole, Endpoint, EndpointStatus};
use wire::contract::operate::Standing;
use wire::contract::statement::{
    Offer, PUBLISH, PUBLISH_SCOPE, STATEMENT_TYP, Said, Statement, affiliation, carried, id_of,
};
use wire::members::{MemberBook, StatementError};

use crate::world::{
    BASE, FJELLVIK, KYSTREGIONEN, NORDDRIFT, PROVEHEIM, SORLIA, World, config, house, org,
};

/// An address that Fjellvik may list.
pub const ADDRESS: &str = "http://127.0.0.1:9/ny/fhir";

/// A region in which the anchor knows everyone's key.
pub struct Region {
    pub world: World,
    pub fjellvik: SigningKey,
    pub norddrift: SigningKey,
    pub proveheim: SigningKey,
    pub kystregionen: SigningKey,
    participants: Vec<Participant>,
    agreements: Vec<AgreementDocument>,
}

fn participant(world: &World, orgnr: &str, key: &SigningKey) -> Participant {
    Participant {
        iss: world.issuer.url().to_owned(),
        sub: orgnr.to_owned(),
        iat: 1,
        name: orgnr.to_owned(),
        version: 1,
        state: Standing::Active,
        units: if orgnr == PROVEHEIM {
            vec!["310001929".to_owned()]
        } else {
            Vec::new()
        },
        keys: vec![key.public_jwk()],
        contacts: Vec::new(),
    }
}

fn agreement(world: &World, id: &str, kind: AgreementKind, parties: &[&str]) -> AgreementDocument {
    AgreementDocument {
        iss: world.issuer.url().to_owned(),
        sub: id.to_owned(),
        iat: 1,
        version: 1,
        state: Standing::Active,
        signed: true,
        kind,
        parties: parties.iter().map(|one| (*one).to_owned()).collect(),
        consumer: None,
        provider: None,
        processor: (kind == AgreementKind::DataProcessing).then(|| NORDDRIFT.to_owned()),
        services: Vec::new(),
        from: "2026-01-01".into(),
        until: None,
    }
}

impl Region {
    pub async fn new() -> Self {
        let world = World::new().await;
        let key = || SigningKey::generate().unwrap();
        let (fjellvik, norddrift, proveheim, kystregionen) = (key(), key(), key(), key());
        let participants = vec![
            participant(&world, FJELLVIK, &fjellvik),
            participant(&world, NORDDRIFT, &norddrift),
            participant(&world, PROVEHEIM, &proveheim),
            participant(&world, KYSTREGIONEN, &kystregionen),
            participant(&world, SORLIA, &key()),
        ];
        let agreements = vec![
            agreement(&world, "DBA-1", AgreementKind::DataProcessing, &[FJELLVIK]),
            agreement(
                &world,
                "FBR-1",
                AgreementKind::SharedRegister,
                &[KYSTREGIONEN, SORLIA],
            ),
        ];
        let region = Self {
            world,
            fjellvik,
            norddrift,
            proveheim,
            kystregionen,
            participants,
            agreements,
        };
        region.vouch();
        region
    }

    fn vouch(&self) {
        let issuer = &self.world.issuer;
        issuer.vouch(&self.participants, &self.agreements).unwrap();
        // Documents are asked for anew after a minute.
        self.world.clock.advance(60_000_000);
    }

    fn now(&self) -> i64 {
        self.world.clock.now().seconds()
    }

    /// Fjellvik's Endpoint under the address.
    pub fn endpoint(&self, address: &str) -> Value {
        Endpoint {
            id: id_of("Endpoint", "fjellvik"),
            service: "fjellvik".into(),
            status: EndpointStatus::Active,
            name: "Fjellvik <script>alert(1)</script>".into(),
            address: address.into(),
            managing: FJELLVIK.into(),
            managing_name: None,
            payload_kinds: vec!["IT17".into()],
            concept: None,
            supplier: None,
        }
        .to_json()
    }

    /// Fjellvik's statement about a resource, signed by itself.
    pub fn says(&self, resource: &Value, version: u64) -> Statement {
        Statement {
            iss: FJELLVIK.into(),
            owner: FJELLVIK.into(),
            sub: format!(
                "{}/{}",
                resource["resourceType"].as_str().unwrap(),
                resource["id"].as_str().unwrap()
            ),
            version,
            iat: self.now(),
            exp: self.now() + 3_600,
            said: Said::Listed,
            resource: Some(resource.clone()),
        }
    }

    /// Brings signed statements as a service of an organisation.
    pub async fn bring(&self, orgnr: &str, statements: &[String]) -> Reply {
        let client = SystemClient {
            client_id: "deling",
            use_: ClientUse::Service,
            orgnr,
        };
        let (audience, now) = (format!("{BASE}/fhir"), self.world.clock.now());
        let claims = self
            .world
            .issuer
            .system_claims(client, &audience, PUBLISH_SCOPE, self.world.key.jkt(), now)
            .unwrap();
        let held = testkit::door::Held::of(&self.world.issuer, &self.world.key, &claims).unwrap();
        let knock = self.world.door.knock(Method::POST, PUBLISH);
        let body = json!({ "statements": statements }).to_string();
        let knock = knock.header("content-type", "application/json").body(body);
        knock.by(&held, now).send().await
    }

    /// Fjellvik brings its own statement.
    pub async fn state(&self, statement: &Statement) -> Reply {
        self.bring(FJELLVIK, &[sign(&self.fjellvik, statement)])
            .await
    }

    /// The members as a reader elsewhere learns of them.
    async fn members(&self) -> std::sync::Arc<wire::members::Members> {
        let house = house(self.world.folder.path(), &self.world.clock);
        let book = MemberBook::new(self.world.issuer.url(), house.http, house.clock);
        book.current().await.unwrap()
    }

    pub async fn fjellviks(&self) -> Value {
        let id = id_of("Endpoint", "fjellvik");
        self.world.get(&format!("/fhir/Endpoint/{id}")).await.json
    }
}

/// What Fjellvik says that it offers.
fn offered(service: &str, name: &str) -> Value {
    let offer = Offer {
        service,
        owner: org(FJELLVIK),
        name,
        telephone: Some("+47 00 00 00 01"),
        terms: Some("https://vilkar.example/"),
        kinds: &[InformationService::MEASUREMENTS],
        profiles: &["http://ehelse.no/fhir/StructureDefinition/x"],
    };
    offer.resource()
}

pub fn sign(key: &SigningKey, statement: &Statement) -> String {
    let claims = serde_json::to_value(statement).unwrap();
    trust::jws::sign(STATEMENT_TYP, &claims, key).unwrap()
}

pub fn standing(resource: &Value) -> String {
    let all = resource["extension"].as_array().unwrap();
    let one = all
        .iter()
        .find(|one| one["url"].as_str().unwrap().ends_with("/standing"));
    one.unwrap()["valueCode"].as_str().unwrap().to_owned()
}

fn code(reply: &Reply) -> &str {
    let code = &reply.json["issue"][0]["details"]["coding"][0]["code"];
    code.as_str().unwrap_or_default()
}

#[tokio::test]
async fn an_owner_states_changes_and_withdraws_its_entry_and_each_version_stays() {
    let region = Region::new().await;
    assert_eq!(standing(&region.fjellviks().await), "configured");
    let first = region.says(&region.endpoint(ADDRESS), 1);
    let jws = sign(&region.fjellvik, &first);
    let reply = region.bring(FJELLVIK, std::slice::from_ref(&jws)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    let sub = first.sub.clone();
    assert_eq!(
        reply.json,
        json!({"taken": [{"resource": sub, "version": 2}]})
    );
    let entry = region.fjellviks().await;
    assert_eq!(
        (entry["address"].as_str(), standing(&entry).as_str()),
        (Some(ADDRESS), "stated")
    );
    assert_eq!(entry["meta"]["versionId"], "2");
    assert_eq!(carried(&entry), Some(jws.as_str()));
    // A reader believes it from the anchor's documents alone.
    let members = region.members().await;
    let believed = members.verify(&jws, region.world.clock.now());
    assert_eq!(believed.unwrap().statement, first);

    let second = region.says(&region.endpoint("http://127.0.0.1:9/nyere/fhir"), 2);
    assert_eq!(region.state(&second).await.status, StatusCode::OK);
    assert_eq!(region.fjellviks().await["meta"]["versionId"], "3");
    let gone = Statement {
        said: Said::Withdrawn,
        resource: None,
        ..region.says(&region.endpoint(ADDRESS), 3)
    };
    assert_eq!(region.state(&gone).await.status, StatusCode::OK);
    let path = format!("/fhir/{}", first.sub);
    assert_eq!(region.world.get(&path).await.status, StatusCode::GONE);
    assert!(
        region
            .world
            .found("/fhir/Endpoint?identifier=fjellvik")
            .await
            .is_empty()
    );
    // Every version is there as it was, with the statement that it rests on.
    let old = region.world.get(&format!("{path}/_history/2")).await;
    assert_eq!(
        (old.status, carried(&old.json)),
        (StatusCode::OK, Some(jws.as_str()))
    );
    for (version, status) in [
        ("1", StatusCode::OK),
        ("4", StatusCode::GONE),
        ("5", StatusCode::NOT_FOUND),
    ] {
        let reply = region
            .world
            .get(&format!("{path}/_history/{version}"))
            .await;
        assert_eq!(reply.status, status, "{version}");
    }
    // And it is in the audit trail, who brought it and what it changed.
    let trail = region.world.trail().await;
    let written: Vec<_> = trail
        .iter()
        .filter(|one| one.record.interaction == trust::Interaction::Publish)
        .map(|one| (one.record.outcome.clone(), one.record.disclosed[0].version))
        .collect();
    assert_eq!(
        written,
        [2, 3, 4].map(|version| (Outcome::Allowed, version))
    );
    // The owner may come back.
    let again = region.says(&region.endpoint(ADDRESS), 4);
    assert_eq!(region.state(&again).await.status, StatusCode::OK);
    assert_eq!(region.fjellviks().await["meta"]["versionId"], "5");
}

#[tokio::test]
async fn nobody_but_the_owner_and_its_supplier_changes_an_entry() {
    let mut region = Region::new().await;
    let endpoint = region.endpoint(ADDRESS);
    let own = region.says(&endpoint, 1);
    let by = |iss: &str, owner: &str| Statement {
        iss: iss.into(),
        owner: owner.into(),
        ..own.clone()
    };
    let mut theirs = endpoint.clone();
    theirs["managingOrganization"]["identifier"]["value"] = PROVEHEIM.into();
    let taken_over = Statement {
        resource: Some(theirs),
        ..by(PROVEHEIM, PROVEHEIM)
    };
    let (fjellvik, norddrift, proveheim) = (&region.fjellvik, &region.norddrift, &region.proveheim);
    let unknown = SigningKey::generate().unwrap();
    let (not_owner, unsigned) = ("not_owner", "not_signed_by_owner");
    for (what, bringer, key, statement, refused) in [
        (
            "its key is another's",
            PROVEHEIM,
            proveheim,
            own.clone(),
            unsigned,
        ),
        (
            "nobody knows the key",
            FJELLVIK,
            &unknown,
            own.clone(),
            unsigned,
        ),
        (
            "another signs for the owner",
            PROVEHEIM,
            proveheim,
            by(PROVEHEIM, FJELLVIK),
            unsigned,
        ),
        (
            "another takes the entry over",
            PROVEHEIM,
            proveheim,
            taken_over.clone(),
            not_owner,
        ),
        (
            "another's entry in own name",
            PROVEHEIM,
            proveheim,
            by(PROVEHEIM, PROVEHEIM),
            not_owner,
        ),
        (
            "another brings it",
            PROVEHEIM,
            fjellvik,
            own.clone(),
            not_owner,
        ),
        (
            "a supplier without an agreement",
            NORDDRIFT,
            norddrift,
            by(NORDDRIFT, PROVEHEIM),
            unsigned,
        ),
        (
            "who is no participant",
            "310001147",
            &unknown,
            by("310001147", "310001147"),
            unsigned,
        ),
    ] {
        let reply = region.bring(bringer, &[sign(key, &statement)]).await;
        assert_eq!(
            (reply.status, code(&reply)),
            (StatusCode::FORBIDDEN, refused),
            "{what}"
        );
    }
    assert_eq!(standing(&region.fjellviks().await), "configured");
    // The supplier signs for the owner as long as the agreement stands.
    let supplied = by(NORDDRIFT, FJELLVIK);
    let reply = region.bring(NORDDRIFT, &[sign(norddrift, &supplied)]).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    let next = Statement {
        version: 2,
        iat: region.now(),
        ..supplied
    };
    let ends = |region: &mut Region, change: &dyn Fn(&mut AgreementDocument)| {
        region.agreements[0].version += 1;
        change(&mut region.agreements[0]);
        region.vouch();
    };
    ends(&mut region, &|one| one.state = Standing::Suspended);
    let reply = region
        .bring(NORDDRIFT, &[sign(&region.norddrift, &next)])
        .await;
    assert_eq!(code(&reply), unsigned);
    ends(&mut region, &|one| {
        (one.state, one.until) = (Standing::Active, Some("2026-12-31".into()))
    });
    let reply = region
        .bring(NORDDRIFT, &[sign(&region.norddrift, &next)])
        .await;
    assert_eq!(code(&reply), unsigned, "it is 2027");
    // An older document of the anchor does not bring the agreement back.
    region.agreements[0].version = 1;
    region.agreements[0].until = None;
    region.vouch();
    let reply = region
        .bring(NORDDRIFT, &[sign(&region.norddrift, &next)])
        .await;
    assert_eq!(code(&reply), unsigned, "an older agreement");
    // A suspended owner states nothing.
    region.participants[0].state = Standing::Suspended;
    region.vouch();
    let late = region.says(&endpoint, 9);
    let reply = region.state(&late).await;
    assert_eq!(code(&reply), unsigned);
}

#[tokio::test]
async fn an_older_version_is_never_accepted_as_newer() {
    let region = Region::new().await;
    let old = sign(&region.fjellvik, &region.says(&region.endpoint(ADDRESS), 7));
    let moved = region.endpoint("http://127.0.0.1:9/flyttet/fhir");
    let new = sign(&region.fjellvik, &region.says(&moved, 8));
    for (jws, status, version) in [
        (&old, StatusCode::OK, 2),
        (&new, StatusCode::OK, 3),
        (&old, StatusCode::CONFLICT, 3),
        // Brought again it is the same, and no new version.
        (&new, StatusCode::OK, 3),
    ] {
        assert_eq!(
            region
                .bring(FJELLVIK, std::slice::from_ref(jws))
                .await
                .status,
            status
        );
        let entry = region.fjellviks().await;
        assert_eq!(entry["meta"]["versionId"], version.to_string());
    }
    // The same number with another content, an older withdrawal, and the configuration at the next start: as little.
    let other = region.says(&region.endpoint(ADDRESS), 8);
    assert_eq!(region.state(&other).await.status, StatusCode::CONFLICT);
    let gone = Statement {
        said: Said::Withdrawn,
        resource: None,
        ..region.says(&moved, 7)
    };
    assert_eq!(region.state(&gone).await.status, StatusCode::CONFLICT);
    let before = region.fjellviks().await;
    let Region { world, .. } = region;
    let (issuer, clock) = (world.issuer.clone(), world.clock.clone());
    let kept = world.close();
    let state = catalogue::open(config(issuer.url()), house(kept.path(), &clock))
        .await
        .unwrap();
    let world = World::around(issuer, clock, state, kept);
    let id = id_of("Endpoint", "fjellvik");
    assert_eq!(
        world.get(&format!("/fhir/Endpoint/{id}")).await.json,
        before
    );
}

#[tokio::test]
async fn what_is_not_said_again_lapses_and_is_shown_so() {
    let region = Region::new().await;
    let jws = sign(&region.fjellvik, &region.says(&region.endpoint(ADDRESS), 1));
    region.bring(FJELLVIK, std::slice::from_ref(&jws)).await;
    region.world.clock.advance(3_599_000_000);
    assert_eq!(region.fjellviks().await["status"], "active");
    region.world.clock.advance(1_000_000);
    let entry = region.fjellviks().await;
    assert_eq!(
        (entry["status"].as_str(), standing(&entry).as_str()),
        (Some("off"), "lapsed")
    );
    // Whoever verifies it learns the same, and it cannot be brought again.
    let told = region
        .members()
        .await
        .verify(&jws, region.world.clock.now());
    assert_eq!(told, Err(StatementError::Lapsed));
    assert_eq!(
        region.bring(FJELLVIK, &[jws]).await.status,
        StatusCode::BAD_REQUEST
    );
    // Said again it is back.
    let again = region.says(&region.endpoint(ADDRESS), 2);
    assert_eq!(region.state(&again).await.status, StatusCode::OK);
    assert_eq!(region.fjellviks().await["status"], "active");
    // Outside its own period it does not count either.
    for (border, day) in [("end", "2027-01-14"), ("start", "2027-01-17")] {
        let mut endpoint = region.endpoint(ADDRESS);
        endpoint["period"] = json!({ border: day });
        let version = u64::from(border == "start") + 3;
        assert_eq!(
            region.state(&region.says(&endpoint, version)).await.status,
            StatusCode::OK
        );
        assert_eq!(region.fjellviks().await["status"], "off", "{border}");
    }
}

#[tokio::test]
async fn times_that_promise_too_much_are_refused() {
    let region = Region::new().await;
    let week = 7 * 24 * 3_600;
    for (iat, exp, taken) in [
        (0, week, true),
        (0, week + 1, false),
        (10, 3_600, true),
        (11, 3_600, false),
        (0, 0, false),
        (-3_600, -1, false),
        (i64::MIN / 2, i64::MAX / 2, false),
    ] {
        let now = region.now();
        let statement = Statement {
            iat: now.saturating_add(iat),
            exp: now.saturating_add(exp),
            version: u64::try_from(exp.max(1)).unwrap_or(1)
                + iat.unsigned_abs().min(100) * 1_000_000,
            ..region.says(&region.endpoint(ADDRESS), 1)
        };
        let status = region.state(&statement).await.status;
        assert_eq!(status == StatusCode::OK, taken, "{iat} {exp} {status}");
    }
}

#[tokio::test]
async fn what_others_are_made_part_of_is_agreed_by_both() {
    let region = Region::new().await;
    let kyst = |resource: &Value| Statement {
        iss: KYSTREGIONEN.into(),
        owner: KYSTREGIONEN.into(),
        ..region.says(resource, 1)
    };
    let with = |other, role| affiliation("kystregionen", org(KYSTREGIONEN), org(other), role);
    let member = with(SORLIA, AffiliationRole::Member);
    let captured = with(PROVEHEIM, AffiliationRole::Member);
    // A member is no supplier: each role is agreed by a paper of its own.
    let supplier = with(SORLIA, AffiliationRole::Supplier);
    for (resource, status) in [
        (&member, StatusCode::OK),
        (&captured, StatusCode::FORBIDDEN),
        (&supplier, StatusCode::FORBIDDEN),
    ] {
        let jws = sign(&region.kystregionen, &kyst(resource));
        assert_eq!(region.bring(KYSTREGIONEN, &[jws]).await.status, status);
    }
    let sorlias = format!("/fhir/Endpoint?organization.identifier={SORLIA}");
    assert_eq!(region.world.found(&sorlias).await, ["kystregionen"]);
    // A unit is its controller's to name, a stranger is nobody's.
    let unit = |parent: &str, orgnr: &str| {
        json!({
            "resourceType": "Organization", "id": id_of("Organization", orgnr), "name": "Enhet", "active": true,
            "identifier": [{"system": "urn:oid:2.16.578.1.12.4.1.4.101", "value": orgnr}],
            "partOf": {"identifier": {"system": "urn:oid:2.16.578.1.12.4.1.4.101", "value": parent}},
        })
    };
    let hospital = |resource: &Value| Statement {
        iss: PROVEHEIM.into(),
        owner: PROVEHEIM.into(),
        ..region.says(resource, 1)
    };
    for (resource, status) in [
        (unit(PROVEHEIM, "310001929"), StatusCode::OK),
        (unit(PROVEHEIM, "310001635"), StatusCode::FORBIDDEN),
        (unit(PROVEHEIM, FJELLVIK), StatusCode::FORBIDDEN),
    ] {
        let jws = sign(&region.proveheim, &hospital(&resource));
        let reply = region.bring(PROVEHEIM, &[jws]).await;
        assert_eq!(reply.status, status, "{}", reply.json);
    }
}

#[tokio::test]
async fn one_address_is_one_organisations_and_a_request_is_taken_whole_or_not() {
    let region = Region::new().await;
    let taken = region.says(&region.endpoint("http://127.0.0.1:9/proveheim/fhir"), 1);
    assert_eq!(region.state(&taken).await.status, StatusCode::CONFLICT);
    let service = offered("fjellvik", "Oppfølgingssenteret");
    let both = [
        sign(&region.fjellvik, &region.says(&service, 1)),
        sign(&region.fjellvik, &taken),
    ];
    assert_eq!(
        region.bring(FJELLVIK, &both).await.status,
        StatusCode::CONFLICT
    );
    let path = format!(
        "/fhir/HealthcareService/{}",
        id_of("HealthcareService", "fjellvik")
    );
    assert_eq!(standing(&region.world.get(&path).await.json), "configured");
    assert_eq!(
        region.bring(FJELLVIK, &both[..1]).await.status,
        StatusCode::OK
    );
    let entry = region.world.get(&path).await.json;
    assert_eq!(
        (entry["name"].as_str(), standing(&entry).as_str()),
        (Some("Oppfølgingssenteret"), "stated")
    );
}

#[tokio::test]
async fn nobody_is_found_by_anothers_identifier_or_comes_by_anothers_members() {
    let region = Region::new().await;
    // A HER-id or RESH id cannot be verified; whose entry has it first has it.
    let mut organisation = wire::contract::statement::Organisation {
        orgnr: org(FJELLVIK),
        name: "Fjellvik kommune".into(),
        her_id: None,
        kind: "municipality".into(),
        sub_units: Vec::new(),
    }
    .resource();
    let resh = json!({"system": "urn:oid:2.16.578.1.12.4.1.4.102", "value": "4990001"});
    organisation["identifier"]
        .as_array_mut()
        .unwrap()
        .push(resh);
    let reply = region.state(&region.says(&organisation, 1)).await;
    assert_eq!(reply.status, StatusCode::CONFLICT, "{}", reply.json);
    let clinic = region
        .world
        .found("/fhir/Organization?identifier=4990001")
        .await;
    assert_eq!(clinic, ["310001929"]);

    // The register says who is a member of a service that is to come; somebody else takes that service's id.
    let member = affiliation(
        "ny",
        org(KYSTREGIONEN),
        org(SORLIA),
        AffiliationRole::Member,
    );
    let statement = Statement {
        iss: KYSTREGIONEN.into(),
        owner: KYSTREGIONEN.into(),
        ..region.says(&member, 1)
    };
    let jws = sign(&region.kystregionen, &statement);
    assert_eq!(
        region.bring(KYSTREGIONEN, &[jws]).await.status,
        StatusCode::OK
    );
    let mut endpoint = region.endpoint(ADDRESS);
    endpoint["id"] = id_of("Endpoint", "ny").into();
    endpoint["identifier"][0]["value"] = "ny".into();
    let reply = region.state(&region.says(&endpoint, 1)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    let sorlias = format!("/fhir/Endpoint?organization.identifier={SORLIA}");
    assert_eq!(region.world.found(&sorlias).await, ["kystregionen"]);
}

#[tokio::test]
async fn an_address_whose_entry_has_lapsed_keeps_nobody_out() {
    let region = Region::new().await;
    let first = region.says(&region.endpoint(ADDRESS), 1);
    assert_eq!(region.state(&first).await.status, StatusCode::OK);
    let mut next = region.endpoint(ADDRESS);
    next["id"] = id_of("Endpoint", "fjellvik-2").into();
    next["identifier"][0]["value"] = "fjellvik-2".into();
    let reply = region.state(&region.says(&next, 1)).await;
    assert_eq!(reply.status, StatusCode::CONFLICT, "{}", reply.json);
    region.world.clock.advance(3_600_000_000);
    let reply = region.state(&region.says(&next, 1)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    // Said again, the old one has lost it.
    let again = region.says(&region.endpoint(ADDRESS), 2);
    assert_eq!(region.state(&again).await.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn without_the_anchors_documents_nothing_is_taken_and_the_last_good_ones_serve() {
    let region = Region::new().await;
    let first = region.says(&region.endpoint(ADDRESS), 1);
    region.world.issuer.vouch(&[], &[]).unwrap();
    region.world.clock.advance(60_000_000);
    assert_eq!(
        region.state(&first).await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    region.vouch();
    let second = region.says(&region.endpoint(ADDRESS), 1);
    assert_eq!(region.state(&second).await.status, StatusCode::OK);
    // An anchor that says nothing any more does not make what was good bad.
    region.world.issuer.vouch(&[], &[]).unwrap();
    region.world.clock.advance(3_600_000_000);
    let third = region.says(&region.endpoint(ADDRESS), 2);
    assert_eq!(region.state(&third).await.status, StatusCode::OK);
    region.world.clock.advance(25 * 3_600_000_000);
    let fourth = region.says(&region.endpoint(ADDRESS), 3);
    assert_eq!(
        region.state(&fourth).await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
}

#[tokio::test]
async fn all_that_an_owner_may_say_is_taken_in() {
    let region = Region::new().await;
    let mut endpoint = region.endpoint(ADDRESS);
    endpoint["period"] = json!({"start": "2026-01-01", "end": "2027-12-31"});
    endpoint["extension"] = json!([
        {"url": "https://delt.example/fhir/StructureDefinition/concept", "valueCode": "supplier"},
        {"url": "https://delt.example/fhir/StructureDefinition/supplier", "valueString": NORDDRIFT},
        {"url": wire::contract::statement::PROFILE, "valueCanonical": "http://ehelse.no/fhir/StructureDefinition/x"},
        {"url": wire::contract::statement::TERMS, "valueUrl": "https://x.example/terms"},
    ]);
    let reply = region.state(&region.says(&endpoint, 1)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    let entry = region.fjellviks().await;
    assert_eq!(entry["status"], "active");
    // Another's Endpoint is not offered as one's own.
    let service = offered("proveheim", "Ring oss");
    let reply = region.state(&region.says(&service, 1)).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN, "{}", reply.json);
}

#[tokio::test]
async fn who_runs_what_for_whom_is_shown_and_opens_nothing_of_the_suppliers_own() {
    let region = Region::new().await;
    let runs = affiliation(
        "fjellvik",
        org(FJELLVIK),
        org(NORDDRIFT),
        AffiliationRole::Supplier,
    );
    let reply = region.state(&region.says(&runs, 1)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    let found = |parameter: &str, orgnr: &str| {
        format!("/fhir/OrganizationAffiliation?{parameter}-organization.identifier={orgnr}")
    };
    let key = format!("fjellvik.{NORDDRIFT}.supplier");
    let by_supplier = found("participating", NORDDRIFT);
    let listed = || region.world.found(&by_supplier);
    assert_eq!(listed().await, [key.as_str()]);
    let by_owner = found("primary", FJELLVIK);
    assert_eq!(region.world.found(&by_owner).await, [key.as_str()]);
    // The municipality's data is not the supplier's: who asks for NordDrift is not led there.
    let endpoints = format!("/fhir/Endpoint?organization.identifier={NORDDRIFT}");
    assert!(region.world.found(&endpoints).await.is_empty());
    // A code that is no information service is not offered.
    let mut service = offered("fjellvik", "Oppfølgingssenteret");
    service["type"][0]["coding"][0]["code"] = "IT99".into();
    let reply = region.state(&region.says(&service, 1)).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{}", reply.json);
}
