//! Whether two parties have the same pointers, found with few and small messages: a tree of digests (after Merkle) over
//! (tag, kind, state, sequence), sixteen branches at each step, as the tag's hexadecimal digits go.
//!
//! A tag stands for a person, and only the holder and the locator can make it. Both build the same tree from what they have;
//! where a branch's digest differs they look below it, down to branches so small that their leaves are told.

use aws_lc_rs::hmac;
use fhir::ids::PersonIdentifier;
use fhir::resource::InformationService;
use serde::{Deserialize, Serialize};
use trust::encoding::{base64url, from_base64url, sha256};

use crate::contract::locator::Presence;

/// The length of a tag, in bytes.
pub const TAG: usize = 16;
/// A branch with so many leaves or fewer is told leaf by leaf.
pub const MOST_LEAVES: usize = 256;
/// Branches of a step.
pub const BRANCHES: usize = 16;

/// One pointer: whose by tag, of which kind, in which state, since which of the holder's turns.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaf {
    /// Whose, 16 bytes as base64url.
    #[serde(with = "tag_text")]
    pub tag: [u8; TAG],
    /// Information service.
    pub kind: InformationService,
    /// Present or absent.
    pub state: Presence,
    /// The holder's number of this turn.
    pub sequence: u64,
}

/// The key by which one holder's tags are made. Never printed.
pub struct TagKey(hmac::Key);

impl TagKey {
    /// From 32 bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
    }

    /// As the locator tells it to the holder, base64url.
    pub fn parse(text: &str) -> Option<Self> {
        from_base64url(text)?.try_into().ok().map(Self::new)
    }

    /// The person's tag.
    pub fn tag(&self, person: &PersonIdentifier) -> [u8; TAG] {
        let mut context = hmac::Context::with_key(&self.0);
        for part in [person.system(), person.value().expose()] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut tag = [0; TAG];
        tag.copy_from_slice(&context.sign().as_ref()[..TAG]);
        tag
    }
}

mod tag_text {
    use super::{TAG, base64url, from_base64url};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(tag: &[u8; TAG], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&base64url(tag))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; TAG], D::Error> {
        let text = String::deserialize(from)?;
        let bytes = from_base64url(&text).and_then(|bytes| bytes.try_into().ok());
        bytes.ok_or_else(|| D::Error::custom("expected 16 bytes as base64url"))
    }
}

impl Leaf {
    fn bytes(&self) -> [u8; TAG + 10] {
        let mut out = [0; TAG + 10];
        out[..TAG].copy_from_slice(&self.tag);
        out[TAG] = self.kind.number();
        out[TAG + 1] = u8::from(self.state == Presence::Present);
        out[TAG + 2..].copy_from_slice(&self.sequence.to_be_bytes());
        out
    }

    fn digit(&self, at: usize) -> usize {
        let byte = self.tag.get(at / 2).copied().unwrap_or_default();
        usize::from(if at.is_multiple_of(2) {
            byte >> 4
        } else {
            byte & 15
        })
    }
}

/// The hexadecimal digits that the tags of a branch begin with; empty: all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prefix(Vec<u8>);

impl Prefix {
    /// Reads digits 0 to 9 and a to f, at most as many as a tag has.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.chars().map(|c| match c {
            '0'..='9' | 'a'..='f' => c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()),
            _ => None,
        });
        let digits: Option<Vec<u8>> = digits.collect();
        digits.filter(|digits| digits.len() <= TAG * 2).map(Self)
    }

    /// As text.
    pub fn text(&self) -> String {
        let digit = |digit: &u8| char::from_digit(u32::from(*digit), 16);
        self.0.iter().filter_map(digit).collect()
    }

    /// The branch one step below.
    #[must_use]
    pub fn below(&self, digit: u8) -> Self {
        let mut digits = self.0.clone();
        digits.push(digit);
        Self(digits)
    }

    /// The whole bytes that every tag of the branch begins with.
    pub fn bytes(&self) -> Vec<u8> {
        let pairs = self.0.chunks_exact(2);
        pairs.map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    /// Does a leaf stand on this branch?
    pub fn covers(&self, leaf: &Leaf) -> bool {
        let mut digits = self.0.iter().enumerate();
        digits.all(|(at, digit)| leaf.digit(at) == usize::from(*digit))
    }

    /// How many digits.
    pub fn depth(&self) -> usize {
        self.0.len()
    }
}

/// A branch in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Branch {
    /// Leaves on it.
    pub count: u64,
    /// SHA-256 as base64url, of the leaves if they are few, else of the branches' digests.
    pub digest: String,
}

