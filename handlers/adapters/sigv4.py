"""AWS Signature Version 4 for a JSON service's POST to `/`, as botocore signs it. Standard library only."""

import hmac
from hashlib import sha256

ALGORITHM = "AWS4-HMAC-SHA256"

_BLOCK = 64  # bytes of a block of SHA-256, to which HMAC fills its key (RFC 2104)
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


class Signer:
    """Signs with one set of credentials for one service in one Region; the day's key is derived once."""

    def __init__(self, access_key: str, secret_key: str, token: str | None, region: str, service: str) -> None:
        self.access_key, self.token, self.region, self.service = access_key, token, region, service
        self._secret_key = secret_key
        self._day, self._key = "", b""

    def headers(self, headers: dict[str, str], body: bytes, moment: str) -> dict[str, str]:
        """Return the headers with date, token and signature. Names are lower case, `moment` is `YYYYMMDDTHHMMSSZ`."""
        prepared = self.prepare(headers, moment)
        return {**prepared.headers, "authorization": prepared.authorization(body)}

    def prepare(self, headers: dict[str, str], moment: str) -> "Prepared":
        """Do what a signature takes whatever the body is."""
        return Prepared(self, headers, moment)

    def day_key(self, day: str) -> bytes:
        if day != self._day:
            key = f"AWS4{self._secret_key}".encode()
            for part in (day, self.region, self.service, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._day, self._key = day, key
        return self._key


class Prepared:
    """Headers at one moment, hashed up to where the body comes in: each body then costs four short hashes.

    A service takes a signature for five minutes after its moment.
    """

    def __init__(self, signer: Signer, headers: dict[str, str], moment: str) -> None:
        self.headers = {**headers, "x-amz-date": moment}
        if signer.token:
            self.headers["x-amz-security-token"] = signer.token
        names = sorted(self.headers)
        listed = ";".join(names)
        canonical = "".join([f"{name}:{_trimmed(self.headers[name])}\n" for name in names])
        scope = f"{moment[:8]}/{signer.region}/{signer.service}/aws4_request"
        key = signer.day_key(moment[:8]).ljust(_BLOCK, b"\0")
        self._request = sha256(f"POST\n/\n\n{canonical}\n{listed}\n".encode())
        self._inner = sha256(key.translate(_INNER) + f"{ALGORITHM}\n{moment}\n{scope}\n".encode())
        self._outer = sha256(key.translate(_OUTER))
        self._said = f"{ALGORITHM} Credential={signer.access_key}/{scope}, SignedHeaders={listed}, Signature="

    def authorization(self, body: bytes) -> str:
        """Return the value of the header `authorization`."""
        request, inner, outer = self._request.copy(), self._inner.copy(), self._outer.copy()
        request.update(sha256(body).hexdigest().encode())
        inner.update(request.hexdigest().encode())
        outer.update(inner.digest())
        return self._said + outer.hexdigest()


def _trimmed(value: str) -> str:
    """Return a header's value as it is signed: runs of spaces are one, and none is at an end."""
    return value if " " not in value else " ".join(value.split())
