//! Who may act for a patient, in operation: registered by an operator's order, chosen at the sign-in, in the token as long as it
//! holds; and the list of changes names nobody.

use crate::journey::{cookie_of, value};
use crate::operate::{done, operate, verified};
use crate::provider::Provider;
use crate::region::{Answer, GATEWAY, JOURNAL, Keys, NOW, PATIENT, Region, husband};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::Ordering;
use trust::keys::SigningKey;
use trust::token::Claims;

const DAY: i64 = 86_400;

struct Ground {
    folder: tempfile::TempDir,
    keys: Keys,
    operator: SigningKey,
    idporten: Provider,
    region: Region,
}

async fn opened(folder: &Path, keys: &Keys, operator: &SigningKey, idporten: &Provider) -> Region {
    let provider = idporten.idporten("idporten");
    Region::open_as(folder, keys.clone(), |config| {
        config.demo = None;
        config.identity_providers = vec![provider];
        crate::operate::with(config, operator);
    })
    .await
}

impl Ground {
    async fn new() -> Ground {
        let folder = tempfile::tempdir().unwrap();
        let (keys, operator) = (Keys::new(), SigningKey::generate().unwrap());
        let idporten = Provider::start().await;
        let region = opened(folder.path(), &keys, &operator, &idporten).await;
        Ground {
            folder,
            keys,
            operator,
            idporten,
            region,
        }
    }

    async fn restarted(self) -> Ground {
        let now = self.region.now();
        drop(self.region);
        let region = opened(
            self.folder.path(),
            &self.keys,
            &self.operator,
            &self.idporten,
        )
        .await;
        let ground = Ground { region, ..self };
        ground.at(now + 10);
        ground
    }

    /// The moment, here and at the provider.
    fn at(&self, now: i64) {
        self.region.clock.store(now, Ordering::SeqCst);
        self.idporten.said().now = now;
    }

    async fn register(&self, expect: u64, document: &Value) -> Answer {
        let order = json!({
            "kind": "representation", "expect": expect, "document": document.to_string(),
            "reason": "melding fra innbygger",
        });
        operate(&self.region, &self.operator, "/operate/register", order).await
    }

    /// Signs in at ID-porten as this person; the page that asks for whom, or the way back to the client.
    async fn sign_in(&self, number: &str) -> (Answer, String) {
        self.idporten.said().claims =
            vec![("pid", json!(number)), ("acr", json!("idporten-loa-high"))];
        let ask = self.region.push_bare();
        let ask = ask.set("scope", "openid profile offline_access patient/*.rs");
        let uri = self.region.pushed(ask).await;
        let answer = self.region.visit(JOURNAL, &uri, None).await;
        let cookie = cookie_of(&answer).unwrap();
        let answered = self.idporten.answer();
        let query = answered.iter().map(|(name, value)| (*name, value.as_str()));
        let path = format!("/sign-in/idporten/callback?{}", wire::form::write(query));
        (self.region.visit_at(&path, Some(&cookie)).await, cookie)
    }

    async fn choose(&self, page: &Answer, cookie: &str, whom: &str) -> Answer {
        let ticket = page.text.split("name=\"ticket\" value=\"").nth(1);
        let ticket = ticket.unwrap_or_else(|| panic!("{}: {}", page.status, page.text));
        let ticket = ticket.split('"').next().unwrap();
        let form = wire::form::write([("ticket", ticket), ("for", whom)]);
        let headers = [("cookie", cookie), ("sec-fetch-site", "same-origin")];
        self.region.send_form("/sign-in/for", &form, &headers).await
    }

    /// The token that comes of an answer's code, and what renews it.
    async fn token(&self, answer: &Answer) -> (Claims, String) {
        let code = value(answer, "code").expect("a code");
        let tokens = self.region.token(self.region.redeem(&code)).await;
        self.claims(&tokens).await
    }

    async fn claims(&self, tokens: &Answer) -> (Claims, String) {
        assert_eq!(tokens.status, 200, "{}", tokens.body);
        let token = tokens.body["access_token"].as_str().unwrap();
        let claims = self.region.claims(token, GATEWAY).await;
        let renews = tokens.body["refresh_token"].as_str().unwrap();
        (claims, renews.to_owned())
    }

