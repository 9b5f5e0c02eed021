//! What a workload stands on: a region of its own in a temporary folder, opened as `delt demo` opens it, and callers with
//! real tokens and fresh proofs. Everything is on: tokens, DPoP, policy, durable audit, durable writes.

use super::http;
use crate::{demo, surroundings};
use anyhow::{Context, bail, ensure};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderName, HeaderValue, Method};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use testkit::bench_load::Load;
use testkit::clients::Caller;
use testkit::people::Directory;
use tokio::net::TcpListener;
use trust::ClientUse;
use trust::dpop;
use trust::keys::SigningKey;
use wire::client::{Http, Party, Policy, Request};
use wire::contract::FHIR_JSON;
use wire::contract::anchor::{ClientCredentialsForm, TokenAnswer};
use wire::contract::demo::{
    ClientFile, DemoPatient, DemoPractitioner, TEST_TOKEN, TestTokenAnswer,
};
use wire::contract::work_list::WORK_LIST_SCOPE;

/// The story's municipality, whose service is asked and whose readings are sent.
pub const OWNER: &str = "fjellvik";
/// Media type of a search and of a token request.
pub const FORM: &str = "application/x-www-form-urlencoded";
/// How long deliveries may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// A region that listens, and a key to ask it with.
pub struct Ground {
    started: demo::Started,
    directory: Directory,
    folder: demo::Folder,
    address: SocketAddr,
    http: Http,
    key: SigningKey,
    told: Arc<AtomicU64>,
}

/// A token and what makes proofs for it. Clones count their proofs together, so that none comes twice.
#[derive(Clone)]
pub struct Bearer {
    authorization: Arc<str>,
    access: Arc<str>,
    ath: Arc<str>,
    prover: Prover,
}

/// Makes proofs with one key.
#[derive(Clone)]
pub struct Prover {
    key: SigningKey,
    told: Arc<AtomicU64>,
    run: Arc<str>,
}

impl Prover {
    /// A fresh proof of one request.
    pub fn prove(&self, method: &Method, url: &str, ath: Option<&str>) -> Option<String> {
        let jti = format!("{}-{}", self.run, self.told.fetch_add(1, Ordering::Relaxed));
        dpop::prove(
            &self.key,
            method.as_str(),
            url,
            ath,
            (surroundings::clock())().seconds(),
            &jti,
        )
        .ok()
    }
}

impl Bearer {
    /// The token itself.
    pub fn access(&self) -> &str {
        &self.access
    }

    /// A proof for one request with it.
    pub fn proof(&self, url: &str) -> Option<String> {
        self.prover.prove(&Method::POST, url, Some(&self.ath))
    }

    /// Writes a POST of `body` to `url`, whose path is `path`, with the token and a fresh proof.
    pub fn post(&self, out: &mut Vec<u8>, to: &Target, media_type: &str, body: &[u8]) -> bool {
        let Some(proof) = self.proof(&to.url) else {
            return false;
        };
        http::post(
            out,
            to.address,
            &to.path,
            media_type,
            &[("authorization", &self.authorization), ("dpop", &proof)],
            body,
        );
        true
    }

    /// Writes a search.
    pub fn search(&self, out: &mut Vec<u8>, to: &Target, form: &str) -> bool {
        self.post(out, to, FORM, form.as_bytes())
    }

    /// Writes a POST of a resource.
    pub fn send(&self, out: &mut Vec<u8>, to: &Target, resource: &[u8]) -> bool {
        self.post(out, to, FHIR_JSON, resource)
    }
}

/// Where requests go, and what their proofs are for.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where to connect.
    pub address: SocketAddr,
    /// The URL that proofs name.
    pub url: String,
    /// Its path.
    pub path: String,
}

impl Ground {
    /// Opens the demo's region on a free port.
    pub async fn open() -> anyhow::Result<Ground> {
        Ground::of(Directory::demo().clone()).await
    }

    /// The services and their organisation numbers, that of the hospital whose physician asks first, then the locator's
    /// members, then the others; as many as wanted.
    pub fn sources(&self, wanted: usize) -> anyhow::Result<Vec<(String, String)>> {
        let directory = &self.directory;
        let asks = directory
            .practitioners
            .first()
            .map(|p| p.organisation.as_str());
        let mut services: Vec<_> = directory.services.iter().collect();
        services.sort_by_key(|s| {
            let own = Some(s.organisation.as_str()) == asks;
            (!own, !directory.locator_members.contains(&s.organisation))
        });
        if services.len() < wanted {
            bail!("the region has only {} services", services.len());
        }
        let one = |s: &testkit::people::Service| {
            (s.id.clone(), directory.orgnr(&s.organisation).to_owned())
        };
        Ok(services.into_iter().take(wanted).map(one).collect())
    }

    /// Opens the demo's region with a hub that takes so many readings a minute of one device.
    pub async fn with_slow_devices(device_per_minute: u32) -> anyhow::Result<Ground> {
        let around = demo::Around {
            device_per_minute: Some(device_per_minute),
            ..Default::default()
        };
        Ground::around(Directory::demo().clone(), around).await
    }

