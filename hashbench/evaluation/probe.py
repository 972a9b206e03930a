"""Small attacks and signals on a few queries, which show whether an attack's failure is to the defense's credit.

After Athalye, Carlini and Wagner, ICML 2018, and Carlini et al., arXiv 1902.06705. The flags that follow from the
numbers are in `flags`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from hashbench.crafting.gradient_loop import iterate
from hashbench.crafting.objectives import agreement
from hashbench.crafting.search import guided, masked, noisy_start
from hashbench.crafting.step_rules import constant, cosine, steepest_steps
from hashbench.errors import InvalidCell
from hashbench.evaluation.budgets import heads_at, probed_at, widest
from hashbench.evaluation.foreign_code import explain
from hashbench.evaluation.judge import Arrays, Measurement, Numbers
from hashbench.evaluation.new_images import new_images
from hashbench.evaluation.values import still, wrong_share
from hashbench.metrics.average_precision import average_precision, chance
from hashbench.metrics.distance_counts_torch import count_tensors
from hashbench.models.codes import batch_size, encode_batch, mainstay_code
from hashbench.models.data import ImageSet, Queries, Victim
from hashbench.models.model import HashModel, binarize, frozen
from hashbench.registry.entries import Choice
from hashbench.registry.protocols import Attack
from hashbench.seeds import derive_seed, seeded
from hashbench.threat import Threat
from hashbench.types import Codes, GuideCodes, Images, Index

PROBE_VERSION = 2  # raised whenever the same model gives other signals than before
QUERIES = 100  # that are looked at, of each query set
TRAIN = 500  # training images of which the black-box attack asks the codes
STEPS = 20  # gradients a walk
NO_GRADIENT = 1e-10  # gradients with a smaller maximum count as zero; 32-bit floats vanish at about 1e-45
SATURATED = 0.999  # a relaxed bit beyond this passes on less than 0.2 % of its gradient


@dataclass(frozen=True)
class ProbedVictim:
    """A victim as the probe attacks it, with a batch of queries.

    Attributes:
        guide: the code to be driven away from, one row per query.
        gentle: the model with logits of mean size 1, so that its tanh is not saturated.
    """

    victim: Victim
    queries: Queries
    guide: GuideCodes
    gentle: HashModel


def probe(
    victim: Victim,
    queries: ImageSet,
    threat: Threat,
    seed: int,
    *,
    black_box: Choice[Attack],
    undefended: Victim | None = None,
    draw: int = 0,
    declared: bool = False,
) -> Measurement:
    """Signals of the victim, and per query the average precision that small attacks leave.

    The arrays hold for each query AP of `clean` with its bounds `low` and `high`, `chance`, `noise`, `one_step`,
    `black_box` and, with an undefended model, `transfer`; and, a row a budget, AP under twenty steps that start
    afresh: `plain` for `budgets` up to the threat's eps, `gentle` from eps on; and of images that are in no file
    (`new`) and of those under twenty steps (`new_attacked`). `zero_gradient` is 1 for a query without a gradient,
    `still` for one whose logits do not move, `wrong_gradient` a share of derivatives. Queries without a relevant item
    are left out; `rows` are the places of the others.

    Args:
        queries: the queries to probe; `sample` chooses them.
        seed: seed of random starts and of a victim's own random numbers.
        black_box: an attack that sees codes only.
        undefended: a model to carry adversarial images over from; none if the victim is that model.
        draw: makes the images that are in no file.
        declared: the victim declares a transformation of its images, whose gradient may be a stand-in.

    Raises:
        InvalidCell: the victim or the attack raised an exception, or no probed query has a relevant item.
    """
    threat, budgets = probed_at(threat, widest(threat, queries))
    asked = replace(victim, train=_at(victim.train, sampled(len(victim.train), TRAIN, seed)))
    craft = explain(f"attack {black_box.label}", black_box.call, asked, threat)
    codes, signals = list[dict[str, Tensor]](), list[dict[str, Tensor]]()
    unknown = new_images(queries, threat, draw)
    with frozen(victim.model):
        for index in queries.batches(batch_size(queries)):
            images = queries.images[index].to(victim.gallery.codes.device)
            batch = Queries(images, queries.labels[index].to(images.device), index.to(images.device), seed)
            with seeded(derive_seed("probe", seed, int(index[0]))):
                probed = explain("the probe", see, victim, batch)
                found = explain("the probe", _signals, probed)
                crafted = explain("the probe", _crafted, probed, threat, budgets, craft, undefended)
                crafted |= explain("the probe", _unknown, victim, batch, unknown[index].to(images), threat)
                found |= explain("the probe", _values, victim, probed, crafted, threat, budgets, declared)
                signals.append(found)
            codes.append({name: _codes(victim.model, tried, seed, name) for name, tried in crafted.items()})
        numbers = _facts(victim)
    return _measured(victim, queries, numbers, budgets, _joined(codes), _joined(signals))


def _facts(victim: Victim) -> Numbers:
    return {
        "train_mode_left": sum(module.training for module in victim.model.network.modules()),
        "distinct_codes": len(torch.unique(victim.gallery.codes, dim=0)),
        "classes": int((victim.gallery.labels > 0).any(0).sum()),
    }


def sample(queries: ImageSet, seed: int) -> ImageSet:
    """At most 100 queries of a set, in their order; the same ones for every model."""
    return _at(queries, sampled_rows(queries, seed))


def sampled_rows(queries: ImageSet, seed: int) -> Index:
    """The positions of those queries in their set."""
    return sampled(len(queries), QUERIES, seed)


def sampled(count: int, wanted: int, seed: int) -> Index:
    """The positions of the images that `sample` takes, given how many there are."""
    generator = torch.Generator().manual_seed(derive_seed("sample", seed))
    return torch.randperm(count, generator=generator)[:wanted].sort().values


def see(victim: Victim, queries: Queries) -> ProbedVictim:
    """A victim as the probe attacks it; a model whose codes have no gradient gets a gradient of zero."""
    guide = mainstay_code(victim.gallery.codes, victim.gallery.labels, queries.labels)
    with torch.no_grad():
        size = victim.model.logits(queries.images).abs().mean().clamp(min=torch.finfo(torch.float32).tiny).item()
    plain, gentle = (HashModel(Driven(victim.model.network, scale), victim.model.bits) for scale in (1.0, 1 / size))
    return ProbedVictim(replace(victim, model=plain), queries, guide, gentle)


class Driven(nn.Module):
    """A network with scaled logits, whose output always has a gradient, even if it is zero."""

    def __init__(self, network: nn.Module, scale: float) -> None:
        super().__init__()
        self.network = network
        self.scale = scale

    def forward(self, images: Images) -> Codes:
        """Logits [images, bits]."""
        logits: Codes = self.network(images) * self.scale + 0 * images.flatten(1).mean(1, keepdim=True)
        return logits


def _at(images: ImageSet, rows: Index) -> ImageSet:
    return ImageSet(images.images[rows], images.labels[rows.to(images.labels.device)])


def _signals(probed: ProbedVictim) -> dict[str, Tensor]:
    """The signals of the clean queries, one value per query."""
    images, model = probed.queries.images, probed.victim.model
    asking = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(agreement(probed.gentle.logits(asking), probed.guide).sum(), asking)
    relaxed, again = encode_batch(model, images), encode_batch(model, images)
    halves = torch.empty_like(relaxed)
    for start in range(min(2, len(images))):
        halves[start::2] = encode_batch(model, images[start::2])
    return {
        "zero_gradient": (gradient.flatten(1).abs().amax(1) < NO_GRADIENT).double(),
        "saturated_share": (relaxed.abs() > SATURATED).double().mean(1),
        "unstable_share": (binarize(relaxed) != binarize(again)).double().mean(1),
        "batch_change": (relaxed - halves).abs().double().mean(1),
    }


def _crafted(
    probed: ProbedVictim,
    threat: Threat,
    budgets: list[float],
    craft: Callable[[Queries], Images],
    undefended: Victim | None,
) -> dict[str, Images]:
    """The images of every small attack by name; names on the curve end in the number of the budget."""
    clean, queries = probed.queries.images, probed.queries
    found = {
        "clean": clean,
        "noise": noisy_start(queries, threat, len(budgets)),
        "one_step": _one_step(probed, threat),
        "black_box": craft(queries),
    }
    if undefended is not None:
        with frozen(undefended.model):
            found["transfer"] = _many_steps(see(undefended, queries), threat, gentle=True)
    for number, eps in enumerate(budgets):
        for name in heads_at(eps, threat):
            found[f"{name} {number}"] = _many_steps(
                probed, replace(threat, eps=eps), gentle=name == "gentle", stream=number
            )
    return found


def _unknown(victim: Victim, queries: Queries, images: Images, threat: Threat) -> dict[str, Images]:
    """Images that are in no file, and what twenty steps make of them."""
    probed = see(victim, replace(queries, images=images))
    return {"new": images, "new_attacked": _many_steps(probed, threat, gentle=True)}


def _values(
    victim: Victim,
    probed: ProbedVictim,
    crafted: dict[str, Images],
    threat: Threat,
    budgets: list[float],
    declared: bool,
) -> dict[str, Tensor]:
    """Whether logits move, and whether they move as their gradients say: at clean and at attacked images."""
    model, queries = victim.model, probed.queries
    attacked = crafted[f"gentle {budgets.index(threat.eps)}"]
    tried = [attacked, crafted["one_step"], crafted["noise"]]
    noise, seed = queries.random(len(budgets) + 1), derive_seed("values", queries.seed)
    wrong = wrong_share(model, [queries.images, attacked], probed.guide, noise, seed, declared=declared)
    moved = still(model, queries.images, tried, seed) if threat.eps > 0 else torch.zeros_like(wrong)
    return {"wrong_gradient": wrong, "still": moved}


def _many_steps(probed: ProbedVictim, threat: Threat, *, gentle: bool, stream: int = 0) -> Images:
    """Twenty steps from a random start by the masked objective, each image's best iterate."""
    queries = probed.queries
    model = probed.gentle if gentle else probed.victim.model
    start = noisy_start(queries, threat, stream)
    rule = steepest_steps(threat, cosine(threat.eps))
    images, _ = iterate(start, queries.images, masked(model, probed.guide), threat, steps=STEPS, step_rule=rule)
    return images


