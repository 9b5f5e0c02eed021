// A practitioner signs in at an identity provider that is not Delt's, and her record system reads by it: the browser goes from
// the trust anchor to npm `oidc-provider` dressed as HelseID and back. The record system is `oauth4webapi` with `jose`, and the
// region demands server nonces in every DPoP proof. `node provider.mjs target/debug/delt`
import assert from "node:assert/strict";
import { importJWK } from "jose";
import * as oauth from "oauth4webapi";
import { Browser } from "./browser.mjs";
import * as helseid from "./helseid.mjs";
import { ATTEST, REDIRECT, Region, attest, search, story } from "./region.mjs";

const OPEN = { [oauth.allowInsecureRequests]: true };

await story("provider", async (holds, atEnd) => {
  const region = await Region.prepare(process.argv[2]);
  atEnd(() => region.stop());
  const address = await helseid.listen();
  const key = await region.key("delt-anchor", "portal", address.issuer);
  const provider = await helseid.start(address, {
    clients: [
      {
        client_id: "delt-anchor",
        redirect_uris: [`${region.issuer}/sign-in/helseid/callback`],
        scope: helseid.SCOPES,
        jwks: { keys: [key] },
      },
    ],
  });
  atEnd(provider.stop);
  await region.start({
    anchor: `
dpop_nonce = true
# No register of health personnel here: what the record system states is believed, and that must be said aloud.
believe_stated_authorisations = true
[[anchor.identity_provider]]
id = "helseid"
name = "HelseID"
profile = "helseid"
issuer = "${provider.issuer}"
client_file = "keys/delt-anchor.json"
dpop = true`,
  });

  const file = await region.client("epj-proveheim");
  const { kid, alg, ...jwk } = file.jwk;
  const client = { client_id: file.client_id };
  let stated;
  const authentication = oauth.PrivateKeyJwt(
    { key: await importJWK(jwk, alg), kid },
    {
      [oauth.modifyAssertion]: (header, payload) => {
        header.typ = "client-authentication+jwt";
        if (stated) payload.assertion_details = [stated];
      },
    },
  );
  const server = await holds("outside the demo discovery offers sign-in", async () => {
    const issuer = new URL(region.issuer);
    const answer = await oauth.discoveryRequest(issuer, OPEN);
    const found = await oauth.processDiscoveryResponse(issuer, answer);
    assert.equal(found.require_pushed_authorization_requests, true);
    assert.equal((await fetch(`${region.issuer}/test-token`, { method: "POST" })).status, 404);
    return found;
  });
  const keys = await oauth.generateKeyPair("ES256");
  const dpop = oauth.DPoP(client, keys);
  const options = { ...OPEN, DPoP: dpop };

  /** What is asked and, told to use a nonce, asked again with it; counts how often that was needed. */
  let told = 0;
  async function withNonce(ask, process) {
    try {
      return await process(await ask());
    } catch (error) {
      if (!oauth.isDPoPNonceError(error)) throw error;
      told += 1;
      return process(await ask());
    }
  }

  async function push(more = {}) {
    const verifier = oauth.generateRandomCodeVerifier();
    const expected = { verifier, state: oauth.generateRandomState(), nonce: oauth.generateRandomNonce() };
    const parameters = {
      response_type: "code",
      redirect_uri: REDIRECT,
      scope: "openid profile offline_access user/*.rs",
      resource: region.service,
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
      code_challenge_method: "S256",
      state: expected.state,
      nonce: expected.nonce,
      authorization_details: JSON.stringify([{ type: ATTEST, ...attest() }]),
      ...more,
    };
    const pushed = await withNonce(
      () => oauth.pushedAuthorizationRequest(server, client, authentication, parameters, options),
      (answer) => oauth.processPushedAuthorizationResponse(server, client, answer),
    );
    const url = new URL(server.authorization_endpoint);
    url.searchParams.set("client_id", client.client_id);
    url.searchParams.set("request_uri", pushed.request_uri);
    return { url, expected };
  }

  const redeem = ({ expected }, back) =>
    withNonce(
      () =>
        oauth.authorizationCodeGrantRequest(
          server,
          client,
          authentication,
          oauth.validateAuthResponse(server, client, back, expected.state),
          REDIRECT,
          expected.verifier,
          options,
        ),
      (answer) =>
        oauth.processAuthorizationCodeResponse(server, client, answer, {
          expectedNonce: expected.nonce,
          requireIdToken: true,
        }),
    );
  const renew = (token) =>
    withNonce(
      () => oauth.refreshTokenGrantRequest(server, client, authentication, token, options),
      (answer) => oauth.processRefreshTokenResponse(server, client, answer),
    );
  const readings = (token) =>
    oauth.protectedResourceRequest(
      token,
      "POST",
      new URL(`${region.service}/Observation/_search`),
      new Headers({ "content-type": "application/x-www-form-urlencoded" }),
      search(),
      options,
    );

  const browser = new Browser();
  const tokens = await holds("a physician signs in at the provider's own form, and the anchor answers her client", async () => {
    const request = await push();
    const back = await browser.go(request.url.href, REDIRECT, { login: "lege", password: "x" });
    assert.ok(back, `${browser.page?.html}\n${provider.faults.join("\n")}\n${await region.said()}`);
    assert.equal(back.searchParams.get("iss"), region.issuer);
    // The one provider: from the anchor straight there, through its sign-in and consent, and back; no page of Delt's.
    assert.equal(browser.visited[0], `${region.issuer}/authorize`);
    assert.equal(browser.visited.at(-1), `${region.issuer}/sign-in/helseid/callback`);
    const pages = browser.visited.filter((one) => one.startsWith(region.base));
    assert.equal(pages.length, 2);
    return redeem(request, back);
  });
  await holds("what HelseID says of her stands in the tokens of the anchor", async () => {
    const person = oauth.getValidatedIdTokenClaims(tokens);
    assert.equal(person.name, helseid.PEOPLE.lege.name);
    assert.ok(person.auth_time <= Math.floor(Date.now() / 1000));
    const [need] = tokens.authorization_details;
    assert.equal(need.practitioner.hpr_nr.id, "999900017");
    assert.equal(tokens.token_type, "dpop");
  });
  await holds("the token opens the patient's readings at the hospital's service", async () => {
    const answer = await readings(tokens.access_token);
    assert.equal(answer.status, 200, await answer.clone().text());
    assert.equal((await answer.json()).resourceType, "Bundle");
  });
  await holds("every endpoint told its nonce once or more, and was asked again", async () => {
    assert.ok(told >= 1);
    const without = oauth.DPoP(client, keys);
    const answer = await oauth.refreshTokenGrantRequest(server, client, authentication, tokens.refresh_token, {
      ...OPEN,
      DPoP: without,
    });
    assert.ok(answer.headers.get("dpop-nonce"));
    const error = await oauth.processRefreshTokenResponse(server, client, answer).catch((fault) => fault);
    assert.ok(oauth.isDPoPNonceError(error));
  });
  const renewed = await holds("a refresh token is used once and gives the same need", async () => {
    const got = await renew(tokens.refresh_token);
    assert.notEqual(got.refresh_token, tokens.refresh_token);
    assert.equal((await readings(got.access_token)).status, 200);
    return got;
  });
  await holds("its second use ends them all", async () => {
    for (const token of [tokens.refresh_token, renewed.refresh_token]) {
      const error = await renew(token).catch((fault) => fault);
      assert.equal(error.error, "invalid_grant");
    }
  });
  await holds("whoever is signed in at the anchor is not asked again", async () => {
    const before = browser.visited.length;
    const request = await push();
    const back = await browser.go(request.url.href, REDIRECT);
    assert.deepEqual(browser.visited.slice(before), [`${region.issuer}/authorize`]);
    assert.ok((await redeem(request, back)).access_token);
  });
  await holds("with prompt=login she is asked at the provider, anew", async () => {
    const before = browser.visited.length;
    const request = await push({ prompt: "login" });
    const back = await browser.go(request.url.href, REDIRECT, { login: "lege", password: "x" });
    assert.ok(back, browser.page?.html);
    assert.ok(browser.visited.slice(before).some((one) => one.startsWith(`${provider.issuer}/interaction/`)));
    assert.ok((await redeem(request, back)).access_token);
  });
  const refusedAs = async (login) => {
    const request = await push();
    const back = await new Browser().go(request.url.href, REDIRECT, { login, password: "x" });
    assert.ok(back, "sent back to the client");
    try {
      oauth.validateAuthResponse(server, client, back, request.expected.state);
      return undefined;
    } catch (error) {
      return error;
    }
  };
  await holds("a sign-in below level 4 is refused in words, with iss and state", async () => {
    const error = await refusedAs("slapp");
    assert.equal(error.error, "access_denied");
    assert.match(error.error_description, /^login_level: /);
  });
  await holds("personnel without an HPR number signs in, and the attest names none", async () => {
    const request = await push();
    const back = await new Browser().go(request.url.href, REDIRECT, { login: "sekretær", password: "x" });
    const got = await redeem(request, back);
    assert.equal(got.authorization_details[0].practitioner.hpr_nr, undefined);
  });
  await holds("an answer that another browser brings is refused, and nobody is signed in there", async () => {
    const request = await push();
    const victim = new Browser();
    let carried;
    const stolen = new Browser();
    carried = await stolen.go(request.url.href, `${region.issuer}/sign-in/helseid/callback`, { login: "lege", password: "x" });
    assert.ok(carried);
    assert.equal(await victim.go(carried.href, REDIRECT), undefined);
    assert.equal(victim.page.status, 403);
    // It is still good where it belongs, once.
    assert.ok(await stolen.go(carried.href, REDIRECT));
    assert.equal(await stolen.go(carried.href, REDIRECT), undefined);
  });
  await holds("with the provider down the page says so, and giving up goes back to the client", async () => {
    await provider.stop();
    const request = await push();
    const lost = new Browser();
    assert.equal(await lost.go(request.url.href, REDIRECT), undefined);
    assert.equal(lost.page.status, 503);
    assert.match(lost.page.html, /HelseID svarer ikke/);
    assert.match(lost.page.html, /Avbryt/);
  });
});
