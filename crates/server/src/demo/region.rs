//! The demo's region as a configuration: `STORY.md`'s organisations, their services, clients and agreements, on loopback.

use crate::config::{
    Agreement, Amount, Anchor, Client, Collaboration, Concept, Config, Delegation, DeliveryRule,
    Expect, ExpectSender, Form, Gateway, Hub, Listen, Locator, Network, Organisation,
    OrganisationKind, OtherGateway, Paper, Party, PersonNumbers, Portal, RecordSystem, Service,
    SubUnit, Subscriber, UnknownPatients,
};
use anyhow::Context;
use std::path::{Path, PathBuf};
use testkit::people::{self, Directory};
use url::Url;
use wire::contract::demo::{ClientFile, ClientUse, DemoClient, KEY_MARK};
use wire::contract::launch::{AFTER_SIGN_OUT, CALLBACK, CHOOSE_PATIENT, IN_CONTEXT};

/// Id of the operator of hub and anchor.
const OPERATOR: &str = "norddrift";
/// Day from which the demo's papers are in force.
const SIGNED: &str = "2026-01-15";
/// What every agreement between the demo's organisations opens.
const SHARED: [&str; 4] = ["IT03", "IT08", "IT12", "IT17"];
/// The kinds that a record system receives from the hub.
const RECEIVED: [&str; 2] = ["IT17", "IT09"];
/// Path of the gateway that the story's municipality runs itself.
pub const OWN_GATEWAY: &str = "/gateway-fjellvik";
/// The client that it is.
const OWN_GATEWAY_CLIENT: &str = "delt-gateway-fjellvik";
/// Minutes that the story's home system may be silent: a day and a half, since it sends in the morning.
const HOME_QUIET: u32 = 36 * 60;
/// Minutes that the hub may be.
const HUB_QUIET: u32 = 15;

/// Where the demo's parts are reached.
pub struct Addresses {
    /// `http://127.0.0.1:PORT` of the one listener.
    pub origin: String,
    /// Origin of the record-system peers.
    pub record_systems: String,
}

impl Addresses {
    fn at(&self, path: &str) -> anyhow::Result<Url> {
        format!("{}{path}", self.origin)
            .parse()
            .with_context(|| format!("the address of {path}"))
    }

    /// A sharing service's FHIR base.
    pub fn service(&self, id: &str) -> String {
        format!("{}/{id}/fhir", self.origin)
    }

    /// A record system's base.
    pub fn record_system(&self, id: &str) -> String {
        format!("{}/{}", self.record_systems, record_system_name(id))
    }
}

/// What an organisation's record system is called: in its address, and to the fault switch.
pub fn record_system_name(id: &str) -> String {
    format!("epj-{id}")
}

/// One client of the demo: who it is and what it may ask for.
struct Plan {
    client_id: String,
    orgnr: String,
    registered_use: &'static str,
    use_: ClientUse,
    scopes: Vec<&'static str>,
    audiences: Vec<String>,
}

/// The region and the files of its clients.
pub struct Made {
    /// The configuration of all roles in one process.
    pub config: Config,
    /// That of the story's municipality's own server, with a gateway for its people: another house in the same process.
    pub own: Config,
    /// The clients that a tester may use, as in the ready line.
    pub clients: Vec<DemoClient>,
}

