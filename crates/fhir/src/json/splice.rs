//! Setting the fields a server owns in a resource, without touching any other byte.
//!
//! Standard: FHIR R4 `Resource.id`, `Meta`. `id`, `meta.versionId` and `meta.lastUpdated` are the server's;
//! a client's `meta.profile`, `tag`, `security` and `source` stay, ours come after them.

use super::{Kind, Node, write_string};
use crate::index::Coding;
use crate::time::Instant;

/// What a server puts into `meta`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerMeta {
    /// `meta.versionId`: 1, 2, …
    pub version: u64,
    /// `meta.lastUpdated`: the time of the commit.
    pub last_updated: Instant,
    /// Added to `meta.tag` after the client's.
    pub tags: Vec<Coding>,
    /// Added to `meta.security` after the client's.
    pub security: Vec<Coding>,
}

/// One change: these bytes of the resource give way to what `what` says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cut {
    start: u32,
    end: u32,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// Nothing.
    Nothing,
    /// The id as a JSON string.
    Id,
    /// The whole of `meta`.
    Meta,
    /// `"id":…` and `"meta":{…}` as asked, with a comma before the first and after the last as asked.
    New {
        id: bool,
        meta: bool,
        before: bool,
        after: bool,
    },
    /// The server's own members of `meta`, then a comma if the client's follow.
    Own {
        tag: bool,
        security: bool,
        more: bool,
    },
    /// More codings at the end of the client's `meta.tag`; whether it has any.
    Tags { first: bool },
    /// More codings at the end of the client's `meta.security`; whether it has any.
    Security { first: bool },
}

/// Where the server's fields go in one resource: found once, when the resource is checked, and used at every
/// write without parsing again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seams(Vec<Cut>);

impl Seams {
    /// Finds the places in `resource`, an object. Positions count from its first byte.
    #[must_use]
    pub fn of(resource: Node<'_>) -> Self {
        let base = resource.span().start;
        let mut cuts = Vec::new();
        let mut cut = |start: usize, end: usize, what| {
            cuts.push(Cut {
                start: (start - base) as u32,
                end: (end - base) as u32,
                what,
            });
        };
        let (id, meta) = (resource.get("id"), resource.get("meta"));
        if let Some(id) = id {
            cut(id.span().start, id.span().end, What::Id);
        }
        if id.is_none() || meta.is_none() {
            let new = |before, after| What::New {
                id: id.is_none(),
                meta: meta.is_none(),
                before,
                after,
            };
            match resource.get("resourceType") {
                Some(after) => cut(after.span().end, after.span().end, new(true, false)),
                None => cut(
                    base + 1,
                    base + 1,
                    new(false, resource.members().next().is_some()),
                ),
            }
        }
        match meta {
            Some(meta) if meta.kind() == Kind::Object => meta_cuts(meta, &mut cut),
            // Not an object: not FHIR, and `check` refuses it. Replaced, so that the output is sound anyway.
            Some(odd) => cut(odd.span().start, odd.span().end, What::Meta),
            None => {}
        }
        cuts.sort_by_key(|cut| (cut.start, cut.end));
        Self(cuts)
    }

    /// The resource with the server's fields. `resource` must be the bytes that the seams were found in.
    #[must_use]
    pub fn apply(&self, resource: &[u8], id: &str, meta: &ServerMeta) -> Vec<u8> {
        let mut out = Vec::with_capacity(resource.len() + 160);
        let mut from = 0;
        for cut in &self.0 {
            let (start, end) = (cut.start as usize, cut.end as usize);
            out.extend_from_slice(resource.get(from..start).unwrap_or_default());
            write_cut(&mut out, cut.what, id, meta);
            from = end;
        }
        out.extend_from_slice(resource.get(from..).unwrap_or_default());
        out
    }
}

