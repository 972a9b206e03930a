"""ProS-GAN: prototype-supervised adversarial network (Wang et al., CVPR 2021)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from hashbench.crafting.pros_gan_networks import Discriminator, Generator, least_squares
from hashbench.crafting.prototype_networks import BETAS, FEATURES, PrototypeNet, prototype_net_loss, train_prototypes
from hashbench.crafting.targets import label_sets
from hashbench.models.codes import encode
from hashbench.models.data import ImageSet, Queries, Victim
from hashbench.models.helpers import Tensors
from hashbench.models.model import binarize
from hashbench.progress import track
from hashbench.registry.decorators import attack
from hashbench.registry.parameters import Count, NonNegative, Positive, Value
from hashbench.registry.protocols import Craft
from hashbench.threat import Threat
from hashbench.types import Codes, Images, Labels, Scalar

TURN = 3  # the discriminator learns from every third batch
PAPER: dict[str, Value] = {
    "epochs": 100, "width": 64, "batch_size": 24, "learning_rate": 1e-4, "net_steps": 30000,
    "reconstruction": 100.0, "net_learning_rate": 1e-4, "bounded": False,
}  # fmt: skip


@attack(
    "pros-gan",
    threats=("linf", "l2"),
    goal="targeted",
    paper="Wang et al., CVPR 2021",
    version=2,
    presets={"paper": PAPER, "quick": {"epochs": 1, "width": 4, "net_steps": 3}},
)
def pros_gan(
    victim: Victim,
    threat: Threat,
    *,
    epochs: Count = 10,
    width: Count = 16,
    batch_size: Count = 24,
    learning_rate: Positive = 5e-4,
    reconstruction: NonNegative = 1.0,
    hashing: NonNegative = 5.0,
    realism: NonNegative = 1.0,
    net_steps: Count = 300,
    net_learning_rate: Positive = 1e-3,
    bounded: bool = True,
) -> Craft:
    """Let a generator turn each query into an image with the code of its target labels.

    A prototype network gives features and a code for labels; a generator, which sees the features, learns against the
    victim and a discriminator. Both are trained once per victim. The paper bounds the change by a reconstruction loss
    only; here the output is projected onto the budget as the last step.

    Args:
        epochs: the generator's passes over the training images; the learning rate falls linearly in the second half.
        width: channels of the generator's and the discriminator's first layer (64 in the paper).
        batch_size: images per step.
        learning_rate: learning rate of the generator and the discriminator.
        reconstruction: weight of the squared change (50 or 100 in the paper, which has no other bound).
        hashing: weight of the distance to the prototype code.
        realism: weight of the discriminator's loss.
        net_steps: batches that the prototype network is trained on.
        net_learning_rate: learning rate of the prototype network.
        bounded: let victim and discriminator see projected images in training too, which the paper does not.
    """
    weights = Weights(reconstruction, hashing, realism)
    net = _prototypes(victim, net_steps, net_learning_rate)
    settings = {
        "epochs": epochs, "width": width, "batch_size": batch_size, "learning_rate": learning_rate,
        "net_steps": net_steps, "net_learning_rate": net_learning_rate, **asdict(weights),
    }  # fmt: skip
    # In double precision: instance norm would amplify the rounding differences between batch sizes.
    generator = _generator(victim, net, weights, threat if bounded else Threat(1.0), settings).double()
    net.double()

    def craft(queries: Queries) -> Images:
        with torch.no_grad():
            features, _, _ = net(queries.wanted.double())
            made = generator(queries.images.double(), features).to(queries.images)
        return threat.project(made, queries.images)

    return craft


@dataclass(frozen=True)
class Weights:
    """Weights of the generator's three terms."""

    reconstruction: float
    hashing: float
    realism: float


def _prototypes(victim: Victim, steps: int, learning_rate: float) -> PrototypeNet:
    """The victim's prototype network, trained now or taken from the store."""
    memory = binarize(encode(victim.model, victim.train))

    def untrained() -> PrototypeNet:
        return PrototypeNet(victim.train.labels.shape[1], victim.model.bits).to(memory.device)

    def make() -> Tensors:
        return train_prototypes(
            untrained(), prototype_net_loss, victim, memory,
            steps=steps, batch_size=64, learning_rate=learning_rate, name="pros-gan prototypes",
        )  # fmt: skip

    net = untrained()
    net.load_state_dict(victim.keep("pros-gan-prototypes", {"steps": steps, "learning_rate": learning_rate}, make))
    return net.eval().requires_grad_(False)


