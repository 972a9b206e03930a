"""Prototype networks, which give label vectors a code (ProS-GAN, CVPR 2021; THA, SIGIR 2021)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn, optim
from torch.nn import functional

from hashbench.crafting.targets import label_sets
from hashbench.models.data import Victim
from hashbench.models.helpers import Tensors
from hashbench.progress import track
from hashbench.types import BinaryCodes, Codes, Labels, Scalar

HIDDEN, FEATURES = 4096, 512
BETAS = (0.5, 0.999)  # of Adam, in both papers
QUANTISATION = 1e-4  # weight of the squared distance of outputs to their signs

PrototypeLoss = Callable[["PrototypeNet", Labels, BinaryCodes, Labels], Scalar]


class PrototypeNet(nn.Module):
    """A feature by linear, ReLU and linear layers, then a tanh head for the code and a sigmoid head for the labels."""

    def __init__(self, classes: int, bits: int, *, hidden: int = HIDDEN, features: int = FEATURES) -> None:
        super().__init__()
        self.feature = nn.Sequential(nn.Linear(classes, hidden), nn.ReLU(), nn.Linear(hidden, features))
        self.code = nn.Linear(features, bits)
        self.classifier = nn.Linear(features, classes)

    def forward(self, labels: Labels) -> tuple[Tensor, Codes, Tensor]:
        """Features [labels, features], relaxed codes [labels, bits], label probabilities [labels, classes]."""
        features = self.feature(labels)
        return features, torch.tanh(self.code(features)), torch.sigmoid(self.classifier(features))


class CodeNet(nn.Module):
    """THA's network: a `PrototypeNet` without the label head."""

    def __init__(self, classes: int, bits: int, *, hidden: int = HIDDEN, features: int = FEATURES) -> None:
        super().__init__()
        self.feature = nn.Sequential(nn.Linear(classes, hidden), nn.ReLU(), nn.Linear(hidden, features))
        self.code = nn.Linear(features, bits)

    def forward(self, labels: Labels) -> Codes:
        """Relaxed codes [labels, bits]."""
        codes: Codes = torch.tanh(self.code(self.feature(labels)))
        return codes


def circle_loss(
    outputs: Codes, labels: Labels, codes: BinaryCodes, code_labels: Labels, *, upper: bool = False
) -> Scalar:
    """THA's circle loss over all pairs of an output and a training code.

    With s the mean product of a pair, LSE(-[2 - s]+ s) over the pairs that share a label plus LSE([2 + s]+ s) over
    the others, where the brackets have no gradient. A term without any pair is left out.

    Args:
        upper: drop the pairs of output i with training item j <= i, as the released code does by an oversight.
    """
    likeness = outputs @ codes.T / codes.shape[1]
    similar = labels @ code_labels.T > 0
    taken = torch.ones_like(similar).triu(1) if upper else torch.ones_like(similar)
    pull = -(2 - likeness.detach()).clamp(min=0) * likeness
    push = (2 + likeness.detach()).clamp(min=0) * likeness
    return _log_sum_exp(pull[similar & taken]) + _log_sum_exp(push[~similar & taken])


def likelihood_loss(outputs: Codes, labels: Labels, codes: BinaryCodes, code_labels: Labels) -> Scalar:
    """ProS-GAN's pairwise loss: the mean of softplus(t) - S t, t = half the inner product, S = shares a label."""
    halved = outputs @ codes.T / 2
    similar = (labels @ code_labels.T > 0).to(halved)
    return (functional.softplus(halved) - similar * halved).mean()


def quantisation(outputs: Codes) -> Scalar:
    """Squared distance of outputs to their signs, summed over bits, averaged over labels, times 1e-4."""
    return QUANTISATION * ((outputs.detach().sign() - outputs) ** 2).sum() / len(outputs)


def code_net_loss(
    net: CodeNet, labels: Labels, codes: BinaryCodes, code_labels: Labels, *, upper: bool = False
) -> Scalar:
    """THA's objective: the circle loss divided by the batch size, plus quantisation; `upper` as in `circle_loss`."""
    outputs = net(labels)
    return circle_loss(outputs, labels, codes, code_labels, upper=upper) / len(labels) + quantisation(outputs)


def new_optimiser(
    net: nn.Module, learning_rate: float, steps: int
) -> tuple[optim.Adam, optim.lr_scheduler.MultiStepLR]:
    """Adam as in both papers; its learning rate falls to a tenth at half and again at three quarters of the steps."""
    optimiser = optim.Adam(net.parameters(), lr=learning_rate, betas=BETAS)
    return optimiser, optim.lr_scheduler.MultiStepLR(optimiser, [steps // 2, steps * 3 // 4])


def prototype_net_loss(net: PrototypeNet, labels: Labels, codes: BinaryCodes, code_labels: Labels) -> Scalar:
    """ProS-GAN's objective: pairwise loss, squared error of the label head, and quantisation."""
    _, outputs, classes = net(labels)
    pairs = likelihood_loss(outputs, labels, codes, code_labels)
    return pairs + functional.mse_loss(classes, labels) + quantisation(outputs)


def train_prototypes(
    net: nn.Module,
    loss: Callable[..., Scalar],
    victim: Victim,
    memory: BinaryCodes,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    name: str,
) -> Tensors:
    """Train a prototype net on label sets of the database, and return its weights.

    Args:
        loss: (net, label sets of a batch, memory, labels of the memory) -> value.
        memory: the codes of the training images [n, bits].
    """
    optimizer, schedule = new_optimiser(net, learning_rate, steps)
    labels = victim.train.labels
    for batch in _batches(victim.gallery.labels, steps, batch_size, name):
        optimizer.zero_grad(set_to_none=True)
        loss(net, batch, memory, labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return dict(net.state_dict())


def _batches(labels: Labels, steps: int, size: int, name: str) -> Iterator[Labels]:
    sets = label_sets(labels)
    for _ in track(range(steps), name):
        yield sets[torch.randint(len(sets), (size,)).to(sets.device)]


def _log_sum_exp(values: Tensor) -> Scalar:
    return values.logsumexp(0) if len(values) else values.sum()
