"""What CI installs: the lock has all that pyproject.toml asks for, in a release that it allows, with hashes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PINS = dict(re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==(\S+)", (ROOT / ".ci/lock.txt").read_text(), re.MULTILINE))


def asked_for() -> list[Requirement]:
    """All that is asked for by name: what hashbench needs, and its extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = [*project["dependencies"], *(text for extra in project["optional-dependencies"].values() for text in extra)]
    return [one for one in map(Requirement, texts) if one.name != project["name"]]


@pytest.mark.parametrize("wanted", asked_for(), ids=str)
def test_the_lock_has_a_release_that_is_allowed(wanted: Requirement) -> None:
    pin = {canonicalize_name(name): version for name, version in PINS.items()}[canonicalize_name(wanted.name)]
    assert wanted.specifier.contains(pin)


def test_every_package_of_the_lock_has_a_hash() -> None:
    parts = re.split(r"^(?=[\w.-]+(?:\[[\w,-]+\])?==)", (ROOT / ".ci/lock.txt").read_text(), flags=re.MULTILINE)[1:]
    assert len(parts) == len(PINS) > 100
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}\b", part) for part in parts)
