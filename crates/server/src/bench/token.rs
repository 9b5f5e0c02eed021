//! `token`: access tokens from the anchor for a client acting for itself, by signed assertion and DPoP proof.

use super::drive::{Client, Plan};
use super::figure::Figure;
use super::ground::{self, Ground, Target, TokenClient};
use super::http::{self, Answer};
use super::statistics::{milliseconds, per_second, rounded};
use super::{Found, Setting, drive, say};
use serde_json::Value;
use trust::ClientUse;
use wire::contract::anchor::TokenAnswer;

struct Asking {
    client: TokenClient,
    to: Target,
}

impl Client for Asking {
    fn next(&mut self, out: &mut Vec<u8>) -> bool {
        let Some((form, proof)) = self.client.request() else {
            return false;
        };
        http::post(
            out,
            self.to.address,
            &self.to.path,
            ground::FORM,
            &[("dpop", &proof)],
            &form,
        );
        true
    }

    fn check(&mut self, answer: Answer<'_>) -> Result<u64, String> {
        if answer.status != 200 {
            return Err(format!("status {}", answer.status));
        }
        let given: TokenAnswer = serde_json::from_slice(answer.body).map_err(|e| e.to_string())?;
        (given.token_type == "DPoP" && given.access_token.expose().split('.').count() == 3)
            .then_some(1)
            .ok_or_else(|| "not a DPoP-bound JWT".to_owned())
    }
}

/// Measures.
pub async fn run(setting: Setting) -> anyhow::Result<Found> {
    let ground = Ground::open().await?;
    let file = ground.client(ClientUse::HomeSystem, ground::orgnr())?;
    let client = TokenClient::new(
        &file,
        ground.prover(),
        &ground.hub(),
        wire::contract::hub::WRITE_SCOPE,
    )?;
    let to = ground.target(client.endpoint.clone());
    say(&format!("{} clients, flat out", setting.clients));
    let clients = (0..setting.clients)
        .map(|_| {
            Box::new(Asking {
                client: client.clone(),
                to: to.clone(),
            }) as Box<dyn Client>
        })
        .collect();
    let driven = drive(to.address, clients, Plan::flat_out(setting.seconds)).await?;
    let mut found = Found::default();
    found.judge(&driven);
    let figure = Figure::new("token/per_second", per_second(driven.units, driven.elapsed), "1/s")
        .under("what", "client credentials with private_key_jwt and a DPoP proof; replay memory and audit record durable before the answer")
        .under("clients", setting.clients as u64)
        .under("seconds", setting.seconds)
.using(&driven)
        .under("answer_p50_ms", driven.times.median().map_or(Value::Null, |t| rounded(milliseconds(t)).into()))
        .under("generator", "same process and cores; signs an assertion and a proof for each request");
    found.figures.push(figure);
    ground.close().await;
    Ok(found)
}
