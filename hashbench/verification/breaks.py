"""Adversarial images made elsewhere that lower a row: audited, kept beside the leaderboard, with credit.

`broken/<digest>.npz` holds the images, their queries and the AP that they leave; `broken/<digest>.json` says which row
they lower, by how much, and who made them. The tables stay as they are.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hashbench.boards.evidence_files import BROKEN, BrokenRow, read_breaks
from hashbench.boards.query_files import read_arrays
from hashbench.boards.tables import plain, writing
from hashbench.crafting.gallery_ap import exact_precision
from hashbench.digests import signed
from hashbench.errors import BadInput, ThreatViolation
from hashbench.evaluation.judge import audited_codes
from hashbench.metrics.average_precision import Values
from hashbench.models.codes import batch_size
from hashbench.models.data import ImageSet, Victim
from hashbench.readers.folders import list_files, sha256
from hashbench.readers.text import printable, shown
from hashbench.running.cell import ADAPTIVE
from hashbench.running.shared_files import replaced
from hashbench.seeds import derive_seed
from hashbench.threat import Threat
from hashbench.types import Images, Index
from hashbench.verification.findings import BoardCell, Findings

SURE = 1e-9  # AP by which a query must be lower
LARGEST = 1 << 29  # bytes
CREDIT = 300  # characters
ARRAYS = ("images", "index", "average_precision")


def read_images(path: Path, queries: ImageSet) -> tuple[Images, Index]:
    """Adversarial images from a file, and the positions of their queries.

    Args:
        path: an .npz file with `images`, [n, channels, height, width] of floats in [0, 1] or of bytes, and `index`,
            [n] positions in the query set, which may be left out if there is an image for each query.

    Raises:
        BadInput: it holds something else.
    """
    arrays = read_arrays(path)
    if odd := sorted(arrays.keys() - set(ARRAYS)) or ["images"] * ("images" not in arrays):
        raise BadInput(f"{path}: it has {shown(', '.join(arrays))}; wanted are images and index, look at {odd[0]!r}")
    given, wanted = arrays["images"], tuple(queries.images.shape[1:])
    if given.shape[1:] != wanted or not len(given):
        raise BadInput(f"{path}: its images have shape {list(given.shape)}; the queries are {list(wanted)} each")
    index = arrays.get("index", np.arange(len(given)))
    if "index" not in arrays and len(given) != len(queries):
        raise BadInput(
            f"{path}: it has {len(given)} images for {len(queries)} queries; say by the array index whose each is"
        )
    whole = index.dtype.kind in "iu" and index.shape == (len(given),) and len(np.unique(index)) == len(index)
    if not whole or index.min() < 0 or index.max() >= len(queries):
        raise BadInput(f"{path}: its index must be a different position from 0 to {len(queries) - 1} for each image")
    if given.dtype.kind not in "fu" or (given.dtype.kind == "u" and given.dtype != np.uint8):
        raise BadInput(f"{path}: its images are {given.dtype}; give floats in [0, 1] or bytes")
    pixels = given.astype(np.float32) / (255 if given.dtype == np.uint8 else 1)
    order = np.argsort(index, kind="stable")
    return torch.from_numpy(pixels[order]), torch.from_numpy(index[order].astype(np.int64))


def audit(images: Images, index: Index, queries: ImageSet, victim: Victim, threat: Threat) -> Values:
    """The AP [images] that adversarial images leave, after a look at their budget.

    Raises:
        ThreatViolation: an image left the budget or [0, 1]; the message names the first.
        BadInput: a pixel is not a number.
    """
    device, found = victim.gallery.codes.device, []
    bad = (~torch.isfinite(images)).flatten(1).any(1).nonzero().flatten()
    if len(bad):
        raise BadInput(f"the image of query {int(index[bad[0]])} has NaN or infinite pixels; look for a division by 0")
    for places in torch.split(torch.arange(len(index)), batch_size(queries)):
        crafted, clean = images[places].to(device), queries.images[index[places]].to(device)
        for place, one, other in zip(places.tolist(), crafted, clean, strict=True):
            try:
                threat.check(one[None], other[None])
            except ThreatViolation as error:
                raise ThreatViolation(f"the image of query {int(index[place])} is refused: {error}") from None
        codes = audited_codes(victim.model, crafted, derive_seed("broken row"), index[places])
        labels = queries.labels[index[places].to(queries.labels.device)].to(device)
        found.append(exact_precision(victim, codes, labels).cpu().numpy())
    return np.concatenate(found)


def worst_of(cells: Sequence[BoardCell], defense: str, seed: int) -> Values:
    """The lowest AP of each query on one model, clean and under the untargeted attacks of a leaderboard [queries].

    Raises:
        BadInput: the leaderboard has none.
    """
    own = [
        arrays["average_precision"]
        for result, arrays in cells
        if (result.identity["defense"], result.identity["seed"]) == (defense, seed)
        and result.identity["goal"] == "untargeted"
        and result.identity["attacker"] == ADAPTIVE
    ]
    if len(own) < 2:
        raise BadInput(
            f"{defense}, seed {seed}, was never attacked on this leaderboard; there is no worst case to lower"
        )
    lowest: Values = np.min(own, axis=0)
    return lowest


def lowered(worst: Values, index: NDArray[Any], precisions: Values) -> tuple[Values, int]:
    """The lowest AP of each query with some images added, and how many queries they lower."""
    after = worst.copy()
    after[index] = np.fmin(worst[index], precisions)
    return after, int((worst[index] - precisions > SURE).sum())


def write_break(folder: Path, images: Images, index: Index, precisions: Values, facts: BrokenRow) -> Path:
    """Write a broken row beside a leaderboard's tables; returns the path of its record.

    Raises:
        StoreUnusable: the folder can't be written.
    """
    target = folder / BROKEN
    with writing(target):
        draft = target / ".images.npz"
        np.savez_compressed(
            draft, images=images.cpu().numpy(), index=index.cpu().numpy().astype(np.int32),
            average_precision=precisions,
        )  # fmt: skip
        digest = sha256(draft, LARGEST)
        draft.replace(target / f"{digest[:16]}.npz")
        path = target / f"{digest[:16]}.json"
        content = {**{name: plain(value) for name, value in asdict(facts).items()}, "eps": facts.eps}
        with replaced(path) as new:
            new.write_text(json.dumps(signed({**content, "images_sha256": digest}), indent=1) + "\n", encoding="utf-8")
    return path


def check_breaks(folder: Path, found: Findings) -> None:
    """Check the broken rows of a folder: digests, and that their numbers follow from their APs and the tables.

    Args:
        found: holds the cells that came out right, and takes what is wrong.
    """
    cells = found.cells
    listed = [name for name in list_files(folder).files if name.startswith(f"{BROKEN}/")]
    try:
        broken = read_breaks(folder)
    except BadInput as error:
        found.problems.append(str(error))
        return
    known = {part for name, _ in broken for part in (name, name.removesuffix(".json") + ".npz")}
    found.problems += [f"{name} belongs to no broken row; remove it" for name in listed if name not in known]
    by_model = {str(r.numbers.get("model_digest")): r.identity for r, _ in cells}
    for name, facts in broken:
        if facts.model_digest not in by_model:
            found.warnings.append(f"{name} is of a model that is not on this leaderboard: {printable(facts.line)}")
            continue
        identity = by_model[facts.model_digest]
        try:
            if (facts.defense, facts.seed) != (identity["defense"], identity["seed"]):
                raise BadInput(f"{name} names another row than that of its model")
            arrays, _ = arrays_of(folder, name, facts)
            worst = worst_of(cells, facts.defense, facts.seed)
            if not ((arrays["index"] >= 0) & (arrays["index"] < len(worst))).all():
                raise BadInput(f"{name}: its index names queries that the leaderboard does not have")
            after, count = lowered(worst, arrays["index"], arrays["average_precision"])
        except BadInput as error:
            found.problems.append(str(error))
            continue
        again = {"map_worst": np.nanmean(worst), "map_broken": np.nanmean(after), "n_lowered": count}
        again |= {"n_images": len(arrays["index"])}
        for column, value in again.items():
            if abs(getattr(facts, column) - value) > 1e-6:
                found.problems.append(f"{name}: {column} is {getattr(facts, column):g}; its evidence gives {value:.6g}")
        found.notes.append(f"broken: {printable(facts.line)}")


def arrays_of(folder: Path, name: str, facts: BrokenRow) -> tuple[dict[str, NDArray[Any]], Path]:
    """The arrays behind a broken row's record, and their file.

    Raises:
        BadInput: they are missing, were changed, or have another form.
    """
    path = folder / f"{name.removesuffix('.json')}.npz"
    if sha256(path, LARGEST, folder) != facts.images_sha256:
        raise BadInput(f"{path.name} was changed after it was written: its SHA-256 is not the one in {name}")
    arrays = read_arrays(path, folder)
    shapes = [arrays[part].shape for part in ARRAYS if part in arrays]
    if set(arrays) != set(ARRAYS) or [len(shape) for shape in shapes] != [4, 1, 1] or len({s[0] for s in shapes}) != 1:
        raise BadInput(f"{path.name} does not hold images, index and average_precision of the same length")
    if arrays["index"].dtype.kind != "i" or arrays["average_precision"].dtype.kind != "f":
        raise BadInput(f"{path.name}: index does not hold whole numbers, or average_precision no floating-point ones")
    return arrays, path
