"""What an attack does to single queries: the images, and what is retrieved before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hashbench.cell import Cell
from hashbench.checkpoints import Checkpoints, Helpers
from hashbench.codes import encode_batch
from hashbench.compare import file_name
from hashbench.data import Victim
from hashbench.errors import BadParameter, StoreUnusable
from hashbench.evaluation import crafter
from hashbench.exact import exact_precision
from hashbench.leaderboard import folder_name
from hashbench.model import binarize
from hashbench.runner import Bench, Row
from hashbench.seeds import derive_seed, seeded
from hashbench.store import Store
from hashbench.types import BinaryCodes, Images, Labels

SHOWN = 10  # retrieved images

Picture = NDArray[np.float32]  # [height, width] or [height, width, 3] in [0, 1]


@dataclass(frozen=True)
class Retrieved:
    """The first database items of a query, nearest first.

    Items at one distance are tied: which of them are shown is drawn at random, not by their order in the
    database. `tied` is how many items lie as near as the last one shown or nearer.

    Args:
        right: whether each shares a label with the query, or with its target where that is what is shown.
    """

    images: tuple[Picture, ...]
    right: tuple[bool, ...]
    distances: tuple[int, ...]
    tied: int
    average_precision: float


@dataclass(frozen=True)
class Shown:
    """One query: clean and adversarial image in [0, 1], and what each retrieves."""

    position: int
    clean: Picture
    adversarial: Picture
    before: Retrieved
    after: Retrieved


@dataclass(frozen=True)
class Gallery:
    """Some queries of one cell. A targeted attack's queries are judged by their target labels."""

    cell: Cell
    queries: tuple[Shown, ...]

    @property
    def targeted(self) -> bool:
        """Whether right means that an item shares a label with the target."""
        return self.cell.attack.goal == "targeted"


def make_gallery(cell: Cell, positions: Sequence[int], store: Store, device: torch.device) -> Gallery:
    """Attack some queries of a cell, whose model is taken from the store or trained first.

    Args:
        positions: of the queries in the query set, from 0.

    Raises:
        BadParameter: there is no such query.
        InvalidCell: the model can't be trained, or the attack fails or leaves the budget.
    """
    bench = Bench(store, device, Checkpoints(store))
    queries = bench.split(cell).queries
    for position in positions:
        if not 0 <= position < len(queries):
            raise BadParameter(f"there is no query {position}; take 0 to {len(queries) - 1}")
    row = bench.row(cell)
    if not isinstance(row, Row):
        raise row
    index, targets = torch.tensor(positions), bench.targets(cell)
    seen = row.seen_by(cell, Helpers(bench.checkpoints, cell, row.victim.model))
    adversarial, clean = crafter(cell.attack, seen, queries, cell.threat, cell.attack_seed, targets)(index)
    wanted = (queries.labels if targets is None else targets)[index]
    before, after = (_retrieved(cell, row.victim, images, wanted, positions) for images in (clean, adversarial))
    pictures = zip(positions, _pictures(clean), _pictures(adversarial), before, after, strict=True)
    return Gallery(cell, tuple(Shown(*parts) for parts in pictures))


def write_gallery(gallery: Gallery, out: Path) -> Path:
    """Write the picture into the leaderboard's folder, as PNG and SVG, and return the PNG's path.

    Raises:
        StoreUnusable: the folder can't be written.
    """
    from hashbench.plots_gallery import save_gallery  # matplotlib is slow to import

    identity = gallery.cell.identity
    folder = out / folder_name(identity)
    words = [file_name(identity["defense"]), file_name(identity["attack"]), f"seed{identity['seed']}"]
    path = folder / f"gallery-{'--'.join(words)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_gallery(gallery, path)
    except OSError as error:
        raise StoreUnusable(f"can't write {folder} ({error.strerror}); choose another folder with --out") from None
    return path.with_name(f"{path.name}.png")


def _retrieved(cell: Cell, victim: Victim, images: Images, wanted: Labels, positions: Sequence[int]) -> list[Retrieved]:
    """What each image retrieves by the victim's codes."""
    with seeded(derive_seed("gallery", cell.attack_seed)):
        codes = binarize(encode_batch(victim.model, images))
    found = exact_precision(victim, codes, wanted)
    distances = _distances(codes, victim.gallery.codes)
    database = cell.subject.split.database.images
    shown = []
    for row, position in enumerate(positions):
        generator = torch.Generator().manual_seed(derive_seed("ties", cell.attack_seed, position))
        order = torch.randperm(distances.shape[1], generator=generator)
        first = order[distances[row][order].argsort(stable=True)][:SHOWN]
        near = distances[row][first]
        right = (victim.gallery.labels[first.to(wanted.device)] @ wanted[row] > 0).tolist()
        tied = int((distances[row] <= near[-1]).sum())
        pictures = tuple(_pictures(database[first]))
        shown.append(Retrieved(pictures, tuple(right), tuple(near.tolist()), tied, float(found[row])))
    return shown


def _distances(codes: BinaryCodes, items: BinaryCodes) -> torch.Tensor:
    """Hamming distances [queries, items], on the CPU."""
    return ((codes.shape[1] - codes @ items.T) / 2).round().long().cpu()


def _pictures(images: Images) -> list[Picture]:
    """Images [n, channels, height, width] as arrays that can be drawn."""
    whole = images.detach().cpu().float().permute(0, 2, 3, 1).numpy()
    return [image[..., 0] if image.shape[-1] == 1 else image for image in whole]
