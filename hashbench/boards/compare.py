"""Two defenses, paired over the same queries and seeds: differences, intervals, p values, one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hashbench.boards.pairing import CLEAN, Pairing, mean_known, training_cost
from hashbench.boards.tables import rounded
from hashbench.errors import BadInput
from hashbench.metrics.bootstrap import ALPHA, Floats, estimate, holm
from hashbench.registry.short_labels import defense_name
from hashbench.running.store import Store

WORST = "worst case"


@dataclass(frozen=True)
class Difference:
    """One comparison. mAPs in [0, 1]; a positive difference favours the first defense.

    `measure` is `map`, or `t_map` for a targeted attack, where lower is better and the sign is flipped.
    """

    attack: str
    measure: str
    first: float
    second: float
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    queries: int

    @property
    def told_apart(self) -> bool:
        """Whether the difference is significant after correction for all comparisons."""
        return self.p_holm < ALPHA


@dataclass(frozen=True)
class Comparison:
    """All comparisons of two defenses, with their clean mAPs and training costs as pairs.

    `cost`: training passes relative to the undefended model; None if unknown.
    `queries`: each defense's per-query values in the last row, averaged over seeds.
    """

    pairing: Pairing
    rows: tuple[Difference, ...]
    clean: tuple[float, float]
    cost: tuple[float | None, float | None]
    queries: tuple[Floats, Floats]

    @property
    def sentence(self) -> str:
        """Which defense is better, or that they can't be told apart; decided by the worst case if there is one."""
        one, other = map(defense_name, self.pairing.defenses)
        rows = [row for row in self.rows if row.attack == WORST] or list(self.rows)
        sure = [row for row in rows if row.told_apart]
        signs = {row.difference > 0 for row in sure}
        if len(signs) == 1:
            better, worse = (one, other) if signs == {True} else (other, one)
            where = ", ".join(map(_where, sure))
            return f"{better} is better than {worse}: {where}{self._caution}."
        if signs:
            return f"{one} and {other} are each better under some attacks{self._caution}."
        where = ", ".join(map(_where, rows))
        return f"{one} and {other} can't be told apart: {where}{self._caution}."

    @property
    def _caution(self) -> str:
        seeds = self.pairing.seeds
        return "" if len(seeds) > 1 else "; one seed, so this is about these two models, not about other trainings"

    def document(self) -> dict[str, Any]:
        """The comparison as plain values: mAPs and differences in [0, 1], one entry of `rows` per attack."""
        rows = [{**vars(row), "told_apart": row.told_apart} for row in self.rows]
        return {
            "defenses": self.pairing.defenses, "seeds": self.pairing.seeds, "left_out": self.pairing.left_out,
            "clean": self.clean, "train_cost": self.cost, "rows": rows, "conclusion": self.sentence,
        }  # fmt: skip

    def table(self) -> pd.DataFrame:
        """One row per comparison; the same digits each time."""
        one, other = self.pairing.defenses
        names = ("dataset", "split_digest", "backbone", "method", "training", "bits", "norm", "eps")
        subject = {name: self.pairing.identity[name] for name in names}
        shared = {
            "map_clean_a": self.clean[0], "map_clean_b": self.clean[1],
            "train_cost_a": self.cost[0], "train_cost_b": self.cost[1],
            "seeds": " ".join(map(str, self.pairing.seeds)),
        }  # fmt: skip
        rows = [
            {
                **subject, "defense_a": one, "defense_b": other, "attack": row.attack, "measure": row.measure,
                "value_a": row.first, "value_b": row.second, "difference": row.difference, "ci_low": row.low,
                "ci_high": row.high, "p": row.p, "p_holm": row.p_holm, "n_queries": row.queries, **shared,
            }
            for row in self.rows
        ]  # fmt: skip
        return rounded(rows, list(rows[0]))