/// A branch as it is told: sixteen branches below it, or its leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// In short.
    pub whole: Branch,
    /// The branches below, in order; empty where the leaves are told.
    #[serde(default)]
    pub branches: Vec<Branch>,
    /// The leaves, in order; empty where the branches are told.
    #[serde(default)]
    pub leaves: Vec<Leaf>,
}

impl Node {
    /// Whether it can be the branch `prefix` of a tree: sixteen branches that make up the whole, or few leaves, sorted and of this
    /// branch, that do. What another party tells is looked at before anything is made of it.
    pub fn is_sound(&self, prefix: &Prefix) -> bool {
        let last = prefix.depth() >= TAG * 2;
        if self.branches.is_empty() {
            let in_order =
                self.leaves.is_sorted() && self.leaves.iter().all(|leaf| prefix.covers(leaf));
            return (self.leaves.len() <= MOST_LEAVES || last)
                && in_order
                && self.whole == branch(&self.leaves, prefix.depth());
        }
        let digests = self.branches.iter().map(|one| from_base64url(&one.digest));
        let digests: Option<Vec<Vec<u8>>> = digests.collect();
        let count = self
            .branches
            .iter()
            .try_fold(0_u64, |sum, one| sum.checked_add(one.count));
        let made = digests.map(|digests| sha256(&[&[1][..], &digests.concat()].concat()));
        !last
            && self.branches.len() == BRANCHES
            && self.leaves.is_empty()
            && count == Some(self.whole.count)
            && self.whole.count > MOST_LEAVES as u64
            && made.is_some_and(|made| self.whole.digest == base64url(&made))
    }
}

/// The branch `prefix` of a tree over `leaves`, which must be sorted and all stand on it.
pub fn node(leaves: &[Leaf], prefix: &Prefix) -> Node {
    let whole = branch(leaves, prefix.depth());
    if leaves.len() <= MOST_LEAVES {
        return Node {
            whole,
            branches: Vec::new(),
            leaves: leaves.to_vec(),
        };
    }
    let parts = split(leaves, prefix.depth());
    Node {
        whole,
        branches: parts.map(|part| branch(part, prefix.depth() + 1)).to_vec(),
        leaves: Vec::new(),
    }
}

/// A branch in short: sorted leaves whose tags agree in `depth` digits.
pub fn branch(leaves: &[Leaf], depth: usize) -> Branch {
    Branch {
        count: leaves.len() as u64,
        digest: base64url(&digest(leaves, depth)),
    }
}

fn digest(leaves: &[Leaf], depth: usize) -> [u8; 32] {
    // A tag's digits end: leaves of one tag are never more than there are kinds, far below the border.
    if leaves.len() <= MOST_LEAVES || depth >= TAG * 2 {
        let mut bytes = vec![0];
        leaves.iter().for_each(|leaf| bytes.extend(leaf.bytes()));
        return sha256(&bytes);
    }
    let mut bytes = vec![1];
    split(leaves, depth)
        .iter()
        .for_each(|part| bytes.extend(digest(part, depth + 1)));
    sha256(&bytes)
}

/// Sorted leaves by their digit at a depth.
fn split(leaves: &[Leaf], depth: usize) -> [&[Leaf]; BRANCHES] {
    let mut rest = leaves;
    std::array::from_fn(|digit| {
        let end = rest.partition_point(|leaf| leaf.digit(depth) <= digit);
        let (part, after) = rest.split_at(end);
        rest = after;
        part
    })
}

