// What a record system asks and sends besides its day's work (record.mjs): conditions, operations, composites, histories, compartments,
// and a transaction whose entries name each other. Asked by `fhir-kit-client`, every answer validated by strangers.mjs.
// `node questions.mjs READY.json`, where READY.json holds the line that `delt demo --json` printed.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { Client as FhirKit } from "fhir-kit-client";
import { holds, matches, promises, recordSystem, refused, validated } from "./strangers.mjs";

const FNR = "urn:oid:2.16.578.1.12.4.1.4.1";
const LOINC = "http://loinc.org";
const UCUM = "http://unitsofmeasure.org";
const { base, fhir, post, person } = await recordSystem(process.argv[2]);
const run = randomUUID();
// A month of its own, so that it can be run again at the same demo.
const pick = (from, to) => String(from + Math.floor(Math.random() * (to - from + 1)));
const month = `${pick(2008, 2023)}-${pick(1, 12).padStart(2, "0")}`;
const about = { identifier: { system: FNR, value: person } };
const identifier = (name) => [{ system: "https://interop.example/questions", value: `${run}-${name}` }];
const quantity = (value, unit) => ({ value, unit, system: UCUM, code: unit });

/** A weight on some day of the month. */
const weight = (day, value, unit = "kg") => ({
  resourceType: "Observation",
  identifier: identifier(`weight-${day}`),
  status: "final",
  category: [{ coding: [{ system: "http://terminology.hl7.org/CodeSystem/observation-category", code: "vital-signs" }] }],
  code: { coding: [{ system: LOINC, code: "29463-7" }] },
  subject: about,
  effectiveDateTime: `${month}-${String(day).padStart(2, "0")}T07:00:00Z`,
  valueQuantity: quantity(value, unit),
});
const pressure = (day, high, low) => {
  const part = (code, value) => ({ code: { coding: [{ system: LOINC, code }] }, valueQuantity: { ...quantity(value, "mm[Hg]"), unit: "mmHg" } });
  const { valueQuantity, ...rest } = weight(day, 0);
  return {
    ...rest,
    identifier: identifier(`pressure-${day}`),
    code: { coding: [{ system: LOINC, code: "85354-9" }] },
    component: [part("8480-6", high), part("8462-4", low)],
  };
};

const statement = await fhir.capabilityStatement();
const listed = Object.fromEntries(statement.rest[0].resource.map((row) => [row.type, row]));
const search = (resourceType, searchParams) => fhir.search({ resourceType, searchParams, options: { postSearch: true } });
const parameters = (values) => ({
  resourceType: "Parameters",
  parameter: Object.entries(values).map(([name, value]) => (typeof value === "object" ? { name, ...value } : { name, valueString: value })),
});
const [patient] = matches(await search("Patient", { identifier: `${FNR}|${person}` }));
const mine = { patient: `Patient/${patient.id}` };
const then = { ...mine, date: month };

const made = [];
await holds("conditional create makes one, and gives the same one to who asks again", async () => {
  const [{ system, value }] = identifier("weight-1");
  const condition = { headers: { "if-none-exist": `identifier=${system}|${value}` } };
  const first = await fhir.create({ resourceType: "Observation", body: weight(1, 80.5), options: condition });
  assert.equal(FhirKit.httpFor(first).response.status, 201);
  const again = await fhir.create({ resourceType: "Observation", body: weight(1, 99), options: condition });
  assert.equal(FhirKit.httpFor(again).response.status, 200);
  assert.equal(again.id, first.id);
  assert.equal((await fhir.read({ resourceType: "Observation", id: first.id })).valueQuantity.value, 80.5);
  made.push(first);
});