/// Makes (or finds again) every client's key under `folder/keys` and writes the region's configuration.
pub fn make(
    folder: &Path,
    port: u16,
    at: &Addresses,
    directory: &Directory,
) -> anyhow::Result<Made> {
    let keys = folder.join("keys");
    std::fs::create_dir_all(&keys)?;
    let issuer = format!("{}/anchor", at.origin);
    let mut client = Vec::new();
    let mut clients = Vec::new();
    for plan in plans(at, directory) {
        let path = keys.join(format!("{}.json", plan.client_id));
        let file = ensure(&path, &plan, &issuer)?;
        let sign_in = sign_in(&plan, at, directory);
        client.push(Client {
            client_id: plan.client_id.clone(),
            orgnr: plan.orgnr.clone(),
            use_: plan.registered_use.to_owned(),
            jwk: public_part(&file)?,
            scopes: [file.scopes, sign_in.scopes].concat(),
            audiences: [file.audiences, sign_in.audiences].concat(),
            grants: sign_in.grants,
            redirect_uris: sign_in.redirect_uris,
            post_logout_redirect_uris: sign_in.post_logout_redirect_uris,
        });
        if !matches!(plan.use_, ClientUse::Service | ClientUse::Operator) {
            clients.push(DemoClient {
                client_id: plan.client_id,
                orgnr: plan.orgnr,
                use_: plan.use_,
                file: path.display().to_string(),
            });
        }
    }
    let key = |id: &str| Some(keys.join(format!("{id}.json")));
    let members = directory
        .locator_members
        .iter()
        .map(|id| directory.orgnr(id).to_owned())
        .collect();
    let config = Config {
        metrics: None,
        audit: None,
        assessment: None,
        roles: crate::roles::NAMES
            .iter()
            .map(|n| (*n).to_owned())
            .collect(),
        data: folder.join("stores"),
        zone: "Europe/Oslo".into(),
        listen: Listen {
            address: ([127, 0, 0, 1], port).into(),
            trusted_proxies: Vec::new(),
            sign_ins_per_minute: crate::config::sign_ins_per_minute(),
        },
        network: Network {
            allow: vec!["127.0.0.0/8".into()],
        },
        person_numbers: PersonNumbers::Strict,
        anchor: Anchor {
            base: at.at("/anchor")?,
            test_tokens: true,
            dpop_nonce: false,
            operator: Some(directory.orgnr(OPERATOR).to_owned()),
            publish_key_seconds: 600,
            believe_stated_authorisations: false,
            hpr: None,
            identity_provider: Vec::new(),
        },
        issuer: None,
        catalogue: Some(Party {
            base: at.at("/catalogue")?,
            client_file: key("delt-portal"),
        }),
        locator: Some(Locator {
            key_days: 365,
            base: at.at("/locator")?,
            collaboration: Some(collaboration("LOK-2026-1", members)),
        }),
        hub: Some(Hub {
            base: at.at("/hub")?,
            operator: directory.orgnr(OPERATOR).to_owned(),
            client_file: key("delt-hub"),
            require_assignment: false,
            models: Vec::new(),
            expect: vec![ExpectSender {
                sender: format!("hjemmesystem-{STORY_MUNICIPALITY}"),
                orgnr: directory.orgnr(STORY_MUNICIPALITY).to_owned(),
                name: Some("DHO Fjellvik".into()),
                quiet_minutes: HOME_QUIET,
            }],
            replay_days: 30,
            idempotency_hours: 24,
            quarantine_days: 90,
            // The demo is where a load is tried (`delt bench`): its limits stand above what the machine takes.
            device_per_minute: 60_000,
            sender_per_minute: 6_000_000,
        }),
        gateway: Some(Gateway {
            base: at.at("/gateway")?,
            client_file: key("delt-gateway"),
            catalogue_grace_hours: 24,
        }),
        other_gateway: vec![OtherGateway {
            orgnr: directory.orgnr(STORY_MUNICIPALITY).to_owned(),
            base: at.at(OWN_GATEWAY)?,
        }],
        portal: Some(Portal {
            base: at.at("")?,
            staff: staff(directory),
            citizens: true,
        }),
        organisation: directory
            .organisations
            .iter()
            .map(|o| organisation(o, at, directory))
            .collect::<anyhow::Result<_>>()?,
        service: directory
            .services
            .iter()
            .map(|s| service(s, at, directory, key(&format!("deling-{}", s.id))))
            .collect::<anyhow::Result<_>>()?,
        client,
        delegation: delegations(directory),
        agreement: agreements(directory),
    };
    let own = Config {
        roles: vec!["gateway".into()],
        data: folder.join("stores-fjellvik"),
        gateway: Some(Gateway {
            base: at.at(OWN_GATEWAY)?,
            client_file: key(OWN_GATEWAY_CLIENT),
            catalogue_grace_hours: 24,
        }),
        other_gateway: Vec::new(),
        ..config.clone()
    };
    Ok(Made {
        config,
        own,
        clients,
    })
}

/// What a client is registered for when people sign in through it, besides what its file says.
#[derive(Default)]
struct SignIn {
    scopes: Vec<String>,
    audiences: Vec<String>,
    grants: Vec<String>,
    redirect_uris: Vec<String>,
    post_logout_redirect_uris: Vec<String>,
}

/// Where the demo's clients take codes: a program of the visitor's own, on this machine.
const TEST_CALLBACK: &str = "http://127.0.0.1:8400/callback";

