//! Everything about a change that needs no database, done by the caller before the one writer is bothered:
//! cutting bodies, keyed hashes, keys of kinds.

use aws_lc_rs::digest::{Context, SHA256};
use fhir::ids::{LogicalId, OrganisationNumber, PersonIdentifier};
use fhir::index::{Coding, Index, Subject};
use fhir::json::{Json, Limits, Node, ServerMeta};
use fhir::resource::{Checked, ResourceType};
use fhir::systems;
use fhir::time::Instant;

use crate::body;
use crate::commit::{Change, Put};
use crate::errors::StoreError;
use crate::handle::{self, Held};
use crate::keys::{Keys, Mac};

/// `t` of a resource without time: it sorts after all others.
pub(crate) const UNDATED: i64 = i64::MAX;
/// Longest span that is kept; nothing that FHIR can write is longer.
pub(crate) const LONGEST_SPAN: i64 = 1 << 60;
/// What was checked already is not refused for its length here.
pub(crate) const LIMITS: Limits = Limits {
    bytes: 16 << 20,
    depth: 128,
};

/// Roles of codings in `kind_coding`.
pub(crate) const CODE: i64 = 0;
pub(crate) const CATEGORY: i64 = 1;

/// First half of a content digest: enough to tell contents apart, and half the bytes.
pub(crate) type Digest = [u8; 16];

/// A change ready for the writer.
pub(crate) struct Ready {
    pub(crate) puts: Vec<ReadyPut>,
    pub(crate) replace: Option<ReadyReplace>,
    pub(crate) rest: Change,
}

/// A series ready for the writer.
pub(crate) struct ReadyReplace {
    pub(crate) patient: Who,
    pub(crate) resource_type: ResourceType,
    pub(crate) codes: Vec<fhir::search::TokenParam>,
    pub(crate) resources: Vec<Resource>,
    pub(crate) enrol: bool,
}

/// A put ready for the writer.
pub(crate) enum ReadyPut {
    Create {
        id: Option<LogicalId>,
        resource: Resource,
        enrol: bool,
    },
    Update {
        id: LogicalId,
        expect_version: Option<u64>,
        resource: Resource,
    },
    Withdraw {
        id: LogicalId,
        resource_type: ResourceType,
        expect_version: Option<u64>,
    },
}

/// What the tables need of a resource.
pub(crate) struct Resource {
    pub(crate) resource_type: ResourceType,
    pub(crate) subject: Option<Who>,
    pub(crate) kind: Kind,
    pub(crate) t: i64,
    pub(crate) span: Option<i64>,
    pub(crate) status: Option<String>,
    /// Cut, see [`body::cut`].
    pub(crate) body: Vec<u8>,
    pub(crate) identity: Mac,
    /// What it is found by in the index of handles.
    pub(crate) handles: Vec<Held>,
    pub(crate) digest: Digest,
    pub(crate) correction: bool,
    /// The member of a shared register that wrote it.
    pub(crate) written_by: Option<OrganisationNumber>,
}

/// A subject as the tables look it up.
pub(crate) enum Who {
    Person(PersonIdentifier, Mac),
    Local(LogicalId),
}

/// A resource type with one exact set of codings.
pub(crate) struct Kind {
    pub(crate) key: [u8; 16],
    pub(crate) resource_type: ResourceType,
    /// Role, system ("" for none), code; sorted, without repeats.
    pub(crate) codings: Vec<(i64, String, String)>,
}

/// Keyed hash of a person's identifier.
pub(crate) fn person_mac(keys: &Keys, person: &PersonIdentifier) -> Mac {
    keys.mac(
        "delt person",
        &[
            person.system().as_bytes(),
            person.value().expose().as_bytes(),
        ],
    )
}

pub(crate) fn change(keys: &Keys, mut change: Change) -> Result<Ready, StoreError> {
    let puts = std::mem::take(&mut change.puts)
        .into_iter()
        .map(|one| put(keys, one))
        .collect::<Result<_, _>>()?;
    let replace = match change.replace.take() {
        None => None,
        Some(series) => Some(ReadyReplace {
            patient: Who::Person(series.patient.clone(), person_mac(keys, &series.patient)),
            resource_type: series.resource_type,
            codes: series.codes,
            resources: series
                .resources
                .iter()
                .map(|resource| ready(keys, resource, None))
                .collect::<Result<_, _>>()?,
            enrol: series.enrol,
        }),
    };
    Ok(Ready {
        puts,
        replace,
        rest: change,
    })
}

fn put(keys: &Keys, put: Put) -> Result<ReadyPut, StoreError> {
    Ok(match put {
        Put::Create {
            resource,
            written_by,
            enrol,
        } => ReadyPut::Create {
            id: None,
            resource: ready(keys, &resource, written_by)?,
            enrol,
        },
        Put::CreateAs {
            id,
            resource,
            written_by,
            enrol,
        } => ReadyPut::Create {
            id: Some(id),
            resource: ready(keys, &resource, written_by)?,
            enrol,
        },
        Put::Update {
            id,
            expect_version,
            resource,
            written_by,
        } => ReadyPut::Update {
            id,
            expect_version,
            resource: ready(keys, &resource, written_by)?,
        },
        Put::Withdraw {
            id,
            resource_type,
            expect_version,
        } => ReadyPut::Withdraw {
            id,
            resource_type,
            expect_version,
        },
    })
}