    /// Opens a region of these organisations on a free port.
    pub async fn of(directory: Directory) -> anyhow::Result<Ground> {
        Ground::around(directory, Default::default()).await
    }

    async fn around(directory: Directory, around: demo::Around) -> anyhow::Result<Ground> {
        let folder = demo::Folder::open(None)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let started = demo::start(&folder, listener, &directory, around).await?;
        let http = Http::new(Policy::loopback())?;
        Ok(Ground {
            started,
            directory,
            folder,
            address,
            http,
            key: SigningKey::generate()?,
            told: Arc::default(),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its configuration.
    pub fn config(&self) -> &crate::config::Config {
        &self.started.made.config
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A service's FHIR base.
    pub fn service(&self, id: &str) -> String {
        self.started.at.service(id)
    }

    /// URL of the hub's FHIR base.
    pub fn hub(&self) -> String {
        format!("{}/hub/fhir", self.started.at.origin)
    }

    /// URL of the gateway's FHIR base.
    pub fn gateway(&self) -> String {
        format!("{}/gateway/fhir", self.started.at.origin)
    }

    /// Where the portal is.
    pub fn portal(&self) -> String {
        self.started.at.origin.clone()
    }

    /// Where a URL of this region leads.
    pub fn target(&self, url: String) -> Target {
        let path = url
            .strip_prefix(self.started.at.origin.as_str())
            .unwrap_or("/")
            .to_owned();
        Target {
            address: self.address,
            url,
            path,
        }
    }

    /// Issuer of its tokens.
    pub fn issuer(&self) -> String {
        format!("{}/anchor", self.started.at.origin)
    }

    /// The store of a sharing service, or of the hub.
    pub fn store(&self, owner: &str) -> anyhow::Result<&store::Store> {
        self.started
            .region
            .stores()
            .iter()
            .find(|s| s.owner() == owner)
            .with_context(|| format!("no store of `{owner}` is open"))
    }

    /// A client for setting things up, not for measuring.
    pub fn http(&self) -> &Http {
        &self.http
    }

    /// A prover with this ground's key.
    pub fn prover(&self) -> Prover {
        Prover {
            key: self.key.clone(),
            told: self.told.clone(),
            run: uuid::Uuid::new_v4().simple().to_string().into(),
        }
    }

    fn bearer(&self, access: &str) -> Bearer {
        Bearer {
            authorization: format!("DPoP {access}").into(),
            access: access.into(),
            ath: dpop::ath(access).into(),
            prover: self.prover(),
        }
    }

    /// The story's physician's token about one patient at one audience, from the anchor's test-token route.
    pub async fn physician(&self, patient: &str, audience: &str) -> anyhow::Result<Bearer> {
        let practitioner = self.practitioner(|_| true)?;
        self.test_token(&practitioner, Some(patient), audience)
            .await
    }

    /// A token of one of [`OWNER`]'s own personnel for their list of patients at its service, from the same route.
    pub async fn nurse(&self, service: &str) -> anyhow::Result<Bearer> {
        let nurse = self.own_practitioner()?;
        self.test_token(&nurse, None, service).await
    }

    /// One of [`OWNER`]'s own personnel.
    pub fn own_practitioner(&self) -> anyhow::Result<DemoPractitioner> {
        self.practitioner(|one| one.orgnr == orgnr())
    }

    fn practitioner(
        &self,
        is: impl Fn(&DemoPractitioner) -> bool,
    ) -> anyhow::Result<DemoPractitioner> {
        let mut all = Directory::demo().demo_practitioners().into_iter();
        all.find(is).context("the demo has no such practitioner")
    }

    /// A practitioner's test token about one patient, or for the list of them.
    async fn test_token(
        &self,
        who: &DemoPractitioner,
        patient: Option<&str>,
        audience: &str,
    ) -> anyhow::Result<Bearer> {
        let about = DemoPatient {
            fnr: patient.unwrap_or_default().into(),
            name: String::new().into(),
            holders: Vec::new(),
        };
        let mut asked = Caller::new()?.as_practitioner(who, &about, audience);
        asked.jkt = self.key.thumbprint().to_owned();
        if patient.is_none() {
            (asked.patient, asked.scope) = (None, WORK_LIST_SCOPE.to_owned());
        }
        let request = Request::post_json(format!("{}{TEST_TOKEN}", self.issuer()), &asked)?;
        let answer = self.http.send(&request).await?;
        let answer: TestTokenAnswer = answer.json().context("the test token")?;
        Ok(self.bearer(answer.access_token.expose()))
    }

    /// The file of the client that has this use and sends (or keeps records) for this organisation.
    pub fn client(&self, use_: ClientUse, orgnr: &str) -> anyhow::Result<ClientFile> {
        let client = self
            .started
            .made
            .clients
            .iter()
            .find(|c| c.use_ == use_ && c.orgnr == orgnr);
        let client =
            client.with_context(|| format!("the demo has no {use_:?} client for {orgnr}"))?;
        Ok(serde_json::from_slice(&std::fs::read(&client.file)?)?)
    }

    /// The story's municipality's home system's token at the hub.
    pub async fn home_system(&self) -> anyhow::Result<Bearer> {
        let file = self.client(ClientUse::HomeSystem, orgnr())?;
        let client = TokenClient::new(
            &file,
            self.prover(),
            &self.hub(),
            wire::contract::hub::WRITE_SCOPE,
        )?;
        let (form, proof) = client
            .request()
            .context("a token request cannot be signed")?;
        let request = Request::post(client.endpoint.clone(), FORM, form).header(
            axum::http::HeaderName::from_static("dpop"),
            axum::http::HeaderValue::try_from(proof)?,
        );
        let answer: TokenAnswer = self
            .http
            .send(&request)
            .await?
            .json()
            .context("the home system's token")?;
        Ok(self.bearer(answer.access_token.expose()))
    }

    /// Searches as this bearer at `url`; not for measuring what a search costs.
    pub async fn search(
        &self,
        bearer: &Bearer,
        url: &str,
        form: &[(&str, &str)],
    ) -> anyhow::Result<serde_json::Value> {
        let authorization = format!("DPoP {}", bearer.access());
        let proof = bearer.proof(url).context("a proof")?;
        let request = Request::post_form(url, form.iter().copied())
            .header(AUTHORIZATION, HeaderValue::try_from(authorization)?)
            .header(
                HeaderName::from_static("dpop"),
                HeaderValue::try_from(proof)?,
            );
        let answer = self.http.send(&request).await?;
        ensure!(
            answer.status == 200,
            "a search was answered {}",
            answer.status
        );
        Ok(serde_json::from_slice(&answer.body)?)
    }

    /// A client of the demo that speaks as itself.
    pub fn party(&self, use_: ClientUse, orgnr: &str) -> anyhow::Result<Party> {
        let (clock, ids) = (surroundings::clock(), surroundings::ids());
        Ok(Party::new(
            self.client(use_, orgnr)?,
            self.http.clone(),
            clock,
            ids,
        )?)
    }

    /// Waits until nothing waits for the receivers whose names `wanted` picks, in any store of the region.
    pub async fn delivered(&self, wanted: impl Fn(&str) -> bool) -> anyhow::Result<()> {
        let since = Instant::now();
        loop {
            let mut pending = 0;
            for store in self.started.region.stores() {
                for receiver in store
                    .outbox_receivers()
                    .await?
                    .into_iter()
                    .filter(|r| wanted(r))
                {
                    let state = store.outbox_state(&receiver).await?;
                    if state.dead > 0 {
                        bail!("{} entries were refused by {receiver}", state.dead);
                    }
                    pending += state.pending;
                }
            }
            if pending == 0 {
                return Ok(());
            }
            if since.elapsed() > PATIENCE {
                bail!(
                    "{pending} entries are still not delivered after {} s",
                    PATIENCE.as_secs()
                );
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends the region; its folder goes.
    pub async fn close(self) {
        self.started.end().await;
        drop(self.folder);
    }
}

/// What a client needs to ask for tokens as itself.
#[derive(Clone)]
pub struct TokenClient {
    client_id: Arc<str>,
    issuer: Arc<str>,
    /// The token endpoint.
    pub endpoint: String,
    key: SigningKey,
    prover: Prover,
    audience: Arc<str>,
    scope: &'static str,
}

impl TokenClient {
    /// From a client file.
    pub fn new(
        file: &ClientFile,
        prover: Prover,
        audience: &str,
        scope: &'static str,
    ) -> anyhow::Result<TokenClient> {
        Ok(TokenClient {
            client_id: file.client_id.as_str().into(),
            issuer: file.issuer.as_str().into(),
            endpoint: file.token_endpoint.clone(),
            key: SigningKey::from_jwk(&file.jwk.0.to_string())?,
            prover,
            audience: audience.into(),
            scope,
        })
    }

    /// Form and proof of one token request.
    pub fn request(&self) -> Option<(Vec<u8>, String)> {
        let jti = uuid::Uuid::new_v4().to_string();
        let now = (surroundings::clock())().seconds();
        let form = ClientCredentialsForm {
            client_assertion: trust::assertion::make(
                &self.client_id,
                &self.issuer,
                &self.key,
                now,
                &jti,
            )
            .ok()?
            .into(),
            resource: self.audience.to_string(),
            scope: self.scope.to_owned(),
        };
        let proof = self.prover.prove(&Method::POST, &self.endpoint, None)?;
        Some((wire::form::write(form.pairs()).into(), proof))
    }
}

/// Organisation number of [`OWNER`].
pub fn orgnr() -> &'static str {
    Directory::demo().orgnr(OWNER)
}

/// Seeded readings of `patients` people until yesterday, for [`OWNER`].
pub fn load(seed: u64, patients: usize) -> anyhow::Result<Load> {
    let today: jiff::civil::Date = surroundings::today().parse()?;
    let directory = Directory::demo();
    let name = directory
        .organisation(OWNER)
        .map_or("", |o| o.name.as_str());
    Ok(Load::new(seed, patients, today.yesterday()?, orgnr(), name))
}
