// A record system signs its physician in by FAPI 2.0, with a certified library that knows nothing of Delt: discovery, PAR,
// PKCE, private_key_jwt, DPoP, `iss`, refresh, revocation, and the attest by both flows.
// `node oauth.mjs READY.json`, where READY.json holds the line that `delt demo --json` printed. Exits 1 at the first thing
// that is not as the standards say. Nobody listens at the redirect URI: the answer is read from the Location.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { importJWK } from "jose";
import * as oidc from "openid-client";

const ORGNR = "urn:oid:2.16.578.1.12.4.1.4.101";
const FNR = "urn:oid:2.16.578.1.12.4.1.4.1";
const ATTEST = "nhn:tillitsrammeverk:parameters";
const REDIRECT = "http://127.0.0.1:8400/callback";

const demo = JSON.parse(await readFile(process.argv[2], "utf8"));
const patient = demo.patients[0];
const physician = demo.practitioners[0];
const audience = `${demo.gateway}/fhir`;
const registered = demo.clients.find((one) => one.use === "record-system" && one.orgnr === physician.orgnr);
const file = JSON.parse(await readFile(registered.file, "utf8"));
let held = 0;

async function holds(what, check) {
  try {
    const made = await check();
    held += 1;
    console.log(`holds: ${what}`);
    return made;
  } catch (error) {
    console.error(`not so: ${what}`);
    throw error;
  }
}

/** The need for one patient's data, as the record system states it. */
function attest() {
  const place = { id: physician.orgnr, system: ORGNR };
  return {
    type: ATTEST,
    practitioner: { legal_entity: place, point_of_care: place },
    care_relationship: {
      purpose_of_use: { code: "TREAT", system: "http://terminology.hl7.org/CodeSystem/v3-ActReason" },
      purpose_of_use_details: { code: "BEHANDLER", system: "https://terminology.dips.com/decisiontemplate" },
      decision_ref: { id: crypto.randomUUID(), user_selected: true },
    },
    patients: [{ identifier: { id: patient.fnr, system: FNR } }],
  };
}

const { kid, alg, ...jwk } = file.jwk;
const key = await importJWK(jwk, alg);
/** Set to send the attest in the next client assertion (flow 2). */
let stated;
const authentication = oidc.PrivateKeyJwt(
  { key, kid },
  {
    [oidc.modifyAssertion]: (header, payload) => {
      header.typ = "client-authentication+jwt";
      if (stated) payload.assertion_details = [stated];
    },
  },
);

const config = await holds("discovery says what is there", async () => {
  const found = await oidc.discovery(new URL(demo.issuer), file.client_id, undefined, authentication, {
    execute: [oidc.allowInsecureRequests],
  });
  const server = found.serverMetadata();
  assert.equal(server.issuer, demo.issuer);
  assert.equal(server.require_pushed_authorization_requests, true);
  assert.equal(server.authorization_response_iss_parameter_supported, true);
  assert.ok(server.supportsPKCE());
  assert.deepEqual(server.authorization_details_types_supported, [ATTEST]);
  return found;
});
const dpop = oidc.getDPoPHandle(config, await oidc.randomDPoPKeyPair("ES256"));
const options = { DPoP: dpop };

/** The browser's part: the sign-in page, a choice, the way back. */
async function browser(url, choose) {
  const page = await fetch(url, { redirect: "manual" });
  if (page.status === 303) return new URL(page.headers.get("location"));
  assert.equal(page.status, 200);
  const html = await page.text();
  assert.match(page.headers.get("content-security-policy"), /frame-ancestors 'none'/);
  const ticket = /name="ticket" value="([^"]+)"/.exec(html)[1];
  const person = [...html.matchAll(/name="person" value="([^"]+)">(?:<span[^>]*>[^<]*<\/span>)?<b>([^<]*)<\/b>/g)].find(
    ([, , name]) => name === choose,
  );
  assert.ok(person || choose === "none", `${choose} is on the page`);
  const answer = await fetch(new URL(/action="([^"]+)"/.exec(html)[1], url), {
    method: "POST",
    redirect: "manual",
    headers: {
      "content-type": "application/x-www-form-urlencoded",
      cookie: page.headers.get("set-cookie").split(";")[0],
    },
    body: new URLSearchParams({ ticket, person: person?.[1] ?? "none" }),
  });
  assert.equal(answer.status, 303);
  return new URL(answer.headers.get("location"));
}

