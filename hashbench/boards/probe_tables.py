"""Probes as tables and text: sanity.csv, curve.csv, flags, and lines in the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from hashbench.boards.evidence_files import Evidence
from hashbench.boards.leaderboard import Leaderboard, model_of
from hashbench.boards.pairing import CLEAN
from hashbench.boards.tables import rounded
from hashbench.evaluation.flags import (
    ABOVE_PROBE,
    FLAGS,
    NOT_PROBED,
    STATEFUL,
    Flag,
    curve,
    is_above,
    raised,
    white_box,
)
from hashbench.evaluation.judge import Arrays
from hashbench.metrics.bootstrap import estimate
from hashbench.registry.short_labels import defense_name
from hashbench.running.cell import ADAPTIVE
from hashbench.running.clean_room.inspection import is_stateful
from hashbench.running.probes import probed_as, probed_identity
from hashbench.running.store import Result, Store

SIGNALS = (
    "n_queries", "map_clean", "chance_map", "tie_width", "distinct_codes", "classes", "train_mode_left",
    "batch_change", "unstable_share", "zero_gradient_share", "saturated_share", "map_plain", "map_gentle",
    "map_one_step", "map_white_box", "map_black_box", "map_transfer", "map_noise", "map_unbounded",
)  # fmt: skip
# No columns of tables: of version 2 of the probe, and half of them on images that each run draws anew.
UNSHOWN = ("wrong_gradient_share", "still_share", "map_new", "map_new_attacked")
CURVE = ("eps", "map", "ci_low", "ci_high")
OTHER_WEIGHTS = (
    "its probe found other weights than its cells; give the model the same weights each time, or run --fresh"
)


@dataclass(frozen=True)
class ProbeReport:
    """What a probe says about one row of a table.

    Attributes:
        flags: names of `flags.FLAGS`, in their order.
        signals: a number for each of SIGNALS and UNSHOWN that was measured.
        curve: eps, mAP, and the bounds of its 95 % interval, starting at eps 0.
        reason: why the model could not be probed; empty if it was.
        evidence: the probe with its per-query arrays.
    """

    defense: str
    seed: int
    flags: tuple[str, ...]
    signals: dict[str, float]
    curve: tuple[tuple[float, float, float | None, float | None], ...]
    reason: str = ""
    evidence: Evidence | None = field(default=None, compare=False, repr=False)


def reports_of(board: Leaderboard, store: Store) -> list[ProbeReport]:
    """What the store's probes say about a leaderboard's rows, sorted by defense and seed.

    A probe counts if it has the same weights as the row's cells; of two, the newer one counts. A row with a probe of
    other weights only counts as not probed: a model whose weights are others each time would have no flag.
    """
    rows = {
        (probed_as(probed_identity(result.identity)), result.numbers["model_digest"])
        for result in board.results
        if result.status == "valid"
    }
    newest: dict[tuple[str, str], Result] = {}
    others: dict[str, Result] = {}
    for probe in sorted(store.probes(), key=lambda r: (r.host["created_utc"], r.key)):
        row = probed_as(probe.identity), probe.numbers["model_digest"]
        if row in rows:
            newest[row] = probe
        else:
            others[row[0]] = probe
    probed = {identity for identity, _ in newest}
    found = [
        ProbeReport(*model_of(others[identity]), (NOT_PROBED,), {}, (), OTHER_WEIGHTS)
        for identity in {identity for identity, _ in rows} & others.keys() - probed
    ]
    for probe in newest.values():
        arrays = store.probe_arrays(probe)
        own = [r for r in board.results if r.status == "valid" and model_of(r) == model_of(probe)]
        found.append(with_table(report_of(probe, arrays), [(r, store.arrays(r)) for r in own]))
    return sorted(found, key=lambda report: (board.defenses.index(report.defense), report.seed))


def report_of(probe: Result, arrays: Arrays) -> ProbeReport:
    """What a probe says, with the current thresholds and intervals."""
    defense, seed = probe.identity["defense"], probe.identity["seed"]
    if probe.status != "valid":
        return ProbeReport(defense, seed, (NOT_PROBED,), {}, (), probe.reason, (probe, {}))
    flags = tuple(raised(probe.numbers, arrays, probe.identity["bits"]))
    return ProbeReport(defense, seed, flags, _signals(probe, arrays), _curve(arrays), evidence=(probe, arrays))


def with_table(report: ProbeReport, cells: Sequence[tuple[Result, Arrays]]) -> ProbeReport:
    """A report with the flags that compare a model's probe with its cells in the table.

    Args:
        cells: the model's valid cells, with their per-query arrays.
    """
    flags = [STATEFUL] if any(is_stateful(result.numbers) for result, _ in cells) else []
    attacked = [
        (result, arrays["average_precision"])
        for result, arrays in cells
        if result.identity["attacker"] == ADAPTIVE
        and result.identity["goal"] == "untargeted"
        and result.identity["attack"] != CLEAN
    ]
    probe, held = report.evidence or (None, {})
    steady = probe is not None and probe.status == "valid" and not probe.numbers["unstable_share"]
    if any(probe is not None and result.identity["norm"] != probe.identity["norm"] for result, _ in attacked):
        steady = False  # under a patch, which the probe's attacks do not know
    if steady and any(result.identity["access"] == "white" for result, _ in attacked):
        worst = np.min([precisions for _, precisions in attacked], axis=0)
        flags += [ABOVE_PROBE] if is_above(worst, held) else []
    return replace(report, flags=(*report.flags, *flags))


def flags_of(reports: Iterable[ProbeReport]) -> dict[str, list[str]]:
    """The flags of each defense over its seeds, in order; a defense without flags is left out."""
    return flags_by_defense((report.defense, report.flags) for report in reports)


def flags_by_defense(found: Iterable[tuple[str, Iterable[str]]]) -> dict[str, list[str]]:
    """The flags of each defense, given those of each of its models: known ones in order, then others.

    >>> flags_by_defense([("mine", ["stochastic"]), ("mine", ["train_mode", "new"]), ("yours", [])])
    {'mine': ['train_mode', 'stochastic', 'new']}
    """
    names: dict[str, set[str]] = {}
    for defense, flags in found:
        names.setdefault(defense, set()).update(flags)
    order = {name: place for place, name in enumerate(FLAGS)}
    return {
        defense: sorted(flags, key=lambda flag: (order.get(flag, len(order)), flag))
        for defense, flags in names.items()
        if flags
    }


def lines(reports: Sequence[ProbeReport]) -> list[str]:
    """A line of text for each flag of each defense, and for each model that could not be probed."""
    said = [
        f"flag: {_who(defense, reports, name)}: {name}: {FLAGS[name].meaning}; {_ending(FLAGS[name])}"
        for defense, names in flags_of(reports).items()
        for name in names
        if name != NOT_PROBED
    ]
    said += [f"{NOT_PROBED}: {defense_name(c.defense)}, seed {c.seed}: {c.reason}" for c in reports if c.reason]
    return said


def tables(reports: Sequence[ProbeReport]) -> dict[str, pd.DataFrame]:
    """The tables `sanity`, one row per model, and `curve`, one row per model and budget."""
    signals = [
        (report.defense, report.seed, " ".join(report.flags), *(report.signals.get(name) for name in SIGNALS))
        for report in reports
    ]
    points = [
        (report.defense, report.seed, *point, report.signals["n_queries"])
        for report in reports
        for point in report.curve
    ]
    return {
        "sanity": rounded(signals, ["defense", "seed", "flags", *SIGNALS]),
        "curve": rounded(points, ["defense", "seed", *CURVE, "n_queries"]),
    }


def _who(defense: str, reports: Sequence[ProbeReport], flag: str) -> str:
    """A defense; if it has several seeds, with those for which a flag was raised."""
    seeds = [report.seed for report in reports if report.defense == defense]
    struck = [report.seed for report in reports if report.defense == defense and flag in report.flags]
    if len(seeds) == 1:
        return defense_name(defense)
    return f"{defense_name(defense)}, seed{'s' if len(struck) > 1 else ''} {', '.join(map(str, struck))}"


def _ending(flag: Flag) -> str:
    return f"{flag.advice} (its numbers can't be trusted yet)" if flag.masking else flag.advice


def _signals(probe: Result, arrays: Arrays) -> dict[str, float]:
    levels = {
        "map_clean": arrays["clean"],
        "chance_map": arrays["chance"],
        "tie_width": arrays["high"] - arrays["low"],
        "zero_gradient_share": arrays["zero_gradient"],
        "map_plain": arrays["plain"][-1],
        "map_gentle": arrays["gentle"][0],
        "map_one_step": arrays["one_step"],
        "map_white_box": white_box(arrays),
        "map_noise": arrays["noise"],
        "map_unbounded": curve(arrays)[1][-1],
    }
    levels |= {
        f"map_{name}": arrays[name] for name in ("black_box", "transfer", "new", "new_attacked") if name in arrays
    }
    levels |= {f"{name}_share": arrays[name] for name in ("still", "wrong_gradient") if name in arrays}
    means = {name: float(values.mean()) for name, values in levels.items()}
    return {name: (probe.numbers | means)[name] for name in (*SIGNALS, *UNSHOWN) if name in probe.numbers | means}


def _curve(arrays: Arrays) -> tuple[tuple[float, float, float | None, float | None], ...]:
    budgets, left = curve(arrays)
    if left.shape[1] < 2:  # an interval takes two queries
        return tuple((eps, float(np.mean(aps)), None, None) for eps, aps in zip(budgets, left, strict=True))
    found = estimate(left[:, None, :], least=0.0)
    return tuple(zip(budgets, found.difference.tolist(), found.low.tolist(), found.high.tolist(), strict=True))
