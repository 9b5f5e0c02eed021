// A home system and a clinician's client meet a running demo: `node quick.mjs READY.json`, where READY.json holds the
// line that `delt demo --json` printed. Exits 1 at the first thing that is not as the contract says.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { Client, DpopKey } from "./client.mjs";

const FNR = "urn:oid:2.16.578.1.12.4.1.4.1";
const LOINC = "http://loinc.org";
const UCUM = "http://unitsofmeasure.org";
const FHIR = "application/fhir+json";
const SOURCE_STATE = "https://delt.example/fhir/CodeSystem/source-state";
const BUNDLE_RESPONSE = "http://hl7.no/fhir/vkpobservation/StructureDefinition/PmdBundleResponseEntryIdExtension";

const demo = JSON.parse(await readFile(process.argv[2], "utf8"));
const patient = demo.patients[0];
const physician = demo.practitioners[0];
let held = 0;

/** Runs one promise of the contract and says that it held. */
async function holds(what, check) {
  try {
    await check();
  } catch (error) {
    console.error(`not so: ${what}`);
    throw error;
  }
  held += 1;
  console.log(`holds: ${what}`);
}

/** An oxygen saturation as a home system sends it. The value is text so that its last zero survives. */
function saturation(id, value, when) {
  return JSON.stringify({
    resourceType: "Observation",
    identifier: [{ system: "https://interop.example/reading", value: id }],
    status: "final",
    category: [
      { coding: [{ system: "http://terminology.hl7.org/CodeSystem/observation-category", code: "vital-signs" }] },
    ],
    code: { coding: [{ system: LOINC, code: "2708-6" }] },
    subject: { identifier: { system: FNR, value: patient.fnr } },
    effectiveDateTime: when,
    valueQuantity: { value: "@", unit: "%", system: UCUM, code: "%" },
  }).replace('"@"', value);
}

async function testToken(dpop, audience, more = {}) {
  const response = await fetch(`${demo.issuer}/test-token`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      as: "practitioner",
      fnr: physician.fnr,
      hpr: physician.hpr,
      orgnr: physician.orgnr,
      patient: patient.fnr,
      audience,
      scope: "user/*.rs",
      jkt: dpop.jkt,
      ...more,
    }),
  });
  const answer = await response.json();
  assert.equal(response.status, 200, JSON.stringify(answer));
  return answer.access_token;
}

/** Token endpoint and keys are where discovery says. */
async function discovery() {
  const metadata = await (await fetch(`${demo.issuer}/.well-known/openid-configuration`)).json();
  assert.equal(metadata.issuer, demo.issuer);
  assert.ok(metadata.token_endpoint_auth_methods_supported.includes("private_key_jwt"));
  assert.ok(metadata.dpop_signing_alg_values_supported.includes("ES256"));
  const keys = await (await fetch(metadata.jwks_uri)).json();
  assert.ok(keys.keys.length > 0);
  assert.ok(keys.keys.every((key) => key.d === undefined), "a private member in the key set");
  return metadata;
}

const dpop = await DpopKey.create();
const home = await Client.load(demo.clients.find((c) => c.use === "home-system").file);
const hub = `${demo.hub}/fhir`;
const reading = randomUUID();
const when = new Date(Date.now() - 60_000).toISOString();
let answered;

await holds("discovery names issuer, methods and public keys", async () => {
  assert.equal((await discovery()).token_endpoint, home.token_endpoint);
});

const write = await home.token(dpop, hub, "system/Observation.c");
const good = saturation(reading, "91.0", when);
const bad = saturation(randomUUID(), '"ninety"', when);
const bundle = `{"resourceType":"Bundle","type":"collection","entry":[
  {"fullUrl":"urn:uuid:${randomUUID()}","resource":${good}},{"resource":${bad}}]}`;

await holds("a collection answers each entry alone, in order, with the element at fault", async () => {
  answered = await dpop.send("POST", hub, write, { body: bundle, type: FHIR });
  assert.equal(answered.status, 200, JSON.stringify(answered.json));
  assert.match(answered.headers.get("content-type"), /^application\/fhir\+json/);
  assert.equal(answered.json.type, "batch-response");
  const [first, second] = answered.json.entry;
  assert.match(first.response.status, /^201/, JSON.stringify(first));
  assert.ok(first.response.extension.some((e) => e.url === BUNDLE_RESPONSE), "no PMD response extension");
  assert.equal(first.fullUrl, JSON.parse(bundle).entry[0].fullUrl);
  assert.match(second.response.status, /^4/);
  assert.equal(second.fullUrl, undefined);
  const where = second.response.outcome.issue.flatMap((issue) => issue.expression ?? []);
  assert.ok(where.some((e) => e.includes("value")), `expression ${where}`);
});

await holds("a resend gives the first answer and makes nothing new", async () => {
  const again = await dpop.send("POST", hub, write, { body: bundle, type: FHIR });
  assert.equal(again.status, 200);
  assert.equal(again.json.entry[0].response.location, answered.json.entry[0].response.location);
  assert.deepEqual(again.json.entry[0].response.extension, answered.json.entry[0].response.extension);
});

