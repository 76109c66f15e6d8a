"""The lists of requirements agree with each other."""

from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements"


def pins(name: str) -> set[str]:
    lines = (REQUIREMENTS / name).read_text().splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def test_the_local_cloud_alone_has_the_versions_that_everything_has():
    assert pins("local.txt") < pins("run.txt")


def test_what_is_installed_directly_is_pinned_alike_for_what_comes_along():
    constraints = pins("constraints.txt")
    for name in ("local.txt", "run.txt"):
        assert {pin for pin in pins(name) if pin not in constraints} == set(), name