    /// Whether a citizen is asked for whom.
    async fn is_asked(&self, number: &str) -> bool {
        let (answer, _) = self.sign_in(number).await;
        answer.status == 200 && answer.text.contains("På vegne av hvem?")
    }
}

fn fullmakt() -> Value {
    json!({
        "id": "r-2027/1", "ground": "fullmakt",
        "representative": husband(), "representative_name": "Odd Testmo",
        "patient": PATIENT, "patient_name": "Ragnhild Testmo",
        "services": ["IT08", "IT17"], "from": "2027-01-01", "to": "2027-01-20",
    })
}

#[tokio::test]
async fn by_a_fullmakt_one_acts_from_its_first_day_to_its_last_and_for_what_she_chose() {
    let mut ground = Ground::new().await;
    // Being her husband alone opens nothing: nobody is asked for whom, and the token is for his own.
    assert!(!ground.is_asked(&husband()).await);
    let answer = ground.register(0, &fullmakt()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    // The list names nobody; nor does what is told as registered.
    let change = verified(&ground.region, &answer, "delt-change+jwt").await;
    assert_eq!(change[0]["id"], "r-2027/1");
    assert_eq!(change[0].get("order"), None);
    for (path, typ) in [
        ("/operate/changes", "delt-change+jwt"),
        ("/operate/registered", "delt-entry+jwt"),
    ] {
        let told = done_at(&ground, path, typ).await.to_string();
        assert!(told.contains("r-2027/1"), "{path}");
        for hidden in [PATIENT, &husband(), "Testmo"] {
            assert!(!told.contains(hidden), "{path}: {hidden}");
        }
    }
    for round in ["at once", "after a restart"] {
        let (page, cookie) = ground.sign_in(&husband()).await;
        assert!(
            page.text.contains("Ragnhild Testmo"),
            "{round}: {}",
            page.text
        );
        assert!(!page.text.contains(PATIENT), "no number stands in the form");
        let answer = ground.choose(&page, &cookie, "by:r-2027/1").await;
        let (claims, renews) = ground.token(&answer).await;
        assert_eq!(claims.pid.as_deref(), Some(&*husband()), "{round}");
        assert_eq!(claims.patient.unwrap().value().expose(), PATIENT);
        let represents = claims.represents.unwrap();
        let kinds: Vec<String> = represents
            .services
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            (represents.id.as_str(), kinds),
            ("r-2027/1", vec!["IT08".to_owned(), "IT17".to_owned()])
        );
        assert!(!represents.log && !represents.notes);
        let renewed = ground.region.token(ground.region.renew(&renews)).await;
        assert!(ground.claims(&renewed).await.0.represents.is_some());
        if round == "at once" {
            ground = ground.restarted().await;
        }
    }
    // For himself he is himself, and she is told who acts for her.
    let (page, cookie) = ground.sign_in(&husband()).await;
    let answer = ground.choose(&page, &cookie, "own").await;
    let (claims, _) = ground.token(&answer).await;
    assert_eq!(claims.patient.unwrap().value().expose(), husband());
    assert_eq!(claims.represents, None);
    assert!(!ground.is_asked(PATIENT).await);
    let (answer, _) = ground.sign_in(PATIENT).await;
    let (hers, _) = ground.token(&answer).await;
    let [acting] = &hers.represented_by[..] else {
        panic!("{:?}", hers.represented_by.len())
    };
    assert_eq!(acting.name.as_deref(), Some("Odd Testmo"));
    // Whom the page did not offer, nobody chooses; who breaks off goes back.
    for (whom, status) in [("by:r-2027/2", 400), (PATIENT, 400), ("r-2027/1", 400)] {
        let (page, cookie) = ground.sign_in(&husband()).await;
        assert_eq!(ground.choose(&page, &cookie, whom).await.status, status);
    }
    let (page, cookie) = ground.sign_in(&husband()).await;
    let answer = ground.choose(&page, &cookie, "none").await;
    assert_eq!(value(&answer, "error").as_deref(), Some("access_denied"));
    // It ends with the 20th, at 23:00 UTC; NOW is the 15th at 08:00. Then nobody is asked, and a page that was open is too late.
    let end = NOW + 5 * DAY + 15 * 3600;
    ground.at(end - 60);
    let (page, cookie) = ground.sign_in(&husband()).await;
    let answer = ground.choose(&page, &cookie, "by:r-2027/1").await;
    let (claims, renews) = ground.token(&answer).await;
    assert!(claims.represents.is_some());
    let (open, browser) = ground.sign_in(&husband()).await;
    ground.at(end);
    assert!(!ground.is_asked(&husband()).await);
    assert_eq!(
        ground.choose(&open, &browser, "by:r-2027/1").await.status,
        400
    );
    // What was given before is not renewed: it would be about somebody whom he no longer acts for.
    let renewed = ground.region.token(ground.region.renew(&renews)).await;
    assert_eq!(renewed.status, 400, "{}", renewed.body);
    assert!(renewed.body.to_string().contains("not_own_data"));
}

