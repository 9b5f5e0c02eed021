// A record system's day at its own organisation's sharing service, by two libraries that know nothing of Delt:
// `fhir-kit-client` asks; `@medplum/core` and npm `fhir` validate every answer (strangers.mjs).
// `node record.mjs READY.json`, where READY.json holds the line that `delt demo --json` printed.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { Client as FhirKit } from "fhir-kit-client";
import { holds, matches, promises, recordSystem, refused, validated } from "./strangers.mjs";

const FNR = "urn:oid:2.16.578.1.12.4.1.4.1";
const UCUM = "http://unitsofmeasure.org";
const { base, system, fhir, post, person } = await recordSystem(process.argv[2]);
const versionOf = (resource) => `W/"${resource.meta.versionId}"`;
const ifMatch = (resource) => ({ headers: { "if-match": versionOf(resource) } });

/** A respiratory rate at some minute of an hour that no other test uses. */
const run = randomUUID();
const breaths = (n, value) => ({
  resourceType: "Observation",
  identifier: [{ system: "https://interop.example/record", value: `${run}-${n}` }],
  status: "final",
  category: [{ coding: [{ system: "http://terminology.hl7.org/CodeSystem/observation-category", code: "vital-signs" }] }],
  code: { coding: [{ system: "http://loinc.org", code: "9279-1" }] },
  subject: { identifier: { system: FNR, value: person } },
  effectiveDateTime: `2025-02-03T04:${String(n).padStart(2, "0")}:00Z`,
  valueQuantity: { value, unit: "/min", system: UCUM, code: "/min" },
});

let statement;
await holds("the capability statement is found, and smart-configuration names the token endpoint", async () => {
  statement = await fhir.capabilityStatement();
  assert.equal(statement.fhirVersion, "4.0.1");
  const smart = await (await fetch(`${base}/.well-known/smart-configuration`)).json();
  assert.equal(smart.token_endpoint, system.token_endpoint);
  assert.ok(smart.capabilities.includes("client-confidential-asymmetric"));
});
const listed = Object.fromEntries(statement.rest[0].resource.map((row) => [row.type, row]));
const offers = (code) => listed.Observation.interaction.some((i) => i.code === code);

let made;
await holds("create, the same again, and the same reading with other content", async () => {
  made = await fhir.create({ resourceType: "Observation", body: breaths(1, 18) });
  assert.equal(made.meta.versionId, "1");
  assert.equal(FhirKit.httpFor(made).response.status, 201);
  const again = await fhir.create({ resourceType: "Observation", body: breaths(1, 18) });
  assert.equal(FhirKit.httpFor(again).response.status, 200);
  assert.equal(again.id, made.id);
  const outcome = await refused(fhir.create({ resourceType: "Observation", body: breaths(1, 19) }), 422);
  assert.equal(outcome.issue[0].severity, "error");
});

await holds("a resource that is wrong in three places is told all three", async () => {
  const wrong = { ...breaths(2, 18), status: "measured", effectiveDateTime: "3 February" };
  wrong.code = { coding: "9279-1" };
  const outcome = await refused(fhir.create({ resourceType: "Observation", body: wrong }), 422);
  const places = outcome.issue.flatMap((issue) => issue.expression ?? []);
  for (const part of ["status", "effective", "code"]) assert.ok(places.some((p) => p.includes(part)), `${part} in ${places}`);
});

await holds("read", async () => {
  const read = await fhir.read({ resourceType: "Observation", id: made.id });
  assert.deepEqual(read, made);
  await refused(fhir.read({ resourceType: "Observation", id: randomUUID() }), 404);
});

// A Patient of this store, by which a search may be asked in a URL too.
const [patient] = matches(
  await fhir.search({
    resourceType: "Patient",
    searchParams: { identifier: `${FNR}|${person}` },
    options: { postSearch: true },
  }),
);

/** A value that finds our Observation, or one that a parameter of this type can be asked with. */
const finds = {
  patient: `Patient/${patient.id}`,
  subject: `Patient/${patient.id}`,
  "patient.identifier": person,
  "subject:identifier": `${FNR}|${person}`,
  code: "http://loinc.org|9279-1",
  category: "vital-signs",
  date: "2025-02-03",
  status: "final",
  _id: made.id,
};
const anything = {
  // A bare id may stand for any target type that the parameter has.
  reference: randomUUID(),
  // A code as good as any, and the one that a boolean takes.
  token: "true",
  date: "ge2025-01-01",
  string: "x",
  number: "1",
  quantity: "1",
  uri: "urn:example:x",
};
const byNumber = (name) => name.endsWith("identifier");

await holds("a search by every parameter that the statement lists, for every type", async () => {
  let asked = 0;
  for (const row of Object.values(listed)) {
    // A patient's own blocks are hers alone: a record system is refused them.
    if (row.type === "Consent") continue;
    for (const { name, type } of row.searchParam ?? []) {
      const known = row.type === "Observation" ? finds[name] : undefined;
      const value = known ?? (byNumber(name) ? `${FNR}|${person}` : name === "_id" ? randomUUID() : anything[type]);
      // Composite and special values have forms of their own; none is guessed at.
      if (value === undefined) continue;
      const searchParams = { [name]: value };
      if (row.type === "AuditEvent" && !name.startsWith("patient")) searchParams["patient.identifier"] = person;
      if (known && name !== "_id") Object.assign(searchParams, { code: finds.code, date: finds.date, [name]: value });
      const bundle = await fhir.search({ resourceType: row.type, searchParams, options: { postSearch: true } });
      assert.equal(bundle.type, "searchset");
      asked += 1;
      if (known) assert.ok(matches(bundle).some((r) => r.id === made.id), `${name}=${value} does not find it`);
    }
  }
  assert.ok(asked > 20, `${asked} searches`);
});

