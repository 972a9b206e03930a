"""The images of broken rows, encoded again by the models that they are said to lower."""

from __future__ import annotations

from pathlib import Path

import torch

from hashbench.boards.evidence_files import BrokenRow, read_breaks
from hashbench.boards.pairing import CLEAN
from hashbench.errors import HashbenchError, InvalidCell
from hashbench.registry.downloads import no_downloads
from hashbench.running.checkpoints import Checkpoints
from hashbench.running.request import Load, load_once
from hashbench.running.store import Store
from hashbench.running.victims import Victims
from hashbench.verification.allowed import Allowed, check_allowed
from hashbench.verification.breaks import arrays_of, audit
from hashbench.verification.findings import Findings
from hashbench.verification.rerun import NOTHING_FETCHED, cell_of, disagreement, is_random, load_defended

KEEP = "write its weights beside the tables with 'hashbench report --keep-models'"
SOME = 256  # images that show whether a model draws random numbers


def encode_again(folder: Path, found: Findings, store: Store, device: torch.device, allowed: Allowed) -> None:
    """Encode the images of a folder's broken rows again and compare the APs that they leave.

    Where that can't be done, a warning says why.

    Args:
        found: holds the cells that came out right, and takes what is wrong. Nothing is encoded if something was.
        store: has the weights of the rows, as far as they are to be had.
        allowed: limits on what rows may ask for.
    """
    if found.problems:
        return
    victims, load = Victims(Checkpoints(store), device), load_once()
    for name, facts in read_breaks(folder):
        try:
            check = _audited(folder, name, facts, found, victims, load, allowed)
        except InvalidCell as error:
            found.problems.append(f"{name}: {error}")
        except HashbenchError as error:
            found.warnings.append(f"{name}: its images are not encoded again, so that its APs are unchecked: {error}")
        else:
            found.problems += [f"{name}: {check}"] if check else []


def _audited(
    folder: Path, name: str, facts: BrokenRow, found: Findings, victims: Victims, load: Load, allowed: Allowed
) -> str:
    """What is wrong with the APs of a broken row; empty if nothing is.

    Raises:
        InvalidCell: an image left the budget.
        UsageError: the model or its data are not to be had here, or the row is not on the board.
    """
    rows = [result for result, _ in found.cells if result.numbers.get("model_digest") == facts.model_digest]
    if not rows:
        return ""  # a warning says so already
    row = min(rows, key=lambda result: result.identity["attack"] != CLEAN)
    check_allowed(row.identity, allowed)
    with no_downloads(NOTHING_FETCHED):
        cell = cell_of(row.identity, load)
        model = load_defended(cell, row.numbers, victims, KEEP)
        queries = victims.split(cell).queries
    (arrays, _), device = arrays_of(folder, name, facts), model.victim.gallery.codes.device
    images, index = torch.from_numpy(arrays["images"]), torch.from_numpy(arrays["index"]).long()
    again = audit(images, index, queries, model.victim, cell.threat)
    random = is_random(model.victim.model, queries.images[index[:SOME]].to(device))
    return disagreement(arrays["average_precision"], again, random=random)