async fn done_at(ground: &Ground, path: &str, typ: &str) -> Value {
    let answer = operate(&ground.region, &ground.operator, path, Value::Null).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    Value::Array(verified(&ground.region, &answer, typ).await)
}

#[tokio::test]
async fn a_parent_acts_until_the_child_turns_twelve() {
    let ground = Ground::new().await;
    let mut child = fullmakt();
    child["ground"] = "parent".into();
    child["born"] = "2015-01-17".into();
    child.as_object_mut().unwrap().remove("to");
    assert_eq!(ground.register(0, &child).await.status, 200);
    // Twelve on 17 January 2027, which begins at 23:00 UTC on the 16th. NOW is 08:00 UTC on the 15th.
    let birthday = NOW + DAY + 15 * 3600;
    for (now, acts) in [
        (NOW, true),
        (birthday - 1, true),
        (birthday, false),
        (birthday + DAY, false),
    ] {
        ground.at(now);
        assert_eq!(
            ground.is_asked(&husband()).await,
            acts,
            "{}",
            now - birthday
        );
    }
    // And the child's own sign-in tells nobody any more.
    let (answer, _) = ground.sign_in(PATIENT).await;
    assert!(ground.token(&answer).await.0.represented_by.is_empty());
}

#[tokio::test]
async fn it_ends_by_an_order_and_what_is_no_representation_is_refused() {
    let ground = Ground::new().await;
    type Change = fn(&mut Value);
    let wrong: [(Change, &str); 6] = [
        (|one| one["patient"] = "14835210261".into(), "patient"),
        (|one| one["ground"] = "next-of-kin".into(), "contract"),
        (|one| one["services"] = json!([]), "services"),
        (|one| one["born"] = "2015-01-17".into(), "born"),
        (|one| one["id"] = PATIENT.into(), "nobody's number"),
        (|one| one["more"] = 1.into(), "contract"),
    ];
    for (change, word) in wrong {
        let mut document = fullmakt();
        change(&mut document);
        let answer = ground.register(0, &document).await;
        assert!(
            matches!(answer.status.as_u16(), 400 | 422),
            "{word}: {}",
            answer.status
        );
        let said = answer.body.to_string();
        assert!(said.contains(word), "{word}: {said}");
        assert!(
            !said.contains(PATIENT) && !said.contains(&husband()),
            "{said}"
        );
    }
    assert_eq!(ground.register(1, &fullmakt()).await.status, 412);
    assert_eq!(ground.register(0, &fullmakt()).await.status, 200);
    assert!(ground.is_asked(&husband()).await);
    let order = json!({"kind": "representation", "id": "r-2027/1", "reason": "trukket tilbake"});
    for (path, acts) in [("suspend", false), ("resume", true), ("end", false)] {
        done(
            &ground.region,
            &ground.operator,
            &format!("/operate/{path}"),
            order.clone(),
        )
        .await;
        assert_eq!(ground.is_asked(&husband()).await, acts, "{path}");
    }
    // Ended is ended, after a restart too; and of what is not there nothing ends.
    assert_eq!(ground.register(4, &fullmakt()).await.status, 409);
    let ground = ground.restarted().await;
    assert!(!ground.is_asked(&husband()).await);
    let other = json!({"kind": "representation", "id": "r-9", "reason": "trukket tilbake"});
    let answer = operate(&ground.region, &ground.operator, "/operate/end", other).await;
    assert_eq!(answer.status, 404);
}
