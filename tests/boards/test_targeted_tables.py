from __future__ import annotations

from typing import Any

import pytest

from hashbench.boards.leaderboard import leaderboards
from hashbench.boards.terminal import print_matrix
from hashbench.running.store import Result

IDENTITY: dict[str, Any] = {
    "schema_version": 1, "protocol_version": 1, "dataset": "digits", "split_digest": "0" * 16, "backbone": "cnn",
    "method": "csq", "training": "clean", "bits": 8, "defense": "none", "norm": "linf", "eps": 8 / 255, "seed": 0,
    "index": "reindexed", "attack_params": {},
}  # fmt: skip


def result(attack: str, goal: str, access: str, **numbers: float) -> Result:
    identity = {**IDENTITY, "attacker": "adaptive", "attack": attack, "goal": goal, "access": access}
    levels = {"chance_map": 0.3, "n_queries": 2, "n_database": 3, **numbers}
    return Result(attack, identity, levels, {"created_utc": ""})


def results(extra: int = 0) -> list[Result]:
    own = {"map": 0.2, "map_low": 0.1, "map_high": 0.3}
    aimed = {"t_map": 0.8, "t_map_low": 0.7, "t_map_high": 0.9, "t_chance_map": 0.25}
    more = [result(f"pgd-{number}", "untargeted", "white", **own) for number in range(extra)]
    return [result("none", "untargeted", "none", **own), result("dhta", "targeted", "white", **own, **aimed), *more]


def test_squares_of_targeted_attacks_hold_t_map_and_say_so() -> None:
    (board,) = leaderboards(results())
    matrix = board.matrix()
    assert list(matrix["dhta t-MAP"]) == [0.8, 0.25]
    assert matrix["dhta t-MAP low"][0] == 0.7
    assert list(matrix["none"]) == [0.2, 0.3]
    assert board.rows()["map"].tolist() == [0.2, 0.2]
    assert board.rows()["t_map"].tolist() == [None, 0.8]


def test_targeted_attacks_stand_last() -> None:
    (board,) = leaderboards(results(2))
    assert board.attacks == ["none", "pgd-0", "pgd-1", "dhta"]


@pytest.mark.parametrize("extra", [0, 9])
def test_the_terminal_shows_them_too(extra: int, capsys: pytest.CaptureFixture[str]) -> None:
    (board,) = leaderboards(results(extra))
    print_matrix(board)
    shown = capsys.readouterr().out
    assert "dhta t-MAP" in shown
    assert "80.0 [70.0, 90.0]" in shown
    assert "t-MAP: mAP with respect to the target labels" in shown
    assert ("access" in shown) == (extra == 9)
