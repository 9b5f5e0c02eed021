// A small region in operation, not a demo: a hospital's sharing service and the trust anchor, started by `delt serve` from a
// configuration file as an operator writes it, keys made by `delt client-key`. There are no test tokens here.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

export const PROVEHEIM = "310001074";
export const PATIENT = "14835210260";
export const REDIRECT = "http://127.0.0.1:8400/callback";
export const ATTEST = "nhn:tillitsrammeverk:parameters";
const FNR = "urn:oid:2.16.578.1.12.4.1.4.1";
const IDENTITY = [
  "openid",
  "profile",
  "offline_access",
  "helseid://scopes/identity/pid",
  "helseid://scopes/identity/security_level",
  "helseid://scopes/hpr/hpr_number",
];

async function freePort() {
  const server = createServer();
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address();
  await new Promise((closed) => server.close(closed));
  return port;
}

/** What one client says it is: attested need for the patient's data, as the trust framework states it. */
export function attest(more = {}) {
  const place = { id: PROVEHEIM, system: "urn:oid:2.16.578.1.12.4.1.4.101" };
  return {
    practitioner: { legal_entity: place, point_of_care: place, ...more },
    care_relationship: {
      purpose_of_use: { code: "TREAT", system: "http://terminology.hl7.org/CodeSystem/v3-ActReason" },
      purpose_of_use_details: { code: "BEHANDLER", system: "https://terminology.dips.com/decisiontemplate" },
      decision_ref: { id: crypto.randomUUID(), user_selected: true },
    },
    patients: [{ identifier: { id: PATIENT, system: FNR } }],
  };
}

/** A search for the patient's readings, her number in the body. */
export const search = () => new URLSearchParams({ "patient.identifier": `${FNR}|${PATIENT}` }).toString();

export class Region {
  /** Ports, folder and keys; nothing runs yet. `delt` is the path of the binary. */
  static async prepare(delt) {
    const region = new Region();
    region.delt = resolve(delt);
    region.folder = await mkdtemp(join(tmpdir(), "delt-interop-"));
    await mkdir(join(region.folder, "keys"));
    region.port = await freePort();
    region.base = `http://127.0.0.1:${region.port}`;
    region.issuer = `${region.base}/anchor`;
    region.service = `${region.base}/proveheim/fhir`;
    await region.key("epj-proveheim", "record-system", region.issuer, {
      scopes: ["system/*.cruds"],
      audiences: [region.service],
    });
    return region;
  }

  /** A new key by `delt client-key`; gives its public half. */
  async key(id, use, issuer, { scopes = [], audiences = [] } = {}) {
    const file = join(this.folder, "keys", `${id}.json`);
    const said = await promisify(execFile)(this.delt, [
      ...["client-key", "--client-id", id, "--orgnr", PROVEHEIM, "--use", use, "--issuer", issuer, "--file", file],
      ...scopes.flatMap((scope) => ["--scope", scope]),
      ...audiences.flatMap((audience) => ["--audience", audience]),
    ]);
    this.jwks = { ...this.jwks, [id]: JSON.parse(said.stdout) };
    return this.jwks[id];
  }

  /** A client's file, private key included. */
  async client(id) {
    return JSON.parse(await readFile(join(this.folder, "keys", `${id}.json`), "utf8"));
  }

  /** Writes the configuration and starts it. `anchor` holds further lines of `[anchor]`, `more` further sections. */
  async start({ anchor = "", more = "" } = {}) {
    const text = `
roles = ["anchor", "sharing"]
data = "data"
[listen]
address = "127.0.0.1:${this.port}"
[network]
allow = ["127.0.0.0/8"]
[anchor]
base = "${this.issuer}"
${anchor}
[[organisation]]
orgnr = "${PROVEHEIM}"
name = "Prøveheim Diakonale Sykehus"
kind = "hospital"
[[service]]
id = "proveheim"
orgnr = "${PROVEHEIM}"
name = "Prøveheim Diakonale Sykehus"
concept = "own"
fhir = "${this.service}"
unknown_patients = "enrol"
[[client]]
client_id = "epj-proveheim"
orgnr = "${PROVEHEIM}"
use = "record-system"
jwk = '${JSON.stringify(this.jwks["epj-proveheim"])}'
scopes = ${JSON.stringify(["system/*.cruds", "user/*.rs", ...IDENTITY])}
audiences = ["${this.service}"]
grants = ["client_credentials", "authorization_code", "refresh_token"]
redirect_uris = ["${REDIRECT}"]
${more}`;
    const config = join(this.folder, "region.toml");
    await writeFile(config, text);
    const log = await open(join(this.folder, "delt.log"), "w");
    this.process = spawn(this.delt, ["serve", "--config", config], { stdio: ["ignore", "ignore", log.fd] });
    await log.close();
    let ended;
    this.process.on("exit", (code) => (ended = code ?? "a signal"));
    for (let tries = 0; tries < 600; tries += 1) {
      if (ended !== undefined) assert.fail(`delt serve ended with ${ended}: ${await this.said()}`);
      const there = await fetch(`${this.issuer}/jwks`).catch(() => undefined);
      if (there?.ok) return this;
      await new Promise((later) => setTimeout(later, 50));
    }
    assert.fail(`delt serve does not listen: ${await this.said()}`);
  }

  /** What it wrote to its log. */
  said() {
    return readFile(join(this.folder, "delt.log"), "utf8");
  }

  async stop() {
    if (this.process?.exitCode === null) {
      const ended = new Promise((exit) => this.process.on("exit", exit));
      this.process.kill("SIGTERM");
      await ended;
    }
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Runs a story: each promise is told as it holds; region and provider are stopped whatever happens. */
export async function story(name, tell) {
  const ends = [];
  let held = 0;
  const holds = async (what, check) => {
    try {
      const made = await check();
      held += 1;
      console.log(`holds: ${what}`);
      return made;
    } catch (error) {
      console.error(`not so: ${what}`);
      throw error;
    }
  };
  try {
    await tell(holds, (end) => ends.unshift(end));
    console.log(`${name}: ${held} held`);
  } finally {
    for (const end of ends) await end();
  }
}
