//! The configuration file: a region's facts (organisations, services, clients, agreements) written once,
//! and what this process runs of it. `config.default.toml` is its manual.
//!
//! Several processes may share one such file and differ only in `roles`, `data` and `[listen]`: every role
//! has its own base URL, so where it runs is one line.

mod facts;
mod identity;
mod outside;

pub use facts::{
    Agreement, Amount, Client, Concept, Delegation, DeliveryRule, Expect, ExpectSender, Form,
    Organisation, OrganisationKind, Paper, Profile, Publish, RecordSystem, Service, SubUnit,
    Subscriber, UnknownPatients,
};
pub use identity::{IdentityProvider, LoginProfile, People};
pub use outside::{Definition, DefinitionKind, Hpr, Pvk, WhenOlder};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use url::Url;

/// The whole file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What this process runs: role names, or `sharing:ID` for one sharing service of the list.
    pub roles: Vec<String>,
    /// Where stores and keys are kept; relative to the configuration file's folder.
    pub data: PathBuf,
    /// Zone in which a date without time counts.
    #[serde(default = "oslo")]
    pub zone: String,
    /// Where this process listens.
    pub listen: Listen,
    /// Figures for operators; none: none are served.
    pub metrics: Option<Metrics>,
    /// How the audit trails' heads are kept; none: by the defaults.
    pub audit: Option<Audit>,
    /// Which networks it may speak to besides public https.
    #[serde(default)]
    pub network: Network,
    /// How strictly person numbers are checked.
    #[serde(default)]
    pub person_numbers: PersonNumbers,
    /// The trust anchor, here or elsewhere.
    pub anchor: Anchor,
    /// An issuer besides the anchor whose tokens some services take.
    pub issuer: Option<Issuer>,
    /// The API catalogue, here or elsewhere.
    pub catalogue: Option<Party>,
    /// The patient information locator, here or elsewhere; a region works without one.
    pub locator: Option<Locator>,
    /// The welfare technology hub, here or elsewhere.
    pub hub: Option<Hub>,
    /// The consumer's gateway, here or elsewhere.
    pub gateway: Option<Gateway>,
    /// The region's other gateways, elsewhere: what the anchor knows them by.
    #[serde(default)]
    pub other_gateway: Vec<OtherGateway>,
    /// The portal, here or elsewhere.
    pub portal: Option<Portal>,
    /// Assessment of readings at the sharing services that run here; none: nothing is assessed.
    pub assessment: Option<Assessment>,
    /// Organisations of the region.
    #[serde(default)]
    pub organisation: Vec<Organisation>,
    /// Sharing services of the region.
    #[serde(default)]
    pub service: Vec<Service>,
    /// Registered clients (the anchor's list; public keys only).
    #[serde(default)]
    pub client: Vec<Client>,
    /// Who may act for whom (the anchor's list): an organisation lets the hub's operator write to its service.
    #[serde(default)]
    pub delegation: Vec<Delegation>,
    /// Agreements in force between organisations (the anchor's list).
    #[serde(default)]
    pub agreement: Vec<Agreement>,
}

/// Where to listen.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Address and port.
    pub address: SocketAddr,
    /// Networks (CIDR) of the proxies in front that end TLS: what they say in `X-Forwarded-For` counts, and nobody else's word.
    #[serde(default)]
    pub trusted_proxies: Vec<String>,
    /// Requests to launch and sign in that one address may make a minute, and at once after a rest.
    #[serde(default = "sign_ins_per_minute")]
    pub sign_ins_per_minute: NonZeroU32,
}

/// A hospital's people come from one address, all of them at seven in the morning; a sign-in takes five requests.
pub fn sign_ins_per_minute() -> NonZeroU32 {
    const { NonZeroU32::new(6_000).unwrap() }
}

/// Figures for operators.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Address and port; nothing else is served there, and nobody is asked who they are.
    pub address: SocketAddr,
}

