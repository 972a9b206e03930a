"""The contents of a data set's folder: counts, labels, overlaps, chance level, and what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from hashbench.datasets.list_files import (
    ORIGINS,
    ROLES,
    Origin,
    Role,
    check_classes,
    checked_folder,
    list_digest,
    list_names,
    list_split,
    read_role,
)
from hashbench.errors import MissingData
from hashbench.metrics.average_precision import chance, relevant_fraction
from hashbench.metrics.distance_counts import Counts
from hashbench.models.data import RetrievalSplit
from hashbench.registry.plugins import load_all
from hashbench.types import Labels

ROWS = 256  # queries that are compared with the whole database at once
TITLES = {"database": "database", "train": "train", "test": "queries"}


def inspect_lists(name: str, root: Path | None, size: int, eps: float) -> Iterator[str]:
    """Lines about a folder of images with list files, whether or not it is complete.

    Raises:
        MissingData: the folder is not there, or holds none of the lists.
        BadInput: a list has another form; the message names file and line.
    """
    load_all()
    origin = ORIGINS[name]
    folder = checked_folder(name, root)
    roles, missing = _read_what_is_there(folder, origin)
    check_classes(folder, list(roles.values()))
    yield f"{name} in {folder}"
    for role in roles.values():
        yield _described(role)
    yield from _overlaps(roles)
    yield from _chance_lines(roles)
    absent = [n for n in _all_names(roles) if not (folder / n).is_file()]
    total = len(_all_names(roles))
    yield f"images: {total - len(absent)} of {total} found"
    for path in missing:
        yield f"missing: {path}; get it from {origin.lists}"
    if absent:
        yield f"missing: {len(absent)} images, the first one {folder / absent[0]}; get them from {origin.images}"
    complete = not missing and not absent
    yield f"lists digest: {list_digest(roles.values())} (paths and labels of {', '.join(roles)})"
    digest = list_split(origin, folder, size, eps).digest if complete else "none yet, since it covers the image files"
    yield f"split digest: {digest}"


def inspect_split(name: str, split: RetrievalSplit) -> Iterator[str]:
    """Lines about a data set that is already loaded."""
    yield f"{name}: {split.channels} x {split.size} x {split.size} pixels, eps {split.eps * 255:g}/255"
    roles = {
        "database": split.database.labels,
        "train": split.train.labels,
        "queries": split.queries.labels,
        "validation queries": split.validation.labels,
    }
    for title, labels in roles.items():
        yield f"{title}: {len(labels)} images; {_label_facts(labels)}"
    yield _chance_line(split.queries.labels, split.database.labels, "the database")
    yield f"split digest: {split.digest}"


def relevance_counts(queries: Labels, database: Labels) -> Counts:
    """All items and relevant items for each query, as if all items were at the same distance."""
    relevant = [(rows @ database.T > 0).sum(1) for rows in torch.split(queries, ROWS)]
    found = torch.cat(relevant).numpy()[:, None]
    return Counts(np.full_like(found, len(database)), found)


def _read_what_is_there(folder: Path, origin: Origin) -> tuple[dict[str, Role], list[Path]]:
    missing = [folder / name for role in ROLES for name in list_names(role) if not (folder / name).is_file()]
    whole = [role for role in ROLES if not any(path.name in list_names(role) for path in missing)]
    if not whole:
        raise MissingData(
            f"{folder} has both lists of no role, {' and '.join(list_names(ROLES[0]))} and so on; "
            f"get them from {origin.lists}"
        )
    return {role: read_role(folder, role, origin) for role in whole}, missing


def _described(role: Role) -> str:
    times = Counter(role.names)
    repeated = Counter(count for count in times.values() if count > 1)
    copies = ", ".join(f"{number} listed {count} times" for count, number in sorted(repeated.items()))
    unique = f"{len(times)} unique images" + (f" ({copies})" if copies else "")
    return f"{TITLES[role.name]}: {len(role.names)} lines, {unique}; {_label_facts(role.labels)}"


def _label_facts(labels: Labels) -> str:
    if not len(labels):
        return "no labels"
    each, members = labels.sum(1), labels.sum(0)
    return (
        f"{labels.shape[1]} classes of {int(members.min())} to {int(members.max())} images, "
        f"{each.mean():.2f} labels an image (at most {int(each.max())}), {int((each == 0).sum())} without a label, "
        f"{len(torch.unique(labels, dim=0))} label sets"
    )


def _overlaps(roles: dict[str, Role]) -> Iterator[str]:
    names = {role: set(lists.names) for role, lists in roles.items()}
    pairs = [
        pair for pair in (("train", "database"), ("test", "database"), ("test", "train")) if names.keys() >= {*pair}
    ]
    for one, two in pairs:
        shared = len(names[one] & names[two])
        yield f"overlap: {shared} of {len(names[one])} images of {TITLES[one]} are in {TITLES[two]}"


def _chance_lines(roles: dict[str, Role]) -> Iterator[str]:
    if "test" not in roles or not roles.keys() & {"database", "train"}:
        return
    gallery = "database" if "database" in roles else "train"
    where = "the database" if gallery == "database" else "train, since the database's lists are missing"
    yield _chance_line(roles["test"].labels, roles[gallery].labels, where)


def _chance_line(queries: Labels, database: Labels, where: str) -> str:
    counts = relevance_counts(queries, database)
    blind = chance(counts)
    scored = ~np.isnan(blind)
    if not scored.any():
        return "chance mAP: none, since no query shares a label with any item"
    return (
        f"chance mAP: {100 * relevant_fraction(counts).mean():.1f} (mean relevant share of {where}, over all "
        f"{len(queries)} queries); {100 * blind[scored].mean():.1f} (expected AP, as in the tables, over the "
        f"{int(scored.sum())} queries with a relevant item)"
    )


def _all_names(roles: dict[str, Role]) -> Sequence[str]:
    return list(dict.fromkeys(name for role in roles.values() for name in role.names))
