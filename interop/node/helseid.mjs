// An issuer that is not Delt: npm `oidc-provider`, dressed with HelseID's words: its claim and scope names, private_key_jwt,
// PAR, PKCE, DPoP with server nonces, PS256, tokens of type at+jwt bound to a key. Its own sign-in and consent forms are used
// as they are; who types a name is that person.
import { createServer } from "node:http";
import { exportJWK, generateKeyPair } from "jose";
import { Provider } from "oidc-provider";

const PID = "helseid://claims/identity/pid";
const LEVEL = "helseid://claims/identity/security_level";
const HPR = "helseid://claims/hpr/hpr_number";
const ORGNR = "helseid://claims/client/claims/orgnr_parent";
const ATTEST = "nhn:tillitsrammeverk:parameters";

/** Identity scopes, named as HelseID names them. */
export const SCOPES =
  "openid profile helseid://scopes/identity/pid helseid://scopes/identity/security_level helseid://scopes/hpr/hpr_number";

/** Synthetic people (scenarios/people.toml), by what they type at the sign-in form. */
export const PEOPLE = {
  lege: { name: "Sigurd Testlege", [PID]: "12857910174", [LEVEL]: "4", [HPR]: "999900017" },
  slapp: { name: "Sigurd Testlege", [PID]: "12857910174", [LEVEL]: "3", [HPR]: "999900017" },
  sekretær: { name: "Ola Testsekretær", [PID]: "08838410090", [LEVEL]: "4" },
};

async function signing(alg, kid) {
  const { privateKey } = await generateKeyPair(alg, { extractable: true });
  return { ...(await exportJWK(privateKey)), alg, kid, use: "sig" };
}

/** A free port of the loopback, taken: its address is the issuer's name, which clients must know before they are registered. */
export async function listen() {
  const server = createServer();
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return { server, issuer: `http://127.0.0.1:${server.address().port}` };
}

/**
 * Starts it there. `clients` are registered as `oidc-provider` takes them; `audience` is an API whose access tokens it writes, for
 * a client of `orgnr`, with the attest that `attest` gives.
 */
export async function start({ server, issuer }, { clients, audience, orgnr, attest }) {
  const provider = new Provider(issuer, {
    jwks: { keys: [await signing("PS256", "ps"), await signing("ES256", "es")] },
    clients: clients.map((client) => ({
      grant_types: ["authorization_code"],
      response_types: ["code"],
      token_endpoint_auth_method: "private_key_jwt",
      token_endpoint_auth_signing_alg: "ES256",
      id_token_signed_response_alg: "PS256",
      dpop_bound_access_tokens: true,
      ...client,
    })),
    cookies: { keys: ["only for a test"] },
    claims: {
      openid: ["sub"],
      profile: ["name"],
      "helseid://scopes/identity/pid": [PID],
      "helseid://scopes/identity/security_level": [LEVEL],
      "helseid://scopes/hpr/hpr_number": [HPR],
    },
    // HelseID puts what was asked for into the ID token.
    conformIdTokenClaims: false,
    findAccount: (_ctx, id) => PEOPLE[id] && { accountId: id, claims: () => ({ sub: `s-${id}`, ...PEOPLE[id] }) },
    enabledJWA: { idTokenSigningAlgValues: ["PS256", "ES256"], clientAuthSigningAlgValues: ["PS256", "ES256"] },
    pkce: { required: () => true },
    features: {
      devInteractions: { enabled: true },
      pushedAuthorizationRequests: { enabled: true, requirePushedAuthorizationRequests: true },
      dPoP: { enabled: true, nonceSecret: Buffer.alloc(32, 7), requireNonce: () => true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: `${audience}/read`,
          audience,
          accessTokenFormat: "jwt",
          accessTokenTTL: 300,
          jwt: { sign: { alg: "PS256" } },
        }),
      },
    },
    extraTokenClaims: (_ctx, token) => {
      const person = PEOPLE[token.accountId];
      if (!audience || !person) return undefined;
      const { name, ...claims } = person;
      return { name, ...claims, [ORGNR]: orgnr, [ATTEST]: attest(person, { PID, HPR }) };
    },
  });
  const faults = [];
  for (const event of ["server_error", "authorization.error", "grant.error", "pushed_authorization_request.error"]) {
    provider.on(event, (_ctx, error) => faults.push(`${event}: ${error.error ?? error.name}: ${error.error_detail ?? error.message}`));
  }
  server.on("request", provider.callback());
  return { issuer, faults, stop: () => new Promise((ended) => server.close(ended).closeAllConnections()) };
}
