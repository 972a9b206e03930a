"""What targeted attacks aim at: target labels, the same for every attack on a data set."""

from __future__ import annotations

import torch

from hashbench.errors import NoTarget
from hashbench.seeds import derive_seed
from hashbench.types import Labels


def label_sets(labels: Labels) -> Labels:
    """The distinct non-empty label sets among rows of labels, in a fixed order.

    >>> label_sets(torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    tensor([[0., 1.],
            [1., 0.]])
    """
    sets: Labels = torch.unique(labels[labels.any(1)], dim=0)
    return sets


def draw_targets(labels: Labels, database_labels: Labels, seed: int) -> Labels:
    """Target labels for each query: [queries, classes].

    Drawn uniformly from the label sets that occur in the database, are not empty and share no label with the query's
    own. Papers also draw otherwise (overlap allowed, uniform over images); their numbers are not comparable. A
    query's target depends on the seed, its position and these sets alone.

    Raises:
        NoTarget: a query shares a label with every label set of the database.

    >>> draw_targets(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]), seed=0)
    tensor([[0., 1.]])
    """
    sets = label_sets(database_labels)
    free = labels @ sets.T == 0
    stuck = int((~free.any(1)).sum())
    if stuck:
        raise NoTarget(
            f"{stuck} of {len(labels)} queries have no target: every label set of the database shares a label "
            "with theirs; use an untargeted attack on this data set"
        )
    generator = torch.Generator()
    rows = []
    for position, choices in enumerate(free):
        generator.manual_seed(derive_seed("target", seed, position))
        candidates = choices.nonzero().flatten()
        pick = torch.randint(len(candidates), (1,), generator=generator)
        rows.append(sets[candidates[pick.to(candidates.device)]])
    return torch.cat(rows)