/// How the heads of audit trails are kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    /// Folder of the signed heads; best on another machine. None: a folder beside `data`, named after it with `-heads`.
    pub keep: Option<PathBuf>,
    /// Seconds between two heads.
    #[serde(default = "every_seconds")]
    pub every_seconds: u32,
    /// Whether the anchor is told as witness.
    #[serde(default = "yes")]
    pub witness: bool,
}

/// Five minutes.
pub fn every_seconds() -> u32 {
    300
}

fn yes() -> bool {
    true
}

/// Who answers for the assessment as a medical device (Regulation (EU) 2017/745).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assessment {
    /// The manufacturer.
    pub manufacturer: String,
    /// What it is meant for.
    pub intended_purpose: String,
    /// Unique device identification.
    pub udi: String,
    /// How old a part of NEWS2 may be when the newest is measured, in minutes.
    #[serde(default = "an_hour")]
    pub news2_window_minutes: u32,
    /// By when somebody is to own a red alert, in minutes; then its level rises.
    #[serde(default = "a_quarter")]
    pub own_red_within_minutes: u32,
    /// The same for a yellow one.
    #[serde(default = "two_hours")]
    pub own_yellow_within_minutes: u32,
    /// The same for one of missing readings.
    #[serde(default = "four_hours")]
    pub own_missing_within_minutes: u32,
    /// For whom an alert is when its first deadline has passed, its second, …: roles as the organisation calls them. The last stays.
    #[serde(default)]
    pub escalate_to: Vec<String>,
}

fn an_hour() -> u32 {
    60
}

fn a_quarter() -> u32 {
    15
}

fn two_hours() -> u32 {
    120
}

fn four_hours() -> u32 {
    240
}

/// What the network rules allow beyond public https.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Networks (CIDR) that may be dialled, listened on and spoken plain http with.
    #[serde(default)]
    pub allow: Vec<String>,
}

/// Whether published examples with broken control digits are let in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PersonNumbers {
    /// Both control digits must be right.
    #[default]
    Strict,
    /// Eleven digits are enough (test environments only).
    Lenient,
}

/// A role known by its base URL, with the client it speaks as.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Party {
    /// Base URL, no slash at the end.
    pub base: Url,
    /// Private client file (mode 0600) that the role speaks as; needed only where it runs.
    pub client_file: Option<PathBuf>,
}

/// A consumer's gateway.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// Base URL, no slash at the end.
    pub base: Url,
    /// Private client file (mode 0600) that the gateway speaks as; needed only where it runs.
    pub client_file: Option<PathBuf>,
    /// How long the last good addresses serve while the catalogue is silent, in hours.
    #[serde(default = "catalogue_grace_hours")]
    pub catalogue_grace_hours: u32,
}

/// A gateway that an organisation runs for its own people, by a file of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtherGateway {
    /// The organisation, whose client of use `gateway` it is.
    pub orgnr: String,
    /// Base URL, no slash at the end.
    pub base: Url,
}

fn catalogue_grace_hours() -> u32 {
    24
}

/// The trust anchor.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// Issuer URL.
    pub base: Url,
    /// Demo mode: `POST /test-token` exists. Never in operation.
    #[serde(default)]
    pub test_tokens: bool,
    /// Proofs at the token endpoint must carry the anchor's own nonce (RFC 9449 section 8).
    #[serde(default)]
    pub dpop_nonce: bool,
    /// The organisation whose clients with use `operator` may suspend, resume and change keys; without one, nobody may.
    pub operator: Option<String>,
    /// How long a new signing key is published before it signs, in seconds; services keep the key set for up to 60.
    #[serde(default = "publish_key_seconds")]
    pub publish_key_seconds: i64,
    /// The register of health personnel, asked before a token for patients' data is given.
    pub hpr: Option<Hpr>,
    /// Health personnel signs in although nobody is asked what they are authorised as.
    #[serde(default)]
    pub believe_stated_authorisations: bool,
    /// Where people sign in; without one nobody can outside the demo.
    #[serde(default)]
    pub identity_provider: Vec<IdentityProvider>,
}

fn publish_key_seconds() -> i64 {
    600
}