fn ready(
    keys: &Keys,
    checked: &Checked,
    written_by: Option<OrganisationNumber>,
) -> Result<Resource, StoreError> {
    let (index, identity, resource_type) =
        (checked.index(), checked.identity(), checked.resource_type());
    let (t, span) = place(index);
    let json = bare(checked, written_by.as_ref())?;
    let handles = handle::held(
        keys,
        (json.root(), resource_type),
        index.subject.as_ref(),
        identity.business.as_ref(),
    );
    Ok(Resource {
        resource_type,
        subject: index.subject.as_ref().map(|subject| match subject {
            Subject::Person(person) => Who::Person(person.clone(), person_mac(keys, person)),
            Subject::Local(id) => Who::Local(*id),
        }),
        kind: kind(resource_type, index),
        t,
        span,
        status: index.status.clone(),
        body: cut(&json)?,
        identity: handle::mac_of(keys, resource_type, identity),
        handles,
        digest: half(&identity.digest),
        correction: identity.correction,
        written_by,
    })
}

fn place(index: &Index) -> (i64, Option<i64>) {
    match index.when {
        None => (UNDATED, None),
        Some(when) => {
            let lo = when.lo.max(-LONGEST_SPAN);
            (-lo, Some(when.hi.saturating_sub(lo).clamp(0, LONGEST_SPAN)))
        }
    }
}

fn kind(resource_type: ResourceType, index: &Index) -> Kind {
    let of = |role: i64, list: &[Coding]| -> Vec<(i64, String, String)> {
        list.iter()
            .map(|coding| {
                (
                    role,
                    coding.system.clone().unwrap_or_default(),
                    coding.code.clone(),
                )
            })
            .collect()
    };
    let mut codings = of(CODE, &index.codings);
    codings.extend(of(CATEGORY, &index.categories));
    codings.sort();
    codings.dedup();
    let mut context = Context::new(&SHA256);
    let mut field = |bytes: &[u8]| {
        context.update(&(bytes.len() as u64).to_be_bytes());
        context.update(bytes);
    };
    field(resource_type.as_str().as_bytes());
    for (role, system, code) in &codings {
        field(&role.to_be_bytes());
        field(system.as_bytes());
        field(code.as_bytes());
    }
    let mut key = [0; 16];
    key.copy_from_slice(&context.finish().as_ref()[..16]);
    Kind {
        key,
        resource_type,
        codings,
    }
}

/// The body as sent, without what the server owns, with a tag for the member that wrote it unless it carries that tag already.
fn bare(checked: &Checked, written_by: Option<&OrganisationNumber>) -> Result<Json, StoreError> {
    let bare = parse(checked.with_server_fields("", &meta(Vec::new())))?;
    let Some(member) = written_by else {
        return Ok(bare);
    };
    let tag = Coding::new(systems::ORGNR, member.as_str());
    let tagged = bare
        .root()
        .all(&["meta", "tag"])
        .into_iter()
        .filter_map(Coding::read)
        .any(|held| held == tag);
    if tagged {
        Ok(bare)
    } else {
        parse(checked.with_server_fields("", &meta(vec![tag])))
    }
}

fn meta(tags: Vec<Coding>) -> ServerMeta {
    ServerMeta {
        version: 0,
        last_updated: Instant(0),
        tags,
        security: Vec::new(),
    }
}

fn parse(text: Vec<u8>) -> Result<Json, StoreError> {
    Json::parse(text, LIMITS)
        .map_err(|_| StoreError::Invalid("a checked resource does not read again"))
}

fn cut(json: &Json) -> Result<Vec<u8>, StoreError> {
    let inside = |node: Option<Node<'_>>| {
        let span = node?.span();
        (span.len() >= 2).then(|| span.start + 1..span.end - 1)
    };
    let root = json.root();
    inside(root.get("id"))
        .zip(inside(root.path(&["meta", "versionId"])))
        .zip(inside(root.path(&["meta", "lastUpdated"])))
        .and_then(|((id, version), updated)| body::cut(json.bytes(), id, version, updated))
        .ok_or(StoreError::Invalid(
            "a checked resource has no place for its id",
        ))
}

/// A Patient that has an identifier and no invented name, known by `mac`.
pub(crate) fn bare_patient(
    keys: &Keys,
    person: &PersonIdentifier,
    mac: Mac,
) -> Result<Resource, StoreError> {
    let mut text = br#"{"resourceType":"Patient","id":"","meta":{"versionId":"0","lastUpdated":""},"identifier":[{"system":"#.to_vec();
    fhir::json::write_string(&mut text, person.system());
    text.extend_from_slice(b",\"value\":");
    fhir::json::write_string(&mut text, person.value().expose());
    text.extend_from_slice(b"}]}");
    let json = parse(text)?;
    let root = json.root();
    Ok(Resource {
        resource_type: ResourceType::PATIENT,
        subject: None,
        kind: kind(ResourceType::PATIENT, &Index::default()),
        t: UNDATED,
        span: None,
        status: None,
        body: cut(&json)?,
        identity: mac,
        handles: handle::held(keys, (root, ResourceType::PATIENT), None, None),
        digest: half(&fhir::identity::content(root)),
        correction: false,
        written_by: None,
    })
}

fn half(digest: &[u8; 32]) -> Digest {
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    half
}
