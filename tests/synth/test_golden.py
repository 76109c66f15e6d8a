"""One golden template per mode and one for the platform: a tripwire for changes that nobody meant.

Digests of code and content are left out, so that only a change of the infrastructure trips it.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from handlers.contract.modes import AVAILABLE, ServingMode
from tests.synth.conftest import Synth, Template, entry

GOLDEN = Path(__file__).with_name("golden")
_DIGESTS = [
    (re.compile(r"\b[0-9a-f]{64}\b"), "<digest>"),
    (re.compile(r"FrontDoor(Version|HandlerRole)[0-9a-f]{10}[0-9A-F]{8}"), r"FrontDoor\1<digest>"),
    (re.compile(r"(-(realtime|serverless|async)-)[0-9a-f]{6}\b"), r"\1<identity>"),
    (re.compile(r"(Serving(Realtime|Serverless|Async))[0-9a-f]{6}([A-Z]\w*?)[0-9A-F]{8}\b"), r"\1<identity>\3"),
    (re.compile(r"(Alarms(Endpoint|Requests)[A-Z][a-z]+)[0-9a-f]{6}[0-9A-F]{8}\b"), r"\1<identity>"),
    (re.compile(r'"Release": "[0-9a-f]{10}"'), '"Release": "<digest>"'),
    (re.compile(r'(MODEL_VERSION": |"Value": |"ModelVersion": )"[0-9a-f]{12}"'), r'\1"<version>"'),
]


def without_digests(template: Template) -> str:
    text = template.text
    for pattern, placeholder in _DIGESTS:
        text = pattern.sub(placeholder, text)
    return text


@pytest.mark.parametrize("mode", sorted(AVAILABLE))
def test_a_mode_is_what_it_was(mode: ServingMode, synth: Synth, golden: Callable[[str, Path], None]):
    template = synth(entry(mode=mode.value), region="us-east-1")["churn"]
    golden(without_digests(template), GOLDEN / f"{mode.value}.template.json")


def test_there_is_a_golden_template_for_every_mode():
    from infra.serving import SERVING

    assert {path.name for path in GOLDEN.iterdir()} == {f"{mode.value}.template.json" for mode in SERVING} | {
        "platform.template.json"
    }


def test_the_platform_is_what_it_was(synth: Synth, golden: Callable[[str, Path], None]):
    golden(without_digests(synth(entry(), region="us-east-1")["platform"]), GOLDEN / "platform.template.json")
