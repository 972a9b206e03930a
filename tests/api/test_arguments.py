"""What Python's functions say of arguments that they can't use; see `test_run.py` for those of `run`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import hashbench as hb
from hashbench.api.arguments import naming_arguments
from hashbench.cli.endings import end
from hashbench.errors import BadInput, StoreUnusable

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"board": 3}, "board is 3; give a path"),
    ({"attacks": None}, r"attacks is one NoneType; give a list: attacks=\['NAME'\]"),
    ({"defenses": "cgat"}, "defenses is one str; give a list"),
    ({"seeds": 0}, r"seeds is one int; give a list: seeds=\[0\]"),
    ({"threads": "2"}, "threads is '2'; give a whole number"),
    ({"threads": 0}, "threads=0 is below 1; give 1 or more"),
    ({"models": 3}, "models is 3; give a path"),
    ({"device": 0.5}, "device is 0.5; give a text"),
    ({"plugins": "mine.py"}, "plugins is one str; give a list"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_attack_board_refuses_what_is_none_of_its_arguments(words: dict[str, Any], message: str) -> None:
    with pytest.raises(hb.HashbenchError, match=message):
        hb.attack_board(**{"board": "absent", "attacks": ["noise"], **words})


def test_rows_and_their_places_are_words_and_paths() -> None:
    odd: Any = 3
    for call, message in (
        (lambda: hb.load_model(odd), "row is 3; give a text"),
        (lambda: hb.load_model("digits/cgat", odd / 2), "seed is 1.5; give a whole number"),
        (lambda: hb.load_model("digits/cgat", boards=odd), "boards is 3; give a path"),
        (lambda: hb.break_row("digits/cgat", "images.npz", odd), "by is 3; give a text"),
    ):
        with pytest.raises(hb.HashbenchError, match=message):
            call()


def test_the_command_line_names_options_where_python_names_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    @naming_arguments
    def keep(store: str, *, keep_models: bool = False, seeds: tuple[int, ...] = ()) -> None:
        raise StoreUnusable("try --store, --seed=3, --keep-models, --prefix or 'hashbench run --store runs'")

    with pytest.raises(StoreUnusable) as caught:
        keep("runs")
    told = "try store=, seeds=3, keep_models=True, --prefix or 'hashbench run --store runs'"
    assert str(caught.value) == told
    with pytest.raises(SystemExit):
        end(lambda: keep("runs"))
    assert capsys.readouterr().err == f"error: {caught.value.on_command_line}\n"
    assert "try --store, --seed=3, --keep-models" in caught.value.on_command_line


def test_a_store_of_models_that_is_none_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^models=.* is no store; give one that 'hashbench run' has made, or leave it"):
        hb.attack_board("absent", ["noise"], models=tmp_path / "absent")
    assert not list(tmp_path.iterdir())
