//! What `delt check` refuses, and that the commented default file passes.

use super::{Refusal, refusals};
use crate::config::{Concept, Config, OtherGateway};

const DAY: &str = "2026-11-21";

fn region() -> Config {
    toml::from_str(include_str!("../../../../config.default.toml"))
        .expect("the default file parses")
}

fn of(change: impl FnOnce(&mut Config)) -> Vec<Refusal> {
    let mut config = region();
    change(&mut config);
    refusals(&config, DAY)
}

fn service<'a>(c: &'a mut Config, id: &str) -> &'a mut crate::config::Service {
    c.service
        .iter_mut()
        .find(|s| s.id == id)
        .expect("a service of the default file")
}

fn refused(found: &[Refusal], setting: &str, reference: &str) {
    assert!(
        found.iter().any(|r| r.setting == setting
            && r.reference.contains(reference)
            && !r.remedy.is_empty()),
        "expected a refusal of {setting} under {reference}, got {found:#?}"
    );
}

#[test]
fn the_default_file_is_allowed() {
    assert_eq!(of(|_| {}), vec![]);
}

#[test]
fn a_regional_copy_store_and_a_national_store_are_refused_with_the_change_of_law() {
    let found = of(|c| service(c, "proveheim").concept = Concept::RegionalCopy);
    refused(
        &found,
        "service.proveheim.concept",
        "pasientjournalloven § 9",
    );
    assert!(found[0].remedy.contains("amendment"));
    let found = of(|c| service(c, "proveheim").concept = Concept::National);
    refused(&found, "service.proveheim.concept", "§§ 11-13");
}

#[test]
fn a_shared_register_needs_two_members_and_an_agreement() {
    refused(
        &of(|c| service(c, "kystregionen").members.truncate(1)),
        "service.kystregionen.members",
        "§ 9",
    );
    refused(
        &of(|c| service(c, "kystregionen").members = vec!["310001422".into(), "310001422".into()]),
        "service.kystregionen.members",
        "§ 9",
    );
    refused(
        &of(|c| service(c, "kystregionen").collaboration = None),
        "service.kystregionen.collaboration",
        "§ 9",
    );
    let found = of(|c| {
        if let Some(a) = service(c, "kystregionen").collaboration.as_mut() {
            a.exit_terms = " ".into();
            a.date = "2026-11-22".into();
        }
    });
    refused(
        &found,
        "service.kystregionen.collaboration.exit_terms",
        "§ 9",
    );
    refused(&found, "service.kystregionen.collaboration.date", "§ 9");
}

#[test]
fn whom_the_locator_tells_of_a_holder_is_bound_by_its_agreement() {
    let known_to = |id: &str, named: &[&str]| {
        of(|c| service(c, id).known_to = Some(named.iter().map(|&one| one.into()).collect()))
    };
    let setting = "service.proveheim.known_to";
    refused(
        &known_to("proveheim", &["310001007", "310001708"]),
        setting,
        "safe start",
    );
    assert!(
        known_to("proveheim", &["310001007"]).is_empty() && known_to("proveheim", &[]).is_empty()
    );
    // The locator knows nothing of who is outside its agreement.
    let setting = "service.kystregionen.known_to";
    refused(
        &known_to("kystregionen", &["310001007"]),
        setting,
        "safe start",
    );
}

#[test]
fn a_supplier_needs_an_agreement_and_a_delegation_for_each_organisation() {
    refused(
        &of(|c| service(c, "fjellvik").processing_agreement = None),
        "service.fjellvik.processing_agreement",
        "art. 28",
    );
    refused(
        &of(|c| service(c, "fjellvik").delegation = None),
        "service.fjellvik.delegation",
        "art. 28",
    );
    refused(
        &of(|c| service(c, "fjellvik").supplier = None),
        "service.fjellvik.supplier",
        "art. 28",
    );
    refused(
        &of(|c| service(c, "proveheim").supplier = Some("310001287".into())),
        "service.proveheim.supplier",
        "art. 28",
    );
}

#[test]
fn a_members_own_record_system_gets_no_second_copy() {
    let found = of(|c| {
        let receiver = c.organisation.iter().find_map(|o| o.record_system.clone());
        if let Some(o) = c.organisation.iter_mut().find(|o| o.orgnr == "310001422") {
            o.record_system = receiver;
        }
    });
    refused(&found, "organisation.310001422.record_system", "§ 9");
}

#[test]
fn a_locator_stands_only_within_an_agreement_with_named_members() {
    let drop = |c: &mut Config| c.locator.as_mut().map(|l| l.collaboration = None);
    refused(
        &of(|c| {
            drop(c);
        }),
        "locator.collaboration",
        "§ 9",
    );
    let found = of(|c| {
        if let Some(a) = c.locator.as_mut().and_then(|l| l.collaboration.as_mut()) {
            a.members.clear();
        }
    });
    refused(&found, "locator.collaboration.members", "§ 9");
    assert_eq!(
        of(|c| c.locator = None),
        vec![],
        "a region works without a locator"
    );
}