await holds("conditional read answers 304 for what is unchanged, and update by condition finds its one", async () => {
  const [weighed] = made;
  const unchanged = await fhir.request(`Observation/${weighed.id}`, { options: { headers: { "if-none-match": `W/"${weighed.meta.versionId}"` } } }).then(
    (answer) => FhirKit.httpFor(answer).response.status,
    (error) => error.response.status,
  );
  assert.equal(unchanged, 304);
  const [{ system, value }] = weighed.identifier;
  const body = { ...weighed, status: "corrected", valueQuantity: quantity(80.4, "kg") };
  delete body.id;
  delete body.meta;
  const url = `${base}/Observation?identifier=${encodeURIComponent(`${system}|${value}`)}`;
  const options = { headers: { "content-type": "application/fhir+json", "if-match": 'W/"1"' } };
  const updated = await fhir.request(url, { method: "PUT", body, options });
  assert.equal(updated.id, weighed.id);
  assert.equal(updated.meta.versionId, "2");
  made[0] = updated;
});

for (const [day, value, unit] of [[2, 80.2, "kg"], [3, 79900, "g"], [4, 79.6, "kg"]]) {
  made.push(await fhir.create({ resourceType: "Observation", body: weight(day, value, unit) }));
}
const pressed = await fhir.create({ resourceType: "Observation", body: pressure(5, 151, 88) });

await holds("$stats brings kilograms and grams to one number, and FHIR's Parameters hold it", async () => {
  const input = parameters({ subject: mine.patient, code: "29463-7", system: { valueUri: LOINC }, start: month, end: month, statistic: "average,count,minimum,maximum" });
  const answer = await fhir.operation({ name: "stats", resourceType: "Observation", input });
  assert.equal(answer.resourceType, "Parameters");
  const [{ resource }] = answer.parameter;
  const value = (part) => part.valueQuantity?.value ?? part.valueInteger;
  const numbers = Object.fromEntries(resource.component.map((part) => [part.code.coding[0].code, value(part)]));
  // 80.4 kg, 80.2 kg, 79900 g and 79.6 kg.
  assert.deepEqual(numbers, { average: 80.025, count: 4, minimum: 79.6, maximum: 80.4 });
});

await holds("$lastn gives the newest of each kind", async () => {
  const newest = await fhir.operation({ name: "lastn", resourceType: "Observation", input: parameters({ ...then, max: { valuePositiveInt: 1 } }) });
  const found = matches(newest);
  assert.deepEqual(found.map((r) => r.id).sort(), [made[3].id, pressed.id].sort());
  const two = matches(await fhir.operation({ name: "lastn", resourceType: "Observation", input: parameters({ ...then, code: `${LOINC}|29463-7`, max: { valuePositiveInt: 2 } }) }));
  assert.deepEqual(two.map((r) => r.id), [made[3].id, made[2].id]);
});

await holds("Patient/$everything begins with the patient, goes on page by page to the end, and is hers alone", async () => {
  let page = await fhir.operation({ name: "everything", resourceType: "Patient", id: patient.id, method: "GET", input: { _count: 100 } });
  const all = [];
  while (page) {
    all.push(...matches(page));
    assert.ok(all.length < 5000, "it does not end");
    page = await fhir.nextPage({ bundle: page });
  }
  assert.equal(all[0].id, patient.id);
  assert.equal(new Set(all.map((r) => `${r.resourceType}/${r.id}`)).size, all.length);
  for (const one of made) assert.ok(all.some((r) => r.id === one.id), one.id);
  const others = all.filter((r) => r.subject?.identifier?.system === FNR && r.subject.identifier.value !== person);
  assert.equal(others.length, 0);
});

await holds("composites are met by one component, never by two halves", async () => {
  const found = async (value) => matches(await search("Observation", { ...then, "component-code-value-quantity": value })).map((r) => r.id);
  assert.deepEqual(await found(`${LOINC}|8480-6$gt150`), [pressed.id]);
  assert.deepEqual(await found(`${LOINC}|8462-4$gt150`), []);
  const weighed = matches(await search("Observation", { ...then, "code-value-quantity": `${LOINC}|29463-7$lt80|${UCUM}|kg` }));
  assert.deepEqual(weighed.map((r) => r.id).sort(), [made[2].id, made[3].id].sort());
});