def _generator(
    victim: Victim, net: PrototypeNet, weights: Weights, threat: Threat, settings: Mapping[str, Any]
) -> Generator:
    """The victim's generator, trained now or taken from the store, in eval mode."""
    width, learning_rate = settings["width"], settings["learning_rate"]
    channels, size = victim.train.images[torch.arange(1)].shape[1:3]

    def untrained() -> Generator:
        return Generator(FEATURES, channels, size, width).to(victim.gallery.codes.device)

    def make() -> Tensors:
        game = Game(victim, net, untrained(), weights, threat, width, learning_rate)
        return game.play(settings["epochs"], settings["batch_size"])

    stored = victim.keep("pros-gan-generator", {**settings, **threat.settings}, make)
    generator = untrained()
    generator.load_state_dict(stored)
    return generator.eval()


class Game:
    """The training of a generator against a victim and a discriminator."""

    def __init__(
        self,
        victim: Victim,
        net: PrototypeNet,
        generator: Generator,
        weights: Weights,
        threat: Threat,
        width: int,
        learning_rate: float,
    ) -> None:
        train: ImageSet = victim.train
        channels, size = train.images[torch.arange(1)].shape[1:3]
        self.victim, self.net, self.weights, self.threat = victim, net, weights, threat
        self.generator, self.learning_rate = generator, learning_rate
        self.discriminator = Discriminator(train.labels.shape[1], channels, size, width).to(victim.gallery.codes.device)
        self.sets = label_sets(victim.gallery.labels)
        self.optimizers = [
            torch.optim.Adam(player.parameters(), lr=learning_rate, betas=BETAS)
            for player in (self.generator, self.discriminator)
        ]

    def play(self, epochs: int, batch_size: int) -> Tensors:
        """Train for a number of epochs; returns the generator's weights."""
        turn = itertools.count(1)
        for epoch in track(range(epochs), "pros-gan generator"):
            for optimizer in self.optimizers:
                optimizer.param_groups[0]["lr"] = self.learning_rate * rate(epoch + 1, epochs)
            for index in torch.split(torch.randperm(len(self.victim.train)), batch_size):
                self.step(index, judged=next(turn) % TURN == 0)
        return dict(self.generator.state_dict())

    def step(self, index: Tensor, *, judged: bool) -> None:
        """Take the generator's step on one batch, after the discriminator's where `judged`."""
        train, device = self.victim.train, self.sets.device
        images, labels = train.images[index].to(device), train.labels[index.to(train.labels.device)].to(device)
        wanted = self.sets[torch.randint(len(self.sets), (len(index),)).to(device)]
        features, codes, _ = self.net(wanted)
        made = self.generator(images, features)
        seen = made + (self.threat.project(made, images) - made).detach()
        if judged:
            real, fake = self.discriminator(images), self.discriminator(seen.detach())
            self._learn(1, least_squares(real, labels, 0.0) + least_squares(fake, wanted, 1.0))
        self._learn(0, self.generator_loss(images, made, seen, binarize(codes), wanted))

    def generator_loss(self, images: Images, made: Images, seen: Images, codes: Codes, wanted: Labels) -> Scalar:
        """Weighted squared change of pixels in [-1, 1], distance of codes, and the discriminator's loss."""
        change = functional.mse_loss(2 * made, 2 * images)
        distance = 1 - (self.victim.model(seen) * codes).mean()
        verdict = least_squares(self.discriminator(seen), wanted, 0.0)
        weights = self.weights
        return weights.reconstruction * change + weights.hashing * distance + weights.realism * verdict

    def _learn(self, player: int, loss: Scalar) -> None:
        optimizer = self.optimizers[player]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def rate(epoch: int, epochs: int) -> float:
    """The share of the learning rate in an epoch counted from 1: it falls linearly in the second half."""
    return 1 - max(0.0, epoch - epochs / 2) / (epochs / 2 + 1)
