"""Which models are probed, and what tables and people see of it: sanity.csv, curve.csv and lines in the terminal."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hashbench import registry, sanity
from hashbench.cell import Cell
from hashbench.data import ImageSet, RetrievalSplit, Victim
from hashbench.errors import InvalidCell, StoreUnusable
from hashbench.evaluation import Arrays
from hashbench.fingerprint import ATTACKING, JUDGING, PROBING, digest, modules_digest
from hashbench.flags import FLAGS, NOT_PROBED, Flag, curve, raised, white_box
from hashbench.protocols import Attack
from hashbench.registry import Choice
from hashbench.seeds import derive_seed
from hashbench.spec import Spec
from hashbench.stats import estimate
from hashbench.store import Result, Store

if TYPE_CHECKING:
    from hashbench.leaderboard import Leaderboard

BLACK_BOX = "square-hamming:steps=100"  # the attack of a probe that sees codes only
_OF_AN_ATTACK = {"attack", "attack_params", "goal", "access", "attacker", "index"}
DIGITS = 6  # decimals in the files
SIGNALS = (
    "n_queries", "map_clean", "chance_map", "tie_width", "distinct_codes", "classes", "train_mode_left",
    "batch_change", "unstable_share", "zero_gradient_share", "saturated_share", "map_plain", "map_gentle",
    "map_one_step", "map_white_box", "map_black_box", "map_transfer", "map_noise", "map_unbounded",
)  # fmt: skip
CURVE = ("eps", "map", "ci_low", "ci_high")


@dataclass(frozen=True)
class Check:
    """What a probe says of one row of a table.

    Attributes:
        flags: names of `flags.FLAGS`, in their order.
        signals: a number for each of SIGNALS that was measured.
        curve: eps, mAP, and the bounds of its 95 % interval, from eps 0 on.
        reason: why the model could not be probed; empty if it was.
    """

    defense: str
    seed: int
    flags: tuple[str, ...]
    signals: dict[str, float]
    curve: tuple[tuple[float, float, float | None, float | None], ...]
    reason: str = ""


def one_a_model(cells: Iterable[Cell]) -> list[Cell]:
    """One cell for each defended model and threat, in their order."""
    return list({probe_key(cell): cell for cell in cells}.values())


def probe_key(cell: Cell) -> str:
    """The key of the probe of a cell's model: a digest of the model, the threat and the code that probes."""
    code = [modules_digest(PROBING), modules_digest(ATTACKING), modules_digest(JUDGING), black_box().source]
    return digest(["probe", model_identity(cell.identity), cell.defended_key, BLACK_BOX, *code])


def model_identity(identity: dict[str, Any]) -> dict[str, Any]:
    """What is left of a cell's identity when the attack is taken away: the model and the threat."""
    return {name: value for name, value in identity.items() if name not in _OF_AN_ATTACK}


def black_box() -> Choice[Attack]:
    """The attack of a probe that sees codes only."""
    return registry.attacks.choose(Spec.parse(BLACK_BOX))


def probed_queries(split: RetrievalSplit, seed: int) -> tuple[ImageSet, int]:
    """The queries that a probe looks at, the same for all models of a data set and seed, and its own seed."""
    own = derive_seed("sanity", split.digest, seed)
    return sanity.sample(split.queries, own), own


def measure(
    cell: Cell,
    split: RetrievalSplit,
    victim: Victim,
    undefended: Victim | None,
    facts: dict[str, Any],
    host: dict[str, Any],
) -> tuple[Result, Arrays]:
    """Probe a cell's defended model; what comes out is to be stored.

    Args:
        undefended: the victim without its defense; none if it has none.
        facts: what is known of the model; its `model_digest` ties the probe to its weights.
        host: times, costs and the machine.
    """
    queries, seed = probed_queries(split, cell.seed)
    identity, began = model_identity(cell.identity), time.perf_counter()
    try:
        found = sanity.probe(victim, queries, cell.threat, seed, black_box=black_box(), undefended=undefended)
    except InvalidCell as failure:
        return Result(probe_key(cell), identity, facts, host, "invalid", str(failure)), {}
    host = {"probe_seconds": time.perf_counter() - began, **host}
    return Result(probe_key(cell), identity, {**found.numbers, **facts}, host), found.arrays