/// Sorted leaves of one branch.
pub fn on<'a>(leaves: &'a [Leaf], prefix: &Prefix) -> &'a [Leaf] {
    let mut part = leaves;
    for (depth, digit) in prefix.0.iter().enumerate() {
        part = split(part, depth)[usize::from(*digit)];
    }
    part
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;
    use proptest::prelude::*;

    fn leaves() -> impl Strategy<Value = Vec<Leaf>> {
        // Few first bytes, so that branches are deep; many leaves, so that they are split.
        let one = (
            0_u8..4,
            any::<[u8; 15]>(),
            0_usize..11,
            any::<bool>(),
            0_u64..9,
        );
        let leaf = one.prop_map(|(first, rest, kind, present, sequence)| {
            let mut tag = [first; TAG];
            tag[1..].copy_from_slice(&rest);
            Leaf {
                tag,
                kind: InformationService::ALL[kind],
                state: if present {
                    Presence::Present
                } else {
                    Presence::Absent
                },
                sequence,
            }
        });
        proptest::collection::vec(leaf, 0..900).prop_map(|mut all| {
            all.sort();
            all.dedup_by_key(|leaf| (leaf.tag, leaf.kind));
            all
        })
    }

    /// Walks down where digests differ, as a holder does, and counts the questions.
    fn differing(ours: &[Leaf], theirs: &[Leaf]) -> (Vec<Leaf>, usize) {
        let (mut found, mut asked) = (Vec::new(), 0);
        let mut open = vec![Prefix::default()];
        while let Some(prefix) = open.pop() {
            asked += 1;
            let (own, other) = (on(ours, &prefix), node(on(theirs, &prefix), &prefix));
            assert!(other.is_sound(&prefix));
            let mine = node(own, &prefix);
            if mine.whole == other.whole {
                continue;
            }
            if other.branches.is_empty() {
                let not_in = |one: &[Leaf], all: &[Leaf]| {
                    one.iter()
                        .filter(|leaf| !all.contains(leaf))
                        .cloned()
                        .collect::<Vec<_>>()
                };
                found.extend(not_in(own, &other.leaves));
                found.extend(not_in(&other.leaves, own));
                continue;
            }
            for (digit, branch) in (0..).zip(&other.branches) {
                let below = prefix.below(digit);
                let own = on(ours, &below);
                if super::branch(own, below.depth()) != *branch {
                    open.push(below);
                }
            }
        }
        found.sort();
        (found, asked)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn what_differs_is_found_and_nothing_else(all in leaves(), drop in any::<prop::sample::Index>(), add in any::<[u8; TAG]>()) {
            prop_assert_eq!(differing(&all, &all), (vec![], 1));
            let mut other = all.clone();
            let mut expected = Vec::new();
            if !other.is_empty() {
                expected.push(other.remove(drop.index(all.len())));
            }
            let more = Leaf { tag: add, kind: InformationService::PLANS, state: Presence::Present, sequence: 77 };
            other.push(more.clone());
            other.sort();
            expected.push(more);
            expected.sort();
            let (found, asked) = differing(&all, &other);
            prop_assert_eq!(found, expected);
            prop_assert!(asked <= 12, "{asked} questions for two leaves");
        }

        #[test]
        fn a_prefix_reads_back(text in "[0-9a-f]{0,32}") {
            prop_assert_eq!(Prefix::parse(&text).unwrap().text(), text);
        }
    }

    #[test]
    fn a_node_that_no_tree_has_is_not_sound() {
        let leaf = |n: u16| {
            let mut tag = [0; TAG];
            tag[..2].copy_from_slice(&n.to_be_bytes());
            let (kind, state) = (InformationService::MEASUREMENTS, Presence::Present);
            Leaf {
                tag,
                kind,
                state,
                sequence: n.into(),
            }
        };
        let few: Vec<Leaf> = (0..9).map(leaf).collect();
        let many: Vec<Leaf> = (0..3_000).map(|n| leaf(n * 20)).collect();
        let root = Prefix::default();
        let bent = |leaves: &[Leaf], bend: &dyn Fn(&mut Node)| {
            let mut node = node(leaves, &root);
            bend(&mut node);
            node.is_sound(&root)
        };
        assert!(bent(&few, &|_| {}) && bent(&many, &|_| {}) && bent(&[], &|_| {}));
        assert!(!bent(&few, &|node| node.leaves.swap(0, 1)));
        assert!(!bent(&few, &|node| node.leaves.truncate(8)));
        assert!(!bent(&few, &|node| node.whole.count += 1));
        assert!(!bent(&many, &|node| node.branches.truncate(15)));
        assert!(!bent(&many, &|node| node.branches[0].count += 1));
        assert!(!bent(&many, &|node| node.branches[0].digest =
            node.whole.digest.clone()));
        assert!(!bent(&many, &|node| node.leaves = few.clone()));
        // More leaves than are ever told, each of them in order and accounted for.
        let told = Node {
            whole: branch(&many, 0),
            branches: Vec::new(),
            leaves: many.clone(),
        };
        assert!(!told.is_sound(&root));
        // Leaves of another branch.
        let elsewhere = Prefix::parse("f").unwrap();
        assert!(!node(&few, &elsewhere).is_sound(&elsewhere));
    }

    #[test]
    fn what_is_no_prefix_or_leaf_is_refused() {
        for text in ["g", "A", " ", "é", &"0".repeat(33)] {
            assert_eq!(Prefix::parse(text), None, "{text}");
        }
        for text in [
            r#"{"tag":"AAAA","kind":"IT17","state":"present","sequence":1}"#,
            r#"{"tag":"AAAAAAAAAAAAAAAAAAAAAA","kind":"IT99","state":"present","sequence":1}"#,
            r#"{"tag":"AAAAAAAAAAAAAAAAAAAAAA","kind":"IT17","state":"present","sequence":1,"name":"x"}"#,
        ] {
            assert!(serde_json::from_str::<Leaf>(text).is_err(), "{text}");
        }
    }
}