/// Health personnel sign in through their record system, or through the portal that it opens; citizens through the portal's client.
fn sign_in(plan: &Plan, at: &Addresses, directory: &Directory) -> SignIn {
    let scopes: &[&str] = match (plan.registered_use, plan.client_id.as_str()) {
        ("record-system", _) => &[
            "user/*.rs",
            // Steps of alerts at the organisation's own service.
            "user/Task.u",
            "openid",
            "profile",
            "offline_access",
            IN_CONTEXT,
            CHOOSE_PATIENT,
        ],
        (_, "delt-portal") => &[
            "patient/*.rs",
            "patient/Consent.cds",
            "user/*.rs",
            "user/Task.u",
            "openid",
            "profile",
            "offline_access",
            IN_CONTEXT,
            CHOOSE_PATIENT,
        ],
        _ => return SignIn::default(),
    };
    let grants: &[&str] = if scopes.contains(&"offline_access") {
        &["client_credentials", "authorization_code", "refresh_token"]
    } else {
        &["client_credentials", "authorization_code"]
    };
    let text = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let identity = "helseid://scopes/identity/";
    let hpr = "helseid://scopes/hpr/hpr_number".to_owned();
    let more = ["pid", "security_level", "assurance_level"].map(|one| format!("{identity}{one}"));
    let services = directory.services.iter().map(|s| at.service(&s.id));
    // The municipality's people come to its own gateway too.
    let own =
        plan.registered_use == "record-system" && plan.orgnr == directory.orgnr(STORY_MUNICIPALITY);
    let own = own.then(|| format!("{}{OWN_GATEWAY}/fhir", at.origin));
    let mut redirect_uris = vec![TEST_CALLBACK.to_owned()];
    let mut post_logout_redirect_uris = Vec::new();
    if plan.registered_use == "portal" {
        redirect_uris.push(format!("{}{CALLBACK}", at.origin));
        post_logout_redirect_uris.push(format!("{}{AFTER_SIGN_OUT}", at.origin));
    }
    SignIn {
        scopes: [text(scopes), more.to_vec(), vec![hpr]].concat(),
        audiences: services
            .chain([format!("{}/gateway/fhir", at.origin)])
            .chain(own)
            .filter(|one| !plan.audiences.contains(one))
            .collect(),
        grants: text(grants),
        redirect_uris,
        post_logout_redirect_uris,
    }
}

/// The clients: the story's municipality's home system first.
fn plans(at: &Addresses, directory: &Directory) -> Vec<Plan> {
    let hub = format!("{}/hub/fhir", at.origin);
    let gateway = format!("{}/gateway/fhir", at.origin);
    let catalogue = format!("{}/catalogue/fhir", at.origin);
    let locator = format!("{}/locator", at.origin);
    let services: Vec<String> = directory
        .services
        .iter()
        .map(|s| at.service(&s.id))
        .collect();
    let mut plans = Vec::new();
    for o in senders(directory) {
        plans.push(Plan {
            client_id: format!("hjemmesystem-{}", o.id),
            orgnr: o.orgnr.clone(),
            registered_use: "home-system",
            use_: ClientUse::HomeSystem,
            scopes: wire::contract::hub::DOCUMENT_SCOPE.split(' ').collect(),
            audiences: vec![hub.clone()],
        });
    }
    for s in &directory.services {
        for writer in writers(s) {
            // One whose readings come by the hub says there which of its devices measures whom.
            let lends = senders(directory).iter().any(|o| o.id == *writer);
            let at_the_hub = lends.then(|| hub.clone());
            plans.push(Plan {
                client_id: format!("epj-{writer}"),
                orgnr: directory.orgnr(writer).to_owned(),
                registered_use: "record-system",
                use_: ClientUse::RecordSystem,
                scopes: vec!["system/*.cruds"],
                // Its own first; at the others it looks after what its people subscribe to.
                audiences: std::iter::once(at.service(&s.id))
                    .chain(
                        services
                            .iter()
                            .filter(|one| **one != at.service(&s.id))
                            .cloned(),
                    )
                    .chain(at_the_hub)
                    .collect(),
            });
        }
    }
    let hospital = hospital(directory);
    let filed_at = |o: &people::Organisation| format!("{}/fhir", at.record_system(&o.id));
    let record_systems: Vec<String> = with_record_system(directory).map(filed_at).collect();
    let mut asked = services.clone();
    asked.extend([catalogue.clone(), locator.clone()]);
    // Documents go to the record system of the hospital that runs the gateway, and to those of whoever delegates it.
    let beside = std::iter::once(gateway).chain(record_systems.clone());
    let all = asked.iter().cloned().chain(beside).collect();
    plans.push(gateway_client(
        "delt-gateway",
        directory.orgnr(hospital),
        all,
    ));
    // The municipality's own files at its own.
    let own = directory.organisation(STORY_MUNICIPALITY).map(filed_at);
    plans.push(gateway_client(
        OWN_GATEWAY_CLIENT,
        directory.orgnr(STORY_MUNICIPALITY),
        asked.into_iter().chain(own).collect(),
    ));
    let mut receivers = services;
    receivers.extend(record_systems);
    plans.push(service_client(
        "delt-hub",
        directory.orgnr(OPERATOR),
        "hub",
        vec![
            "system/Observation.c",
            "system/Composition.c",
            "system/DetectedIssue.c",
            "system/QuestionnaireResponse.c",
            "system/Bundle.c",
        ],
        receivers,
    ));
    plans.push(Plan {
        client_id: "delt-operator".into(),
        orgnr: directory.orgnr(OPERATOR).to_owned(),
        registered_use: "operator",
        use_: ClientUse::Operator,
        scopes: vec!["system/Change.cr"],
        audiences: vec![format!("{}/anchor/operate", at.origin)],
    });
    plans.push(service_client(
        "delt-portal",
        directory.orgnr(hospital),
        "portal",
        vec![
            "system/Organization.rs",
            "system/HealthcareService.rs",
            "system/Endpoint.rs",
            "system/OrganizationAffiliation.rs",
        ],
        vec![catalogue.clone()],
    ));
    for s in &directory.services {
        let others = directory.services.iter().filter(|other| other.id != s.id);
        let others = others.map(|other| at.service(&other.id));
        plans.push(service_client(
            &format!("deling-{}", s.id),
            directory.orgnr(&s.organisation),
            "service",
            [
                "system/Pointer.c",
                wire::contract::statement::PUBLISH_SCOPE,
                wire::contract::alert::TELL_SCOPE,
            ]
            .into_iter()
            .chain(wire::contract::hub::NOTE_SCOPE.split(' '))
            .collect(),
            [locator.clone(), catalogue.clone(), hub.clone()]
                .into_iter()
                .chain(others)
                .collect(),
        ));
    }
    plans
}

