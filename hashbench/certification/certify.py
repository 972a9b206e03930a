"""Certificates: for each query, a lower bound on its average precision that holds for every attack within a threat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hashbench.certification.bounds import LogitBounds, Rule, logit_bounds
from hashbench.certification.precision_bounds import NODES, Items, precision_bounds
from hashbench.errors import BadInput
from hashbench.metrics.average_precision import Values
from hashbench.metrics.packed_codes import Bits, Integers
from hashbench.models.model import HashModel
from hashbench.types import BinaryCodes, Images, Labels

CERTIFICATE_VERSION = 1  # raised whenever a model gets another certificate, or one where it had none


@dataclass(frozen=True)
class Certificate:
    """What is certified for each query [queries].

    Attributes:
        precision: AP that no attack goes below, in the worst order of ties; NaN without a relevant item. Of a
            targeted certificate: AP with respect to the targets that no attack exceeds, in the best order.
        free: bits that may change.
        untouched: whether no bit may change: no attack can do anything at all.
        way: `exact`, if the bound is attained by some setting of the free bits; `search` or `shared` otherwise.
        fixed: the bits that can't change [queries, bits].
        codes: true where the clean code is +1 [queries, bits].
    """

    precision: Values
    free: Integers
    untouched: NDArray[np.bool_]
    way: NDArray[np.str_]
    fixed: Bits
    codes: Bits

    @property
    def map(self) -> float:
        """Mean of `precision` over the queries that have a relevant item; NaN if none has."""
        scored = self.precision[~np.isnan(self.precision)]
        return float(scored.mean()) if len(scored) else float("nan")


def certify(
    model: HashModel,
    images: Images,
    labels: Labels,
    gallery_codes: BinaryCodes,
    gallery_labels: Labels,
    eps: float,
    *,
    targeted: bool = False,
    rule: Rule = "crown",
    nodes: int = NODES,
) -> Certificate:
    """A bound on each query's AP over the l-inf ball around its image, within [0, 1].

    It holds for every attack on the model in eval mode, known or not, whose images the judge accepts, and for
    the clean query. Models that draw random numbers are refused.

    Args:
        images: the queries, pixels in [0, 1].
        labels: theirs; of a targeted certificate the labels that an attack wants retrieved [queries, classes].
        gallery_codes: the database's codes, not attacked; what is at least 0 is +1.
        gallery_labels: theirs [items, classes].
        eps: radius of the ball in pixel units of [0, 1].
        targeted: bound from above how well the target labels are retrieved.
        rule: `intervals` is faster, `crown` tighter.
        nodes: branches that may be looked at for a query with many free bits.

    Raises:
        NoCertificate: a layer has no rule, or the model draws random numbers.
        BadParameter: eps outside [0, 1].
        BadInput: no queries, no database, or rows and widths that do not agree.
    """
    if not len(images) or not len(gallery_codes) or len(images) != len(labels):
        raise BadInput(
            f"{len(images)} images with {len(labels)} rows of labels and {len(gallery_codes)} database codes; "
            "give at least one of each, and as many labels as images"
        )
    bounds = logit_bounds(model, images, eps, rule=rule)
    return certificate(bounds, labels, items_of(gallery_codes, gallery_labels), highest=targeted, nodes=nodes)


def items_of(codes: BinaryCodes, labels: Labels) -> Items:
    """A database as certificates count it: its codes, of which what is at least 0 is +1, and its labels."""
    return Items(_bits(codes >= 0), _bits(labels > 0))


def certificate(
    bounds: LogitBounds, labels: Labels, items: Items, *, highest: bool = False, nodes: int = NODES
) -> Certificate:
    """The certificate that follows from bounds of the logits; see `certify`."""
    codes, fixed = _bits(bounds.clean >= 0), _bits(bounds.fixed)
    found = precision_bounds(codes, fixed, _bits(labels > 0), items, highest=highest, nodes=nodes)
    free: Integers = (~fixed).sum(axis=1).astype(np.int64)
    values = np.array([bound.value for bound in found])
    return Certificate(values, free, free == 0, np.array([bound.way for bound in found]), fixed, codes)


def clean_precision(codes: Bits, labels: Labels, items: Items) -> Values:
    """AP of codes that nothing changes, in the worst order of ties [queries]; NaN without a relevant item."""
    found = precision_bounds(codes, np.ones_like(codes), _bits(labels > 0), items)
    return np.array([bound.value for bound in found])


def _bits(tensor: Any) -> Bits:
    found: Bits = torch.as_tensor(tensor).cpu().numpy().astype(bool)
    return found
