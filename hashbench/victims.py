"""Models with the codes of their databases, made once and kept in the store like the models themselves."""

from __future__ import annotations

import numpy as np
import torch

from hashbench.checkpoints import Checkpoints
from hashbench.data import Gallery, RetrievalSplit, Victim
from hashbench.evaluation import make_victim
from hashbench.fingerprint import JUDGING, digest, modules_digest
from hashbench.model import HashModel
from hashbench.seeds import seeded
from hashbench.store import DATABASES, Weights


def kept_victim(model: HashModel, split: RetrievalSplit, checkpoints: Checkpoints, name: str, seed: int) -> Victim:
    """A model with the codes of its database: from the store, or made and stored first.

    Args:
        name: stands for the model and the split, and for nothing else; the code that makes codes is added to it.
        seed: of random numbers that the model draws.

    Raises:
        BadOutput: the model's codes are not finite numbers of the right shape.
    """
    key = digest([name, "codes of the database", modules_digest(JUDGING)])

    def make() -> Weights:
        with seeded(seed):
            codes = make_victim(model, split.train, split.database).gallery.codes
        bits = np.packbits((codes > 0).cpu().numpy(), axis=1)
        return Weights({"codes": torch.from_numpy(bits)}, {"key": key, "bits": model.bits})

    stored = checkpoints.get(key, "the database", make, DATABASES).tensors["codes"]
    bits = np.unpackbits(stored.numpy(), axis=1, count=model.bits)
    labels = split.database.labels
    codes = torch.from_numpy(bits).to(labels.device, torch.float32) * 2 - 1
    return Victim(model, split.train, Gallery(codes, labels))
