"""One model, measured: any network that gives logits, on any split, without a store and without files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from hashbench.api.arguments import list_of, naming_arguments, word_of
from hashbench.api.checks import check_all_logits, checked_model, checked_split, device_of, left_as_it_was, reproducible
from hashbench.api.progress import progress_shown
from hashbench.api.report import Bounds, EvaluationReport
from hashbench.boards.intervals import level_intervals, scored
from hashbench.certification.certify import Certificate, certify
from hashbench.certification.refusal import NoCertificate, no_certificate
from hashbench.crafting.targets import draw_targets
from hashbench.errors import BadInput, InvalidCell
from hashbench.evaluation.flags import ABOVE_PROBE, NOT_PROBED, is_above, raised
from hashbench.evaluation.foreign_code import explain_early
from hashbench.evaluation.judge import PROTOCOL_VERSION, Measurement, judge, make_victim
from hashbench.evaluation.leaks import leaks
from hashbench.evaluation.probe import PROBE_VERSION, sample, sampled_rows
from hashbench.evaluation.probe import probe as probe_victim
from hashbench.metrics.average_precision import Values
from hashbench.models.arrays import Number, budget_of, whole_of
from hashbench.models.data import RetrievalSplit, Victim
from hashbench.registry import entries
from hashbench.registry.entries import Choice
from hashbench.registry.protocols import Attack
from hashbench.registry.spec import Spec
from hashbench.registry.threats import check_threat
from hashbench.running.probes import black_box
from hashbench.seeds import derive_seed, seeded
from hashbench.threat import Threat

CLEAN = "none"
NOT_ASKED = "it was not asked for"


@naming_arguments
def evaluate(
    model: nn.Module,
    split: RetrievalSplit | str,
    eps: Number | None = None,
    attacks: str | Sequence[str] = "standard",
    *,
    norm: str = "linf",
    seed: int = 0,
    name: str = "model",
    probe: bool = True,
    certificate: bool = True,
) -> EvaluationReport:
    """Measure how robust a model's retrieval is: clean, under attacks, in the worst case, and for certain.

    The model encodes its own database. It stays on its device; afterwards its mode, its weights' `requires_grad` and
    torch's random state are as before. The same seed gives the same digits.

    Args:
        model: any network that maps images with pixels in [0, 1], [n, channels, height, width], to K logits, [n, K];
            their signs are the code. Normalisation is part of it.
        split: the name of a data set with parameters, such as `digits` or `lists:root=DIR`, or a split; see
            `split_of_tensors` for your own images.
        eps: the budget in pixel units of [0, 1]; by default the split's own.
        attacks: an attack's name with parameters, or several; the clean queries are always measured.
        norm: linf or l2, what the budget bounds, or patch-SIDE: one square of other pixels. Only linf has certificates.
        seed: of all random numbers.
        name: what the report calls the model.
        probe: raise flags, by small attacks on 100 queries.
        certificate: also look for a bound that no attack can go below, which takes long for large networks.

    Raises:
        UnknownName, BadParameter: a name or a parameter is not known, or eps or the norm does not suit an attack.
        BadInput: images, labels or logits do not have the form above, or hold NaN.
        InvalidCell: the model or an attack raised an exception, or an attack left the budget.

    >>> import torch, hashbench
    >>> images, labels = torch.rand(60, 1, 8, 8), torch.arange(60) % 3
    >>> split = hashbench.split_of_tensors(queries=(images[:9], labels[:9]), database=(images, labels), eps=8 / 255)
    >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 12))
    >>> report = hashbench.evaluate(network, split, attacks="pgd-hamming:steps=2,restarts=1", probe=False)
    >>> bool(report.certified <= report.map_worst <= report.map_clean)
    True
    """
    chosen, device, found = _choices(attacks), device_of(model), checked_split(split)
    threat = found.threat(word_of(norm, "norm"), None if eps is None else budget_of(eps))
    for choice in chosen:
        check_threat(choice, threat)
    setting = _Setting(found, threat, whole_of(seed, "seed"), probe, certificate)
    with progress_shown(), reproducible(device), seeded(derive_seed("evaluate", seed)), left_as_it_was(model):
        return setting.report(model, device, chosen, name)


def _choices(attacks: str | Sequence[str]) -> list[Choice[Attack]]:
    texts = [attacks] if isinstance(attacks, str) else list_of(attacks, "attacks")
    if odd := [text for text in texts if not isinstance(text, str)]:
        raise BadInput(
            f"an attack is given as a {type(odd[0]).__name__}; give its name: 'standard', 'pgd-hamming:steps=20'"
        )
    chosen = [entries.attacks.choose(Spec.parse(text)) for text in (CLEAN, *texts)]
    return list({choice.label: choice for choice in chosen}.values())


@dataclass(frozen=True)
class _Setting:
    """What a model is measured on and how."""

    split: RetrievalSplit
    threat: Threat
    seed: int
    probed: bool
    certified: bool

    def report(
        self, model: nn.Module, device: torch.device, attacks: Sequence[Choice[Attack]], name: str
    ) -> EvaluationReport:
        split = self.split.to(device)
        hashing = checked_model(model, split.queries, device)
        for role, part in (("queries", split.queries), ("database images", split.database)):
            check_all_logits(hashing, part, role, device)
        with seeded(self._seed("database")):
            victim = make_victim(hashing, split.train, split.database)
        cells = {choice.label: self._measured(choice, victim, split) for choice in attacks}
        precisions = {label: cell.arrays["average_precision"] for label, cell in cells.items()}
        attacked = [precisions[c.label] for c in attacks if c.goal == "untargeted" and c.name != CLEAN]
        lowest = np.min(attacked, axis=0) if attacked else None
        worst = None if lowest is None else np.fmin(lowest, precisions[CLEAN])
        bound, reason = self._certificate(victim, split)
        own, after, sure = (
            _mean(values) for values in (precisions[CLEAN], worst, None if bound is None else bound.precision)
        )
        return EvaluationReport(
            name, hashing.bits, self.threat.eps, self.seed, self.split.digest, float(own[0] or 0), own[1], *after,
            float(cells[CLEAN].numbers["chance_map"]), *sure, reason, self._flags(victim, split, lowest),
            {c.label: _numbers(c, cells[c.label]) for c in attacks},
            {label: cell.arrays for label, cell in cells.items()},
            {"protocol": PROTOCOL_VERSION, "probe": PROBE_VERSION}, self.threat.norm,
            tuple(map(str, leaks(self.split))),
        )  # fmt: skip

    def _seed(self, *what: object) -> int:
        return derive_seed("evaluate", self.split.digest, self.seed, *what)

    def _measured(self, choice: Choice[Attack], victim: Victim, split: RetrievalSplit) -> Measurement:
        targets = None
        if choice.goal == "targeted":
            targets = draw_targets(split.queries.labels, split.database.labels, self._seed("targets"))
        return judge(choice, victim, split.queries, self.threat, self._seed("attack", choice.label), targets)

    def _certificate(self, victim: Victim, split: RetrievalSplit) -> tuple[Certificate | None, str]:
        if not self.certified:
            return None, NOT_ASKED
        if reason := no_certificate(self.threat):
            return None, reason
        queries, gallery = split.queries, victim.gallery
        images = queries.images[torch.arange(len(queries))].to(gallery.codes.device)
        try:
            found = explain_early(
                "the certificate", certify, victim.model, images, queries.labels, gallery.codes, gallery.labels,
                self.threat.eps,
            )  # fmt: skip
        except (NoCertificate, InvalidCell) as refusal:  # attacks that have ended are not lost
            return None, str(refusal)
        return found, ""

    def _flags(self, victim: Victim, split: RetrievalSplit, lowest: Values | None) -> tuple[str, ...]:
        if not self.probed:
            return ()
        seed = self._seed("probe")
        try:
            found = probe_victim(
                victim, sample(split.queries, seed), split.training_threat(self.threat), seed, black_box=black_box(),
                draw=self._seed("new images") % (1 << 32),
            )  # fmt: skip
        except InvalidCell:
            return (NOT_PROBED,)
        flags = raised(found.numbers, found.arrays, victim.model.bits)
        rows = sampled_rows(split.queries, seed).numpy()[found.arrays["rows"]]
        if lowest is None or self.threat.side or found.numbers["unstable_share"]:
            return tuple(flags)
        return (*flags, *([ABOVE_PROBE] if is_above(lowest, {**found.arrays, "rows": rows}) else []))


def _mean(values: Values | None) -> tuple[float | None, Bounds | None]:
    """The mean over the queries with a relevant item, and its interval."""
    if values is None:
        return None, None
    known = scored(values[None])
    (interval,) = level_intervals([known])
    return float(known.mean()), (interval.low, interval.high) if interval else None


def _numbers(choice: Choice[Attack], cell: Measurement) -> dict[str, Any]:
    _, bounds = _mean(cell.arrays["average_precision"])
    low, high = bounds or (None, None)
    return {"goal": choice.goal, "access": choice.access, "ci_low": low, "ci_high": high, **cell.numbers}
