from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hashbench
from hashbench.errors import BadInput
from hashbench.metrics.score import score_file


@pytest.fixture
def arrays() -> dict[str, Any]:
    random = np.random.default_rng(0)
    labels = np.eye(4)[random.integers(0, 4, 60)]
    codes = np.where(labels @ random.standard_normal((4, 16)) + random.standard_normal((60, 16)) > 0, 1, -1)
    return {
        "query_codes": codes[:10],
        "query_labels": labels[:10],
        "database_codes": codes[10:],
        "database_labels": labels[10:],
    }


def test_takes_arrays_tensors_booleans_and_real_values(arrays: dict[str, Any]) -> None:
    found = hashbench.retrieval(**arrays)
    assert found.chance_map < found.map_low <= found.map <= found.map_high <= 1
    assert found.average_precision.shape == found.low.shape == found.high.shape == (10,)
    codes = ("query_codes", "database_codes")
    for change in (
        {name: torch.tensor(array, dtype=torch.float32, requires_grad=True) for name, array in arrays.items()},
        arrays | {name: arrays[name] > 0 for name in codes},
        arrays | {name: arrays[name] * 0.3 for name in codes},
        arrays | {name: np.where(arrays[name] > 0, 0.0, -1.0) for name in codes},
    ):
        assert hashbench.retrieval(**change).map == found.map


def test_a_constant_code_scores_exactly_chance(arrays: dict[str, Any]) -> None:
    for at in (None, 1, 7):
        constant = {name: np.ones_like(arrays[name]) for name in ("query_codes", "database_codes")}
        found = hashbench.retrieval(**(arrays | constant), at=at)
        assert found.map == found.chance_map
        assert found.map_low < found.map < found.map_high


def test_queries_without_relevant_items_are_left_out_and_counted(arrays: dict[str, Any]) -> None:
    kept = hashbench.retrieval(**{k: v[2:] if k.startswith("query") else v for k, v in arrays.items()})
    labels = arrays["query_labels"].copy()
    labels[:2] = 0
    found = hashbench.retrieval(**(arrays | {"query_labels": labels}))
    assert found.n_without_relevant == 2
    assert np.isnan(found.average_precision[:2]).all()
    assert found.map == kept.map


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query_codes": np.ones((10, 8))}, "query_codes has 8 bits, database_codes has 16"),
        ({"query_labels": np.ones((9, 4))}, "query_codes has 10 rows, query_labels has 9"),
        ({"database_labels": np.ones((49, 4))}, "database_codes has 50 rows, database_labels has 49"),
        ({"query_labels": np.ones((10, 3))}, "query_labels has 3 classes, database_labels has 4"),
        ({"query_labels": np.full((10, 4), 0.5)}, "query_labels holds 0.5"),
        ({"query_labels": np.arange(10)}, r"query_labels has shape \[10\]"),
        ({"query_codes": np.full((10, 16), np.nan)}, "query_codes holds NaN"),
        ({"query_codes": np.empty((0, 16))}, "give a two-dimensional array that is not empty"),
        ({"query_codes": np.array([["a"] * 16] * 10)}, "give numbers"),
        ({"query_labels": np.zeros((10, 4))}, "no query shares a label"),
        ({"at": 0}, "at=0"),
    ],
)
def test_says_what_is_wrong(arrays: dict[str, Any], change: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        hashbench.retrieval(**(arrays | change))


def test_refuses_codes_written_as_zero_and_one(arrays: dict[str, Any]) -> None:
    bits = {name: (arrays[name] > 0).astype(int) for name in ("query_codes", "database_codes")}
    with pytest.raises(BadInput, match="0 and 1"):
        hashbench.retrieval(**(arrays | bits))


def test_scores_a_file(tmp_path: Path, arrays: dict[str, Any]) -> None:
    path = tmp_path / "codes.npz"
    np.savez(path, **arrays)
    assert score_file(path, 20).map == hashbench.retrieval(**arrays, at=20).map


class Bomb:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return Path.touch, (Path("exploded"),)  # type: ignore[return-value]


def test_never_executes_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arrays: dict[str, Any]) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("bomb.npz", **(arrays | {"query_codes": np.array(Bomb(), dtype=object)}))
    Path("bomb.pkl").write_bytes(pickle.dumps(Bomb()))
    for name in ("bomb.npz", "bomb.pkl"):
        with pytest.raises(BadInput, match=r"plain arrays|no directory|contradicts"):
            score_file(Path(name))
    assert not Path("exploded").exists()


def test_says_which_array_a_file_lacks(tmp_path: Path, arrays: dict[str, Any]) -> None:
    path = tmp_path / "codes.npz"
    np.savez(path, query_codes=arrays["query_codes"])
    with pytest.raises(BadInput, match="lacks query_labels, database_codes, database_labels"):
        score_file(path)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(BadInput, match=r"plain arrays|no directory|contradicts"):
        score_file(path)
    with pytest.raises(BadInput, match="is not there"):
        score_file(tmp_path / "absent.npz")
