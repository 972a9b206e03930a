from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import example as with_example
from hypothesis import given
from hypothesis import strategies as st

from hashbench.digests import DATA_VARIABLE, file_digest
from hashbench.errors import BadParameter, MissingData, PluginError
from hashbench.registry.entries import defenses
from hashbench.registry.parameters import ContentFile, Count, Positive, Share, parameters, resolve
from hashbench.registry.spec import Spec


def example(
    data: object,
    *,
    steps: Count = 10,
    ratio: Share = 0.5,
    rate: Positive = 0.1,
    mode: Literal["fast", "slow"] = "fast",
    on: bool = False,
    root: Path | None = None,
) -> None:
    """Takes every kind of parameter."""


def test_reads_values_by_their_types() -> None:
    given = {"steps": "3", "ratio": "8/255", "rate": "1e-3", "mode": "slow", "on": "yes", "root": "folder"}
    wanted = {"steps": 3, "ratio": 8 / 255, "rate": 1e-3, "mode": "slow", "on": True, "root": Path("folder")}
    assert resolve(example, given, "it") == wanted
    assert resolve(example, {"on": "False"}, "it")["on"] is False
    assert resolve(example, {"root": "none"}, "it")["root"] is None


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("step", "3", "it has no parameter 'step'; did you mean 'steps'?"),
        ("steps", "3.5", "can't read steps=3.5; write a whole number"),
        ("steps", "0", "steps=0 is out of range; take a number of at least 1"),
        ("ratio", "1.5", "ratio=1.5 is out of range; take a number from 0 to 1"),
        ("ratio", "1/0", "can't read ratio=1/0"),
        ("ratio", "nan", "can't read ratio=nan"),
        ("rate", "0", "rate=0 is out of range; take a number above 0"),
        ("mode", "medium", "mode=medium is unknown; take one of fast, slow"),
        ("on", "maybe", "can't read on=maybe; write true or false"),
    ],
)
def test_says_what_is_wrong_and_what_to_try(name: str, text: str, message: str) -> None:
    with pytest.raises(BadParameter) as caught:
        resolve(example, {name: text}, "it")
    assert message in str(caught.value)


def test_a_parameter_needs_a_type_and_a_default() -> None:
    def untyped(*, steps=3) -> None:  # type: ignore[no-untyped-def]
        """Has no type."""

    def required(*, steps: int) -> None:
        """Has no default."""

    def endless(*, steps: float = math.inf) -> None:
        """Has a default that no record of a store can hold."""

    def strange(*, steps: list[int] | None = None) -> None:
        """Has a type that no word becomes."""

    for function in (untyped, required, strange):
        with pytest.raises(PluginError, match="'steps' needs a default"):
            parameters(function)
    with pytest.raises(PluginError, match="'steps' has the default inf; choose a finite number, or None"):
        parameters(endless)


def test_specs() -> None:
    assert Spec.parse("pgd") == Spec("pgd")
    assert Spec.parse("pgd:steps=3, ratio=8/255") == Spec("pgd", {"steps": "3", "ratio": "8/255"})
    for text in ("", ":steps=3", "pgd:steps", "pgd:steps=", "pgd:=3", "pgd:", "pgd:steps=1,steps=2"):
        with pytest.raises(BadParameter):
            Spec.parse(text)


def with_file(*, weights: Annotated[str, ContentFile(("default",))] = "default", root: Path | None = None) -> None:
    """Takes a file whose content counts, and a folder that does not."""


def test_a_file_counts_by_its_content_and_a_folder_not_at_all(tmp_path: Path) -> None:
    weights, root = parameters(with_file)
    (tmp_path / "one").write_text("content")
    (tmp_path / "two").write_text("content")
    assert weights.visible(None)
    assert not root.visible(None)
    assert weights.identify("default") == "default"
    assert weights.identify(str(tmp_path / "one")) == weights.identify(str(tmp_path / "two"))
    (tmp_path / "two").write_text("another content")
    assert weights.identify(str(tmp_path / "one")) != weights.identify(str(tmp_path / "two"))
    assert weights.read(str(tmp_path / "one")) == str(tmp_path / "one")
    with pytest.raises(MissingData, match="is not a file; give default or the path of a file"):
        weights.read(str(tmp_path / "three"))


@given(st.floats(0, 1e6) | st.fractions(0, 100).map(float))
@with_example(10 / 3)
@with_example(8 / 255)
def test_a_label_names_exactly_the_values_that_it_was_made_of(weight: float) -> None:
    choice = defenses.choose(Spec("cgat", {"weight": repr(weight)}))
    assert defenses.choose(Spec.parse(choice.label)).params == choice.params


def test_a_file_is_found_by_the_digest_that_stands_for_it_in_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def network(model: object, *, weights: Annotated[str, ContentFile(("none",))] = "none") -> None: ...

    folder, elsewhere = tmp_path / "data", tmp_path / "w.pth"
    folder.mkdir()
    (folder / "other.txt").write_text("other")
    elsewhere.write_text("weights")
    label = f"sha256-{file_digest(elsewhere)}"
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    with pytest.raises(MissingData, match=rf"weights={label} is not a file; put the file into \$HASHBENCH_DATA"):
        resolve(network, {"weights": label}, "backbone 'mine'")
    monkeypatch.setenv(DATA_VARIABLE, str(folder))
    with pytest.raises(MissingData, match="put the file into"):
        resolve(network, {"weights": label}, "backbone 'mine'")
    elsewhere.rename(folder / "named_otherwise.pth")
    found = resolve(network, {"weights": label}, "backbone 'mine'")
    assert found == {"weights": str(folder / "named_otherwise.pth")}
    (parameter,) = parameters(network)
    assert parameter.identify(found["weights"]) == label
