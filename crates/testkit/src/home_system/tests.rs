//! The home system against a real receiver over HTTP: the record system takes the same bundles as the hub.
#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

use super::*;
use crate::calendar::Calendar;
use crate::clients::now;
use crate::issuer::{Issuer, SystemClient};
use crate::people::Directory;
use crate::record_system::{Config, RecordSystem, serve};
use crate::story::Scenario;
use std::sync::Arc;
use trust::ClientUse;
use wire::client::{Http, Policy};

#[tokio::test]
async fn the_storys_readings_arrive_once_however_often_they_are_sent() {
    let issuer = Issuer::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let listener = tokio::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap();
    let base = format!("http://{}/fjellvik", listener.local_addr().unwrap());
    let http = Http::new(Policy::loopback()).unwrap();
    let (clock, ids): (store::Clock, store::Ids) = (Arc::new(now), Arc::new(uuid::Uuid::new_v4));
    let house = wire::House {
        clock: clock.clone(),
        pause: wire::stop::real_pause(),
        ids: ids.clone(),
        http: http.clone(),
        data: folder.path().to_owned(),
        stop: wire::Stop::new(),
        other_issuer: None,
    };
    let config = Config {
        orgnr: "310001007".into(),
        base: base.clone(),
        issuer: issuer.url().into(),
        jwks_url: issuer.jwks_url(),
        data: folder.path().to_owned(),
        rules: fhir::check::Rules::default(),
    };
    let receiver = RecordSystem::open(&config, &house).unwrap();
    tokio::spawn(serve(
        listener,
        vec![("fjellvik".into(), receiver.clone())],
        house.stop.clone(),
    ));

    let client = SystemClient {
        client_id: "hjemmesystem",
        use_: ClientUse::HomeSystem,
        orgnr: "310001007",
    };
    let file = issuer.client_file(client, &base).unwrap();
    let home = HomeSystem::new(Party::new(file, http, clock, ids).unwrap(), &base);
    let calendar = Calendar::from_day0("2026-11-17".parse().unwrap());
    let events = Scenario::kols()
        .unwrap()
        .events(Directory::demo(), &calendar, fhir::time::Instant(i64::MAX))
        .unwrap();
    let mine = events
        .iter()
        .filter(|e| matches!(e.route, Route::Hub { .. }))
        .count();
    let different: std::collections::HashSet<&str> = events
        .iter()
        .filter(|e| matches!(e.route, Route::Hub { .. }))
        .map(|e| e.key.as_str())
        .collect();
    assert_eq!(
        mine,
        different.len() + 4,
        "the backlog's four readings come twice"
    );

    let mut heard = Vec::new();
    for _ in 0..2 {
        let report = home
            .send(&events, |done, of| heard.push((done, of)))
            .await
            .unwrap();
        assert_eq!((report.accepted, report.refused.len()), (mine, 0));
        assert_eq!(receiver.received().lines, different.len());
    }
    assert_eq!(heard.last(), Some(&(mine, mine)));
    assert!(
        heard
            .windows(2)
            .take(heard.len() / 2 - 1)
            .all(|w| w[0].0 < w[1].0)
    );
}
