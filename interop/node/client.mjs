// OAuth 2.0 with private_key_jwt (RFC 7523) and DPoP (RFC 9449) by the `jose` package: nothing here is Delt's.
import { readFile } from "node:fs/promises";
import { createHash, randomUUID } from "node:crypto";
import { SignJWT, calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK } from "jose";

/** A DPoP key of our own: proves requests, and binds tokens by its thumbprint. */
export class DpopKey {
  static async create() {
    const { privateKey, publicKey } = await generateKeyPair("ES256");
    const key = new DpopKey();
    key.private = privateKey;
    const { kty, crv, x, y } = await exportJWK(publicKey);
    key.jwk = { kty, crv, x, y };
    key.jkt = await calculateJwkThumbprint(key.jwk);
    return key;
  }

  /** A proof for one request; `token` is named in `ath` when there is one. */
  proof(method, url, token) {
    const claims = { htm: method, htu: url, jti: randomUUID() };
    if (token) claims.ath = createHash("sha256").update(token, "ascii").digest("base64url");
    return new SignJWT(claims)
      .setProtectedHeader({ typ: "dpop+jwt", alg: "ES256", jwk: this.jwk })
      .setIssuedAt()
      .sign(this.private);
  }

  /** A request with token and proof. `proof` may be given to show what a used one meets. */
  async send(method, url, token, { body, type, proof } = {}) {
    const headers = { authorization: `DPoP ${token}`, dpop: proof ?? (await this.proof(method, url, token)) };
    if (type) headers["content-type"] = type;
    const response = await fetch(url, { method, headers, body, redirect: "error" });
    const text = await response.text();
    let json;
    try {
      json = text ? JSON.parse(text) : undefined;
    } catch {
      throw new Error(`${method} ${new URL(url).pathname} answered ${response.status} with something else than JSON`);
    }
    return { status: response.status, headers: response.headers, json };
  }
}

/** A registered client, read from its client file. */
export class Client {
  static async load(path) {
    const client = Object.assign(new Client(), JSON.parse(await readFile(path, "utf8")));
    client.key = await importJWK(client.jwk, client.jwk.alg);
    return client;
  }

  /** A token for one audience by the client credentials grant. */
  async token(dpop, audience, scope) {
    const now = Math.floor(Date.now() / 1000);
    const assertion = await new SignJWT({ jti: randomUUID() })
      .setProtectedHeader({ alg: this.jwk.alg, kid: this.jwk.kid, typ: "client-authentication+jwt" })
      .setIssuer(this.client_id)
      .setSubject(this.client_id)
      .setAudience(this.issuer)
      .setIssuedAt(now)
      .setExpirationTime(now + 30)
      .sign(this.key);
    const response = await fetch(this.token_endpoint, {
      method: "POST",
      headers: {
        "content-type": "application/x-www-form-urlencoded",
        dpop: await dpop.proof("POST", this.token_endpoint),
      },
      body: new URLSearchParams({
        grant_type: "client_credentials",
        client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        client_assertion: assertion,
        resource: audience,
        scope,
      }),
    });
    const answer = await response.json();
    if (response.status !== 200) throw new Error(`token endpoint: ${response.status} ${answer.error}`);
    if (answer.token_type !== "DPoP") throw new Error(`token_type ${answer.token_type}`);
    return answer.access_token;
  }
}
