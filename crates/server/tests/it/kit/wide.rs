//! A wide region for `delt serve`: ten organisations without a locator, some of them served by real processes of their own,
//! the others whatever the story puts at their address. The hospital Prøveheim runs the gateway.

use super::physician::Physician;
use super::process::{Serving, delt, free_port};
use std::path::PathBuf;
use std::sync::Arc;
use testkit::clients::now;
use wire::client::{Http, Party, Policy};

/// The ten: service id and organisation number (STORY.md).
pub const TEN: [(&str, &str); 10] = [
    ("proveheim", "310001074"),
    ("fjellvik", "310001007"),
    ("provebakken", "310001147"),
    ("kystregionen", "310001708"),
    ("sorlia", "310001422"),
    ("asdal", "310001562"),
    ("fjordregionen", "310001775"),
    ("havnes", "310001635"),
    ("testvik", "310001848"),
    ("norddrift", "310001287"),
];
/// The organisation that runs the gateway.
pub const OWN: &str = TEN[0].1;

/// The region.
pub struct Wide {
    folder: tempfile::TempDir,
    common: u16,
    gateway: u16,
    /// Where the gateway tells its figures.
    pub metrics: u16,
    /// Address of each service, in the order of [`TEN`].
    addresses: Vec<String>,
    served: Vec<(String, u16)>,
}

impl Wide {
    /// `elsewhere` gives the address (without `/fhir`) of a service that the story itself answers for; all others get a
    /// process of their own.
    pub async fn new(elsewhere: impl Fn(&str) -> Option<String>) -> Wide {
        let mut served = Vec::new();
        let addresses = TEN.map(|(id, _)| {
            elsewhere(id).unwrap_or_else(|| {
                let port = free_port();
                served.push((id.to_owned(), port));
                format!("http://127.0.0.1:{port}")
            })
        });
        let region = Wide {
            folder: tempfile::tempdir().unwrap(),
            common: free_port(),
            gateway: free_port(),
            metrics: free_port(),
            addresses: addresses.to_vec(),
            served,
        };
        std::fs::create_dir(region.folder.path().join("keys")).unwrap();
        let mut listed = String::new();
        for ((id, orgnr), base) in TEN.iter().zip(region.bases()) {
            listed += &region
                .client(
                    &format!("epj-{id}"),
                    orgnr,
                    "record-system",
                    &["system/*.cruds"],
                    &[base],
                )
                .await;
        }
        let mut audiences = region.bases();
        audiences.extend([region.gateway(), region.catalogue()]);
        let scopes = [
            "user/*.rs",
            "system/Organization.rs",
            "system/HealthcareService.rs",
            "system/Endpoint.rs",
            "system/OrganizationAffiliation.rs",
        ];
        listed += &region
            .client("gateway", OWN, "gateway", &scopes, &audiences)
            .await;
        region.write(
            "common",
            "\"anchor\", \"catalogue\"",
            region.common,
            &listed,
        );
        region.write("gateway", "\"gateway\"", region.gateway, &listed);
        for (id, port) in &region.served {
            region.write(id, &format!("\"sharing:{id}\""), *port, &listed);
        }
        region
    }

    /// Starts every process.
    pub async fn start(&self) -> Vec<Serving> {
        let mut parts = vec![("common", self.common)];
        parts.extend(self.served.iter().map(|(id, port)| (id.as_str(), *port)));
        parts.push(("gateway", self.gateway));
        let mut running = Vec::new();
        for (part, port) in parts {
            running.push(Serving::start(&self.config(part), port).await);
        }
        running
    }

    /// A service's FHIR base.
    pub fn base(&self, id: &str) -> String {
        let at = TEN
            .iter()
            .position(|(one, _)| *one == id)
            .expect("one of the ten");
        self.bases().swap_remove(at)
    }

    fn bases(&self) -> Vec<String> {
        let base = |(address, (id, _)): (&String, &(&str, &str))| format!("{address}/{id}/fhir");
        self.addresses.iter().zip(&TEN).map(base).collect()
    }

    /// The gateway's FHIR base.
    pub fn gateway(&self) -> String {
        format!("http://127.0.0.1:{}/gateway/fhir", self.gateway)
    }