/// An issuer besides the anchor: HelseID, by its own words for things.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// Whose shape its tokens have.
    pub profile: IssuerProfile,
    /// The issuer, exactly as in its tokens.
    pub issuer: String,
    /// Where its keys are; the profile's usual place otherwise.
    pub jwks: Option<Url>,
    /// Our audiences that take its tokens, with the issuer's name for each.
    pub audiences: BTreeMap<String, String>,
    /// What its scopes mean here, as SMART scopes.
    #[serde(default)]
    pub scopes: BTreeMap<String, Vec<String>>,
    /// What clients that come for themselves are for, by client id.
    #[serde(default)]
    pub clients: BTreeMap<String, String>,
    /// Its names of claims, where they are not the profile's: pid, pid_pseudonym, security_level, hpr_number, orgnr_parent,
    /// attest.
    #[serde(default)]
    pub claims: BTreeMap<String, String>,
    /// Whether the authorisation that a client states in an attest is believed, though no register was asked. Has to be said
    /// where people come; unsaid, it is not.
    pub believe_stated_authorisations: Option<bool>,
}

/// Shapes of foreign tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IssuerProfile {
    /// HelseID's.
    Helseid,
}

/// The locator, which has a legal basis only within a written collaboration of named members.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locator {
    /// Base URL.
    pub base: Url,
    /// The § 9 agreement it works under.
    pub collaboration: Option<Collaboration>,
    /// After how many days a new pointer key takes the old one's place.
    #[serde(default = "a_year")]
    pub key_days: u32,
}

fn a_year() -> u32 {
    365
}

/// A written agreement under pasientjournalloven § 9.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collaboration {
    /// The agreement's own reference.
    pub id: String,
    /// Day it was signed, `yyyy-mm-dd`.
    pub date: String,
    /// What it covers.
    pub scope: String,
    /// Who is controller for what.
    pub controller_arrangement: String,
    /// How patients' rights are met.
    pub patients_rights: String,
    /// What happens at exit.
    pub exit_terms: String,
    /// The organisations bound by it.
    #[serde(default)]
    pub members: Vec<String>,
}

/// The hub and what it may pass on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hub {
    /// Base URL.
    pub base: Url,
    /// The organisation that runs it, a data processor for those it delivers for.
    pub operator: String,
    /// The hub's own client file.
    pub client_file: Option<PathBuf>,
    /// Whether a reading is taken only of a device that its organisation has assigned to the patient at that time.
    #[serde(default)]
    pub require_assignment: bool,
    /// Device identifiers, `system|value`, that name a model and not one device: no assignment of them is taken or holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// Home systems that are expected to send at least so often; a silence that is longer raises an alarm.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<ExpectSender>,
    /// Days that identity, digest and outcome are kept after the clinical body is gone.
    #[serde(default = "thirty")]
    pub replay_days: u32,
    /// Hours that the answer to a request with an `Idempotency-Key` is given again.
    #[serde(default = "a_day")]
    pub idempotency_hours: u32,
    /// Days that an entry is kept aside.
    #[serde(default = "ninety")]
    pub quarantine_days: u32,
    /// Readings a minute of one patient's one device.
    #[serde(default = "device_pace")]
    pub device_per_minute: u32,
    /// Readings a minute of one sender.
    #[serde(default = "sender_pace")]
    pub sender_per_minute: u32,
}

/// The portal.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Portal {
    /// Base URL.
    pub base: Url,
    /// HPR numbers of the organisation's own people who may open it on their own; others come through their record system.
    #[serde(default)]
    pub staff: Vec<String>,
    /// Whether citizens sign in to their own pages.
    #[serde(default)]
    pub citizens: bool,
}

fn oslo() -> String {
    "Europe/Oslo".into()
}
fn ninety() -> u32 {
    90
}

fn device_pace() -> u32 {
    600
}

fn sender_pace() -> u32 {
    600_000
}

fn a_day() -> u32 {
    24
}

fn thirty() -> u32 {
    30
}