def compare(store: Store, pairing: Pairing) -> Comparison:
    """Compare two defenses under each attack, and in the worst case if there are several untargeted attacks.

    Raises:
        BadInput: cells lack per-query values, or have them for different queries.
    """
    sides = [
        {attack: _values(store, pairing, defense, attack) for attack in pairing.attacks} for defense in pairing.defenses
    ]
    measures = {attack: "t_map" if _targeted(pairing, attack) else "map" for attack in pairing.attacks}
    plain = [attack for attack in pairing.attacks if measures[attack] == "map" and attack != CLEAN]
    if len(plain) > 1:
        for side, defense in zip(sides, pairing.defenses, strict=True):
            clean = _values(store, pairing, defense, CLEAN)
            side[WORST] = np.minimum.reduce([clean, *(side[attack] for attack in plain)])
        measures[WORST] = "map"
    rows = [_difference(attack, measure, sides[0][attack], sides[1][attack]) for attack, measure in measures.items()]
    corrected = holm([row.p for row in rows])
    whole = [Difference(**{**vars(row), "p_holm": p}) for row, p in zip(rows, corrected, strict=True)]
    (one, other), last = pairing.defenses, rows[-1].attack
    return Comparison(
        pairing,
        tuple(whole),
        (_clean(pairing, one), _clean(pairing, other)),
        (_cost(pairing, one), _cost(pairing, other)),
        (_by_query(sides[0][last]), _by_query(sides[1][last])),
    )


def _values(store: Store, pairing: Pairing, defense: str, attack: str) -> Floats:
    """APs [seeds, queries]; NaN for a query without one."""
    name = "target_average_precision" if _targeted(pairing, attack) else "average_precision"
    found = []
    for seed in pairing.seeds:
        arrays = store.arrays(pairing.cells[defense, attack, seed])
        if name not in arrays:
            raise BadInput(f"{defense} under {attack}, seed {seed} has no per-query values; run it again with --fresh")
        found.append(arrays[name])
    if len({len(values) for values in found}) > 1:
        raise BadInput(f"{defense} under {attack} has different queries in different seeds; run it again with --fresh")
    return np.stack(found)


def _difference(attack: str, measure: str, first: Floats, second: Floats) -> Difference:
    """A comparison whose p is not yet corrected."""
    if first.shape != second.shape or (np.isnan(first) != np.isnan(second)).any():
        raise BadInput(f"the two were measured on different queries under {attack}; run both again with --fresh")
    scored = ~np.isnan(first).any(axis=0)
    if scored.sum() < 2:
        raise BadInput(f"under {attack} there are fewer than two queries with an AP; that is too few to compare")
    first, second = first[:, scored], second[:, scored]
    sign = -1 if measure == "t_map" else 1
    found = estimate(sign * (first - second)[None])
    difference, low, high, p = (float(v[0]) for v in (found.difference, found.low, found.high, found.p))
    levels = float(first.mean()), float(second.mean())
    return Difference(attack, measure, *levels, difference, low, high, p, 1.0, int(scored.sum()))


def _by_query(values: Floats) -> Floats:
    """The queries that have a value, averaged over seeds: [queries]."""
    mean: Floats = values[:, ~np.isnan(values).any(axis=0)].mean(axis=0)
    return mean


def _targeted(pairing: Pairing, attack: str) -> bool:
    cell = pairing.cells[pairing.defenses[0], attack, pairing.seeds[0]]
    return bool(cell.identity["goal"] == "targeted")


def _clean(pairing: Pairing, defense: str) -> float:
    return float(np.mean([pairing.cells[defense, CLEAN, seed].numbers["map"] for seed in pairing.seeds]))


def _cost(pairing: Pairing, defense: str) -> float | None:
    """Training passes relative to the undefended model, averaged over seeds."""
    return mean_known([training_cost(pairing.cells, defense, seed) for seed in pairing.seeds])


def _where(row: Difference) -> str:
    place = "in the worst case" if row.attack == WORST else f"under {row.attack}"
    measure = "t-MAP, where less is better," if row.measure == "t_map" else "mAP"
    sign = -1 if row.measure == "t_map" else 1
    low, high = sorted((100 * sign * row.low, 100 * sign * row.high))
    points = f"{100 * sign * row.difference:+.1f} points [{low:+.1f}, {high:+.1f}]"
    return f"{place} {measure} {points}, p {format_p(row.p_holm)}"


def format_p(p: float) -> str:
    """A p value for people."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"
