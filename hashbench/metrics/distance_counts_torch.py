"""The counts of `distance_counts` for tensors: on a GPU by matrix products, elsewhere by the compiled loop."""

from __future__ import annotations

import torch
from torch import Tensor

from hashbench.metrics.distance_counts import Counts, count, from_slots

PAIRS = 1 << 24  # query-item pairs that are compared at once
ITEMS = 1 << 17  # database items among them


def count_tensors(query_codes: Tensor, query_labels: Tensor, codes: Tensor, labels: Tensor) -> Counts:
    """Count the database items at each Hamming distance of each query, on the database's device.

    Args:
        query_codes: [queries, bits]; values above 0 are true bits, here and below.
        query_labels: [queries, classes].
        codes: [items, bits].
        labels: [items, classes].
    """
    if codes.is_cuda:
        return count_by_products(query_codes, query_labels, codes, labels)
    one, two, three, four = ((tensor > 0).cpu().numpy() for tensor in (query_codes, query_labels, codes, labels))
    return count(one, two, three, four)


def count_by_products(query_codes: Tensor, query_labels: Tensor, codes: Tensor, labels: Tensor) -> Counts:
    """The same counts in torch alone, on the device of `codes`.

    Distances are (bits - a product of signs) / 2. Sums of at most 2^24 ones are exact in single precision on every
    device, even where products use shorter floats.
    """
    bins = codes.shape[1] + 1
    signs, wanted = _signs(query_codes).to(codes.device), (query_labels > 0).float().to(codes.device)
    rows = max(1, PAIRS // max(1, min(len(codes), ITEMS)))
    slots = torch.zeros(len(signs), 2 * bins, dtype=torch.int64, device=codes.device)
    for first in range(0, len(codes), ITEMS):
        items, shown = _signs(codes[first : first + ITEMS]), (labels[first : first + ITEMS] > 0).float()
        for start in range(0, len(signs), rows):
            part = slots[start : start + rows]
            distances = (codes.shape[1] - (signs[start : start + rows] @ items.T).long()) // 2
            found = 2 * distances + (wanted[start : start + rows] @ shown.T > 0.5)
            found += torch.arange(len(part), device=codes.device)[:, None] * 2 * bins
            part += torch.bincount(found.flatten(), minlength=part.numel()).view_as(part)
    return from_slots(slots.cpu().numpy())


def _signs(codes: Tensor) -> Tensor:
    return torch.where(codes > 0, 1.0, -1.0)
