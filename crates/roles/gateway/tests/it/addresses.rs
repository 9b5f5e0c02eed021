//! Addresses that a look-up must not call, whoever put them into the catalogue: in every notation, by a name that leads there, and
//! in a provider's own links (threats-and-faults.md sections 6 and 7). The place that must not be called is a real listener.

use crate::account::account;
use crate::person::Person;
use crate::sources::Behaviour;
use crate::world::{FJELLVIK, PROVEHEIM, Plan, World, pulse};
use http::StatusCode;
use std::net::{IpAddr, TcpListener};
use std::sync::Arc;
use wire::client::{Http, Network, Policy};

/// A listener where nobody of the region may go: the network policy allows 127.0.0.1 alone.
struct Trap {
    listener: TcpListener,
    port: u16,
}

impl Trap {
    fn set() -> Trap {
        let listener = TcpListener::bind("127.0.0.2:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        Trap { listener, port }
    }

    /// Whether somebody has called since this was last asked.
    fn was_called(&self) -> bool {
        self.listener.accept().is_ok()
    }
}

/// A world that may call this network; every name leads to the trap.
async fn world(network: &str) -> World {
    let policy = Policy {
        allow: vec![Network::parse(network).unwrap()],
    };
    let names = Arc::new(|_: String| -> futures::future::BoxFuture<'static, _> {
        let trap: IpAddr = "127.0.0.2".parse().unwrap();
        Box::pin(std::future::ready(Ok(vec![trap])))
    });
    let world = World::with(Plan {
        http: Http::with_names(policy, names).unwrap(),
        ..Plan::default()
    })
    .await;
    let reading = pulse("h1", "2026-11-03T08:00:00+01:00", 75, "r-3");
    world.hold("proveheim", vec![reading]);
    world.locate(&["fjellvik"]);
    world
}

/// Looks up while the catalogue says that Fjellvik is at `address`; gives the state of that source.
async fn look_up(world: &World, address: &str) -> &'static str {
    world.move_to("fjellvik", address);
    let reply = Person::practitioner(world, PROVEHEIM)
        .search("Observation", &[])
        .await;
    assert_eq!(reply.status, StatusCode::OK, "{address}: {}", reply.json);
    assert_eq!(reply.ids(), ["h1"], "{address}");
    let account = account(&reply);
    let theirs = account.iter().find(|one| one.0 == FJELLVIK);
    theirs.unwrap_or_else(|| panic!("{address}: {account:?}")).1
}

#[tokio::test]
async fn an_entry_leads_to_no_forbidden_address_in_any_notation_nor_by_a_name() {
    let trap = Trap::set();
    let port = trap.port;
    for host in [
        "127.0.0.2",
        "127.0.0.2.",
        "127.2",
        "2130706434",
        "0x7f000002",
        "0x7f.0x0.0x0.0x2",
        "0177.0.0.02",
        "017700000002",
        "[::ffff:127.0.0.2]",
        "[::ffff:7f00:2]",
        "%31%32%37.0.0.2",
        "127\u{3002}0\u{3002}0\u{3002}2",
        "\u{ff11}\u{ff12}\u{ff17}.0.0.2",
        "127.0.0.1@127.0.0.2",
        "fjellvik.example",
        "localhost",
    ] {
        let world = world("127.0.0.1/32").await;
        let state = look_up(&world, &format!("http://{host}:{port}")).await;
        assert!(matches!(state, "failed" | "not-asked"), "{host}: {state}");
        assert!(!trap.was_called(), "{host}");
    }
    // Addresses that nothing may allow here: metadata, link-local, the unspecified one, and what is no HTTP.
    for address in [
        "http://169.254.169.254",
        "http://[fe80::1]",
        "http://[fd00:ec2::254]",
        "http://0.0.0.0",
        "http://[::]",
        "file:///etc",
        "ftp://127.0.0.1",
        "javascript:alert(1)",
        "//127.0.0.1",
        "",
    ] {
        let world = world("127.0.0.1/32").await;
        let state = look_up(&world, address).await;
        assert!(
            matches!(state, "failed" | "not-asked"),
            "{address}: {state}"
        );
    }
    // The trap works: where the policy allows it, it is called.
    let world = world("127.0.0.0/8").await;
    let allowed = format!("http://127.0.0.2:{port}");
    let asked = look_up(&world, &allowed);
    let called = async {
        while !trap.was_called() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        state = asked => panic!("answered by nobody: {state}"),
        () = called => {}
    }
}

#[tokio::test]
async fn a_providers_own_link_leads_to_no_other_origin() {
    let trap = Trap::set();
    let world = world("127.0.0.0/8").await;
    let base = world.source("fjellvik").base.clone();
    let origin = base.trim_end_matches("/fjellvik/fhir");
    let bare = origin.trim_start_matches("http://");
    world.hold(
        "fjellvik",
        ["f1", "f2"]
            .map(|id| pulse(id, "2026-11-01T08:00:00Z", 70, id))
            .to_vec(),
    );
    *world.source("fjellvik").page.lock().unwrap() = 1;
    let port = trap.port;
    for link in [
        format!("http://127.0.0.2:{port}/fjellvik/fhir/_page/x"),
        format!("http://{bare}@127.0.0.2:{port}/fjellvik/fhir/_page/x"),
        format!("http://2130706434:{port}/fjellvik/fhir/_page/x"),
        format!("//127.0.0.2:{port}/fjellvik/fhir/_page/x"),
        format!("{base}/../../proveheim/fhir/_page/x"),
        format!("{base}/%2e%2e/%2e%2e/proveheim/fhir/_page/x"),
        format!("{base}.example/_page/x"),
        format!("{origin}/proveheim/fhir/_page/x"),
        "_page/x".to_owned(),
    ] {
        world.set("fjellvik", Behaviour::Linking(link.clone()));
        let reply = Person::practitioner(&world, PROVEHEIM)
            .search("Observation", &[])
            .await;
        let account = account(&reply);
        let theirs = account.iter().find(|one| one.0 == FJELLVIK).unwrap();
        assert_eq!((theirs.1, theirs.2), ("partial", 1), "{link}: {account:?}");
        assert!(!trap.was_called(), "{link}");
        let elsewhere = world.source("proveheim").asked();
        assert!(elsewhere.iter().all(|one| !one.form.is_empty()), "{link}");
    }
}
