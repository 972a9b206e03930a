"""The judge: crafts adversarial queries, audits them, and turns them into numbers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hashbench.errors import BadOutput, InvalidCell
from hashbench.evaluation.foreign_code import asked, explain
from hashbench.metrics.average_precision import average_precision, chance, precision_within, relevant_fraction
from hashbench.metrics.distance_counts import Counts
from hashbench.metrics.distance_counts_torch import count_tensors
from hashbench.models.codes import batch_size, bit_entropy, encode, encode_batch
from hashbench.models.data import Gallery, ImageSet, Queries, Victim
from hashbench.models.model import HashModel, binarize
from hashbench.models.pass_counter import Passes, counted
from hashbench.progress import track
from hashbench.registry.entries import Choice
from hashbench.registry.protocols import Attack
from hashbench.seeds import derive_seed, seed_all, seeded
from hashbench.threat import Threat, square_sides
from hashbench.types import BinaryCodes, Codes, Images, Index, Labels

PROTOCOL_VERSION = 1  # raised whenever the same model and attack give different numbers
TOP = 1000  # k of map_at_k
RADIUS = 2  # of precision_radius_2
PATCH_SIDE = "patch_side"  # the array with the side of the square that holds each change, of cells under a patch

Arrays = dict[str, NDArray[Any]]
Numbers = dict[str, float | int]

# Positions in the query set -> adversarial images, and the clean ones.
CraftAt = Callable[[Index], tuple[Images, Images]]


@dataclass(frozen=True)
class Measurement:
    """The numbers of a cell and, per query, what they were computed from."""

    numbers: Numbers
    arrays: Arrays


def make_victim(model: HashModel, train: ImageSet, database: ImageSet) -> Victim:
    """A model with the codes that it gives the database: always its own, never those of another model.

    Raises:
        CodeRaised: the model raised an exception.
        BadOutput: its codes are not finite numbers of the right shape.
    """
    codes = asked(encode, model, database)
    if codes.shape != (len(database), model.bits) or not torch.isfinite(codes).all():
        raise BadOutput(f"the model's codes have shape {list(codes.shape)} or are not finite; retrain it")
    return Victim(model, train, Gallery(binarize(codes), database.labels.to(codes.device)))


def judge(
    attack: Choice[Attack],
    victim: Victim,
    queries: ImageSet,
    threat: Threat,
    seed: int,
    targets: Labels | None = None,
    seen: Victim | None = None,
) -> Measurement:
    """Prepare an attack, craft all queries and measure how well they retrieve: `crafter`, then `judge_crafted`.

    Args:
        targets: target labels [queries, classes] of a targeted attack.
        seen: what the attack works on, if that is not the victim itself.

    Raises:
        CodeRaised, BadOutput, ThreatViolation: as in `judge_crafted`.
        InvalidCell: no query shares a label with any database item.
    """
    seen = seen or victim
    craft = crafter(attack, seen, queries, threat, seed, targets)
    return judge_crafted(
        craft, victim, queries, seed, targets=targets, seen=seen, name=f"attack {attack.label}", threat=threat
    )


def judge_crafted(
    craft: CraftAt,
    victim: Victim,
    queries: ImageSet,
    seed: int,
    *,
    targets: Labels | None = None,
    seen: Victim | None = None,
    name: str = "attack",
    threat: Threat | None = None,
) -> Measurement:
    """Craft all queries and measure how well they retrieve.

    Args:
        craft: made by `crafter`.
        targets: target labels [queries, classes] of a targeted attack, which is then measured by them too.
        seen: what the attack works on, if that is not the victim itself. A victim that draws random numbers is judged
            on other draws than the attack saw.
        name: what a progress bar shows.
        threat: of a patch, the squares that hold the changes are recorded too.

    Raises:
        CodeRaised: the attack or the model raised an exception.
        BadOutput: it did not return a batch of finite images.
        ThreatViolation: an image left the budget or [0, 1].
        InvalidCell: no query shares a label with any database item.
    """
    seen = seen or victim
    with seeded(derive_seed("clean codes", seed)):
        clean_codes = binarize(asked(encode, victim.model, queries))
    passes = Passes()
    batches: list[dict[str, Tensor]] = []
    for index in track(queries.batches(batch_size(queries)), name):
        with counted(seen.model, passes):
            crafted, clean = craft(index)
        with audit_draws(seed, index):
            batches.append(_audit(crafted, clean, victim.model))
            if threat and threat.side:
                batches[-1][PATCH_SIDE] = square_sides(crafted, clean)
    merged = {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
    found = _measured(victim, queries.labels, clean_codes, merged, passes)
    if targets is None:
        return found
    aimed = retrieved_targets(victim, targets, clean_codes, merged["codes"], found.arrays)
    numbers = {**found.numbers, "map_own": found.numbers["map"], **aimed.numbers}
    return Measurement(numbers, {**found.arrays, **aimed.arrays})


def audit_draws(seed: int, index: Index) -> AbstractContextManager[None]:
    """A context that seeds the random numbers a victim draws while crafted queries are encoded.

    Args:
        index: positions of the batch in the query set.
    """
    return seeded(derive_seed("audit", seed, int(index[0])))


def audited_codes(model: HashModel, images: Images, seed: int, index: Index) -> Codes:
    """Relaxed codes of crafted queries [batch, bits], as `judge_crafted` computes them."""
    with audit_draws(seed, index):
        return asked(encode_batch, model, images)


def crafter(
    attack: Choice[Attack],
    seen: Victim,
    queries: ImageSet,
    threat: Threat,
    seed: int,
    targets: Labels | None = None,
) -> CraftAt:
    """Prepare an attack; returns a function from positions of queries to adversarial images and clean ones.

    Args:
        targets: target labels [queries, classes] of a targeted attack.

    Raises:
        CodeRaised: the attack raised an exception, now or while it crafts queries, as the following ones.
        BadOutput: it did not return a batch of finite images.
        ThreatViolation: an image left the budget or [0, 1].
    """
    who, device = f"attack {attack.label}", seen.gallery.codes.device
    seed_all(seed)
    craft = explain(who, attack.call, seen, threat)

    def make(index: Index) -> tuple[Images, Images]:
        clean, labels = queries.images[index].to(device), queries.labels[index].to(device)
        wanted = None if targets is None else targets[index].to(device)
        batch = Queries(clean.clone(), labels.clone(), index.to(device, copy=True), seed, wanted)
        seed_all(seed + int(index[0]))
        crafted = _images(explain(who, craft, batch), clean)
        threat.check(crafted, clean)
        return crafted, clean

    return make


def retrieved_targets(
    victim: Victim, targets: Labels, clean: BinaryCodes, attacked: BinaryCodes, own: Arrays
) -> Measurement:
    """How well codes retrieve the target labels, after the attack and before it.

    The success rate is the share of queries that retrieve their target labels better than their own.

    Args:
        own: the queries' arrays measured by their own labels.
    """
    counts = _count(attacked, targets, victim)
    ap, ap_clean = average_precision(counts), average_precision(_count(clean, targets, victim)).expected
    numbers: Numbers = {
        "t_map": float(ap.expected.mean()),
        "t_map_low": float(ap.low.mean()),
        "t_map_high": float(ap.high.mean()),
        "t_map_clean": float(ap_clean.mean()),
        "t_chance_map": float(chance(counts).mean()),
        "success_rate": float((ap.expected > np.nan_to_num(own["average_precision"])).mean()),
    }
    arrays: Arrays = {
        "targets": np.packbits(_bits(targets), axis=1),
        "target_average_precision": ap.expected,
        "target_average_precision_clean": ap_clean,
    }
    return Measurement(numbers, arrays)


def _images(crafted: Any, clean: Images) -> Images:
    """What an attack returned, checked to be a batch of finite images of the queries' shape."""
    if not isinstance(crafted, Tensor):
        raise BadOutput(f"the attack returned a {type(crafted).__name__}; return a tensor of images")
    if crafted.shape != clean.shape:
        raise BadOutput(f"the attack returned shape {list(crafted.shape)}; the queries have {list(clean.shape)}")
    images: Images = crafted.detach().to(clean)
    bad = (~torch.isfinite(images)).flatten(1).any(1).sum().item()
    if bad:
        raise BadOutput(
            f"the attack returned NaN or infinite pixels in {bad} of {len(clean)} images; look for a division by 0"
        )
    return images


