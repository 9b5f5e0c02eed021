//! `delt anchor`: the agreement point's operation from the command line, over its API (`wire::contract::operate`). Results
//! on standard output, progress and what to do about errors on standard error.

use crate::config::Config;
use crate::{roles, surroundings};
use anyhow::{Context, anyhow, bail};
use std::path::PathBuf;
use std::process::ExitCode;
use trust::encoding::sha256_base64url;
use trust::jws::{self, Embedded};
use trust::keys::{KeySet, SigningKey};
use wire::client::{Answer, Party, PeerError, Request};
use wire::contract::anchor::JWKS;
use wire::contract::operate::{
    CHANGE_SCOPE, CHANGE_TYP, CHANGES, ChangeDocument, Changes, END, KeyOrder, Kind, OPERATE,
    ORDER_TYP, Order, PAGE, READ_SCOPE, REMOVE_KEY, RESUME, ROTATE_KEY, RegisterOrder, SUSPEND,
    Signed,
};
use wire::contract::register::{DOCUMENT_TYP, ENTRY_TYP, Entry, REGISTER, REGISTERED};
use wire::contract::witness::JOSE;

/// What to do at the anchor.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Stop new tokens from the next request on; what is out ends within 5 minutes.
    Suspend(Ordered),
    /// Let what is suspended have tokens again.
    Resume(Ordered),
    /// End an agreement of any kind, or a delegation, for good, before its last day.
    End(Ordered),
    /// Make a new signing key: published now, used when every service has it. Nothing fails meanwhile.
    RotateKey {
        #[command(flatten)]
        access: Access,
        /// Why, in words that stay in the list for good; never about a person.
        #[arg(long)]
        reason: String,
    },
    /// Take a signing key away that others may have: no service accepts it after 60 seconds.
    RemoveKey {
        #[command(flatten)]
        access: Access,
        /// The key's `kid`, as it stands in the anchor's /jwks.
        kid: String,
        /// Why, in words that stay in the list for good; never about a person.
        #[arg(long)]
        reason: String,
    },
    /// Register or change a participant, client, agreement, delegation, processing agreement or collaboration.
    Register(Registering),
    /// Sign a document's text with an organisation's key, for `register --signature`. Nothing is sent.
    Sign {
        /// A client file whose key the organisation has registered for signing documents.
        #[arg(long)]
        client_file: PathBuf,
        /// The document (JSON); it is signed byte for byte.
        #[arg(long)]
        document: PathBuf,
    },
    /// List everything that was registered by orders: version, state, and whose signature is missing.
    Registered {
        #[command(flatten)]
        access: Access,
    },
    /// List who did what when, oldest first; each signature and the chain of hashes are verified.
    Changes {
        #[command(flatten)]
        access: Access,
        /// Leave out the first N.
        #[arg(long, default_value_t = 0)]
        after: u64,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
}

/// Which anchor, and as whom.
#[derive(clap::Args)]
pub struct Access {
    /// The region's configuration file: where the anchor is, and which networks may be dialled.
    #[arg(long)]
    config: PathBuf,
    /// The operator's client file (mode 0600), as `delt client-key --use operator` makes it.
    #[arg(long)]
    client_file: PathBuf,
}

/// A document, and why.
#[derive(clap::Args)]
pub struct Registering {
    #[command(flatten)]
    access: Access,
    /// participant, client, agreement, delegation, processing-agreement, collaboration or representation.
    #[arg(value_parser = kind_of)]
    kind: Kind,
    /// The document (JSON), as it is signed.
    #[arg(long)]
    document: PathBuf,
    /// A detached signature over it, as `delt anchor sign` prints; may be repeated.
    #[arg(long)]
    signature: Vec<String>,
    /// The version that stands now, 0 for a new one: when somebody else was there first, nothing is changed.
    #[arg(long)]
    expect: u64,
    /// Why, in words that stay in the list for good; never about a person.
    #[arg(long)]
    reason: String,
}

fn kind_of(text: &str) -> Result<Kind, String> {
    serde_json::from_value(text.into()).map_err(|_| {
        "one of participant, client, agreement, delegation, processing-agreement, collaboration, representation"
            .to_owned()
    })
}

/// One thing, and why.
#[derive(clap::Args)]
pub struct Ordered {
    #[command(flatten)]
    access: Access,
    /// Why, in words that stay in the list for good; never about a person.
    #[arg(long)]
    reason: String,
    #[command(subcommand)]
    subject: Subject,
}

/// What it is about.
#[derive(clap::Subcommand)]
pub enum Subject {
    /// An organisation, with all its clients and agreements.
    Participant {
        /// Organisation number of the main unit.
        orgnr: String,
    },
    /// A client, with all its keys.
    Client {
        /// Its client id.
        id: String,
    },
    /// One key of a client; its other keys stay good.
    ClientKey {
        /// The client's id.
        id: String,
        /// The key's `kid`, or its RFC 7638 thumbprint.
        kid: String,
    },
    /// An agreement between two organisations.
    Agreement {
        /// Its id.
        id: String,
    },
    /// A delegation from one organisation to another.
    Delegation {
        /// Its id.
        id: String,
    },
    /// A data processing agreement between an organisation and its supplier; it can be ended alone.
    ProcessingAgreement {
        /// Its id.
        id: String,
    },
    /// A collaboration under § 9; it can be ended alone.
    Collaboration {
        /// Its id.
        id: String,
    },
    /// Who may act for a patient (fullmakt, parents).
    Representation {
        /// Its id.
        id: String,
    },
}

