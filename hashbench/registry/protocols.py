"""The call signatures of everything that a registry holds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Concatenate

from torch import nn

from hashbench.models.data import ImageSet, Queries, RetrievalSplit, Victim
from hashbench.models.model import HashModel
from hashbench.registry.ranking_box import RankingBox
from hashbench.threat import Threat
from hashbench.types import Codes, Images, Index, Labels, Scalar

Craft = Callable[[Queries], Images]


class Method(nn.Module, ABC):
    """A hashing method: an objective over relaxed codes, with its memory between batches.

    >>> class Agreement(Method):
    ...     def forward(self, codes, labels, index):
    ...         return ((codes - (2 * labels - 1)) ** 2).mean()
    >>> import torch
    >>> Agreement()(torch.ones(1, 2), torch.ones(1, 2), torch.arange(1)).item()
    0.0
    """

    __call__: Callable[..., Scalar]

    @abstractmethod
    def forward(self, codes: Codes, labels: Labels, index: Index) -> Scalar:
        """The loss of a batch.

        Args:
            codes: relaxed codes [batch, bits] in (-1, 1).
            labels: multi-hot [batch, classes].
            index: positions of the batch in the training set; a method with a memory updates these rows.
        """


# Further arguments are hyper-parameters: keyword-only, typed, with defaults.

# Prepares once for a victim, then crafts adversarial images batch by batch.
Attack = Callable[Concatenate[Victim, Threat, ...], Craft]

# The same for an attacker who may only ask a black box for the ids of the top items.
RankingAttack = Callable[Concatenate[RankingBox, Threat, ...], Craft]

# Makes a defended model from a trained one, which is left unchanged.
Defense = Callable[Concatenate[HashModel, ImageSet, Method, Threat, ...], HashModel]

# Makes a method for a training set from its labels and the initial codes [n, bits] of its model.
MethodFactory = Callable[Concatenate[Codes, Labels, ...], Method]

# Makes a network with `bits` logits per image, for images of `channels` x `size` x `size` pixels in [0, 1]:
# called with bits, channels, size.
Backbone = Callable[Concatenate[int, int, int, ...], nn.Module]

# Loads a data set, split into its retrieval roles.
Dataset = Callable[..., RetrievalSplit]
