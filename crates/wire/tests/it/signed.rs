//! An author's signature is worth something with whoever has the anchor's participants, and to nobody else's name.

use crate::entries::{NOW, OTHER, OWNER, anchor, book};
use fhir::time::Instant;
use serde_json::{Value, json};
use trust::keys::SigningKey;
use wire::members::Members;
use wire::signed::{self, Claims, SEAL, Worth};

const WORDS: &str = "Mild forverring, ikke feber";
const AT: &str = "2027-01-15T08:00:00Z";

fn now() -> Instant {
    Instant::from_seconds(NOW)
}

fn says(key: &SigningKey, words: &str) -> String {
    let jti = "0123456789abcdef".to_owned();
    Claims::of("1", 3, words, now(), jti).sign(key).unwrap()
}

/// Written by somebody of `organisation`, and sealed with this key.
fn assessment(organisation: &str, author: &SigningKey, sealer: &SigningKey) -> Value {
    let who = json!({"type": "Practitioner", "display": "Kari Prøve"});
    let signature = signed::signature(&says(author, WORDS), AT, &who);
    let mut one = json!({
        "resourceType": "Observation",
        "status": "final",
        "performer": [who, {"type": "Organization", "identifier": {"value": organisation}}],
        "note": [{"extension": [signature], "text": WORDS}],
    });
    let seal = |typ: &str, bytes: &[u8]| trust::jws::sign_detached(typ, bytes, sealer);
    signed::seal(&mut one, AT, seal).unwrap();
    one
}

fn worth(one: &Value, members: &Members) -> Worth {
    signed::worth(one, members, now())
}

#[tokio::test]
async fn what_stands_and_every_way_in_which_it_does_not() {
    let (url, owner, other) = anchor().await;
    let members = book(&url).current().await.unwrap();
    let kari = SigningKey::generate().unwrap();
    let good = assessment(OWNER, &kari, &owner);
    assert_eq!(worth(&good, &members), Worth::Stands);

    // What servers add on the way changes nothing.
    let mut served = good.clone();
    served["id"] = "7".into();
    served["meta"] = json!({"versionId": "1", "lastUpdated": AT});
    assert_eq!(worth(&served, &members), Worth::Stands);
    served["meta"]["security"] = json!([{"code": "SUBSETTED"}]);
    assert_eq!(worth(&served, &members), Worth::Shortened);

    let mut bare = good.clone();
    bare.as_object_mut().unwrap().remove("extension");
    let mut unsaid = assessment(OWNER, &kari, &owner);
    unsaid["note"][0]
        .as_object_mut()
        .unwrap()
        .remove("extension");
    assert_eq!(worth(&bare, &members), Worth::Fails, "the author's alone");
    assert_eq!(worth(&unsaid, &members), Worth::Fails, "the seal alone");
    unsaid.as_object_mut().unwrap().remove("extension");
    assert_eq!(worth(&unsaid, &members), Worth::Missing);

    for (pointer, value) in [
        ("/note/0/text", json!("Alvorlig forverring")),
        ("/performer/0/display", json!("Ola Prøve")),
        ("/performer/1/identifier/value", json!(OTHER)),
        ("/status", json!("entered-in-error")),
        ("/extension/0/valueSignature/data", json!("AAAA")),
        ("/extension/0/valueSignature/data", json!("not base64")),
        ("/extension/0/url", json!("https://delt.example/other")),
    ] {
        let mut changed = good.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        assert_eq!(worth(&changed, &members), Worth::Fails, "{pointer}");
    }
    let mut more = good.clone();
    let all = more["extension"].as_array_mut().unwrap();
    all.push(json!({"url": "https://delt.example/other", "valueString": "x"}));
    assert_eq!(worth(&more, &members), Worth::Fails, "another extension");

    // Sealed by another organisation in this one's name, by nobody's key, and words that the author signed put with others.
    for (what, one) in [
        ("another organisation", assessment(OWNER, &kari, &other)),
        ("nobody's key", assessment(OWNER, &kari, &kari)),
        ("words that she did not sign", {
            let mut one = assessment(OWNER, &kari, &owner);
            one["note"][0]["text"] = "Noe annet".into();
            one.as_object_mut().unwrap().remove("extension");
            let seal = |typ: &str, bytes: &[u8]| trust::jws::sign_detached(typ, bytes, &owner);
            signed::seal(&mut one, AT, seal).unwrap();
            assert_eq!(one["extension"][0]["url"], SEAL);
            one
        }),
    ] {
        assert_eq!(worth(&one, &members), Worth::Fails, "{what}");
    }
}

#[test]
fn it_is_hers_by_the_key_of_her_token_now_and_for_that_version_alone() {
    let (kari, ola) = (
        SigningKey::generate().unwrap(),
        SigningKey::generate().unwrap(),
    );
    let jkt = kari.public().thumbprint();
    let hers = |text: &str, of: (&str, u64), words: &str, off: i64| {
        signed::is_hers(text, jkt, of, words, now().plus_seconds(off))
    };
    let text = says(&kari, WORDS);
    for off in [-300, 0, 300] {
        assert!(hers(&text, ("1", 3), WORDS, off), "{off}");
    }
    for off in [-301, 301] {
        assert!(!hers(&text, ("1", 3), WORDS, off), "{off}");
    }
    assert!(!hers(&text, ("2", 3), WORDS, 0));
    assert!(!hers(&text, ("1", 4), WORDS, 0));
    assert!(!hers(&text, ("1", 3), "Noe annet", 0));
    assert!(!hers(&says(&ola, WORDS), ("1", 3), WORDS, 0));
    let jti = "0123456789abcde".to_owned();
    let short = Claims::of("1", 3, WORDS, now(), jti).sign(&kari).unwrap();
    assert!(!hers(&short, ("1", 3), WORDS, 0), "an id that can be tried");
    let claims = serde_json::to_value(Claims::of("1", 3, WORDS, now(), "0".repeat(16))).unwrap();
    let proof = trust::jws::sign_embedded("dpop+jwt", &claims, &kari).unwrap();
    assert!(!hers(&proof, ("1", 3), WORDS, 0), "of another kind");
    let plain = trust::jws::sign("delt-said+jwt", &claims, &kari).unwrap();
    assert!(!hers(&plain, ("1", 3), WORDS, 0), "without its key");
}
