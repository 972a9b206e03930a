"""The contents of a data set's folder: counts, labels, overlaps, chance level, and what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from hashbench.evaluation.leaks import APART, leaks
from hashbench.metrics.average_precision import chance, relevant_fraction
from hashbench.metrics.distance_counts import Counts
from hashbench.models.data import RetrievalSplit
from hashbench.registry.plugins import load_all
from hashbench.types import Labels

ROWS = 256  # queries that are compared with the whole database at once
TITLES = {"database": "database", "train": "train", "test": "queries"}


@dataclass(frozen=True)
class DataLine:
    """One thing that is known of a data set: what it is about, its values by name, and the same in words."""

    about: str
    values: Mapping[str, Any]
    text: str

    @property
    def document(self) -> dict[str, Any]:
        """What it is about and its values, without the words."""
        return {"about": self.about, **self.values}


def inspect_lists(name: str, root: Path | None, size: int, eps: float) -> Iterator[DataLine]:
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
    yield DataLine("folder", {"path": str(folder), "eps": eps}, f"{name} in {folder}")
    for role in roles.values():
        yield _described(role)
    yield from _overlaps(roles)
    yield from _chance_lines(roles)
    absent = [n for n in _all_names(roles) if not (folder / n).is_file()]
    total = len(_all_names(roles))
    found = {"found": total - len(absent), "listed": total}
    yield DataLine("images", found, f"images: {total - len(absent)} of {total} found")
    for path in missing:
        yield DataLine(
            "missing", {"path": str(path), "source": origin.lists}, f"missing: {path}; get it from {origin.lists}"
        )
    if absent:
        first = str(folder / absent[0])
        text = f"missing: {len(absent)} images, the first one {first}; get them from {origin.images}"
        yield DataLine("missing", {"path": first, "images": len(absent), "source": origin.images}, text)
    complete = not missing and not absent
    lists = list_digest(roles.values())
    text = f"lists digest: {lists} (paths and labels of {', '.join(roles)})"
    yield DataLine("lists digest", {"digest": lists, "roles": list(roles)}, text)
    split = list_split(origin, folder, size, eps) if complete else None
    digest = split.digest if split else None
    text = f"split digest: {digest or 'none yet, since it covers the image files'}"
    yield DataLine("split digest", {"digest": digest}, text)
    if split:
        yield from _leak_lines(split)


def inspect_split(name: str, split: RetrievalSplit) -> Iterator[DataLine]:
    """Lines about a data set that is already loaded."""
    shape = {"channels": split.channels, "size": split.size, "eps": split.eps}
    yield DataLine(
        "images", shape, f"{name}: {split.channels} x {split.size} x {split.size} pixels, eps {split.eps * 255:g}/255"
    )
    roles = {
        "database": split.database.labels,
        "train": split.train.labels,
        "queries": split.queries.labels,
        "validation queries": split.validation.labels,
    }
    for title, labels in roles.items():
        values, words = _label_facts(labels)
        yield DataLine(
            "role", {"role": title, "images": len(labels), **values}, f"{title}: {len(labels)} images; {words}"
        )
    yield _chance_line(split.queries.labels, split.database.labels, "the database")
    yield DataLine("split digest", {"digest": split.digest}, f"split digest: {split.digest}")
    yield from _leak_lines(split)


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
            f"{folder} has the two lists of no role: {' and '.join(list_names(ROLES[0]))}, and so on; "
            f"get them from {origin.lists}"
        )
    return {role: read_role(folder, role, origin) for role in whole}, missing


def _described(role: Role) -> DataLine:
    times = Counter(role.names)
    repeated = Counter(count for count in times.values() if count > 1)
    copies = ", ".join(f"{number} listed {count} times" for count, number in sorted(repeated.items()))
    unique = f"{len(times)} unique images" + (f" ({copies})" if copies else "")
    labels, words = _label_facts(role.labels)
    title = TITLES[role.name]
    values = {"role": title, "lines": len(role.names), "images": len(times), **labels}
    return DataLine("role", values, f"{title}: {len(role.names)} lines, {unique}; {words}")


def _label_facts(labels: Labels) -> tuple[dict[str, Any], str]:
    """Facts about labels, as values and in words."""
    if not len(labels):
        return {}, "no labels"
    each, members = labels.sum(1), labels.sum(0)
    facts = {
        "classes": labels.shape[1], "smallest_class": int(members.min()), "largest_class": int(members.max()),
        "labels_per_image": float(each.mean()), "most_labels": int(each.max()), "unlabeled": int((each == 0).sum()),
        "label_sets": len(torch.unique(labels, dim=0)),
    }  # fmt: skip
    alike = facts["smallest_class"] == facts["largest_class"]
    sizes = "{smallest_class} images each" if alike else "{smallest_class} to {largest_class} images"
    return facts, (
        f"{{classes}} classes of {sizes}, {{labels_per_image:.2f}} labels an image "
        "(at most {most_labels}), {unlabeled} without a label, {label_sets} label sets"
    ).format(**facts)


def _overlaps(roles: dict[str, Role]) -> Iterator[DataLine]:
    names = {role: set(lists.names) for role, lists in roles.items()}
    pairs = [
        pair for pair in (("train", "database"), ("test", "database"), ("test", "train")) if names.keys() >= {*pair}
    ]
    for one, two in pairs:
        shared, whole = len(names[one] & names[two]), len(names[one])
        values = {"role": TITLES[one], "other_role": TITLES[two], "shared": shared, "images": whole}
        text = f"overlap: {shared} of {whole} images of {TITLES[one]} are in {TITLES[two]}"
        yield DataLine("overlap", values, text)


def _chance_lines(roles: dict[str, Role]) -> Iterator[DataLine]:
    if "test" not in roles or not roles.keys() & {"database", "train"}:
        return
    gallery = "database" if "database" in roles else "train"
    where = "the database" if gallery == "database" else "train, since the database's lists are missing"
    yield _chance_line(roles["test"].labels, roles[gallery].labels, where)


def _chance_line(queries: Labels, database: Labels, where: str) -> DataLine:
    counts = relevance_counts(queries, database)
    blind = chance(counts)
    scored = ~np.isnan(blind)
    share, number = float(relevant_fraction(counts).mean()), int(scored.sum())
    values = {"relevant_fraction": share, "chance_map": None, "queries": len(queries), "scored_queries": number}
    if not scored.any():
        return DataLine("chance", values, "chance mAP: none, since no query shares a label with any item")
    level = float(blind[scored].mean())
    return DataLine(
        "chance",
        {**values, "chance_map": level},
        f"chance mAP: {100 * share:.1f} (mean relevant share of {where}, over all {len(queries)} queries); "
        f"{100 * level:.1f} (expected AP, as in the tables, over the {number} queries with a relevant item)",
    )


def _leak_lines(split: RetrievalSplit) -> Iterator[DataLine]:
    found = leaks(split)
    for leak in found:
        values = {"role": leak.role, "other_role": leak.other, "shared": len(leak.pairs), "images": leak.images}
        yield DataLine("leak", {**values, "pairs": [list(pair) for pair in leak.pairs]}, str(leak))
    if not found:
        apart = ", ".join(f"{role} and {other}" for role, other in APART)
        yield DataLine("leak", {"shared": 0}, f"leaks: none; no image is in both of {apart}, by its content")


def _all_names(roles: dict[str, Role]) -> Sequence[str]:
    return list(dict.fromkeys(name for role in roles.values() for name in role.names))
