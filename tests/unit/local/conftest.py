"""Fixtures for tests of the local cloud's parts."""

from collections.abc import Iterator

import pytest

from tests.unit.local.prebuilt_images import Images


@pytest.fixture
def opened(tmp_path) -> Iterator[Images]:
    """A function that starts a model of one of AWS's prebuilt images; it ends with the test."""
    with Images(tmp_path) as images:
        yield images