impl Config {
    /// Reads a file; errors name file, line and setting. `data` and client files become absolute.
    pub fn read(path: &Path) -> anyhow::Result<Config> {
        let text = std::fs::read_to_string(path).map_err(|e| {
            anyhow::anyhow!("cannot read the configuration {}: {e}", path.display())
        })?;
        let mut config: Config = toml::from_str(&text).map_err(|e| {
            anyhow::anyhow!(
                "the configuration {} is not understood:\n{e}",
                path.display()
            )
        })?;
        let folder = std::path::absolute(path)?
            .parent()
            .map(Path::to_path_buf)
            .unwrap_or_default();
        config.resolve(&folder);
        Ok(config)
    }

    /// Makes relative paths relative to `folder`.
    fn resolve(&mut self, folder: &Path) {
        self.data = folder.join(&self.data);
        if let Some(keep) = self.audit.as_mut().and_then(|audit| audit.keep.as_mut()) {
            *keep = folder.join(&*keep);
        }
        let files = [
            self.catalogue.as_mut().and_then(|p| p.client_file.as_mut()),
            self.gateway.as_mut().and_then(|p| p.client_file.as_mut()),
            self.hub.as_mut().and_then(|p| p.client_file.as_mut()),
        ];
        let hpr = self.anchor.hpr.as_mut();
        let hpr = hpr.and_then(|hpr| hpr.client_file.as_mut());
        let services = self.service.iter_mut().flat_map(|s| {
            let pvk = s.pvk.as_mut().map(|pvk| &mut pvk.client_file);
            [s.client_file.as_mut(), pvk]
        });
        let providers = self.anchor.identity_provider.iter_mut();
        let providers = providers.map(|p| Some(&mut p.client_file));
        let files = files.into_iter().chain([hpr]).chain(services);
        for file in files.chain(providers).flatten() {
            *file = folder.join(&*file);
        }
    }

    /// Where signed heads of audit trails are kept.
    pub fn heads_folder(&self) -> PathBuf {
        let kept = self.audit.as_ref().and_then(|audit| audit.keep.clone());
        kept.unwrap_or_else(|| {
            self.data.with_file_name(match self.data.file_name() {
                Some(name) => format!("{}-heads", name.to_string_lossy()),
                None => "heads".into(),
            })
        })
    }

    /// The anchor's URL, as tokens name it.
    pub fn issuer(&self) -> String {
        self.anchor.base.as_str().trim_end_matches('/').to_owned()
    }

    /// The client file that speaks for the owner of an audit trail: a service, or a role that is a client. A gateway's trails
    /// of organisations that look up are the gateway's.
    pub fn client_file_of(&self, owner: &str) -> Option<&Path> {
        let named = |s: &&Service| s.store_of.as_ref().unwrap_or(&s.id) == owner;
        let own = self.own_services().find(named);
        let service = own.or_else(|| self.service.iter().find(named));
        let role = match owner {
            "hub" => self.hub.as_ref().and_then(|h| h.client_file.as_deref()),
            "anchor" | "catalogue" | "locator" => None,
            _ => self.gateway.as_ref().and_then(|g| g.client_file.as_deref()),
        };
        service.map_or(role, |s| s.client_file.as_deref())
    }

    /// Whether this process runs `role`.
    pub fn runs(&self, role: &str) -> bool {
        self.roles.iter().any(|r| r == role)
    }

    /// The bases of the region's gateways, the one that this file is about first.
    pub fn gateways(&self) -> impl Iterator<Item = &Url> {
        let one = self.gateway.iter().map(|one| &one.base);
        one.chain(self.other_gateway.iter().map(|one| &one.base))
    }

    /// The sharing services this process runs.
    pub fn own_services(&self) -> impl Iterator<Item = &Service> {
        self.service.iter().filter(|s| {
            self.runs("sharing")
                || self
                    .roles
                    .iter()
                    .any(|r| r.strip_prefix("sharing:") == Some(&s.id))
        })
    }

    /// The name of an organisation, or its number if the region does not name it.
    pub fn name_of<'a>(&'a self, orgnr: &'a str) -> &'a str {
        self.organisation
            .iter()
            .find(|o| o.orgnr == orgnr)
            .map_or(orgnr, |o| &o.name)
    }
}