def _one_step(probed: ProbedVictim, threat: Threat) -> Images:
    """One step of the size of the budget, from the clean image."""
    away = guided(probed.gentle, probed.guide, -probed.guide, loss=agreement, score=agreement, margin=np.inf)
    rule = steepest_steps(threat, constant(threat.eps))
    clean = probed.queries.images
    images, _ = iterate(clean, clean, away, threat, steps=1, step_rule=rule, keep_best=False)
    return images


def _codes(model: HashModel, images: Images, seed: int, name: str) -> Tensor:
    """Binary codes; a model that draws random numbers draws other ones than the attack saw."""
    with seeded(derive_seed("probe codes", seed, name)):
        return binarize(explain("the probe", encode_batch, model, images))


def _joined(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _measured(
    victim: Victim,
    queries: ImageSet,
    numbers: Numbers,
    budgets: list[float],
    codes: dict[str, Tensor],
    signals: dict[str, Tensor],
) -> Measurement:
    labels, gallery = queries.labels.to(victim.gallery.codes.device), victim.gallery
    counts = {name: count_tensors(found, labels, gallery.codes, gallery.labels) for name, found in codes.items()}
    clean = average_precision(counts["clean"])
    scored = ~np.isnan(clean.expected)
    if not scored.any():
        raise InvalidCell("no probed query shares a label with any database item; check the labels of the data set")
    arrays: Arrays = {name: average_precision(found).expected[scored] for name, found in counts.items()}
    for name in ("plain", "gentle"):
        numbered = [f"{name} {number}" for number in range(len(budgets))]
        arrays[name] = np.stack([arrays.pop(key) for key in numbered if key in arrays])
    values = {name: signal.cpu().numpy() for name, signal in signals.items()}
    arrays |= {"low": clean.low[scored], "high": clean.high[scored], "chance": chance(counts["clean"])[scored]}
    arrays |= {name: values.pop(name)[scored] for name in ("zero_gradient", "wrong_gradient", "still")}
    arrays |= {"rows": np.flatnonzero(scored), "budgets": np.array(budgets)}
    numbers = numbers | {name: float(signal.mean()) for name, signal in values.items()}
    return Measurement({**numbers, "n_queries": int(scored.sum())}, arrays)