    fn catalogue(&self) -> String {
        format!("http://127.0.0.1:{}/catalogue/fhir", self.common)
    }

    fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}/anchor", self.common)
    }

    /// A registered client, ready to speak.
    pub fn party(&self, client: &str) -> Party {
        Party::from_file(
            &self.key(client),
            Http::new(Policy::loopback()).unwrap(),
            Arc::new(now),
            Arc::new(uuid::Uuid::new_v4),
        )
        .unwrap()
    }

    /// The gateway's receipts are signed with the key of this file.
    pub fn key(&self, client: &str) -> PathBuf {
        self.folder.path().join(format!("keys/{client}.json"))
    }

    fn config(&self, part: &str) -> PathBuf {
        self.folder.path().join(format!("{part}.toml"))
    }

    async fn client(
        &self,
        id: &str,
        orgnr: &str,
        use_: &str,
        scopes: &[&str],
        audiences: &[String],
    ) -> String {
        let (file, issuer) = (self.key(id), self.issuer());
        let mut arguments = vec![
            "client-key",
            "--client-id",
            id,
            "--orgnr",
            orgnr,
            "--use",
            use_,
        ];
        arguments.extend(["--issuer", &issuer, "--file", file.to_str().unwrap()]);
        arguments.extend(scopes.iter().flat_map(|scope| ["--scope", scope]));
        arguments.extend(
            audiences
                .iter()
                .flat_map(|one| ["--audience", one.as_str()]),
        );
        let said = delt(&arguments).await;
        assert_eq!(said.code, Some(0), "{}", said.err);
        let jwk = said.out.trim();
        format!(
            "[[client]]\nclient_id = \"{id}\"\norgnr = \"{orgnr}\"\nuse = \"{use_}\"\njwk = '{jwk}'\nscopes = {scopes:?}\naudiences = {audiences:?}\n\n"
        )
    }

    fn write(&self, part: &str, roles: &str, port: u16, clients: &str) {
        let (common, gateway) = (self.common, self.gateway);
        let mut text = format!(
            "roles = [{roles}]\ndata = \"data/{part}\"\n\n[listen]\naddress = \"127.0.0.1:{port}\"\n\n[network]\nallow = [\"127.0.0.0/8\"]\n\n\
             [anchor]\nbase = \"http://127.0.0.1:{common}/anchor\"\n\n[catalogue]\nbase = \"http://127.0.0.1:{common}/catalogue\"\n\n\
             [gateway]\nbase = \"http://127.0.0.1:{gateway}/gateway\"\nclient_file = \"keys/gateway.json\"\n\n"
        );
        if part == "gateway" {
            text += &format!("[metrics]\naddress = \"127.0.0.1:{}\"\n\n", self.metrics);
        }
        for ((id, orgnr), base) in TEN.iter().zip(self.bases()) {
            let kind = if *orgnr == OWN {
                "hospital"
            } else {
                "municipality"
            };
            text += &format!(
                "[[organisation]]\norgnr = \"{orgnr}\"\nname = \"{id} (syntetisk)\"\nkind = \"{kind}\"\n\n\
                 [[service]]\nid = \"{id}\"\norgnr = \"{orgnr}\"\nname = \"{id} (syntetisk)\"\nconcept = \"own\"\nfhir = \"{base}\"\nunknown_patients = \"enrol\"\n\n"
            );
            if *orgnr != OWN {
                text += &format!(
                    "[[agreement]]\nid = \"AVT-{id}\"\nversion = 1\nconsumer = \"{OWN}\"\nprovider = \"{orgnr}\"\nservices = [\"IT03\", \"IT08\", \"IT12\", \"IT17\"]\nfrom = \"2026-01-01\"\n\n"
                );
            }
        }
        std::fs::write(self.config(part), text + clients).unwrap();
    }

    /// The hospital's physician about the story's patient.
    pub async fn physician(&self) -> Physician {
        let key = "data/common/anchor/signing-key.json";
        let key = self.folder.path().join(key);
        Physician::signed(&key, &self.issuer(), OWN, self.gateway()).await
    }
}
