// An app is launched with a patient (SMART App Launch 2.2), by a certified OAuth library that knows nothing of Delt: the addresses come from
// the gateway's `.well-known/smart-configuration`, a record system deposits the launch ("EHR launch"), the app brings the handle in its pushed
// request and searches by the patient id that it is given; then the same on its own ("standalone launch"), the patient named in a form.
// `node launch.mjs READY.json`, where READY.json holds the line that `delt demo --json` printed. Exits 1 at the first thing that is not as
// the standards say. Nobody listens at the redirect URI: the answer is read from the Location.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { SignJWT, calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK } from "jose";
import * as oidc from "openid-client";

const ORGNR = "urn:oid:2.16.578.1.12.4.1.4.101";
const FNR = "urn:oid:2.16.578.1.12.4.1.4.1";
const ATTEST = "nhn:tillitsrammeverk:parameters";
const REDIRECT = "http://127.0.0.1:8400/callback";

const demo = JSON.parse(await readFile(process.argv[2], "utf8"));
const patient = demo.patients[0];
const physician = demo.practitioners[0];
const iss = `${demo.gateway}/fhir`;
const registered = demo.clients.find((one) => one.use === "record-system" && one.orgnr === physician.orgnr);
const file = JSON.parse(await readFile(registered.file, "utf8"));
const { kid, alg, ...jwk } = file.jwk;
const key = await importJWK(jwk, alg);
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

/** The need, as the record system states it; without a patient when the user is to name one. */
function attest(patients) {
  const place = { id: physician.orgnr, system: ORGNR };
  return {
    type: ATTEST,
    practitioner: {
      identifier: { id: physician.fnr, system: FNR },
      legal_entity: place,
      point_of_care: place,
    },
    care_relationship: {
      purpose_of_use: { code: "TREAT", system: "http://terminology.hl7.org/CodeSystem/v3-ActReason" },
      purpose_of_use_details: { code: "BEHANDLER", system: "https://terminology.dips.com/decisiontemplate" },
      decision_ref: { id: crypto.randomUUID(), user_selected: true },
    },
    patients,
  };
}
const about = [{ identifier: { id: patient.fnr, system: FNR, name: patient.name } }];

const config = await holds("the addresses stand in the FHIR server's smart-configuration", async () => {
  const found = await oidc.discovery(
    new URL(`${iss}/.well-known/smart-configuration`),
    file.client_id,
    undefined,
    oidc.PrivateKeyJwt({ key, kid }, { [oidc.modifyAssertion]: (header) => (header.typ = "client-authentication+jwt") }),
    { execute: [oidc.allowInsecureRequests] },
  );
  const smart = found.serverMetadata();
  assert.equal(smart.issuer, demo.issuer);
  for (const one of ["launch-ehr", "launch-standalone", "context-ehr-patient", "context-standalone-patient", "permission-v2"]) {
    assert.ok(smart.capabilities.includes(one), one);
  }
  assert.deepEqual(smart.code_challenge_methods_supported, ["S256"]);
  return found;
});
const smart = config.serverMetadata();
const dpop = oidc.getDPoPHandle(config, await oidc.randomDPoPKeyPair("ES256"));
const options = { DPoP: dpop };

/** What a record system sends: a form with its assertion, and a proof. */
async function deposit(fields) {
  const now = Math.floor(Date.now() / 1000);
  const assertion = await new SignJWT({ jti: crypto.randomUUID() })
    .setProtectedHeader({ alg, kid, typ: "client-authentication+jwt" })
    .setIssuer(file.client_id)
    .setSubject(file.client_id)
    .setAudience(demo.issuer)
    .setIssuedAt(now)
    .setExpirationTime(now + 30)
    .sign(key);
  const pair = await generateKeyPair("ES256", { extractable: true });
  const shown = await exportJWK(pair.publicKey);
  assert.ok(await calculateJwkThumbprint(shown));
  const proof = await new SignJWT({ jti: crypto.randomUUID(), htm: "POST", htu: smart.launch_context_endpoint })
    .setProtectedHeader({ alg: "ES256", typ: "dpop+jwt", jwk: shown })
    .setIssuedAt(now)
    .sign(pair.privateKey);
  const answer = await fetch(smart.launch_context_endpoint, {
    method: "POST",
    headers: { "content-type": "application/x-www-form-urlencoded", dpop: proof },
    body: new URLSearchParams({
      client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
      client_assertion: assertion,
      ...fields,
    }),
  });
  return [answer.status, await answer.json()];
}

