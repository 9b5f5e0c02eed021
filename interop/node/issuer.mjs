// The issuer of the services' tokens is not Delt: npm `oidc-provider`, dressed as HelseID, signs a physician in through her record
// system (`openid-client`) and writes the DPoP-bound at+jwt that opens a sharing service. The service knows the issuer by
// `[issuer]` alone. `node issuer.mjs target/debug/delt`
import assert from "node:assert/strict";
import { decodeProtectedHeader, exportJWK, generateKeyPair } from "jose";
import * as oidc from "openid-client";
import { Browser } from "./browser.mjs";
import * as helseid from "./helseid.mjs";
import { PATIENT, PROVEHEIM, REDIRECT, Region, attest, search, story } from "./region.mjs";

const AUDIENCE = "nhn:delt-proveheim";
const FNR = "urn:oid:2.16.578.1.12.4.1.4.1";
const HPR = "urn:oid:2.16.578.1.12.4.1.4.4";

await story("issuer", async (holds, atEnd) => {
  const region = await Region.prepare(process.argv[2]);
  atEnd(() => region.stop());
  const address = await helseid.listen();
  const { publicKey, privateKey } = await generateKeyPair("ES256", { extractable: true });
  const client_id = crypto.randomUUID();
  /** Set to leave something out of the attest, or put something else in. */
  let more = {};
  const provider = await helseid.start(address, {
    clients: [
      {
        client_id,
        redirect_uris: [REDIRECT],
        jwks: { keys: [{ ...(await exportJWK(publicKey)), alg: "ES256", kid: "epj", use: "sig" }] },
      },
    ],
    audience: AUDIENCE,
    orgnr: PROVEHEIM,
    // HelseID fills in who it is, and when it was said.
    attest: (person, { PID, HPR: NUMBER }) => ({
      toa: Math.floor(Date.now() / 1000),
      ...attest({
        identifier: { id: person[PID], system: FNR },
        ...(person[NUMBER] && { hpr_nr: { id: person[NUMBER], system: HPR } }),
        ...more,
      }),
    }),
  });
  atEnd(provider.stop);
  await region.start({
    more: `
[issuer]
profile = "helseid"
issuer = "${provider.issuer}"
believe_stated_authorisations = false
jwks = "${provider.issuer}/jwks"
[issuer.audiences]
"${region.service}" = "${AUDIENCE}"
[issuer.scopes]
"${AUDIENCE}/read" = ["user/*.rs"]`,
  });
  await holds("nobody can sign in at Delt: the tokens are another's", async () => {
    const found = await (await fetch(`${region.issuer}/.well-known/openid-configuration`)).json();
    assert.equal(found.authorization_endpoint, undefined);
  });

  const config = await oidc.discovery(
    new URL(provider.issuer),
    client_id,
    undefined,
    oidc.PrivateKeyJwt({ key: privateKey, kid: "epj" }),
    { execute: [oidc.allowInsecureRequests] },
  );
  const dpop = oidc.getDPoPHandle(config, await oidc.randomDPoPKeyPair("ES256"));

  async function signIn(login) {
    const verifier = oidc.randomPKCECodeVerifier();
    const state = oidc.randomState();
    const url = await oidc.buildAuthorizationUrlWithPAR(
      config,
      {
        redirect_uri: REDIRECT,
        scope: `${helseid.SCOPES} ${AUDIENCE}/read`,
        resource: AUDIENCE,
        code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
        code_challenge_method: "S256",
        state,
      },
      { DPoP: dpop },
    );
    const browser = new Browser();
    const back = await browser.go(url.href, REDIRECT, { login, password: "x" });
    assert.ok(back, `${browser.page?.html}\n${provider.faults.join("\n")}`);
    return oidc.authorizationCodeGrant(config, back, { pkceCodeVerifier: verifier, expectedState: state }, undefined, {
      DPoP: dpop,
    });
  }
  const readings = (token, handle = dpop) =>
    oidc.fetchProtectedResource(
      config,
      token,
      new URL(`${region.service}/Observation/_search`),
      "POST",
      search(),
      new Headers({ "content-type": "application/x-www-form-urlencoded" }),
      { DPoP: handle },
    );
  const challenged = (promise) =>
    promise.then(
      (answer) => answer.status,
      (error) => error.status ?? error.response?.status ?? assert.fail(String(error)),
    );

  const tokens = await holds("the provider writes an at+jwt of HelseID's claims, bound to a key", async () => {
    const got = await signIn("lege");
    const header = decodeProtectedHeader(got.access_token);
    assert.deepEqual([header.typ, header.alg], ["at+jwt", "PS256"]);
    assert.equal(got.token_type, "dpop");
    return got;
  });
  await holds("it opens the sharing service: a patient's readings, no token of Delt's", async () => {
    const answer = await readings(tokens.access_token);
    assert.equal(answer.status, 200, await answer.clone().text());
    assert.equal((await answer.json()).resourceType, "Bundle");
  });
  await holds("another patient finds nothing, and the token says for whom it is", async () => {
    const other = await oidc.fetchProtectedResource(
      config,
      tokens.access_token,
      new URL(`${region.service}/Observation/_search`),
      "POST",
      new URLSearchParams({ "patient.identifier": `${FNR}|05914710172` }).toString(),
      new Headers({ "content-type": "application/x-www-form-urlencoded" }),
      { DPoP: dpop },
    );
    const found = await other.json();
    assert.equal((found.entry ?? []).filter((one) => one.search?.mode === "match").length, 0);
    assert.ok(!JSON.stringify(found).includes(PATIENT));
  });
  await holds("with another key the token opens nothing", async () => {
    const other = oidc.getDPoPHandle(config, await oidc.randomDPoPKeyPair("ES256"));
    assert.equal(await challenged(readings(tokens.access_token, other)), 401);
  });
  await holds("as a bearer token, or as an ID token, neither", async () => {
    for (const authorization of [`Bearer ${tokens.access_token}`, `DPoP ${tokens.id_token}`]) {
      const headers = { authorization, "content-type": "application/x-www-form-urlencoded" };
      const answer = await fetch(`${region.service}/Observation/_search`, { method: "POST", headers, body: search() });
      assert.equal(answer.status, 401);
    }
  });
  await holds("a login at level 3 opens nothing here either", async () => {
    assert.equal(await challenged(readings((await signIn("slapp")).access_token)), 403);
  });
  await holds("an attest of somebody else's opens nothing, her own does again", async () => {
    more = { identifier: { id: "08838410090", system: FNR } };
    assert.equal(await challenged(readings((await signIn("lege")).access_token)), 403);
    more = {};
    assert.equal((await readings((await signIn("lege")).access_token)).status, 200);
  });
});
