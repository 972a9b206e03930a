"""Pairing of stored cells to compare two defenses, and refusal of what can't be compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hashbench.errors import BadInput, BadParameter, UnknownName
from hashbench.registry.entries import Registry, defenses, entry_of
from hashbench.registry.plugins import is_file_of_user
from hashbench.registry.short_labels import cell_name, defense_name
from hashbench.registry.spec import Spec
from hashbench.registry.tracks import track_of
from hashbench.running.cell import ADAPTIVE, outdated
from hashbench.running.commands import CODE, plugin_files, row_command
from hashbench.running.store import Result
from hashbench.threat import PATCH, format_eps

CLEAN, UNDEFENDED = "none", "none"
WEAK = ("none", "noise")  # compared only if asked for
FIELDS = {
    "schema_version": "schema version", "protocol_version": "protocol version", "dataset": "data set",
    "split_digest": "queries", "backbone": "backbone", "method": "method", "training": "training", "bits": "bits",
    "norm": "norm", "eps": "eps", "index": "index",
}  # fmt: skip

Context = tuple[Any, ...]
Cells = dict[tuple[str, str, int], Result]  # by defense, attack, seed


@dataclass(frozen=True)
class Pairing:
    """The valid cells of two defenses on one subject under one threat, for every attack, `none` and every seed."""

    defenses: tuple[str, str]
    attacks: tuple[str, ...]
    seeds: tuple[int, ...]
    left_out: tuple[int, ...]
    cells: Cells
    identity: Mapping[str, Any]


def pair(results: Iterable[Result], texts: tuple[str, str], attacks: Sequence[str] = (), **filters: Any) -> Pairing:
    """Choose the cells by which two defenses are compared.

    Args:
        results: cells of a store; only adaptive attackers and the newest measurement of each cell count.
        texts: two defenses, as labels or as on the command line.
        attacks: labels of one track; by default all that both have except `none`, `noise` and, where there are others,
            attacks that see ids only.
        filters: required values of identity fields; for `seed`, a set of seeds.

    Raises:
        UsageError: a cell is missing or invalid, or the two do not share exactly one subject and threat.
    """
    found = _newest(results)
    seeds = tuple(sorted(set(filters.pop("seed", ()))))
    fitting = [r for r in found if all(_agrees(r.identity[name], value) for name, value in filters.items())]
    names = _resolve(texts[0], fitting or found), _resolve(texts[1], fitting or found)
    if names[0] == names[1]:
        raise BadParameter(f"both defenses are {names[0]!r}; name two different ones")
    found = fitting
    context = _common(found, names)
    cells = {_place(r): r for r in found if _context(r) == context}
    identity = next(iter(cells.values())).identity
    attacks = tuple(dict.fromkeys(attacks)) or _shared(cells, names)
    _check_track(cells, attacks)
    if not attacks:
        raise BadInput(f"{names[0]} and {names[1]} have no attack in common but noise; add --attack to both runs")
    has = {seed for *_, seed in cells}
    whole = [s for s in sorted(has) if all((d, a, s) in cells for d in names for a in (CLEAN, *attacks))]
    used = seeds or tuple(whole) or (min(has),)
    for place in [(d, a, s) for s in used for d in names for a in (CLEAN, *attacks)]:
        _require(place, cells, identity)
    of_both = {s for d, _, s in cells if d == names[0]} & {s for d, _, s in cells if d == names[1]}
    left_out = () if seeds else tuple(sorted(of_both - set(used)))
    return Pairing(names, attacks, used, left_out, cells, cells[names[0], attacks[0], used[0]].identity)


def label_of(registry: Registry[Any], text: str, stored: Iterable[str]) -> str:
    """The label of a name with parameters; a stored label is returned unchanged.

    Raises:
        UnknownName: the name is neither registered nor a stored label.
        BadParameter: the text can't be parsed.
    """
    return text if text in set(stored) else registry.choose(Spec.parse(text)).label


def training_cost(cells: Cells, defense: str, seed: int) -> float | None:
    """Training passes relative to the undefended model; None if unknown."""
    one, base = (_training_passes(cells.get((name, CLEAN, seed))) for name in (defense, UNDEFENDED))
    return one / base if one and base else None


def mean_known(values: Sequence[float | None]) -> float | None:
    """The mean of some values; None if there are none or any is None."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _measuring(
    identity: Mapping[str, Any], defense: str, attack: str, found: Iterable[Result], seed: int | None = None
) -> str:
    """The command that measures a cell, with the plugins that it needs.

    Args:
        found: cells whose own commands name plugins.
    """
    asked = [entry_of(kind, Spec.parse(label).name) for kind, label in (("defense", defense), ("attack", attack))]
    loaded = [str(entry.file) for entry in asked if entry and is_file_of_user(entry.module)]
    near = [
        r for r in found
        if r.identity["defense"] == defense or _place(r)[:2] == (UNDEFENDED, CLEAN)
        or (r.identity["attack"] == attack and CODE in str(r.identity.get("versions", {}).get("attack")))
    ]  # fmt: skip
    files = loaded or plugin_files((r.identity.get("versions"), str(r.host.get("command", ""))) for r in near)
    return row_command(identity, [defense], [attack], [identity["seed"] if seed is None else seed], files)