#[test]
fn plain_http_needs_an_allowed_network() {
    let http = |c: &mut Config| {
        service(c, "proveheim").fhir = "http://127.0.0.1:7070/proveheim/fhir"
            .parse()
            .expect("a URL")
    };
    refused(&of(http), "service.proveheim.fhir", "Delt's own rule");
    assert_eq!(
        of(|c| {
            http(c);
            c.network.allow = vec!["127.0.0.0/8".into()];
        }),
        vec![]
    );
}

#[test]
fn a_proxy_in_front_is_a_network_and_not_everybody() {
    for wrong in ["proxy.example", "10.0.0.0/33", "0.0.0.0/0", "::/0"] {
        refused(
            &of(|c| c.listen.trusted_proxies = vec![wrong.into()]),
            "listen.trusted_proxies",
            "Delt's own rule",
        );
    }
    let right = ["127.0.0.1", "10.1.0.0/16", "fd00::/8"];
    assert_eq!(
        of(|c| c.listen.trusted_proxies = right.map(str::to_owned).into()),
        vec![]
    );
}

#[test]
fn unknown_names_are_refused() {
    refused(
        &of(|c| c.roles.push("oracle".into())),
        "roles",
        "Delt's own rule",
    );
    refused(
        &of(|c| service(c, "proveheim").orgnr = "310001075".into()),
        "service.proveheim.orgnr",
        "Delt's own rule",
    );
    refused(
        &of(|c| {
            c.organisation.retain(|o| o.orgnr != "310001287");
        }),
        "service.fjellvik.supplier",
        "Delt's own rule",
    );
}

#[test]
fn gateways_of_a_region_are_told_apart() {
    let with = |listed: &[(&str, &str)]| {
        let listed = listed.iter().map(|(orgnr, base)| OtherGateway {
            orgnr: (*orgnr).into(),
            base: base.parse().expect("an address"),
        });
        of(|c| c.other_gateway = listed.collect())
    };
    const OWN: &str = "https://gateway.fjellvik.example";
    const OTHER: &str = "https://gateway.provebakken.example";
    let sound = [("310001007", OWN), ("310001147", OTHER)];
    assert_eq!(with(&sound), vec![]);
    for (listed, setting) in [
        (
            [sound[0], ("310001147", OWN)],
            "other_gateway.310001147.base",
        ),
        (
            [sound[0], ("310001147", "https://delt.example/gateway")],
            "other_gateway.310001147.base",
        ),
        (
            [sound[0], ("310001147", "http://gateway.example")],
            "other_gateway.310001147.base",
        ),
        ([sound[0], ("310001007", OTHER)], "other_gateway.310001007"),
        (
            [sound[0], ("310001848", OTHER)],
            "other_gateway.310001848.orgnr",
        ),
    ] {
        let found = with(&listed);
        refused(&found, setting, "Delt's own rule");
        assert_eq!(found.len(), 1, "{found:?}");
    }
}

#[test]
fn a_service_that_files_notes_has_a_client_that_may() {
    let found = |scopes: &[&str], audiences: &[&str]| {
        of(|c| {
            let fjellvik = c.organisation.iter_mut().find(|o| o.orgnr == "310001007");
            let system = fjellvik.and_then(|o| o.record_system.as_mut());
            system.expect("a record system").kinds = vec!["IT17".into(), "IT09".into()];
            c.client.push(crate::config::Client {
                client_id: "deling-fjellvik".into(),
                orgnr: "310001007".into(),
                use_: "service".into(),
                jwk: "{}".into(),
                scopes: scopes.iter().map(|one| (*one).to_owned()).collect(),
                audiences: audiences.iter().map(|one| (*one).to_owned()).collect(),
                grants: Vec::new(),
                redirect_uris: Vec::new(),
                post_logout_redirect_uris: Vec::new(),
            });
        })
    };
    let hub = "https://delt.example/hub/fhir";
    let needed = ["system/Composition.c", "system/DetectedIssue.c"];
    assert_eq!(found(&needed, &[hub]), vec![]);
    for (scopes, audiences) in [
        (&needed[..], &[][..]),
        (&needed[..1], &[hub]),
        (&["system/Pointer.c"], &[hub]),
    ] {
        refused(
            &found(scopes, audiences),
            "service.fjellvik.client_file",
            "Delt's own",
        );
    }
}

#[test]
fn models_are_named_as_readings_name_a_device() {
    let found = |model: &str| {
        of(|c| {
            let hub = c.hub.as_mut().expect("a hub");
            hub.models = vec![model.to_owned()];
        })
    };
    assert_eq!(found("urn:example:models|oximeter-3"), vec![]);
    for wrong in ["", "oximeter-3", "|oximeter-3", "urn:example:models|"] {
        refused(&found(wrong), "hub.models", "Delt's own");
    }
}