await holds("modifiers: :missing, :not, :exact, :contains and :identifier", async () => {
  const count = async (type, more) => matches(await search(type, more)).length;
  assert.equal(await count("Observation", { ...then, "value-quantity:missing": "true" }), 1);
  assert.equal(await count("Observation", { ...then, "status:not": "final" }), 1);
  assert.equal(await count("Observation", { ...then, "subject:identifier": `${FNR}|${person}` }).catch((e) => e.response?.status), 400);
  assert.equal(await count("Observation", { date: month, "subject:identifier": `${FNR}|${person}` }), 5);
  await refused(search("Observation", { ...then, "code:nearly": "x" }), 400);
});

await holds("a compartment is the patient's search", async () => {
  const bundle = await fhir.compartmentSearch({ resourceType: "Observation", compartment: { resourceType: "Patient", id: patient.id }, searchParams: { date: month } });
  assert.equal(matches(bundle).length, 5);
});

await holds("the history of a type and of one resource: newest first, versions whole", async () => {
  const since = made[0].meta.lastUpdated;
  const recent = await fhir.request(`Observation/_history?_since=${encodeURIComponent(since)}&_count=50`);
  assert.equal(recent.type, "history");
  const times = recent.entry.map((e) => e.response.lastModified);
  assert.deepEqual(times, [...times].sort().reverse());
  const own = await fhir.history({ resourceType: "Observation", id: made[0].id });
  assert.deepEqual(own.entry.map((e) => [e.request.method, e.resource.meta.versionId]), [["PUT", "2"], ["POST", "1"]]);
});

await holds("a transaction whose entries name each other, create by condition and correct by version is one commit", async () => {
  const device = `urn:uuid:${randomUUID()}`;
  const scale = { resourceType: "Device", identifier: identifier("scale"), deviceName: [{ name: "Vekt", type: "user-friendly-name" }], patient: about };
  const measured = { ...weight(6, 79.4), device: { reference: device } };
  const [{ system, value }] = made[1].identifier;
  const corrected = { ...made[3], status: "corrected", valueQuantity: quantity(79.5, "kg") };
  const answer = await post({
    resourceType: "Bundle",
    type: "transaction",
    entry: [
      { fullUrl: `urn:uuid:${randomUUID()}`, resource: measured, request: { method: "POST", url: "Observation" } },
      { fullUrl: device, resource: scale, request: { method: "POST", url: "Device" } },
      { fullUrl: `urn:uuid:${randomUUID()}`, resource: weight(2, 80.2), request: { method: "POST", url: "Observation", ifNoneExist: `identifier=${system}|${value}` } },
      { fullUrl: `${base}/Observation/${corrected.id}`, resource: corrected, request: { method: "PUT", url: `Observation/${corrected.id}`, ifMatch: `W/"${made[3].meta.versionId}"` } },
    ],
  });
  assert.deepEqual(answer.entry.map((e) => e.response.status.slice(0, 3)), ["201", "201", "200", "200"]);
  const place = (n) => answer.entry[n].response.location.split("/_history")[0].split("/").slice(-2).join("/");
  const stored = await fhir.request(place(0));
  assert.equal(stored.device.reference.split("/").slice(-2).join("/"), place(1), "the reference was given the new id");
  const byDevice = matches(await search("Observation", { ...mine, device: stored.device.reference.split("/").slice(-2).join("/") }));
  assert.deepEqual(byDevice.map((r) => r.id), [stored.id]);
});

await holds("what matches refer to and what refers to them comes along, marked so, and only as far as asked", async () => {
  assert.ok(listed.Observation.searchInclude.includes("Observation:subject"));
  const ids = (bundle, mode) => bundle.entry.filter((e) => e.search.mode === mode).map((e) => e.resource.id);
  const out = await search("Observation", { ...then, _include: "Observation:subject" });
  assert.deepEqual(ids(out, "include"), [patient.id]);
  assert.equal(ids(out, "match").length, 6);
  const back = await search("Patient", { _id: patient.id, _revinclude: "Device:patient" });
  assert.deepEqual(ids(back, "match"), [patient.id]);
  assert.ok(ids(back, "include").length >= 1);
  assert.ok(back.entry.every((e) => e.search.mode === "match" || e.resource.resourceType === "Device"));
  await refused(search("Observation", { ...then, _include: "Observation:colour" }), 400);
});