fn gateway_client(id: &str, orgnr: &str, audiences: Vec<String>) -> Plan {
    Plan {
        client_id: id.into(),
        orgnr: orgnr.into(),
        registered_use: "gateway",
        use_: ClientUse::Gateway,
        scopes: vec![
            "user/*.rs",
            // A citizen's own wishes, made and taken back at every holder.
            "user/Consent.cds",
            "user/Pointer.r",
            "system/Bundle.c",
            "system/Organization.rs",
            "system/HealthcareService.rs",
            "system/Endpoint.rs",
            "system/OrganizationAffiliation.rs",
        ],
        audiences,
    }
}

fn service_client(
    id: &str,
    orgnr: &str,
    registered_use: &'static str,
    scopes: Vec<&'static str>,
    audiences: Vec<String>,
) -> Plan {
    Plan {
        client_id: id.into(),
        orgnr: orgnr.into(),
        registered_use,
        use_: ClientUse::Service,
        scopes,
        audiences,
    }
}

/// With whom a service's organisation hands alerts over: all that keep no shared register.
fn hand_over(directory: &Directory, service: &people::Service) -> Vec<String> {
    if !service.members.is_empty() {
        return Vec::new();
    }
    let others = directory.services.iter();
    let others = others.filter(|other| other.members.is_empty() && other.id != service.id);
    others
        .map(|other| directory.orgnr(&other.organisation).to_owned())
        .collect()
}

/// Every organisation with a record system may subscribe, and is told there.
fn subscribers(directory: &Directory, at: &Addresses) -> Vec<Subscriber> {
    let told = |o: &people::Organisation| Subscriber {
        orgnr: o.orgnr.clone(),
        endpoints: Url::parse(&at.record_system(&o.id)).into_iter().collect(),
        most: 100,
    };
    with_record_system(directory).map(told).collect()
}

/// Organisations with a home system: municipalities, the story's first.
fn senders(directory: &Directory) -> Vec<&people::Organisation> {
    let mut found: Vec<_> = directory
        .organisations
        .iter()
        .filter(|o| o.kind == people::OrganisationKind::Municipality)
        .collect();
    found.sort_by_key(|o| o.id != STORY_MUNICIPALITY);
    found
}

/// Id of the story's municipality.
pub const STORY_MUNICIPALITY: &str = "fjellvik";