await holds("the same reading with other content is refused", async () => {
  const other = await dpop.send("POST", `${hub}/Observation`, write, {
    body: saturation(reading, "84", when),
    type: FHIR,
  });
  assert.equal(other.status, 422, JSON.stringify(other.json));
  assert.equal(other.json.resourceType, "OperationOutcome");
});

await holds("a body that is not JSON is told so", async () => {
  const broken = await dpop.send("POST", hub, write, { body: "{", type: FHIR });
  assert.equal(broken.status, 400);
  assert.equal(broken.json.resourceType, "OperationOutcome");
});

await holds("a proof opens one request only", async () => {
  const url = `${hub}/Observation`;
  const proof = await dpop.proof("POST", url, write);
  const body = saturation(randomUUID(), "92", when);
  assert.equal((await dpop.send("POST", url, write, { body, type: FHIR, proof })).status, 201);
  const second = await dpop.send("POST", url, write, { body, type: FHIR, proof });
  assert.equal(second.status, 401);
  assert.match(second.headers.get("www-authenticate"), /DPoP .*invalid_dpop_proof/);
});

await holds("no token: 401 with a DPoP challenge", async () => {
  const response = await fetch(hub, { method: "POST", headers: { "content-type": FHIR }, body: bundle });
  assert.equal(response.status, 401);
  assert.match(response.headers.get("www-authenticate"), /^DPoP/);
});

const region = `${demo.gateway}/fhir`;
const search = `${region}/Observation/_search`;
const form = (parameters) => ({
  body: new URLSearchParams(parameters).toString(),
  type: "application/x-www-form-urlencoded",
});
const question = { "patient.identifier": `${FNR}|${patient.fnr}`, code: `${LOINC}|2708-6`, date: `ge${when}` };

await holds("another organisation's physician finds the reading, once, digits kept, every source accounted for", async () => {
  const token = await testToken(dpop, region);
  const until = Date.now() + 20_000;
  let found = [];
  let answer;
  while (found.length === 0 && Date.now() < until) {
    answer = await dpop.send("POST", search, token, form(question));
    assert.equal(answer.status, 200, JSON.stringify(answer.json));
    found = answer.json.entry.filter((e) => e.resource.identifier?.some?.((i) => i.value === reading));
    if (found.length === 0) await new Promise((wake) => setTimeout(wake, 200));
  }
  assert.equal(found.length, 1, "the reading is not there");
  assert.equal(found[0].search.mode, "match");
  const receipts = answer.json.entry.filter((e) => e.search.mode === "outcome");
  assert.equal(receipts.length, 1);
  const states = receipts[0].resource.issue.flatMap((i) => i.details?.coding ?? []).filter((c) => c.system === SOURCE_STATE);
  assert.ok(states.length >= 3, "the receipt names fewer than three sources");
  assert.ok(states.some((s) => s.code === "complete"));
  assert.match(answer.headers.get("cache-control") ?? "", /no-store/);
  for (const link of answer.json.link) assert.ok(!link.url.includes(patient.fnr), "a link holds the person's number");
});

await holds("a token for one patient shows nothing of another", async () => {
  const token = await testToken(dpop, region);
  const other = demo.patients[1].fnr;
  const answer = await dpop.send("POST", search, token, form({ "patient.identifier": `${FNR}|${other}` }));
  assert.equal(answer.status, 200);
  assert.equal((answer.json.entry ?? []).filter((e) => e.search?.mode !== "outcome").length, 0);
});

await holds("a person's number in a URL is refused", async () => {
  const url = `${region}/Observation?patient.identifier=${encodeURIComponent(`${FNR}|${patient.fnr}`)}`;
  const token = await testToken(dpop, region);
  const headers = { authorization: `DPoP ${token}`, dpop: await dpop.proof("GET", `${region}/Observation`, token) };
  assert.equal((await fetch(url, { headers })).status, 400);
});

for (const defect of ["expired", "not_yet_valid", "wrong_issuer", "wrong_audience", "wrong_signature", "wrong_typ", "no_cnf"]) {
  await holds(`a token with the defect ${defect} gives 401`, async () => {
    const token = await testToken(dpop, region, { defect });
    const answer = await dpop.send("POST", search, token, form(question));
    assert.equal(answer.status, 401, JSON.stringify(answer.json));
    assert.match(answer.headers.get("www-authenticate"), /DPoP .*invalid_token/);
    assert.equal(answer.json.resourceType, "OperationOutcome");
  });
}

for (const defect of ["no_attest", "stale_attest", "other_practitioner", "no_patient", "no_purpose", "no_decision_ref"]) {
  await holds(`a token with the defect ${defect} gives 403`, async () => {
    const token = await testToken(dpop, region, { defect });
    const answer = await dpop.send("POST", search, token, form(question));
    assert.equal(answer.status, 403, JSON.stringify(answer.json));
    assert.equal(answer.json.resourceType, "OperationOutcome");
  });
}

console.log(`node client: ${held} promises held`);