impl Subject {
    fn order(self, reason: String) -> Order {
        let (kind, id, kid) = match self {
            Subject::Participant { orgnr } => (Kind::Participant, orgnr, None),
            Subject::Client { id } => (Kind::Client, id, None),
            Subject::ClientKey { id, kid } => (Kind::ClientKey, id, Some(kid)),
            Subject::Agreement { id } => (Kind::Agreement, id, None),
            Subject::Delegation { id } => (Kind::Delegation, id, None),
            Subject::ProcessingAgreement { id } => (Kind::ProcessingAgreement, id, None),
            Subject::Collaboration { id } => (Kind::Collaboration, id, None),
            Subject::Representation { id } => (Kind::Representation, id, None),
        };
        Order {
            kind,
            id,
            kid,
            reason,
        }
    }
}

/// Does it, or says what to do instead; 1 when it was refused.
pub async fn run(command: Command) -> anyhow::Result<ExitCode> {
    let ordered = async |o: Ordered, path: &str, then: &str| {
        let anchor = Anchor::at(&o.access)?;
        anchor.ordered(path, &o.subject.order(o.reason)).await?;
        eprintln!("delt: {then}");
        anyhow::Ok(())
    };
    match command {
        Command::Suspend(o) => {
            let then = "no new token from now on; tokens already out end within 5 minutes";
            ordered(o, SUSPEND, then).await?;
        }
        Command::Resume(o) => ordered(o, RESUME, "tokens are given again from now on").await?,
        Command::End(o) => ordered(o, END, "ended for good; a new one is registered anew").await?,
        Command::RotateKey { access, reason } => {
            let order = KeyOrder { kid: None, reason };
            Anchor::at(&access)?.ordered(ROTATE_KEY, &order).await?;
            eprintln!("delt: the old key stays published until its last token has ended");
        }
        Command::RemoveKey {
            access,
            kid,
            reason,
        } => {
            let kid = Some(kid);
            let order = KeyOrder { kid, reason };
            Anchor::at(&access)?.ordered(REMOVE_KEY, &order).await?;
            eprintln!("delt: services stop accepting the key within 60 seconds");
        }
        Command::Register(o) => {
            let order = RegisterOrder {
                kind: o.kind,
                expect: o.expect,
                document: text_of(&o.document)?,
                signatures: o.signature,
                reason: o.reason,
            };
            Anchor::at(&o.access)?.ordered(REGISTER, &order).await?;
            eprintln!("delt: it counts from now on, once everybody it binds has signed");
        }
        Command::Sign {
            client_file,
            document,
        } => {
            let (key, text) = (key_of(&client_file)?, text_of(&document)?);
            println!(
                "{}",
                jws::sign_detached(DOCUMENT_TYP, text.as_bytes(), &key)?
            );
        }
        Command::Registered { access } => Anchor::at(&access)?.registered().await?,
        Command::Changes {
            access,
            after,
            json,
        } => Anchor::at(&access)?.list(after, json).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The anchor as its operator reaches it.
struct Anchor {
    issuer: String,
    http: wire::client::Http,
    party: Party,
}

impl Anchor {
    fn at(access: &Access) -> anyhow::Result<Anchor> {
        let config = Config::read(&access.config)?;
        let http = roles::outgoing(&config)?;
        let (clock, ids) = (surroundings::clock(), surroundings::ids());
        let party = Party::from_file(&access.client_file, http.clone(), clock, ids)
            .with_context(|| access.client_file.display().to_string())?;
        let issuer = config.anchor.base.as_str().trim_end_matches('/').to_owned();
        eprintln!("delt: {} at {issuer}", party.client_id());
        Ok(Anchor {
            issuer,
            http,
            party,
        })
    }

    async fn send(&self, scope: &str, request: Request) -> anyhow::Result<Vec<String>> {
        let audience = format!("{}{OPERATE}", self.issuer);
        let answer = self.party.send(&audience, scope, request).await;
        let answer = answer.map_err(|error| self.unreached(&error))?;
        match answer.status.as_u16() {
            200 => Ok(answer.json::<Changes>()?.0),
            404 => bail!("nothing of that kind is registered under that name; nothing was changed"),
            401 | 403 => bail!(
                "the anchor refused {}: it must be a client with use = \"operator\" of the organisation in [anchor] operator",
                self.party.client_id()
            ),
            status => bail!("nothing was changed ({status}): {}", words(&answer)),
        }
    }

    fn unreached(&self, error: &PeerError) -> anyhow::Error {
        let todo = match error {
            PeerError::Token(_) => {
                "the anchor gave no token: is the client registered with use = \"operator\", the audience and scope of docs/guide/operation.md, is its key the registered one, and is it not suspended itself?"
            }
            PeerError::Address(_) => {
                "the anchor's address may not be dialled: look at [network] allow in the configuration"
            }
            _ => {
                "is the anchor running, and is [anchor] base its address? Nothing may have changed: look with `delt anchor changes`"
            }
        };
        anyhow!("{error}; {todo}")
    }

    /// Sends an order and prints the changes it made.
    async fn ordered(&self, path: &str, order: &impl serde::Serialize) -> anyhow::Result<()> {
        let url = format!("{}{path}", self.issuer);
        let signed = Signed {
            aud: self.issuer.clone(),
            iat: surroundings::clock()().seconds(),
            path: path.to_owned(),
            order,
        };
        let body = self.party.sign(ORDER_TYP, &serde_json::to_value(signed)?)?;
        let request = Request::post(url, JOSE, body);
        let made = self.send(CHANGE_SCOPE, request).await?;
        for (change, _) in self.verified::<ChangeDocument>(&made, CHANGE_TYP).await? {
            println!("{}", line(&change));
        }
        Ok(())
    }

    async fn list(&self, mut after: u64, json: bool) -> anyhow::Result<()> {
        let mut previous: Option<String> = None;
        let first = after;
        loop {
            let url = format!("{}{CHANGES}?after={after}", self.issuer);
            let found = self.send(READ_SCOPE, Request::get(url)).await?;
            let many = found.len();
            for (change, payload) in self.verified::<ChangeDocument>(&found, CHANGE_TYP).await? {
                let linked = change.previous == previous || after == first && first > 0;
                if change.sequence != after + 1 || !linked {
                    bail!(
                        "change {} does not follow the one before it: the list was tampered with, keep a copy and report it",
                        change.sequence
                    );
                }
                after = change.sequence;
                previous = Some(sha256_base64url(&payload));
                match json {
                    true => println!("{}", serde_json::to_string(&change)?),
                    false => println!("{}", line(&change)),
                }
            }
            if many < PAGE {
                break;
            }
        }
        eprintln!("delt: {after} changes, each signed, each following the one before");
        Ok(())
    }

    async fn registered(&self) -> anyhow::Result<()> {
        let url = format!("{}{REGISTERED}", self.issuer);
        let found = self.send(READ_SCOPE, Request::get(url)).await?;
        for (entry, _) in self.verified::<Entry>(&found, ENTRY_TYP).await? {
            println!("{}", serde_json::to_string(&entry)?);
        }
        Ok(())
    }

    /// What signed documents say, with the bytes that were signed.
    async fn verified<T: serde::de::DeserializeOwned>(
        &self,
        list: &[String],
        typ: &str,
    ) -> anyhow::Result<Vec<(T, Vec<u8>)>> {
        let request = Request::get(format!("{}{JWKS}", self.issuer));
        let keys = self.http.send(&request).await?;
        let keys = KeySet::parse(&keys.body).context("the anchor's keys")?;
        let mut found = Vec::new();
        for text in list {
            let compact = jws::parse(text, Embedded::Refused)?;
            compact.require_typ(typ)?;
            let payload = compact.verify_with(&keys)?.to_vec();
            found.push((serde_json::from_slice(&payload)?, payload));
        }
        Ok(found)
    }
}

fn text_of(path: &PathBuf) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// The key of a client file.
fn key_of(path: &PathBuf) -> anyhow::Result<SigningKey> {
    let file: wire::contract::demo::ClientFile =
        serde_json::from_str(&text_of(path)?).with_context(|| path.display().to_string())?;
    Ok(SigningKey::from_jwk(&file.jwk.0.to_string())?)
}

/// What an OperationOutcome says.
fn words(answer: &Answer) -> String {
    let outcome: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let issues = outcome["issue"].as_array().into_iter().flatten();
    let words: Vec<&str> = issues
        .filter_map(|one| one["diagnostics"].as_str())
        .collect();
    match words.is_empty() {
        true => "no reason was given".to_owned(),
        false => words.join("; "),
    }
}

/// One change on one line: number, time, what, why, by whom.
fn line(change: &ChangeDocument) -> String {
    let word = |value: serde_json::Result<serde_json::Value>| {
        let value = value.unwrap_or_default();
        value.as_str().unwrap_or_default().to_owned()
    };
    let time = |seconds| fhir::time::Instant::from_seconds(seconds).to_string();
    let kid = change.kid.iter().map(|kid| format!(" {kid}"));
    let from = change
        .from
        .iter()
        .map(|from| format!(", in use from {}", time(*from)));
    format!(
        "{:>5}  {}  {} {} {}{}{}  by {}: {}",
        change.sequence,
        time(change.iat),
        word(serde_json::to_value(change.action)),
        word(serde_json::to_value(change.kind)),
        change.id,
        kid.collect::<String>(),
        from.collect::<String>(),
        change.client_id,
        change.reason
    )
}