async function push(more = {}) {
  const verifier = oidc.randomPKCECodeVerifier();
  const expected = {
    pkceCodeVerifier: verifier,
    expectedState: oidc.randomState(),
    expectedNonce: oidc.randomNonce(),
    idTokenExpected: true,
  };
  const url = await oidc.buildAuthorizationUrlWithPAR(
    config,
    {
      redirect_uri: REDIRECT,
      scope: "openid profile offline_access user/*.rs",
      resource: audience,
      code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
      code_challenge_method: "S256",
      state: expected.expectedState,
      nonce: expected.expectedNonce,
      ...more,
    },
    options,
  );
  assert.deepEqual([...url.searchParams.keys()].sort(), ["client_id", "request_uri"]);
  return { url, expected };
}

async function refused(promise, error) {
  const answer = await promise.then(
    () => assert.fail(`expected ${error}`),
    (fault) => fault,
  );
  assert.equal(answer.error, error, answer.error_description ?? answer.message);
  return answer;
}

const details = JSON.stringify([attest()]);
const back = await holds("a physician signs in by a pushed request with the attest (flow 1)", async () => {
  const { url, expected } = await push({ authorization_details: details });
  const location = await browser(url, physician.name);
  assert.equal(location.searchParams.get("iss"), demo.issuer);
  return { url, expected, location };
});
const tokens = await holds("the code gives a DPoP-bound token, an ID token and a refresh token", async () => {
  const got = await oidc.authorizationCodeGrant(config, back.location, back.expected, {}, options);
  assert.equal(got.token_type, "dpop");
  assert.equal(got.expires_in, 300);
  assert.equal(got.claims().name, physician.name);
  assert.equal(got.authorization_details[0].practitioner.hpr_nr.id, physician.hpr);
  return got;
});
await holds("the token opens the patient's data through the gateway", async () => {
  const answer = await oidc.fetchProtectedResource(
    config,
    tokens.access_token,
    new URL(`${audience}/Observation/_search`),
    "POST",
    new URLSearchParams({ "patient.identifier": `${FNR}|${patient.fnr}`, _count: "5" }).toString(),
    new Headers({ "content-type": "application/x-www-form-urlencoded" }),
    options,
  );
  assert.equal(answer.status, 200);
  const found = await answer.json();
  assert.ok(found.entry.some((entry) => entry.search.mode === "match"));
});
await holds("a request is answered once", async () => {
  const again = await fetch(back.url, { redirect: "manual" });
  assert.equal(again.status, 400);
});
const renewed = await holds("a refresh token is used once, and gives the same need", async () => {
  const got = await oidc.refreshTokenGrant(config, tokens.refresh_token, undefined, options);
  assert.notEqual(got.refresh_token, tokens.refresh_token);
  assert.equal(got.scope, tokens.scope);
  return got;
});
await holds("both flows at once are HID-DOUBLE-STRUCTURE", async () => {
  stated = attest();
  const answer = await refused(
    oidc.refreshTokenGrant(config, renewed.refresh_token, undefined, options),
    "access_denied",
  );
  stated = undefined;
  assert.match(answer.error_description, /^HID-DOUBLE-STRUCTURE/);
});
await holds("the second use of a refresh token ends them all", async () => {
  await refused(oidc.refreshTokenGrant(config, tokens.refresh_token, undefined, options), "invalid_grant");
  await refused(oidc.refreshTokenGrant(config, renewed.refresh_token, undefined, options), "invalid_grant");
});
const second = await holds("the attest in the client assertion (flow 2) opens one token", async () => {
  const { url, expected } = await push();
  const location = await browser(url, physician.name);
  const plain = await oidc.authorizationCodeGrant(config, location, expected, {}, options);
  assert.equal(plain.scope, "openid profile offline_access");
  stated = attest();
  const got = await oidc.refreshTokenGrant(config, plain.refresh_token, undefined, options);
  stated = undefined;
  assert.match(got.scope, /user\/\*\.rs/);
  return got;
});
await holds("what was revoked renews nothing", async () => {
  await oidc.tokenRevocation(config, second.refresh_token);
  await refused(oidc.refreshTokenGrant(config, second.refresh_token, undefined, options), "invalid_grant");
});
await holds("a code works once", async () => {
  const { url, expected } = await push({ authorization_details: details });
  const location = await browser(url, physician.name);
  await oidc.authorizationCodeGrant(config, location, expected, {}, options);
  await refused(oidc.authorizationCodeGrant(config, location, expected, {}, options), "invalid_grant");
});
await holds("who breaks off sends an error back to the client, with iss", async () => {
  const { url, expected } = await push();
  const location = await browser(url, "none");
  const fault = await oidc.authorizationCodeGrant(config, location, expected, {}, options).catch((error) => error);
  assert.equal(fault.error, "access_denied");
});
await holds("a request without PKCE, or to another place, is not taken", async () => {
  await refused(push({ code_challenge: undefined, code_challenge_method: undefined }), "invalid_request");
  await refused(push({ redirect_uri: "http://127.0.0.1:8401/callback" }), "invalid_request");
});
console.log(`${held} held`);