fn meta_cuts(meta: Node<'_>, cut: &mut impl FnMut(usize, usize, What)) {
    // The server's members of the client's `meta` go away, each with one comma: the one before it if a kept
    // member stands before, else the one after. The server's own are written first in the object.
    let owned = |name: &str| {
        matches!(
            name,
            "versionId" | "lastUpdated" | "_versionId" | "_lastUpdated"
        )
    };
    let offset = meta.span().start;
    let members: Vec<_> = meta.members().collect();
    let mut kept = false;
    let mut before = offset + 1;
    for (i, (name, value)) in members.iter().enumerate() {
        let end = value.span().end;
        if !owned(name) {
            kept = true;
            before = end;
            continue;
        }
        let last = i + 1 == members.len();
        let comma = meta.raw()[end - offset..]
            .find(',')
            .map_or(0, |comma| comma + 1);
        let end = if kept || last { end } else { end + comma };
        cut(before, end, What::Nothing);
        before = end;
    }
    let (tag, security) = (meta.get("tag"), meta.get("security"));
    cut(
        offset + 1,
        offset + 1,
        What::Own {
            tag: tag.is_none(),
            security: security.is_none(),
            more: kept,
        },
    );
    for (node, is_tag) in [(tag, true), (security, false)] {
        if let Some(node) = node.filter(|node| node.kind() == Kind::Array) {
            let first = node.items().next().is_none();
            let at = node.span().end - 1;
            cut(
                at,
                at,
                if is_tag {
                    What::Tags { first }
                } else {
                    What::Security { first }
                },
            );
        }
    }
}

fn write_cut(out: &mut Vec<u8>, what: What, id: &str, meta: &ServerMeta) {
    match what {
        What::Nothing => {}
        What::Id => write_string(out, id),
        What::Meta => write_meta(out, meta),
        What::New {
            id: with_id,
            meta: with_meta,
            before,
            after,
        } => {
            if before {
                out.push(b',');
            }
            if with_id {
                out.extend_from_slice(b"\"id\":");
                write_string(out, id);
            }
            if with_meta {
                out.extend_from_slice(if with_id {
                    &b",\"meta\":"[..]
                } else {
                    b"\"meta\":"
                });
                write_meta(out, meta);
            }
            if after {
                out.push(b',');
            }
        }
        What::Own {
            tag,
            security,
            more,
        } => {
            write_own(out, meta, tag, security);
            if more {
                out.push(b',');
            }
        }
        What::Tags { first } => write_codings(out, &meta.tags, first),
        What::Security { first } => write_codings(out, &meta.security, first),
    }
}

fn write_meta(out: &mut Vec<u8>, meta: &ServerMeta) {
    out.push(b'{');
    write_own(out, meta, true, true);
    out.push(b'}');
}

fn write_own(out: &mut Vec<u8>, meta: &ServerMeta, tag: bool, security: bool) {
    out.extend_from_slice(
        format!(
            "\"versionId\":\"{}\",\"lastUpdated\":\"{}\"",
            meta.version, meta.last_updated
        )
        .as_bytes(),
    );
    for (name, codings, wanted) in [
        ("security", &meta.security, security),
        ("tag", &meta.tags, tag),
    ] {
        if wanted && !codings.is_empty() {
            out.extend_from_slice(format!(",\"{name}\":[").as_bytes());
            write_codings(out, codings, true);
            out.push(b']');
        }
    }
}

fn write_codings(out: &mut Vec<u8>, codings: &[Coding], first: bool) {
    for (i, coding) in codings.iter().enumerate() {
        if i > 0 || !first {
            out.push(b',');
        }
        coding.write(out);
    }
}

/// The resource with `id` and the server-owned members of `meta` set; every other byte, the order and each
/// decimal as sent. `resource` must be an object.
#[must_use]
pub fn with_server_fields(resource: Node<'_>, id: &str, meta: &ServerMeta) -> Vec<u8> {
    Seams::of(resource).apply(resource.raw().as_bytes(), id, meta)
}
