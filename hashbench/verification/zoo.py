"""The zoo of a leaderboard: the weights of its rows, in `zoo/<model_digest>.safetensors` beside the tables.

A file's name is the digest of its tensors. Its metadata name the key of the model in a store and what the training
took, so that a store can take the model instead of training it, with the same row. Weights keep their 32 bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from hashbench.boards.files import read_rows
from hashbench.boards.leaderboard import Leaderboard
from hashbench.boards.tables import writing
from hashbench.digests import digest
from hashbench.errors import BadInput
from hashbench.models.weight_files import tensor_digest
from hashbench.readers.folders import folders_with, list_files
from hashbench.readers.text import shown
from hashbench.readers.weight_files import read_metadata, read_weights
from hashbench.running.cell import clean_key, defended_key
from hashbench.running.shared_files import replaced
from hashbench.running.store import Store, StoredTensors
from hashbench.verification.findings import Findings, who

ZOO, SUFFIX = "zoo", ".safetensors"
KEY, PASSES, SECONDS = "key", ("train_forwards", "train_backwards"), "train_seconds"
DIGITS = 6  # decimals of passes in tables


def checkpoint_key(identity: Mapping[str, Any]) -> str | None:
    """The key of the weights that are a row's own; None for a defense that trains nothing.

    Args:
        identity: of a cell; its `defense_eps` is set where the defense trains.
    """
    if identity["defense"] == "none":
        return clean_key(identity)
    return None if identity["defense_eps"] is None else defended_key(identity)


def write_zoo(board: Leaderboard, folder: Path, store: Store) -> list[str]:
    """Write the weights of a leaderboard's rows, without those that are there, and remove those of no row.

    Args:
        folder: the leaderboard's.

    Returns:
        A line for each row whose weights the store no longer has.

    Raises:
        StoreUnusable: the folder can't be written.
    """
    lacking = []
    with writing(folder / ZOO):
        for model, identity in _models(board).items():
            path = folder / ZOO / f"{model}{SUFFIX}"
            key = checkpoint_key(identity)
            if key is None or path.is_file():
                continue
            stored = store.model(key)
            if stored is None or tensor_digest(stored.tensors) != model:
                lacking.append(f"{identity['defense']}, seed {identity['seed']}: the store has no weights of this row")
                continue
            facts = {name: repr(stored.facts[name]) for name in (*PASSES, SECONDS) if name in stored.facts}
            with replaced(path) as draft:
                save_file(stored.tensors, draft, {KEY: key, **facts})
    prune_zoo(board, folder)
    return lacking


def refuse_lost_weights(board: Leaderboard, out: Path) -> None:
    """Refuse to write a leaderboard over one whose zoo has weights of rows that it lacks: they may be the only copy.

    Args:
        out: the folder of its folder.

    Raises:
        BadInput: as above; the message names the first of these rows.
    """
    folder, own = out / board.name, {(r.identity["defense"], str(r.identity["seed"])) for r in board.results}
    if not (folder / ZOO).is_dir():
        return
    try:
        there = [(row["defense"], row["seed"], row["model_digest"]) for row in read_rows(folder / "results.csv")]
    except (BadInput, KeyError):  # a table that is damaged or missing names no row
        return
    lost = {
        (defense, seed): None
        for defense, seed, model in there
        if (defense, seed) not in own and (folder / ZOO / f"{model}{SUFFIX}").is_file()
    }
    if lost:
        defense, seed = next(iter(lost))
        raise BadInput(
            f"{folder} has weights of {len(lost)} models that are not of this board, the first of {shown(defense)}, "
            f"seed {shown(seed)}; write elsewhere by --out, or 'hashbench restore {folder}' and name these rows too"
        )


def prune_zoo(board: Leaderboard, folder: Path) -> None:
    """Remove weights of no row of a leaderboard; a folder without a zoo is left as it is.

    Raises:
        StoreUnusable: the folder can't be written.
    """
    if (folder / ZOO).is_dir():
        kept = {f"{result.numbers.get('model_digest')}{SUFFIX}" for result in board.results}
        with writing(folder / ZOO):
            for path in (folder / ZOO).glob(f"*{SUFFIX}"):
                if path.name not in kept:
                    path.unlink()


def zoo_index(root: Path) -> dict[str, Path]:
    """The files of weights in all zoos at or below a folder, by the key of their model; damaged ones are left out."""
    found: dict[str, Path] = {}
    for folder in folders_with(root, (ZOO,)) if root.is_dir() else ():
        for path in sorted((folder / ZOO).glob(f"*{SUFFIX}")):
            try:
                key = read_metadata(path, inside=folder).get(KEY, "")
            except BadInput:
                continue
            found.setdefault(key, path)
    return found


def read_model(path: Path) -> StoredTensors:
    """The weights of a zoo's file, with what their training took.

    Raises:
        BadInput: the file is damaged, or its tensors are not those of its name.
    """
    inside = path.parents[1]
    tensors, facts = read_weights(path, inside=inside), read_metadata(path, inside=inside)
    found = tensor_digest(tensors)
    if found != path.name.removesuffix(SUFFIX):
        raise BadInput(f"{ZOO}/{path.name} holds weights with the digest {found}; copy it again")
    numbers: dict[str, Any] = {}
    for name in (*PASSES, SECONDS):
        try:
            numbers |= {name: float(facts[name])} if name in facts else {}
        except ValueError:
            raise BadInput(f"{ZOO}/{path.name} has the {name} {shown(facts[name])}; copy it again") from None
    return StoredTensors(tensors, {KEY: facts.get(KEY, ""), **numbers})


def take_models(root: Path, keys: Iterable[str], store: Store) -> list[str]:
    """Put models from zoos at or below a folder into a store that lacks them; returns the keys of those taken.

    Raises:
        BadInput: a file of one of these models is damaged.
    """
    wanted = [key for key in dict.fromkeys(keys) if store.model(key) is None]
    index = zoo_index(root) if wanted else {}
    taken = [key for key in wanted if key in index]
    for key in taken:
        store.save_model(key, read_model(index[key]))
    return taken


def fill_store(folder: Path, identities: Sequence[Mapping[str, Any]], store: Store, other: Store | None) -> None:
    """Put the models behind rows into a store: from the zoo of their leaderboard, or else from another store.

    A defense that trains nothing needs the undefended model.

    Raises:
        BadInput: a file of the zoo is damaged.
    """
    keys = dict.fromkeys(checkpoint_key(identity) or clean_key(identity) for identity in identities)
    take_models(folder, keys, store)
    for key in keys:
        found = other.model(key) if other is not None and store.model(key) is None else None
        if found is not None:
            store.save_model(key, found)


def check_zoo(folder: Path, models: Sequence[str], found: Findings) -> None:
    """Check a leaderboard's weights: names, digests, and that each belongs to a row as its metadata say.

    Args:
        models: the `model_digest` of each row.
        found: holds the cells that came out right, and takes what is wrong.
    """
    names = [name for name in list_files(folder).files if name.startswith(f"{ZOO}/")]
    by_model = {str(r.numbers.get("model_digest")): r for r, _ in found.cells}
    for name in names:
        model = name.removeprefix(f"{ZOO}/").removesuffix(SUFFIX)
        if name != f"{ZOO}/{model}{SUFFIX}" or model not in models:
            found.problems.append(f"{name} belongs to no row; remove it")
            continue
        try:
            held = read_model(folder / name)
        except BadInput as error:
            found.problems.append(str(error))
            continue
        if model not in by_model:
            continue  # what is wrong with its rows is said
        result = by_model[model]
        if held.facts[KEY] != checkpoint_key(result.identity):
            found.problems.append(f"{name} says that it is another model than that of {who(result.identity)}")
        for passes in PASSES:
            own, given = held.facts.get(passes), result.numbers.get(passes)
            if own is not None and (given is None or round(own, DIGITS) != given):
                found.problems.append(
                    f"{name} says that {passes} is {own:g}, the row of {who(result.identity)} {given}"
                )


def zoo_digest(models: Iterable[str]) -> str:
    """Eight hexadecimal digits that stand for a set of models."""
    return digest(sorted(set(models)))[:8]


def _models(board: Leaderboard) -> dict[str, Mapping[str, Any]]:
    """The identity of a cell for each model's digest."""
    valid = [result for result in board.results if result.status == "valid"]
    return {str(result.numbers["model_digest"]): result.identity for result in valid}
