"""The evidence of probes against the cells of a board: what flags, sanity.csv and curve.csv have to be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from hashbench.boards.evidence_files import PROBES, Evidence, read_evidence
from hashbench.boards.leaderboard import Leaderboard
from hashbench.boards.probe_tables import ProbeReport, report_of, with_table
from hashbench.errors import BadInput
from hashbench.evaluation import probe
from hashbench.evaluation.budgets import UNBOUNDED, heads_at, probed_at
from hashbench.evaluation.judge import Arrays
from hashbench.metrics.average_precision import average_precision, chance
from hashbench.metrics.distance_counts import Counts
from hashbench.readers.folders import list_files
from hashbench.readers.records import Limits, check
from hashbench.readers.toml_files import WIDEST
from hashbench.running.probes import probed_as, probed_identity, seed_of_probe
from hashbench.running.store import Result
from hashbench.threat import Threat, format_threat
from hashbench.verification.findings import Findings

PER_QUERY = ("clean", "low", "high", "chance", "noise", "one_step", "black_box", "zero_gradient")
SINCE_2 = ("still", "wrong_gradient", "new", "new_attacked")  # of probes since version 2; `rows` are integers
SHARES = ("unstable_share", "saturated_share")
SAME = 0.005  # AP; farther apart, a query has other codes
ALLOWED = 0.05  # share of queries that may be: another batch can turn a bit by rounding
ROUNDED = 1e-6

_SHARE = Annotated[float, Limits(0, 1)]
_COUNT = Annotated[int, Limits(0, 1 << 48)]
_AMOUNT = Annotated[float, Limits(0)]
Model = tuple[str, int]


def check_probes(folder: Path, board: Leaderboard, found: Findings) -> list[ProbeReport]:
    """What the probes in a board's folder say of its models; whatever is wrong with them is a problem."""
    cells: dict[Model, list[tuple[Result, Arrays]]] = {}
    for result, arrays in found.cells:
        cells.setdefault(_model(result.identity), []).append((result, arrays))
    reports: dict[Model, ProbeReport] = {}
    for name in [name for name in list_files(folder).files if name.startswith(f"{PROBES}/")]:
        try:
            probed = read_evidence(folder, name)
            model = _check_probe(name, probed, cells)
            if model in reports:
                raise BadInput(f"{name} is the second probe of {model[0]}, seed {model[1]}")
            reports[model] = with_table(report_of(*probed), cells[model])
        except BadInput as error:
            found.problems.append(str(error))
    found.problems += [
        f"{PROBES} has none of {defense}, seed {seed}; probe it with 'hashbench run', which goes on where it stopped"
        for defense, seed in cells
        if (defense, seed) not in reports
    ]
    return sorted(reports.values(), key=lambda report: (board.defenses.index(report.defense), report.seed))


def _check_probe(name: str, probed: Evidence, cells: Mapping[Model, list[tuple[Result, Arrays]]]) -> Model:
    """The model that a probe belongs to.

    Raises:
        BadInput: it belongs to none of the board, or contradicts its cells or itself.
    """
    result, arrays = probed
    if name != f"{PROBES}/{result.key}.npz":
        raise BadInput(f"{name} is the probe {result.key}; write it again with 'hashbench report'")
    defense = check(result.identity.get("defense"), str, name, "defense")
    model = (defense, check(result.identity.get("seed"), int, name, "seed"))
    if model not in cells:
        raise BadInput(f"{name} belongs to {defense}, seed {model[1]}, which has no valid cell here")
    for cell, _ in cells[model]:
        if probed_as(probed_identity(cell.identity)) != probed_as(result.identity):
            raise BadInput(f"{name} belongs to another model than the cells of {defense}, seed {model[1]}")
        for digest in ("model_digest", "codes_digest"):
            if cell.numbers.get(digest) != result.numbers.get(digest):
                raise BadInput(f"{name}: its {digest} is not that of the cells of {defense}, seed {model[1]}")
    if result.status == "valid":
        _check_arrays(name, result, arrays)
        _check_clean(name, probed, cells[model])
    elif result.status != "invalid" or not result.reason or arrays:
        raise BadInput(f"{name} is neither a valid nor an invalid probe")
    return model


