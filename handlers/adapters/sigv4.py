"""AWS Signature Version 4 for a JSON service's POST to `/`, as botocore signs it. Standard library only."""

import hmac
from dataclasses import dataclass, field
from hashlib import sha256

ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass
class Signer:
    """Signs with one set of credentials for one service in one Region; the day's key is derived once."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(repr=False)
    region: str
    service: str
    _day: str = field(default="", repr=False)
    _key: bytes = field(default=b"", repr=False)

    def headers(self, headers: dict[str, str], body: bytes, moment: str) -> dict[str, str]:
        """Return the headers with date, token and signature. Names are lower case, `moment` is `YYYYMMDDTHHMMSSZ`."""
        signed = {**headers, "x-amz-date": moment}
        if self.token:
            signed["x-amz-security-token"] = self.token
        names = sorted(signed)
        listed = ";".join(names)
        canonical = "".join([f"{name}:{_trimmed(signed[name])}\n" for name in names])
        request = f"POST\n/\n\n{canonical}\n{listed}\n{sha256(body).hexdigest()}"
        scope = f"{moment[:8]}/{self.region}/{self.service}/aws4_request"
        text = f"{ALGORITHM}\n{moment}\n{scope}\n{sha256(request.encode()).hexdigest()}"
        signature = hmac.digest(self._day_key(moment[:8]), text.encode(), "sha256").hex()
        credential = f"Credential={self.access_key}/{scope}"
        signed["authorization"] = f"{ALGORITHM} {credential}, SignedHeaders={listed}, Signature={signature}"
        return signed

    def _day_key(self, day: str) -> bytes:
        if day != self._day:
            key = f"AWS4{self.secret_key}".encode()
            for part in (day, self.region, self.service, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._day, self._key = day, key
        return self._key


def _trimmed(value: str) -> str:
    """Return a header's value as it is signed: runs of spaces are one, and none is at an end."""
    return value if " " not in value else " ".join(value.split())
