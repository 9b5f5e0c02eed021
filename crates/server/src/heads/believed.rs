//! Which of a trail's kept lines are to be believed, and what is wrong with the others: a head counts that a key of the trail's
//! owner signed, about this trail; and heads that go back in the order they were kept show that somebody went back.

use super::{Kept, Proof};
use store::AuditHead;
use trust::encoding::from_base64url;
use trust::jws::{self, Embedded};
use trust::keys::KeySet;
use wire::contract::witness::{HEAD_TYP, HeadStatement, WITNESSED_TYP};

/// The owner's statements that are to be believed, and what is wrong with the others.
pub(super) fn own(
    kept: &Kept,
    owner: &str,
    client: Option<&str>,
    registered: &KeySet,
    more: Option<&KeySet>,
) -> Proof {
    let mut proof = Proof {
        heads: Vec::new(),
        faults: Vec::new(),
        witnessed: None,
    };
    let mut before = 0;
    for (at, line) in kept.lines.iter().enumerate() {
        let mut fault = |text: String| {
            proof
                .faults
                .push(format!("kept head, line {}: {text}", at + 1))
        };
        let Ok(compact) = jws::parse(line, Embedded::Refused) else {
            fault("is no signed head".into());
            continue;
        };
        if compact.require_typ(HEAD_TYP).is_err() {
            // The witness's words count as the witness has them today; here they only must be of that kind.
            if compact.require_typ(WITNESSED_TYP).is_err() {
                fault("is no signed head".into());
            }
            continue;
        }
        let verified = compact
            .verify_with(registered)
            .or_else(|error| more.map_or(Err(error), |keys| compact.verify_with(keys)));
        let said: Option<HeadStatement> = verified
            .ok()
            .and_then(|payload| serde_json::from_slice(payload).ok());
        let Some(said) = said else {
            fault("is not signed with a key of the trail's owner that is known here".into());
            continue;
        };
        if said.owner != owner || said.iss.as_deref() != client {
            fault("is about another trail".into());
            continue;
        }
        if said.sequence < before {
            fault(format!(
                "goes back from record {before} to record {}: the trail was cut, or an old copy was put back",
                said.sequence
            ));
        }
        before = said.sequence;
        match head(said.sequence, &said.hash) {
            Some(head) => proof.heads.push(head),
            None => fault("holds no hash".into()),
        }
    }
    proof
}

/// A head as text says it; `None` where that is no hash.
pub(super) fn head(sequence: u64, hash: &str) -> Option<AuditHead> {
    let hash = from_base64url(hash)?.try_into().ok()?;
    Some(AuditHead { sequence, hash })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use trust::encoding::base64url;
    use trust::keys::SigningKey;

    fn set(key: &SigningKey) -> KeySet {
        KeySet::of(vec![key.public().clone()]).unwrap()
    }

    fn statement(sequence: u64) -> HeadStatement {
        HeadStatement {
            iss: Some("fjellvik".into()),
            aud: "https://anchor.example".into(),
            iat: 1_800_000_000,
            owner: "fjellvik".into(),
            sequence,
            hash: base64url(&[7; 32]),
        }
    }

    fn signed(typ: &str, said: &HeadStatement, key: &SigningKey) -> String {
        jws::sign(typ, &serde_json::to_value(said).unwrap(), key).unwrap()
    }

    /// The sequence numbers that are believed, and what is said of the others.
    fn judged(
        lines: &[String],
        key: &SigningKey,
        more: Option<&KeySet>,
    ) -> (Vec<u64>, Vec<String>) {
        let kept = Kept {
            lines: lines.to_vec(),
        };
        let proof = own(&kept, "fjellvik", Some("fjellvik"), &set(key), more);
        assert!(proof.heads.iter().all(|head| head.hash == [7; 32]));
        let heads = proof.heads.iter().map(|head| head.sequence).collect();
        (heads, proof.faults)
    }

    #[test]
    fn what_the_owner_signed_in_order_is_believed() {
        let key = SigningKey::generate().unwrap();
        let lines = [1, 5, 5, 9].map(|sequence| signed(HEAD_TYP, &statement(sequence), &key));
        assert_eq!(judged(&lines, &key, None), (vec![1, 5, 5, 9], vec![]));
    }

    #[test]
    fn each_line_that_is_none_of_the_owners_is_named() {
        let key = SigningKey::generate().unwrap();
        let stranger = SigningKey::generate().unwrap();
        let of = |change: &dyn Fn(&mut HeadStatement)| {
            let mut said = statement(2);
            change(&mut said);
            signed(HEAD_TYP, &said, &key)
        };
        for (line, fault) in [
            ("not a head".to_owned(), "no signed head"),
            (signed("at+jwt", &statement(2), &key), "no signed head"),
            (
                signed(HEAD_TYP, &statement(2), &stranger),
                "not signed with a key of the trail's owner",
            ),
            (of(&|said| said.owner.push('x')), "about another trail"),
            (of(&|said| said.iss = None), "about another trail"),
            (of(&|said| said.hash.clear()), "holds no hash"),
        ] {
            let lines = [signed(HEAD_TYP, &statement(1), &key), line];
            let (heads, faults) = judged(&lines, &key, None);
            assert_eq!(heads, [1], "{fault}");
            assert!(
                faults.len() == 1 && faults[0].starts_with("kept head, line 2:"),
                "{faults:?}"
            );
            assert!(faults[0].contains(fault), "{faults:?}");
        }
    }

    #[test]
    fn a_key_of_before_counts_where_it_is_given() {
        let (key, before) = (
            SigningKey::generate().unwrap(),
            SigningKey::generate().unwrap(),
        );
        let lines = [
            signed(HEAD_TYP, &statement(1), &before),
            signed(HEAD_TYP, &statement(2), &key),
        ];
        assert_eq!(judged(&lines, &key, None).0, [2]);
        assert_eq!(
            judged(&lines, &key, Some(&set(&before))),
            (vec![1, 2], vec![])
        );
    }

    #[test]
    fn the_witness_is_not_believed_from_the_owners_own_file() {
        let key = SigningKey::generate().unwrap();
        let lines = [signed(WITNESSED_TYP, &statement(1), &key)];
        assert_eq!(judged(&lines, &key, None), (vec![], vec![]));
    }

    #[test]
    fn going_back_is_a_fault_and_the_head_counts_all_the_same() {
        let key = SigningKey::generate().unwrap();
        let lines = [5, 4, 4, 5].map(|sequence| signed(HEAD_TYP, &statement(sequence), &key));
        let (heads, faults) = judged(&lines, &key, None);
        assert_eq!(heads, [5, 4, 4, 5]);
        assert_eq!(
            faults,
            [
                "kept head, line 2: goes back from record 5 to record 4: the trail was cut, or an old copy was put back"
            ]
        );
    }
}