def _check_arrays(name: str, result: Result, arrays: Arrays) -> None:
    """Refuse arrays of another shape than a probe's, and numbers that none has."""
    eps = float(check(result.identity.get("eps"), float, name, "eps"))
    threat = Threat(eps, check(result.identity.get("norm"), Literal["linf", "l2"], name, "norm"))
    threat, budgets = probed_at(threat, _widest(arrays, threat, name))
    queries = len(arrays["clean"]) if "clean" in arrays and arrays["clean"].ndim == 1 else 0
    heads = [head for budget in budgets for head in heads_at(budget, threat)]
    wanted: dict[str, tuple[int, ...]] = {
        **dict.fromkeys(PER_QUERY, (queries,)), "budgets": (len(budgets),),
        **{head: (heads.count(head), queries) for head in ("plain", "gentle")},
    }  # fmt: skip
    if result.identity["defense"] != "none":
        wanted["transfer"] = (queries,)
    if "rows" in arrays:
        wanted |= dict.fromkeys(SINCE_2, (queries,))
        _check_rows(name, arrays["rows"], queries)
    for array, shape in wanted.items():
        given = arrays.get(array)
        if given is None or given.shape != shape or not queries or given.dtype.kind != "f":
            raise BadInput(f"{name}: {array} is missing or has another shape than {list(shape)}")
        most = budgets[-1] if array == "budgets" else 1
        if not ((given >= 0) & (given <= most + ROUNDED)).all():
            raise BadInput(f"{name}: {array} holds values outside of 0 to {most:g}")
    if odd := sorted(arrays.keys() - wanted.keys() - {"rows"}):
        raise BadInput(f"{name} has the array {odd[0]!r}, which no probe has")
    if not np.allclose(arrays["budgets"], budgets, atol=ROUNDED, rtol=0):
        raise BadInput(f"{name}: its budgets are not those of {format_threat(threat.norm, eps)}")
    numbers = result.numbers
    for share in SHARES:
        check(numbers.get(share), _SHARE, name, share)
    for count in ("train_mode_left", "distinct_codes", "classes", "n_queries"):
        check(numbers.get(count), _COUNT, name, count)
    check(numbers.get("batch_change"), _AMOUNT, name, "batch_change")
    if numbers["n_queries"] != queries:
        raise BadInput(f"{name}: n_queries is {numbers['n_queries']}; its arrays have {queries}")


def _widest(arrays: Arrays, threat: Threat, name: str) -> float:
    """The budget within which every image lies: 1, or for l2, which depends on the images' size, what the file has."""
    if threat.norm == "linf":
        return UNBOUNDED
    budgets = arrays.get("budgets")
    if budgets is None or budgets.dtype.kind != "f" or not budgets.size or not 1 <= budgets.max() <= WIDEST:
        raise BadInput(f"{name}: budgets is missing or reaches no radius within which every image lies")
    return float(budgets.max())


def _check_rows(name: str, rows: NDArray[Any], queries: int) -> None:
    """Refuse places of queries that are not ascending whole numbers, one a query."""
    if rows.shape != (queries,) or rows.dtype.kind != "i" or (rows < 0).any() or (np.diff(rows) <= 0).any():
        raise BadInput(f"{name}: rows are not the places of {queries} queries in their set")


def _check_clean(name: str, probed: Evidence, cells: list[tuple[Result, Arrays]]) -> None:
    """Refuse a probe whose clean queries are not those of the board; a model of random codes is let through."""
    clean = [(result, arrays) for result, arrays in cells if result.identity["attack"] == "none"]
    result, arrays = probed
    if not clean:
        return
    cell, held = clean[0]
    counts = Counts(held["items"].astype(np.int64), held["relevant"].astype(np.int64))
    positions = _positions(cell, held["average_precision"], len(arrays["clean"]), name)
    if "rows" in arrays and not np.array_equal(arrays["rows"], positions):
        raise BadInput(f"{name}: rows are not the places of the queries that are probed with these data and this seed")
    own = average_precision(counts)
    expected = {"chance": chance(counts), "clean": own.expected, "low": own.low, "high": own.high}
    for array, values in expected.items():
        off = np.abs(values[positions] - arrays[array])
        exact = array == "chance"
        if not exact and result.numbers["unstable_share"] > 0:
            continue  # which is a flag by itself
        if off.max() > ROUNDED if exact else (off > SAME).mean() > ALLOWED:
            raise BadInput(f"{name}: {array} is not that of the same queries in the board's own cell")


def _positions(cell: Result, known: NDArray[Any], count: int, name: str) -> NDArray[np.int64]:
    """Where the probed queries are among all, in their order; those without a relevant item are left out."""
    seed, total = seed_of_probe(cell.identity["split_digest"], cell.identity["seed"]), len(known)
    least = min(probe.QUERIES, total)
    for wanted in range(least, total + 1):
        positions = probe.sampled(total, wanted, seed).numpy()
        kept: NDArray[np.int64] = positions[~np.isnan(known[positions])]
        if len(kept) >= count:
            break
    if len(kept) != count:
        raise BadInput(f"{name} has {count} queries; a probe of these data has {len(kept)}")
    return kept


def _model(identity: Mapping[str, Any]) -> Model:
    return str(identity["defense"]), int(identity["seed"])