def checks_of(board: Leaderboard, store: Store) -> list[Check]:
    """What the store's probes say of a leaderboard's rows, by defense and seed.

    A probe counts for the weights that the row's cells were measured on; of two the newer one counts.
    """
    rows = {
        (json.dumps(model_identity(result.identity), sort_keys=True), result.numbers["model_digest"])
        for result in board.results
        if result.status == "valid"
    }
    newest: dict[tuple[str, str], Result] = {}
    for probe in sorted(store.probes(), key=lambda r: (r.host["created_utc"], r.key)):
        row = json.dumps(probe.identity, sort_keys=True), probe.numbers["model_digest"]
        if row in rows:
            newest[row] = probe
    found = [check_of(probe, store.probe_arrays(probe)) for probe in newest.values()]
    return sorted(found, key=lambda check: (board.defenses.index(check.defense), check.seed))


def check_of(probe: Result, arrays: Arrays) -> Check:
    """What a probe says, with thresholds and intervals as they are now."""
    defense, seed = probe.identity["defense"], probe.identity["seed"]
    if probe.status != "valid":
        return Check(defense, seed, (NOT_PROBED,), {}, (), probe.reason)
    return Check(defense, seed, tuple(raised(probe.numbers, arrays)), _signals(probe, arrays), _curve(arrays))


def flags_of(checks: Iterable[Check]) -> dict[str, list[str]]:
    """The flags of each defense over its seeds, in their order; a defense without any is left out."""
    found: dict[str, set[str]] = {}
    for check in checks:
        found.setdefault(check.defense, set()).update(check.flags)
    return {defense: [name for name in FLAGS if name in names] for defense, names in found.items() if names}


def lines(checks: Sequence[Check]) -> list[str]:
    """A line for people for each flag of each defense, and for each model that could not be probed."""
    said = [
        f"flag: {_who(defense, checks, name)}: {name}: {FLAGS[name].meaning}; {_ending(FLAGS[name])}"
        for defense, names in flags_of(checks).items()
        for name in names
        if name != NOT_PROBED
    ]
    said += [f"{NOT_PROBED}: {c.defense}, seed {c.seed}: {c.reason}" for c in checks if c.reason]
    return said


def write_checks(checks: Sequence[Check], folder: Path) -> None:
    """Write sanity.csv and curve.csv into a leaderboard's folder.

    Raises:
        StoreUnusable: it can't be written.
    """
    tables: dict[str, list[Sequence[Any]]] = {
        "sanity": [("defense", "seed", "flags", *SIGNALS)],
        "curve": [("defense", "seed", *CURVE, "n_queries")],
    }
    for check in checks:
        signals = [check.signals.get(name) for name in SIGNALS]
        tables["sanity"].append((check.defense, check.seed, " ".join(check.flags), *signals))
        tables["curve"] += [(check.defense, check.seed, *point, check.signals["n_queries"]) for point in check.curve]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in tables.items():
            draft = folder / f".{name}.csv"
            with draft.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerows(map(_plain, rows))
            draft.replace(folder / f"{name}.csv")
    except OSError as error:
        raise StoreUnusable(f"can't write {folder} ({error.strerror}); choose another folder with --out") from None


def _plain(row: Sequence[Any]) -> list[Any]:
    """A row with six decimals at most; what is missing is empty."""
    return [round(value, DIGITS) if isinstance(value, float) else value for value in row]


def _who(defense: str, checks: Sequence[Check], flag: str) -> str:
    """A defense, with the seeds where a flag was raised if there are several."""
    seeds = [check.seed for check in checks if check.defense == defense]
    struck = [check.seed for check in checks if check.defense == defense and flag in check.flags]
    if len(seeds) == 1:
        return defense
    return f"{defense}, seed{'s' if len(struck) > 1 else ''} {', '.join(map(str, struck))}"


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
    levels |= {f"map_{name}": arrays[name] for name in ("black_box", "transfer") if name in arrays}
    means = {name: float(values.mean()) for name, values in levels.items()}
    return {name: (probe.numbers | means)[name] for name in SIGNALS if name in probe.numbers | means}


def _curve(arrays: Arrays) -> tuple[tuple[float, float, float | None, float | None], ...]:
    budgets, left = curve(arrays)
    if left.shape[1] < 2:  # an interval takes two queries
        return tuple((eps, float(np.mean(aps)), None, None) for eps, aps in zip(budgets, left, strict=True))
    found = estimate(left[:, None, :])
    return tuple(zip(budgets, found.difference.tolist(), found.low.tolist(), found.high.tolist(), strict=True))