/// Organisations whose own record system the hub delivers to: those that keep no shared register instead.
pub fn with_record_system(directory: &Directory) -> impl Iterator<Item = &people::Organisation> {
    use people::OrganisationKind::{Gp, Hospital, Municipality};
    directory.organisations.iter().filter(|o| {
        matches!(o.kind, Gp | Hospital | Municipality)
            && !directory.services.iter().any(|s| s.members.contains(&o.id))
    })
}

/// Finds the client's file, or makes it with a new key; addresses and rights are written anew, the key stays.
fn ensure(path: &Path, plan: &Plan, issuer: &str) -> anyhow::Result<ClientFile> {
    let kept: Option<ClientFile> = match std::fs::read(path) {
        Ok(bytes) => Some(
            serde_json::from_slice(&bytes)
                .with_context(|| format!("{} is not a client file", path.display()))?,
        ),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
    };
    let jwk = match &kept {
        Some(kept) => kept.jwk.clone(),
        None => {
            let key = trust::keys::SigningKey::generate()?;
            crate::client_key::private(&key.named(&format!("{KEY_MARK}{}", key.kid()))?)?
        }
    };
    let file = ClientFile {
        client_id: plan.client_id.clone(),
        orgnr: plan.orgnr.clone(),
        use_: plan.use_,
        issuer: issuer.to_owned(),
        token_endpoint: format!("{issuer}/token"),
        jwk,
        scopes: plan.scopes.iter().map(|s| (*s).to_owned()).collect(),
        audiences: plan.audiences.clone(),
    };
    if kept.as_ref() != Some(&file) {
        let beside = path.with_extension("new");
        let _ = std::fs::remove_file(&beside);
        crate::client_key::write_private(&beside, &file)?;
        std::fs::rename(&beside, path)?;
    }
    Ok(file)
}

fn public_part(file: &ClientFile) -> anyhow::Result<String> {
    let key = trust::keys::SigningKey::from_jwk(&file.jwk.0.to_string())
        .map_err(|e| anyhow::anyhow!("the key of {}: {e}", file.client_id))?;
    Ok(key.public_jwk().to_string())
}

fn organisation(
    o: &people::Organisation,
    at: &Addresses,
    directory: &Directory,
) -> anyhow::Result<Organisation> {
    use people::OrganisationKind as Kind;
    let record_system = with_record_system(directory)
        .any(|w| w.id == o.id)
        .then(|| at.record_system(&o.id).parse())
        .transpose()?;
    Ok(Organisation {
        her_id: None,
        orgnr: o.orgnr.clone(),
        name: o.name.clone(),
        kind: match o.kind {
            Kind::Hospital => OrganisationKind::Hospital,
            Kind::Municipality => OrganisationKind::Municipality,
            Kind::Gp => OrganisationKind::GpOffice,
            Kind::Region => OrganisationKind::Collaboration,
            Kind::Supplier => OrganisationKind::Supplier,
        },
        sub_unit: o
            .units
            .iter()
            .map(|u| SubUnit {
                orgnr: Some(u.orgnr.clone()),
                resh: u.resh.clone(),
                name: u.name.clone(),
            })
            .collect(),
        record_system: record_system.map(|base| RecordSystem {
            base,
            kinds: RECEIVED.map(String::from).to_vec(),
            rule: noted(o),
        }),
    })
}

/// The story's municipality has a day's blood sugars as one note: nobody reads them one by one.
fn noted(o: &people::Organisation) -> Vec<DeliveryRule> {
    let rule = DeliveryRule {
        of: vec!["blood-glucose".into()],
        send: Amount::All,
        form: Form::Note,
    };
    if o.id == STORY_MUNICIPALITY {
        vec![rule]
    } else {
        Vec::new()
    }
}

/// Its service waits for signs of the hub's life.
fn hub_expected(s: &people::Service) -> Vec<Expect> {
    let hub = Expect {
        client: "delt-hub".into(),
        name: Some("Knutepunktet".into()),
        quiet_minutes: HUB_QUIET,
    };
    if s.organisation == STORY_MUNICIPALITY {
        vec![hub]
    } else {
        Vec::new()
    }
}