def _training_passes(cell: Result | None) -> float:
    """Forward and backward passes per image of a cell's training; 0 if unknown."""
    names = ("train_forwards", "train_backwards")
    return sum(float(cell.numbers.get(name) or 0) for name in names) if cell else 0.0


def _newest(results: Iterable[Result]) -> list[Result]:
    """The newest measurement of each cell, current versions first; adaptive attackers only."""
    newest: dict[Any, Result] = {}
    for r in sorted(results, key=lambda r: (not outdated(r.identity), r.host.get("created_utc", ""), r.key)):
        if r.identity.get("attacker", ADAPTIVE) == ADAPTIVE:
            newest[_context(r), _place(r)] = r
    return list(newest.values())


def _resolve(text: str, found: Sequence[Result]) -> str:
    """The label of a defense: as given, from the registry, or the only tuned label of a plain name."""
    stored = {r.identity["defense"]: r for r in found}
    text = UNDEFENDED if text == defense_name(UNDEFENDED) else text
    label = label_of(defenses, text, stored)
    tuned = {r.identity["defense"] for r in found if r.identity.get("tuned")}
    named = sorted(name for name in tuned if name.partition(":")[0] == text)
    if label in stored or not named:
        if label not in stored and found:
            command = _measuring(found[-1].identity, label, "pgd-hamming", found)
            raise UnknownName(f"the store has no cells of {label!r}; make some, for example with '{command}'")
        if not found:
            raise UnknownName(f"the store has no cells of {label!r}; make some with 'hashbench run --defense {label}'")
        return label
    if len(named) > 1:
        raise UnknownName(f"{text!r} could mean {' or '.join(named)}; give one of them")
    return str(named[0])


def _common(found: Sequence[Result], names: tuple[str, str]) -> Context:
    """The only subject and threat on which both defenses were measured."""
    sides = [{_context(r) for r in found if r.identity["defense"] == name} for name in names]
    for name, side in zip(names, sides, strict=True):
        if not side:
            raise BadInput(f"the store has no cells of {name!r} that fit the options; leave one of them out")
    both = sorted(sides[0] & sides[1], key=str)
    if len(both) == 1:
        return both[0]
    if both:
        raise BadInput(
            f"both were measured on several subjects; choose one by its options: {'; '.join(map(_words, both))}"
        )
    near = min(((a, b) for a in sides[0] for b in sides[1]), key=lambda p: (len(_differences(*p)), str(p)))
    raise BadInput(f"{names[0]} and {names[1]} can't be compared: {', '.join(_differences(*near))}; measure both alike")


def _differences(one: Context, other: Context) -> list[str]:
    values = zip(FIELDS, one, other, strict=True)
    return [f"different {FIELDS[name]} ({_show(name, a)} and {_show(name, b)})" for name, a, b in values if a != b]


def _words(context: Context) -> str:
    named = dict(zip(FIELDS, context, strict=True))
    shown = ("dataset", "backbone", "method", "bits", "norm", "eps", "training")
    return " ".join(_option(name, named[name]) for name in shown) + f" (queries {named['split_digest'][:6]})"


def _option(name: str, value: Any) -> str:
    patch = PATCH.fullmatch(str(value)) if name == "norm" else None
    return f"--patch {patch[1]}" if patch else f"--{name} {_show(name, value)}"


def _show(name: str, value: Any) -> str:
    return format_eps(value) if name == "eps" else str(value)


def _shared(cells: Cells, names: tuple[str, str]) -> tuple[str, ...]:
    """Attacks that both defenses have for at least one seed."""
    tracks = {a: _track(r) for (_, a, _), r in cells.items() if a.partition(":")[0] not in WEAK}
    seeds = {s for *_, s in cells}
    both = sorted(a for a in tracks if any(all((d, a, s) in cells for d in names) for s in seeds))
    return tuple(a for a in both if tracks[a] == min(tracks[b] for b in both))


def _check_track(cells: Cells, attacks: Sequence[str]) -> None:
    """Refuse to take a worst case over attackers who see different things of the victim.

    Raises:
        BadParameter: there are two such attacks.
    """
    tracks = {_track(r): a for (_, a, _), r in cells.items() if a in attacks and a.partition(":")[0] not in WEAK}
    if len(tracks) > 1:
        raise BadParameter(
            f"{' and '.join(sorted(tracks.values()))} see different things of the victim and have no worst case in "
            "common; compare under one of them at a time"
        )


def _track(result: Result) -> str:
    return track_of(str(result.identity.get("access", "")))


def _require(place: tuple[str, str, int], cells: Cells, identity: Mapping[str, Any]) -> None:
    defense, attack, seed = place
    who = f"{cell_name(defense, attack)}, seed {seed}"
    if place not in cells:
        raise BadInput(
            f"the store lacks {who}; make it with '{_measuring(identity, defense, attack, cells.values(), seed)}'"
        )
    if cells[place].status != "valid":
        raise BadInput(f"can't compare: {who} is invalid: {cells[place].reason}")


def _context(result: Result) -> Context:
    return tuple(result.identity.get(name, "") for name in FIELDS)


def _place(result: Result) -> tuple[str, str, int]:
    return result.identity["defense"], result.identity["attack"], result.identity["seed"]


def _agrees(value: Any, wanted: Any) -> bool:
    return abs(value - wanted) < 1e-9 if isinstance(wanted, float) else bool(value == wanted)
