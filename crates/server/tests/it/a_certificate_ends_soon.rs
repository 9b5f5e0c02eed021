//! The catalogue looks at what it lists over TLS: how many days a certificate has left is shown in the entry and as a figure, and one
//! that has ended, or that nobody vouches for, is an address that does not answer (issue 5, item 1).

use crate::kit::apart::{Apart, More};
use crate::kit::process::free_port;
use crate::kit::wait::until;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use testkit::clients::Caller;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use wire::client::Request;
use wire::contract::catalogue::READ_SCOPE;
use wire::contract::statement::{PROBE, id_of};

const PARTS: [(&str, &[&str]); 2] = [("anchor", &["anchor"]), ("catalogue", &["catalogue"])];
/// The organisation whose services stand behind TLS.
const SORLIA: &str = "310001422";
const DAY: u64 = 24 * 3_600;
/// Where it stands.
const HOST: &str = "127.0.0.1";

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut about = CertificateParams::new(Vec::new()).unwrap();
    about.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(about, KeyPair::generate().unwrap()).unwrap()
}

/// Answers every request over TLS with the CapabilityStatement of an organisation; the certificate is for `host` and ends at `end`.
async fn serve(by: &Authority, host: &str, end: SystemTime) -> String {
    let key = KeyPair::generate().unwrap();
    let mut about = CertificateParams::new(vec![host.to_owned()]).unwrap();
    about.not_before = (end - Duration::from_secs(40 * DAY)).into();
    about.not_after = end.into();
    let certificate = about.signed_by(&key, by).unwrap();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}/fhir", listener.local_addr().unwrap());
    let statement = json!({
        "resourceType": "CapabilityStatement", "fhirVersion": "4.0.1",
        "implementation": {"custodian": {"identifier": {"system": "urn:oid:2.16.578.1.12.4.1.4.101", "value": SORLIA}}},
    });
    let statement = statement.to_string();
    let length = statement.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/fhir+json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{statement}"
    );
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Who does not trust the certificate ends the handshake.
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut asked = [0; 4_096];
            let _ = stream.read(&mut asked).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    address
}

/// What the catalogue shows that it saw at a service's address, by name.
async fn seen(region: &Apart, service: &str) -> Option<Value> {
    let audience = region.audience("catalogue");
    let url = format!("{audience}/Endpoint/{}", id_of("Endpoint", service));
    let party = region.party("gateway");
    let answer = party.send(&audience, READ_SCOPE, Request::get(url)).await;
    let entry: Value = answer.ok()?.json().ok()?;
    let all = entry["extension"].as_array()?;
    let probe = all.iter().find(|one| one["url"] == PROBE)?;
    let mut told = json!({});
    for one in probe["extension"].as_array()? {
        let members = one.as_object()?;
        let value = members.iter().find(|(name, _)| name.starts_with("value"))?;
        told[one["url"].as_str()?] = value.1.clone();
    }
    Some(told)
}

#[tokio::test]
async fn the_days_that_are_left_are_shown_and_what_has_ended_does_not_answer() {
    let (known, strange) = (authority(), authority());
    let (now, hour) = (SystemTime::now(), Duration::from_secs(3_600));
    let days = |days: u64| now + Duration::from_secs(days * DAY) + hour;
    let services = [
        ("sorlia", serve(&known, HOST, days(12)).await),
        ("sorlia-ended", serve(&known, HOST, now - hour).await),
        ("sorlia-strange", serve(&strange, HOST, days(12)).await),
        // A good certificate, and another's.
        (
            "sorlia-other",
            serve(&known, "other.example", days(12)).await,
        ),
    ];
    let none = More {
        facts: |_| String::new(),
        clients: &[],
    };
    let region = Apart::with(&PARTS, "", "", none).await;
    let metrics = free_port();
    let path = region.config("catalogue");
    let mut config = std::fs::read_to_string(&path).unwrap();
    let told = format!("[metrics]\naddress = \"127.0.0.1:{metrics}\"\n\n[listen]");
    config = config.replacen("[listen]", &told, 1);
    config += &format!(
        "\n[[organisation]]\norgnr = \"{SORLIA}\"\nname = \"Sørlia kommune\"\nkind = \"municipality\"\n"
    );
    for (id, address) in &services {
        config += &format!(
            "\n[[service]]\nid = \"{id}\"\norgnr = \"{SORLIA}\"\nname = \"{id}\"\nconcept = \"own\"\nfhir = \"{address}\"\n"
        );
    }
    std::fs::write(&path, config).unwrap();
    let trusted = region.folder().join("trusted.pem");
    std::fs::write(&trusted, known.pem()).unwrap();
    let anchor = region.start("anchor").await;
    let catalogue = region.start_trusting("catalogue", &trusted).await;

    let good = until("the catalogue has looked", async || {
        seen(&region, "sorlia").await
    })
    .await;
    assert_eq!(good["certificateDays"], 12, "{good}");
    assert_eq!(
        (&good["reachable"], &good["owner"]),
        (&json!(true), &json!("same"))
    );
    for id in ["sorlia-ended", "sorlia-strange", "sorlia-other"] {
        let bad = seen(&region, id).await.unwrap();
        assert_eq!(bad["reachable"], false, "{bad}");
        assert_eq!(bad["fault"], "no connection to the peer");
        assert!(bad.get("certificateDays").is_none(), "{bad}");
    }
    let url = format!("http://127.0.0.1:{metrics}/metrics");
    let told = Caller::new().unwrap().send_bare(Request::get(url)).await;
    let told = String::from_utf8(told.unwrap().body.to_vec()).unwrap();
    let figure = told
        .lines()
        .find(|line| line.contains("certificate") && line.contains("\"sorlia\""));
    assert!(figure.is_some_and(|line| line.ends_with(" 12.0")), "{told}");
    assert!(catalogue.said().contains("a certificate ends soon"));
    for serving in [anchor, catalogue] {
        assert!(!serving.said().contains("panic"), "{}", serving.said());
        assert!(serving.stop().await.success());
    }
}
