"""Requests and answers as the images' handlers see them, and the error pages of the servers they run."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

JSON = "application/json"
CSV = "text/csv"
NPY = "application/x-npy"
ANY = "*/*"
#: Bodies of these types reach the script as text, compared whole: with a parameter they arrive as bytes.
UTF8_TYPES = (JSON, CSV)


@dataclass(frozen=True)
class Request:
    """One call. Header names are in lower case."""

    body: bytes
    headers: Mapping[str, str]

    @property
    def content_type(self) -> str | None:
        return self.headers.get("contenttype") or self.headers.get("content-type")

    def accept(self, default: str) -> str:
        """Return the type that the caller wants; without one, or with `*/*`, the default."""
        accept = self.headers.get("accept")
        return default if accept in (None, "", ANY) else accept


@dataclass(frozen=True)
class Answer:
    """What goes back: a body, or parts of one that are sent as they come."""

    status: int
    body: bytes | Iterator[bytes]
    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


#: Titles and texts of werkzeug's pages, which Flask sends.
FLASK_TITLES = {404: "Not Found", 413: "Request Entity Too Large", 500: "Internal Server Error"}
FLASK_TEXTS = {
    404: """The requested URL was not found on the server. If you entered the URL manually please check your spelling
 and try again.""",
    413: "The data value transmitted exceeds the capacity limit.",
    500: """The server encountered an internal error and was unable to complete your request. Either the server is
 overloaded or there is an error in the application.""",
}
NGINX_TITLES = {502: "Bad Gateway", 503: "Service Temporarily Unavailable", 504: "Gateway Time-out"}
MODEL_SERVER_TYPES = {
    400: "InternalServerException",
    404: "ResourceNotFoundException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}


def flask_page(status: int) -> Answer:
    title, text = FLASK_TITLES[status], FLASK_TEXTS[status].replace("\n", "")
    lines = ("<!doctype html>", "<html lang=en>", f"<title>{status} {title}</title>", f"<h1>{title}</h1>")
    return Answer(status, "\n".join((*lines, f"<p>{text}</p>\n")).encode(), "text/html; charset=utf-8")


def nginx_page(status: int) -> Answer:
    title = f"{status} {NGINX_TITLES[status]}"
    lines = ("<html>", f"<head><title>{title}</title></head>", "<body>", f"<center><h1>{title}</h1></center>")
    return Answer(
        status, "\r\n".join((*lines, "<hr><center>nginx</center>", "</body>", "</html>\r\n")).encode(), "text/html"
    )


def model_server_error(status: int, message: str) -> Answer:
    """Return an error as TorchServe and Multi Model Server write it."""
    document = {"code": status, "type": MODEL_SERVER_TYPES[status], "message": message}
    return Answer(status, (json.dumps(document, indent=2) + "\n").encode(), JSON)