def _audit(images: Images, clean: Images, model: HashModel) -> dict[str, Tensor]:
    delta = (images - clean).flatten(1)
    codes, rounded = (asked(encode_batch, model, seen) for seen in (images, (images * 255).round() / 255))
    return {
        "codes": binarize(codes),
        "codes_8bit": binarize(rounded),
        "linf": delta.abs().amax(1),
        "l2": delta.norm(dim=1),
    }


def _measured(
    victim: Victim, labels: Labels, clean: BinaryCodes, audited: dict[str, Tensor], passes: Passes
) -> Measurement:
    counts = _count(audited["codes"], labels, victim)
    ap = average_precision(counts)
    ap_8bit = average_precision(_count(audited["codes_8bit"], labels, victim)).expected
    ap_top = average_precision(counts, TOP).expected
    scored = ~np.isnan(ap.expected)
    if not scored.any():
        raise InvalidCell("no query shares a label with any database item; check the labels of the data set")
    moved, known = (audited["codes"] != clean).double().mean(1), torch.cat([clean, victim.gallery.codes])

    def mean(values: NDArray[Any]) -> float:
        return float(values[scored].mean())

    numbers: Numbers = {
        "map": mean(ap.expected),
        "map_low": mean(ap.low),
        "map_high": mean(ap.high),
        "map_at_k": mean(ap_top),
        "k": TOP,
        "precision_radius_2": mean(precision_within(counts, RADIUS)),
        "bits_moved": moved.mean().item(),
        "chance_map": mean(chance(counts)),
        "relevant_fraction": mean(relevant_fraction(counts)),
        "distinct_codes": len(torch.unique(known, dim=0)),
        "bit_entropy": bit_entropy(known),
        "n_queries": len(labels),
        "n_without_relevant": int((~scored).sum()),
        "n_database": len(victim.gallery.codes),
        "linf_max": audited["linf"].max().item(),
        "l2_mean": audited["l2"].mean().item(),
        "map_8bit": mean(ap_8bit),
        "forwards": passes.forwards / len(labels),
        "backwards": passes.backwards / len(labels),
    }
    arrays: Arrays = {
        "average_precision": ap.expected,
        "low": ap.low,
        "high": ap.high,
        "average_precision_8bit": ap_8bit,
        "items": counts.items.astype(np.int32),
        "relevant": counts.relevant.astype(np.int32),
        "codes": np.packbits(_bits(audited["codes"]), axis=1),
        "linf": audited["linf"].cpu().numpy(),
        "l2": audited["l2"].cpu().numpy(),
        "bits_moved": moved.cpu().numpy(),
    }
    arrays |= {PATCH_SIDE: audited[PATCH_SIDE].cpu().numpy()} if PATCH_SIDE in audited else {}
    return Measurement(numbers, arrays)


def _count(codes: Codes, labels: Labels, victim: Victim) -> Counts:
    return count_tensors(codes, labels, victim.gallery.codes, victim.gallery.labels)


def _bits(tensor: Tensor) -> NDArray[np.bool_]:
    return (tensor > 0).cpu().numpy()