const details = JSON.stringify([attest(about)]);
const launch = await holds("a record system deposits what an app is opened for", async () => {
  const [status, answer] = await deposit({ app: file.client_id, authorization_details: details });
  assert.equal(status, 201, JSON.stringify(answer));
  assert.equal(answer.expires_in, 60);
  return answer.launch;
});
await holds("a deposit without the patient, or for an app that is none, is refused", async () => {
  const [status, answer] = await deposit({
    app: file.client_id,
    authorization_details: JSON.stringify([attest([])]),
  });
  assert.deepEqual([status, answer.error], [400, "invalid_authorization_details"]);
  const [other, refused] = await deposit({ app: "delt-hub", authorization_details: details });
  assert.deepEqual([other, refused.error], [400, "invalid_target"]);
});

async function push(more) {
  const verifier = oidc.randomPKCECodeVerifier();
  const expected = { pkceCodeVerifier: verifier, expectedState: oidc.randomState() };
  const url = await oidc.buildAuthorizationUrlWithPAR(
    config,
    {
      redirect_uri: REDIRECT,
      aud: iss,
      code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
      code_challenge_method: "S256",
      state: expected.expectedState,
      ...more,
    },
    options,
  );
  assert.deepEqual([...url.searchParams.keys()].sort(), ["client_id", "request_uri"]);
  return { url, expected };
}

/** A browser: one cookie, forms as the pages have them. */
const browser = {
  cookie: undefined,
  async get(url) {
    return this.keep(
      await fetch(url, { redirect: "manual", headers: this.cookie ? { cookie: this.cookie } : {} }),
    );
  },
  async send(page, url, fields) {
    const ticket = /name="ticket" value="([^"]+)"/.exec(page)[1];
    return this.keep(
      await fetch(new URL(/<form method="post" action="([^"]+)"/.exec(page)[1], url), {
        method: "POST",
        redirect: "manual",
        headers: { "content-type": "application/x-www-form-urlencoded", cookie: this.cookie },
        body: new URLSearchParams({ ticket, ...fields }),
      }),
    );
  },
  keep(answer) {
    this.cookie = answer.headers.get("set-cookie")?.split(";")[0] ?? this.cookie;
    return answer;
  },
};

/** The anchor's sign-in page, answered. */
async function signIn(url) {
  const page = await browser.get(url);
  assert.equal(page.status, 200);
  const html = await page.text();
  const people = [...html.matchAll(/name="person" value="([^"]+)">(?:<span[^>]*>[^<]*<\/span>)?<b>([^<]*)<\/b>/g)];
  const person = people.find(([, , name]) => name === physician.name)[1];
  return browser.send(html, url, { person });
}

async function search(token, form) {
  return oidc.fetchProtectedResource(
    config,
    token,
    new URL(`${iss}/Observation/_search`),
    "POST",
    new URLSearchParams(form).toString(),
    new Headers({ "content-type": "application/x-www-form-urlencoded" }),
    options,
  );
}

const opened = await holds("the app brings the handle, and is told the patient", async () => {
  const { url, expected } = await push({ scope: "launch offline_access user/*.rs", launch });
  const answer = await signIn(url);
  assert.equal(answer.status, 303);
  const got = await oidc.authorizationCodeGrant(config, new URL(answer.headers.get("location")), expected, {}, options);
  assert.match(got.patient, /^[A-Za-z0-9\-.]{1,64}$/);
  assert.notEqual(got.patient, patient.fnr);
  assert.equal(got.need_patient_banner, true);
  assert.equal(got.authorization_details[0].patients[0].identifier.id, patient.fnr);
  return got;
});
await holds("that id finds the patient's readings, and another finds none", async () => {
  const found = await search(opened.access_token, { patient: opened.patient, _count: "5" });
  assert.equal(found.status, 200);
  const bundle = await found.json();
  assert.ok(bundle.entry.some((entry) => entry.search.mode === "match"));
  const other = await search(opened.access_token, { patient: crypto.randomUUID() });
  assert.equal(other.status, 400);
});
await holds("a renewal is for the same patient", async () => {
  const got = await oidc.refreshTokenGrant(config, opened.refresh_token, undefined, options);
  assert.equal(got.patient, opened.patient);
});
await holds("a handle works once", async () => {
  const fault = await push({ scope: "launch user/*.rs", launch }).catch((error) => error);
  assert.equal(fault.error, "invalid_request");
});
await holds("on its own, the user names the patient in a form, signed in already", async () => {
  const { url, expected } = await push({
    scope: "launch/patient user/*.rs",
    authorization_details: JSON.stringify([attest([])]),
  });
  const page = await browser.get(url);
  assert.equal(page.status, 200);
  const html = await page.text();
  assert.match(html, /name="number"/);
  const answer = await browser.send(html, url, { number: patient.fnr });
  assert.equal(answer.status, 303);
  const back = new URL(answer.headers.get("location"));
  assert.ok(!back.href.includes(patient.fnr));
  const got = await oidc.authorizationCodeGrant(config, back, expected, {}, options);
  assert.equal(got.patient, opened.patient);
  const found = await search(got.access_token, { patient: `Patient/${got.patient}`, _count: "5" });
  assert.equal(found.status, 200);
});
console.log(`${held} held`);
