"""OAuth 2.0 with private_key_jwt (RFC 7523) and DPoP (RFC 9449) by `joserfc` and `httpx`: nothing here is Delt's."""

import base64
import hashlib
import json
import time
import uuid
from collections import Counter

import httpx
import requests
from joserfc import jwt
from fhir.resources.R4B import get_fhir_model_class
from joserfc.jwk import ECKey

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Dpop:
    """A key of our own that proves requests, and to which tokens are bound by its thumbprint."""

    def __init__(self, http: httpx.Client):
        self.http = http
        self.key = ECKey.generate_key("P-256")
        self.jwk = {name: self.key.as_dict(private=False)[name] for name in ("kty", "crv", "x", "y")}
        self.jkt = self.key.thumbprint()

    def proof(self, method: str, url: str, token: str | None = None) -> str:
        claims = {"htm": method, "htu": url, "jti": str(uuid.uuid4()), "iat": int(time.time())}
        if token:
            digest = hashlib.sha256(token.encode("ascii")).digest()
            claims["ath"] = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        return jwt.encode({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk}, claims, self.key)

    def send(self, method: str, url: str, token: str, headers: dict | None = None, **more) -> httpx.Response:
        proven = {"Authorization": f"DPoP {token}", "DPoP": self.proof(method, url, token)}
        return self.http.request(method, url, headers={**proven, **(headers or {})}, **more)


class Signed(requests.auth.AuthBase):
    """Token and proof on every request of a library that asks by `requests`: its own hooks, nothing of the library is changed.
    Every answer is parsed by `fhir.resources` before the library sees it; `parsed` counts them by type."""

    def __init__(self, dpop: Dpop, token: str):
        self.dpop = dpop
        self.token = token
        self.parsed = Counter()

    def parse(self, answer: requests.Response, **_) -> None:
        if answer.headers.get("content-type", "").startswith("application/fhir+json") and answer.content:
            kind = answer.json()["resourceType"]
            model = get_fhir_model_class(kind).model_validate_json(answer.content)
            within = [entry.resource for entry in getattr(model, "entry", None) or [] if entry.resource]
            self.parsed.update([kind, *(each.get_resource_type() for each in within)])

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.register_hook("response", self.parse)
        request.headers["Authorization"] = f"DPoP {self.token}"
        request.headers["DPoP"] = self.dpop.proof(request.method, request.url.split("?")[0], self.token)
        return request


class Client:
    """A registered client, read from its client file."""

    def __init__(self, path: str):
        with open(path, encoding="utf-8") as file:
            self.file = json.load(file)
        self.key = ECKey.import_key(self.file["jwk"])

    def token(self, dpop: Dpop, audience: str, scope: str) -> str:
        """A token for one audience by the client credentials grant."""
        now = int(time.time())
        me = self.file["client_id"]
        header = {"alg": self.file["jwk"]["alg"], "kid": self.file["jwk"]["kid"], "typ": "client-authentication+jwt"}
        claims = {"iss": me, "sub": me, "aud": self.file["issuer"], "jti": str(uuid.uuid4()), "iat": now, "exp": now + 30}
        endpoint = self.file["token_endpoint"]
        answer = dpop.http.post(
            endpoint,
            headers={"DPoP": dpop.proof("POST", endpoint)},
            data={
                "grant_type": "client_credentials",
                "client_assertion_type": ASSERTION,
                "client_assertion": jwt.encode(header, claims, self.key),
                "resource": audience,
                "scope": scope,
            },
        )
        assert answer.status_code == 200, f"token endpoint: {answer.status_code} {answer.text}"
        return answer.json()["access_token"]
