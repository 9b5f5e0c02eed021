//! A person's way through the sign-in: pushed request, page, choice, code, tokens.

use crate::region::{Answer, Ask, CALLBACK, FJELLVIK, GATEWAY, JOURNAL, PATIENT, Region};
use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use trust::encoding::sha256_base64url;
use trust::keys::SigningKey;

pub const VERIFIER: &str = "a-verifier-of-forty-three-characters-or-more";

/// Values of the page's choices.
pub const PHYSICIAN: &str = "0";
pub const CITIZEN: &str = "1";
pub const HUSBAND_FOR_HIS_WIFE: &str = "2.0";

/// An attest for the patient, as a record system states it.
pub fn attest() -> Value {
    json!({
        "type": "nhn:tillitsrammeverk:parameters",
        "practitioner": {
            "authorization": {"code": "LE", "system": "urn:oid:2.16.578.1.12.4.1.1.9060"},
            "legal_entity": {"id": "310001074", "system": "urn:oid:2.16.578.1.12.4.1.4.101"},
            "point_of_care": {"id": "310001074", "system": "urn:oid:2.16.578.1.12.4.1.4.101"},
        },
        "care_relationship": {
            "purpose_of_use": {"code": "TREAT", "system": "urn:oid:2.16.840.1.113883.1.11.20448"},
            "purpose_of_use_details": {"code": "BEHANDLER", "system": "https://terminology.dips.com/decisiontemplate"},
            "decision_ref": {"id": "decision-1", "user_selected": true},
        },
        "patients": [{"identifier": {"id": PATIENT, "system": "urn:oid:2.16.578.1.12.4.1.4.1"}}],
    })
}

/// A page of the anchor in a browser.
pub struct Page {
    pub answer: Answer,
    /// `name=value`, as the browser sends it back.
    pub cookie: String,
}

impl Page {
    /// The form's own value.
    pub fn ticket(&self) -> String {
        let after = self.answer.text.split("name=\"ticket\" value=\"").nth(1);
        let value = after.and_then(|text| text.split('"').next());
        value.expect("a form with a ticket").to_owned()
    }
}

/// The cookie that an answer sets, if it does.
pub fn cookie_of(answer: &Answer) -> Option<String> {
    let set = answer.headers.get("set-cookie")?.to_str().unwrap();
    Some(set.split(';').next().unwrap().to_owned())
}

/// Where an answer sends the browser, and with what.
pub fn sent_to(answer: &Answer) -> (String, Vec<(String, String)>) {
    assert_eq!(answer.status, 303, "{}", answer.text);
    let url = url::Url::parse(answer.headers["location"].to_str().unwrap()).unwrap();
    let pairs = url.query_pairs().into_owned().collect();
    let mut bare = url.clone();
    bare.set_query(None);
    (bare.to_string(), pairs)
}

/// A value of a redirect.
pub fn value(answer: &Answer, name: &str) -> Option<String> {
    let (_, pairs) = sent_to(answer);
    let mut found = pairs.into_iter().filter(|(own, _)| own == name);
    let first = found.next();
    assert!(found.next().is_none(), "{name} stands twice");
    first.map(|(_, value)| value)
}

impl Region {
    /// A sound pushed request of the hospital's record system, with the attest (flow 1).
    pub fn push(&self) -> Ask {
        self.push_bare()
            .set("authorization_details", &json!([attest()]).to_string())
    }

    /// The same without an attest.
    pub fn push_bare(&self) -> Ask {
        let mut ask = self.ask(
            JOURNAL,
            &self.hospital,
            GATEWAY,
            "openid offline_access user/*.rs",
        );
        ask.proofs.clear();
        ask.without("grant_type")
            .set("response_type", "code")
            .set("redirect_uri", CALLBACK)
            .set("state", "st-1")
            .set("nonce", "n-1")
            .set("code_challenge", &sha256_base64url(VERIFIER.as_bytes()))
            .set("code_challenge_method", "S256")
    }

    /// The `request_uri` of a pushed request.
    pub async fn pushed(&self, ask: Ask) -> String {
        let answer = self.post("/par", ask).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.body["request_uri"].as_str().unwrap().to_owned()
    }

    /// What the browser gets at the authorization endpoint.
    pub async fn visit(&self, client: &str, uri: &str, cookie: Option<&str>) -> Answer {
        let query = wire::form::write([("client_id", client), ("request_uri", uri)]);
        self.visit_at(&format!("/authorize?{query}"), cookie).await
    }

    pub async fn visit_at(&self, path: &str, cookie: Option<&str>) -> Answer {
        let mut request = Request::get(path);
        if let Some(cookie) = cookie {
            request = request.header("cookie", cookie);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// The sign-in page in a new browser.
    pub async fn page(&self, uri: &str) -> Page {
        let answer = self.visit(JOURNAL, uri, None).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let cookie = cookie_of(&answer).unwrap();
        Page { answer, cookie }
    }

    /// Sends the page's form as the browser would.
    pub async fn choose(&self, page: &Page, person: &str) -> Answer {
        let form = wire::form::write([("ticket", page.ticket().as_str()), ("person", person)]);
        self.send_form(
            "/sign-in",
            &form,
            &[("cookie", &page.cookie), ("sec-fetch-site", "same-origin")],
        )
        .await
    }

    pub async fn send_form(&self, path: &str, form: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request =
            Request::post(path).header("content-type", "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(form.to_owned())).unwrap())
            .await
    }

    /// The code that comes of a pushed request when this person is chosen.
    pub async fn code_for(&self, ask: Ask, person: &str) -> String {
        let uri = self.pushed(ask).await;
        let page = self.page(&uri).await;
        let answer = self.choose(&page, person).await;
        value(&answer, "code").expect("a code")
    }

    /// A sound request for a code's tokens.
    pub fn redeem(&self, code: &str) -> Ask {
        self.redeem_with(code, &self.user)
    }

    pub fn redeem_with(&self, code: &str, proof_key: &SigningKey) -> Ask {
        let mut ask = self
            .ask(JOURNAL, &self.hospital, "", "")
            .without("resource")
            .without("scope")
            .set("grant_type", "authorization_code")
            .set("code", code)
            .set("redirect_uri", CALLBACK)
            .set("code_verifier", VERIFIER);
        ask.proofs = vec![self.proof(proof_key)];
        ask
    }

    /// A sound request for more by a refresh token.
    pub fn renew(&self, refresh_token: &str) -> Ask {
        self.redeem("")
            .without("code")
            .without("redirect_uri")
            .without("code_verifier")
            .set("grant_type", "refresh_token")
            .set("refresh_token", refresh_token)
    }

    /// Tokens of the physician, attest by flow 1.
    pub async fn signed_in(&self) -> Value {
        let code = self.code_for(self.push(), PHYSICIAN).await;
        let answer = self.token(self.redeem(&code)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.body
    }

    /// A sound exchange by the gateway of a signed-in user's token.
    pub fn exchange_at_fjellvik(&self, token: &str) -> Ask {
        self.exchange(token, FJELLVIK, "user/Observation.rs")
    }
}
