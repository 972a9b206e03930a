"""Migration of stores whose keys were digests of code: cells, probes and models get keys made of versions.

`code_keys.json` holds the digests of the last code that made such keys. A cell whose key follows from them was made
by version 1 of everything; any other cell, from a plugin or older code, is kept for tables as version 0.
"""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hashbench.digests import digest
from hashbench.running.cell import (
    ADAPTIVE,
    DEFENDED_ROLES,
    OF_ATTACK,
    OF_CLEAN,
    OF_DEFENSE,
    Identity,
    cell_key,
    clean_key,
    defended_key,
)
from hashbench.running.checkpoints import bare_name, database_key
from hashbench.running.probes import key_of_probe
from hashbench.running.shared_files import replaced
from hashbench.running.store import DATABASES, FACTS, MODELS, Result, Store

MARK = "keys.json"  # marks a store whose keys are made of versions
VERSIONED = ("schema_version", "protocol_version")  # part of the old keys
PROBED_BY = "square-hamming:steps=100"
ROLES = (*DEFENDED_ROLES, "attack")
NAMED = ("attack", "defense", "method", "backbone")  # parameters that name another entry


@dataclass(frozen=True)
class CodeKeys:
    """The keys of a cell or a probe from the time when keys were digests of code."""

    clean: str
    defended: str
    own: str


@dataclass
class Carried:
    """What was carried over: the old folder names, by their new ones."""

    cells: dict[str, str] = field(default_factory=dict)
    probes: dict[str, str] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = ((len(self.cells), "cells"), (len(self.models), "models"), (len(self.probes), "probes"))
        return ", ".join(f"{count} {what}" for count, what in parts)


def migrate_store(store: Store, planned: Iterable[Identity] = ()) -> Carried:
    """Replace every old key in a store by a new one; nothing is lost or recomputed.

    Safe to kill and restart at any moment.

    Args:
        planned: identities of cells that may have a stored model but no stored result.

    Raises:
        StoreUnusable: the store can't be written.
    """
    carried, mark = Carried(), store.root / MARK
    if not mark.exists():
        with store.lock("migration", "its keys by versions"):
            for kind, found in (("cells", store.cells()), ("probes", store.probes())):
                for result in list(found):
                    if "versions" not in result.identity:
                        _carry_result(store, kind, result, carried)
            with replaced(mark) as draft:
                draft.write_text('{"keys": "versions"}\n')
    for identity in planned:
        _carry_models(store, identity, carried)
    return carried


def versioned(identity: Mapping[str, Any], key: str) -> Identity:
    """The identity, with versions, of a cell or a probe that had an old key.

    Args:
        key: its old key.
    """
    whole = dict(identity)
    if "attack" in identity:
        whole = {"attacker": ADAPTIVE, **whole}
    keys = code_keys(whole)
    version = 1 if keys and keys.own == key else 0
    roles = [role for role in ROLES if role in identity or role == "training"]
    inner = [f"{role}.{kind}" for role in roles for kind in NAMED if kind in identity.get(f"{role}_params", {})]
    return {**whole, "versions": dict.fromkeys([*roles, *inner], version)}


def code_keys(identity: Mapping[str, Any]) -> CodeKeys | None:
    """The old keys of an identity; None if it names an entry that the last such code did not have."""
    known = _known()
    entries: Mapping[str, Mapping[str, str]] = known["entries"]
    try:
        named = {name: identity[name] for name in (*VERSIONED, *OF_CLEAN)}
        kinds = (("data set", "dataset"), ("backbone", "backbone"), ("method", "method"))
        clean = digest([named, known["training"], *(entries[kind][_name(identity[field])] for kind, field in kinds)])
        named |= {name: identity[name] for name in OF_DEFENSE}
        defended = digest([named, clean, entries["defense"][_name(identity["defense"])]])
        if "attack" not in identity:
            code = [known[name] for name in ("probing", "attacking", "judging", "black_box")]
            own = {name: value for name, value in identity.items() if name != "versions"}
            return CodeKeys(clean, defended, digest(["probe", own, defended, PROBED_BY, *code]))
        named |= {name: identity[name] for name in OF_ATTACK}
        params = identity["attack_params"]
        inner = [
            entries[kind][str(params[kind])] for kind in ("attack", "defense", "method", "backbone") if kind in params
        ]
        source = digest([entries["attack"][_name(identity["attack"])], *inner])
    except KeyError:
        return None
    whole = {**named, "tuned": identity.get("tuned", ""), "attacker": identity["attacker"]}
    return CodeKeys(clean, defended, digest([whole, defended, known["attacking"], known["judging"], source]))


def _carry_result(store: Store, kind: str, result: Result, carried: Carried) -> None:
    identity = versioned(result.identity, result.key)
    key = cell_key(identity) if kind == "cells" else key_of_probe(identity, version=1)
    numbers = {**result.numbers, "config_digest": key} if "config_digest" in result.numbers else result.numbers
    moved = Result(key, identity, numbers, result.host, result.status, result.reason)
    if kind == "cells":
        store.save_cell(moved, store.arrays(result))
    else:
        store.save_probe(moved, store.probe_arrays(result))
    shutil.rmtree(store.root / kind / result.key, ignore_errors=True)
    (carried.cells if kind == "cells" else carried.probes)[key] = result.key
    _carry_models(store, identity, carried)


def _carry_models(store: Store, identity: Identity, carried: Carried) -> None:
    """Rename a cell's or a probe's models, database codes and unfinished trainings."""
    old = code_keys(identity)
    if old is None:
        return
    new = clean_key(identity), defended_key(identity)
    for before, after in zip((old.clean, old.defended), new, strict=True):
        if _rename(store.root / MODELS, before, after):
            carried.models[after] = before
        for name in (str, bare_name):
            _rename(store.root / DATABASES, _old_database(name(before)), database_key(name(after)))
        for training in (store.root / "trainings").glob(f"{before}-*"):
            _rename(training.parent, training.name, training.name.replace(before, after))


def _rename(folder: Path, before: str, after: str) -> bool:
    source, target = folder / before, folder / after
    if not source.is_dir() or target.exists():
        return False
    facts = source / FACTS
    if facts.is_file():
        record = json.loads(facts.read_text())
        if "key" in record:
            with replaced(facts) as draft:
                draft.write_text(json.dumps({**record, "key": after}, indent=1) + "\n")
    source.rename(target)
    return True


def _old_database(name: str) -> str:
    return digest([name, "codes of the database", _known()["judging"]])


def _name(label: str) -> str:
    return label.partition(":")[0]


@functools.cache
def _known() -> dict[str, Any]:
    return dict(json.loads(Path(__file__).with_name("code_keys.json").read_text()))