fn service(
    s: &people::Service,
    at: &Addresses,
    directory: &Directory,
    client_file: Option<PathBuf>,
) -> anyhow::Result<Service> {
    use wire::contract::demo::Concept as Word;
    let orgnr = directory.orgnr(&s.organisation).to_owned();
    let members: Vec<String> = s
        .members
        .iter()
        .map(|id| directory.orgnr(id).to_owned())
        .collect();
    let paper = |kind: &str| Paper {
        id: format!("{kind}-{orgnr}-1"),
        date: SIGNED.into(),
    };
    Ok(Service {
        id: s.id.clone(),
        name: directory
            .organisation(&s.organisation)
            .map_or_else(String::new, |o| o.name.clone()),
        concept: match s.concept {
            Word::Own => Concept::Own,
            Word::Supplier => Concept::Supplier,
            Word::Shared => Concept::Shared,
            Word::SharedSupplier => Concept::SharedSupplier,
        },
        fhir: at.service(&s.id).parse()?,
        client_file,
        supplier: s
            .supplier
            .as_deref()
            .map(|id| directory.orgnr(id).to_owned()),
        unknown_patients: UnknownPatients::Enrol,
        store_of: None,
        telephone: None,
        terms: None,
        processing_agreement: s.supplier.is_some().then(|| paper("DBA")),
        delegation: s.supplier.is_some().then(|| paper("DEL")),
        collaboration: (!members.is_empty())
            .then(|| collaboration(&format!("FBR-{orgnr}-1"), members.clone())),
        members,
        orgnr,
        if_match_optional: Vec::new(),
        types: vec!["default".into()],
        profile: Vec::new(),
        publish: Vec::new(),
        max_lag_minutes: None,
        feeds: Vec::new(),
        expect: hub_expected(s),
        hand_over: hand_over(directory, s),
        known_to: None,
        subscriber: subscribers(directory, at),
        pvk: None,
    })
}

fn collaboration(id: &str, members: Vec<String>) -> Collaboration {
    Collaboration {
        id: id.into(),
        date: SIGNED.into(),
        scope: "Data in digital home follow-up (synthetic agreement of the demo)".into(),
        controller_arrangement: "Joint controllers; each member for what it writes".into(),
        patients_rights: "Each member answers its own residents, for all members".into(),
        exit_terms: "A member's part is removed or handed over at its exit".into(),
        members,
    }
}

/// Every responsible organisation lets the hub's operator write to its service; every organisation with a record system lets the
/// hospital's portal and gateway serve its people.
fn delegations(directory: &Directory) -> Vec<Delegation> {
    let given = |what: &str, from: &str, to: &str| Delegation {
        id: format!("DEL-{from}-{what}"),
        version: 1,
        from: from.to_owned(),
        to: to.to_owned(),
        from_day: SIGNED.into(),
        to_day: None,
    };
    let (operator, hospital) = (
        directory.orgnr(OPERATOR),
        directory.orgnr(hospital(directory)),
    );
    let responsible = directory.services.iter();
    let written = responsible.map(|s| given("VKP", directory.orgnr(&s.organisation), operator));
    let users = directory.services.iter().flat_map(writers);
    let shown = users
        .map(|id| directory.orgnr(id))
        .filter(|from| *from != hospital)
        .map(|from| given("VISNING", from, hospital));
    written.chain(shown).collect()
}

/// HPR numbers of the hospital's own people.
fn staff(directory: &Directory) -> Vec<String> {
    let own = hospital(directory);
    let all = directory.practitioners.iter();
    all.filter(|p| p.organisation == own)
        .map(|p| p.hpr.clone())
        .collect()
}

/// Id of the story's hospital, which runs gateway and portal.
fn hospital(directory: &Directory) -> &str {
    directory
        .services
        .first()
        .map_or("", |s| s.organisation.as_str())
}

/// Ids of the organisations whose record systems write to a service.
fn writers(service: &people::Service) -> &[String] {
    match service.members.is_empty() {
        true => std::slice::from_ref(&service.organisation),
        false => &service.members,
    }
}

/// Every organisation that gives care has an agreement with every other responsible organisation.
fn agreements(directory: &Directory) -> Vec<Agreement> {
    let mut found = Vec::new();
    for consumer in directory.organisations.iter().filter(|o| {
        !matches!(
            o.kind,
            people::OrganisationKind::Supplier | people::OrganisationKind::Region
        )
    }) {
        for s in &directory.services {
            let own = s.organisation == consumer.id || s.members.contains(&consumer.id);
            if own {
                continue;
            }
            let provider = directory.orgnr(&s.organisation).to_owned();
            found.push(Agreement {
                id: format!("AVT-{}-{provider}", consumer.orgnr),
                version: 1,
                consumer: consumer.orgnr.clone(),
                provider,
                services: SHARED.map(String::from).to_vec(),
                from: SIGNED.into(),
                to: None,
            });
        }
    }
    found
}