await holds("part of a resource is marked SUBSETTED", async () => {
  const part = await search("Observation", { ...then, _elements: "status,valueQuantity" });
  for (const one of matches(part)) {
    assert.ok(one.status && one.code && !one.category, "what must be there is there, and nothing besides");
    assert.ok(one.meta.tag.some((tag) => tag.code === "SUBSETTED"));
  }
});

await holds("Prefer: return=minimal is kept, and a delete by condition takes its one and no more", async () => {
  const minimal = await fhir.create({ resourceType: "Observation", body: weight(20, 78), options: { headers: { prefer: "return=minimal" } } });
  const { response } = FhirKit.httpFor(minimal);
  assert.equal(response.status, 201);
  assert.equal(minimal.resourceType, undefined, "nothing in the body");
  const [{ system, value }] = identifier("weight-20");
  const gone = await fhir.request(`${base}/Observation?identifier=${encodeURIComponent(`${system}|${value}`)}`, { method: "DELETE" });
  assert.ok([200, 204].includes(FhirKit.httpFor(gone).response.status));
  assert.equal(matches(await search("Observation", { ...then, identifier: `${system}|${value}` })).length, 0);
  assert.equal(matches(await search("Observation", then)).length, 6);
});

await holds("a batch reads, patches and searches too, each entry alone", async () => {
  const [, weighed] = made;
  const data = Buffer.from(JSON.stringify([{ op: "add", path: "/note", value: [{ text: "med klær" }] }])).toString("base64");
  const entry = [
    { request: { method: "GET", url: `Observation/${weighed.id}` } },
    { request: { method: "GET", url: `Observation?patient=${encodeURIComponent(mine.patient)}&date=${month}&_count=2` } },
    { resource: { resourceType: "Binary", contentType: "application/json-patch+json", data }, request: { method: "PATCH", url: `Observation/${weighed.id}`, ifMatch: 'W/"1"' } },
    { request: { method: "GET", url: `Observation/${randomUUID()}` } },
  ];
  const answer = await post({ resourceType: "Bundle", type: "batch", entry });
  assert.deepEqual(answer.entry.map((e) => e.response.status.slice(0, 3)), ["200", "200", "200", "404"]);
  assert.equal(answer.entry[0].resource.id, weighed.id);
  assert.equal(matches(answer.entry[1].resource).length, 2);
  const patched = await fhir.read({ resourceType: "Observation", id: weighed.id });
  assert.deepEqual([patched.note[0].text, patched.meta.versionId], ["med klær", "2"]);
});

await holds("chains and _has join resources, in both directions", async () => {
  const scales = await search("Observation", { ...then, "device.identifier": `https://interop.example/questions|${run}-scale` });
  assert.equal(matches(scales).length, 1);
  const had = matches(await search("Device", { ...mine, "_has:Observation:device:date": month }));
  assert.deepEqual(had.map((d) => d.identifier[0].value), [`${run}-scale`]);
  await refused(search("Observation", { ...then, "device.colour": "x" }), 400);
});

await holds("order by value and time, and a total when asked", async () => {
  const question = { ...then, code: `${LOINC}|29463-7`, _count: 2, _total: "accurate" };
  const heaviest = await search("Observation", { ...question, _sort: "-value-quantity,date" });
  assert.equal(heaviest.total, 5);
  const [first] = matches(heaviest);
  // 79900 grams are less than 80.4 kg, however large the number.
  assert.deepEqual(first.valueQuantity.value, 80.4);
  const seen = [];
  for (let page = heaviest; page; page = await fhir.nextPage({ bundle: page })) seen.push(...matches(page).map((r) => r.id));
  assert.equal(new Set(seen).size, 5);
  const counted = await search("Observation", { ...then, _summary: "count" });
  assert.equal(counted.total, 6);
  assert.equal(counted.entry, undefined);
});

console.log(`node questions: ${promises()} promises held; @medplum/core and npm fhir validated ${validated()}`);