await holds("a search by a parameter that is not listed is refused", async () => {
  const asked = fhir.search({ resourceType: "Observation", searchParams: { cod: "x" }, options: { postSearch: true } });
  await refused(asked, 400);
});

await holds("the next links lead to the end, nothing twice and nothing left out", async () => {
  for (let n = 10; n < 17; n += 1) await fhir.create({ resourceType: "Observation", body: breaths(n, n) });
  const searchParams = { "patient.identifier": person, date: "2025-02-03", code: finds.code, _count: 3 };
  let page = await fhir.search({ resourceType: "Observation", searchParams, options: { postSearch: true } });
  const seen = [];
  while (page) {
    seen.push(...matches(page).map((r) => r.id));
    assert.ok(seen.length < 100, "it does not end");
    page = await fhir.nextPage({ bundle: page });
  }
  assert.ok(seen.length >= 8, `${seen.length} found`);
  assert.equal(new Set(seen).size, seen.length);
});

await holds("a person's number in a URL is refused", async () => {
  await refused(fhir.search({ resourceType: "Observation", searchParams: { "patient.identifier": person } }), 400);
});

let corrected;
await holds("a correction needs the version it corrects", async () => {
  const body = { ...made, status: "corrected", valueQuantity: { ...made.valueQuantity, value: 17 } };
  const update = (options) => fhir.update({ resourceType: "Observation", id: made.id, body, options });
  await refused(update(), 428);
  corrected = await update(ifMatch(made));
  assert.equal(corrected.meta.versionId, "2");
  assert.equal(corrected.valueQuantity.value, 17);
  await refused(update(ifMatch(made)), 412);
});

if (offers("patch")) {
  await holds("patch", async () => {
    const jsonPatch = [{ op: "add", path: "/note", value: [{ text: "counted by hand" }] }];
    corrected = await fhir.patch({ resourceType: "Observation", id: made.id, jsonPatch, options: ifMatch(corrected) });
    assert.equal(corrected.note[0].text, "counted by hand");
  });
}

if (offers("vread") && offers("history-instance")) {
  await holds("every version is there", async () => {
    const first = await fhir.vread({ resourceType: "Observation", id: made.id, version: "1" });
    assert.equal(first.valueQuantity.value, 18);
    const history = await fhir.history({ resourceType: "Observation", id: made.id });
    assert.equal(history.type, "history");
    assert.equal(history.entry[0].resource.meta.versionId, corrected.meta.versionId);
    assert.equal(history.entry.length, Number(corrected.meta.versionId));
  });
}

await holds("$validate says what a write would be told", async () => {
  const input = { ...breaths(3, 18), status: "measured" };
  const outcome = await fhir.operation({ name: "validate", resourceType: "Observation", input });
  assert.ok(outcome.issue.some((issue) => issue.severity === "error"));
});

await holds("a batch is answered entry by entry", async () => {
  const entry = [breaths(20, 20), { ...breaths(21, 21), status: "measured" }].map((resource) => ({
    fullUrl: `urn:uuid:${randomUUID()}`,
    resource,
    request: { method: "POST", url: "Observation" },
  }));
  const body = { resourceType: "Bundle", type: "batch", entry };
  const answer = await post(body);
  assert.deepEqual(answer.entry.map((e) => e.response.status.slice(0, 3)), ["201", "422"]);
});

if (statement.rest[0].interaction.some((i) => i.code === "transaction")) {
  await holds("a transaction is taken whole or not at all, and all that is wrong is told", async () => {
    const entry = (n, resource) => ({ fullUrl: `urn:uuid:${randomUUID()}`, resource: { ...breaths(n, n), ...resource }, request: { method: "POST", url: "Observation" } });
    const send = (entry) => post({ resourceType: "Bundle", type: "transaction", entry });
    const outcome = await refused(send([entry(30, {}), entry(31, { status: "measured" }), entry(32, { status: "counted" })]), 422);
    for (const at of [1, 2]) {
      const place = `Bundle.entry[${at}].resource.status`;
      assert.ok(outcome.issue.some((issue) => issue.expression?.includes(place)), `${place}: ${JSON.stringify(outcome)}`);
    }
    const answer = await send([entry(30, {}), entry(31, {})]);
    assert.equal(answer.type, "transaction-response");
    // 201 shows that the one sound entry of the refused transaction had left nothing behind.
    assert.deepEqual(answer.entry.map((e) => e.response.status.slice(0, 3)), ["201", "201"]);
  });
}

await holds("what is withdrawn is gone", async () => {
  await fhir.delete({ resourceType: "Observation", id: made.id, options: ifMatch(corrected) });
  await refused(fhir.read({ resourceType: "Observation", id: made.id }), 410);
});

console.log(`node record system: ${promises()} promises held; @medplum/core and npm fhir validated ${validated()}`);
