"""What is added to a guided training, and the average of its weights, against closed forms and slow references."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from toys import pixels, random_images, small_model

from hashbench.defenses.cgat import cgat
from hashbench.errors import BadParameter, UsageError
from hashbench.methods.csq import csq
from hashbench.models.codes import center_code, encode
from hashbench.models.model import HashModel, frozen
from hashbench.models.pass_counter import Passes, counted
from hashbench.registry import entries
from hashbench.registry.parameters import parameters
from hashbench.registry.spec import Spec
from hashbench.threat import Threat
from hashbench.training.adversarial import Guided, InnerAttack
from hashbench.training.guided import GuidedLoss
from hashbench.training.interval import IntervalTerm, Worst, hinge, moments, worst_logits
from hashbench.training.mixing import Batch
from hashbench.training.moving_average import MovingAverage
from hashbench.training.recipe import Recipe
from hashbench.training.regularisers import Mix, Regularisers, mixed_batch, warped_batch

STILL = InnerAttack(steps=1, step_ratio=1.0, reach=1e-6)
THREAT = Threat(0.1)


def guided_loss_of(model: HashModel, regularisers: Regularisers) -> GuidedLoss:
    """The loss of CgAT on 40 images, with an inner attack of next to no budget."""
    train = random_images(40)
    guided = Guided(encode(model, train), train.labels, center_code)
    interval = IntervalTerm(model, train, Recipe(epochs=1), Worst()) if regularisers.interval else None
    method = csq(encode(model, train), train.labels)
    return GuidedLoss(model, method, guided, THREAT, STILL, 2.0, None, "joint", regularisers, interval)


def test_a_mixed_batch_has_each_pixel_of_the_image_or_of_its_partner() -> None:
    torch.manual_seed(0)
    images = torch.rand(6, 3, 8, 10)
    shares = []
    for _ in range(400):
        mix = mixed_batch(images, 1.0)
        assert mix is not None
        own = (mix.images == images).all(1)
        assert (own | (mix.images == images[mix.partner]).all(1)).all()
        moved = mix.partner != torch.arange(6)
        torch.testing.assert_close(own[moved].float().mean((1, 2)), torch.full((int(moved.sum()),), mix.share))
        shares.append(mix.share)
    # the rectangle loses what lies beyond the borders: a quarter of its sides on average, E(own) = 1 - E(a b)
    assert 0.6 < sum(shares) / 400 < 0.75
    assert min(shares) < 0.1 < 0.95 < max(shares)


def test_a_batch_that_is_not_mixed_draws_nothing() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    assert mixed_batch(torch.zeros(2, 1, 4, 4), 0.0) is None
    assert torch.equal(torch.get_rng_state(), before)
    assert [mixed_batch(torch.zeros(2, 1, 4, 4), 0.3) is None for _ in range(2000)].count(False) == pytest.approx(
        600, abs=80
    )


def drawn(monkeypatch: pytest.MonkeyPatch, *draws: float) -> None:
    """Let the angle, the factor and the two shifts be these, as parts of their largest values."""
    monkeypatch.setattr(torch, "rand", lambda number, _: torch.tensor([draws] * number) / 2 + 0.5)


def test_a_batch_that_is_not_warped_draws_nothing() -> None:
    torch.manual_seed(3)
    before, images = torch.get_rng_state(), torch.zeros(2, 1, 4, 4)
    assert warped_batch(images, 0.0) is images
    assert torch.equal(torch.get_rng_state(), before)


def test_a_warp_shifts_by_an_eighth_of_the_side(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.rand(3, 1, 8, 8)
    drawn(monkeypatch, 0.0, 0.0, 1.0, -1.0)
    torch.testing.assert_close(warped_batch(images, 1.0)[:, :, 1:, :-1], images[:, :, :-1, 1:])
    drawn(monkeypatch, 0.0, 0.0, 1.0, 0.0)
    torch.testing.assert_close(warped_batch(images, 2.0)[..., :-2], images[..., 2:])


def test_a_warp_turns_and_stretches_a_ramp_by_the_closed_form(monkeypatch: pytest.MonkeyPatch) -> None:
    places = (torch.arange(16) + 0.5) / 8 - 1
    ramp = (places.expand(1, 1, 16, 16) + 1) / 2
    inside = places[5:11]
    drawn(monkeypatch, 1.0, 0.0, 0.0, 0.0)
    angle = torch.tensor(math.pi / 12)
    turned = angle.cos() * inside - angle.sin() * inside.unsqueeze(1)
    torch.testing.assert_close(warped_batch(ramp, 1.0)[0, 0, 5:11, 5:11], (turned + 1) / 2)
    drawn(monkeypatch, 0.0, -1.0, 0.0, 0.0)
    stretched = (0.85 * inside + 1) / 2
    torch.testing.assert_close(warped_batch(ramp, 1.0)[0, 0, 5:11, 5:11], stretched.expand(6, 6))


def test_each_image_of_a_batch_is_warped_in_its_own_way_and_stays_in_the_range() -> None:
    torch.manual_seed(0)
    images = torch.rand(1, 3, 12, 12).expand(50, 3, 12, 12)
    warped = warped_batch(images, 1.0)
    assert len({image.sum().item() for image in warped}) == 50
    assert warped.min() >= images.min()
    assert warped.max() <= images.max()


def test_terms_of_a_mixed_batch_count_by_area() -> None:
    labels, index = torch.eye(3), torch.arange(3)
    mix = Mix(torch.rand(3, 1, 2, 2), torch.tensor([1, 2, 0]), 0.75)
    assert torch.equal(Batch(mix.images, labels, index).by_area(lambda own, _: own), labels)
    found = Batch(mix.images, labels, index, mix).by_area(lambda own, at: own + at[:, None])
    wanted = 0.75 * (labels + index[:, None]) + 0.25 * (labels[mix.partner] + mix.partner[:, None])
    torch.testing.assert_close(found, wanted)


def test_codes_of_mixed_images_enter_no_memory() -> None:
    model = small_model()
    loss = guided_loss_of(model, Regularisers(cutmix=1.0))
    before = loss.guided.memory.clone()
    images = random_images(40)
    loss(1 - pixels(images), images.labels, torch.arange(40))
    assert torch.equal(loss.guided.memory, before)
    plain = guided_loss_of(model, Regularisers())
    plain(1 - pixels(images), images.labels, torch.arange(40))
    assert not torch.equal(plain.guided.memory, before)


@pytest.mark.parametrize("name", [entry.name for entry in entries.methods])
def test_every_hashing_method_learns_from_mixed_batches_and_keeps_its_memory(name: str) -> None:
    model, train = small_model(), random_images(12)
    codes = encode(model, train)
    method = entries.methods.choose(Spec.parse(name)).call(codes, train.labels)
    before = {place: tensor.clone() for place, tensor in method.named_buffers()}
    whole = Regularisers(cutmix=1.0)
    loss = GuidedLoss(
        model, method, Guided(codes, train.labels, center_code), THREAT, STILL, 2.0, None, "joint", whole, None
    )
    index = torch.arange(6)
    loss(pixels(train)[index], train.labels[index], index).backward()  # type: ignore[no-untyped-call]
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in model.parameters())
    for place, tensor in method.named_buffers():
        assert torch.equal(tensor, before[place]), place


def test_weight_perturbation_raises_the_loss_that_a_step_descends() -> None:
    images = random_images(40)
    values = []
    for radius in (0.0, 0.1):
        torch.manual_seed(1)
        with frozen(model := small_model()):
            model.requires_grad_(True)
            loss = guided_loss_of(model, Regularisers(awp=radius))
            values.append(loss(pixels(images), images.labels, torch.arange(40)).item())
    assert values[1] > values[0] + 0.01


def test_the_interval_term_is_that_of_its_formula() -> None:
    images = random_images(40)
    model = small_model()
    values = []
    for weight in (0.0, 0.5):
        torch.manual_seed(1)
        loss = guided_loss_of(model, Regularisers(interval=weight))
        values.append(loss(pixels(images), images.labels, torch.arange(40)))
    guide = loss.guided.codes(images.labels)
    assert loss.interval is not None
    eps = THREAT.eps / loss.interval.clock.ramp
    with moments(model) as statistics:
        model(pixels(images))
    bound = hinge(worst_logits(model, loss.interval.graph, pixels(images), eps, guide, statistics), guide)
    torch.testing.assert_close(values[1] - values[0], 0.5 * bound)


@pytest.mark.parametrize(
    ("regularisers", "wanted"),
    [
        (Regularisers(), 9),
        (Regularisers(awp=0.01), 11),
        (Regularisers(interval=0.1), 11),
        (Regularisers(cutmix=1.0), 9),
    ],
)
def test_what_a_step_of_cgat_costs(regularisers: Regularisers, wanted: int) -> None:
    passes, model, train = Passes(), small_model(), random_images(40)
    method = csq(encode(model, train), train.labels)
    with counted(model, passes):
        cgat(model, train, method, THREAT, recipe=Recipe(epochs=1, batch_size=20), regularisers=regularisers)
    assert passes.backwards == wanted * len(train)
    assert passes.forwards == (wanted + 1) * len(train)  # the codes of the guides' memory


def test_the_average_is_that_of_its_formula() -> None:
    linear, norm = nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1)
    model = nn.Sequential(linear, norm)
    linear.weight.data.fill_(0.0)
    average = MovingAverage(model, 0.5)
    wanted = 0.0
    for step, value in enumerate((1.0, 5.0, -3.0, 2.0, 8.0), start=1):
        linear.weight.data.fill_(value)
        average.update(model)
        decay = min(0.5, (1 + step) / (10 + step))
        wanted = decay * wanted + (1 - decay) * value
    average.copied_to(model)
    assert linear.weight.item() == pytest.approx(wanted)
    assert norm.num_batches_tracked == torch.tensor(0)


def test_an_averaged_training_ends_with_the_average_of_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []
    update = MovingAverage.update

    def noted(self: MovingAverage, model: nn.Module) -> None:
        seen.append(model.state_dict()["network.0.weight"].clone())
        update(self, model)

    monkeypatch.setattr(MovingAverage, "update", noted)
    train, model = random_images(60), small_model()
    method = csq(encode(model, train), train.labels)
    found = cgat(model, train, method, THREAT, recipe=Recipe(epochs=2, batch_size=20, ema=0.4))
    wanted = model.state_dict()["network.0.weight"].clone()
    for step, weight in enumerate(seen, start=1):
        decay = min(0.4, (1 + step) / (10 + step))
        wanted = decay * wanted + (1 - decay) * weight
    assert len(seen) == 6
    torch.testing.assert_close(found.state_dict()["network.0.weight"], wanted)
    assert not torch.equal(wanted, seen[-1])


class Undrawn(nn.Linear):
    """A layer that does not say how its weights are drawn."""

    reset_parameters = None  # type: ignore[assignment]

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.weight = nn.Parameter(torch.ones(4, 4))
        self.bias = nn.Parameter(torch.ones(4))


@pytest.mark.parametrize(
    "name", [entry.name for entry in entries.defenses if "cold" in {p.name for p in parameters(entry.function)}]
)
def test_what_a_regulariser_can_not_work_with_is_refused_before_a_training(name: str) -> None:
    undrawn = HashModel(nn.Sequential(nn.Flatten(), nn.Linear(64, 4), Undrawn()), 4)
    unbounded = HashModel(nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.Softsign()), 4)
    for model, words, message in (
        (undrawn, {"cold": "true"}, "the network's Undrawn has no reset_parameters; leave out cold"),
        (unbounded, {"interval": "0.1"}, "Softsign"),
    ):
        with pytest.raises(UsageError, match=message):
            entries.defenses.choose(Spec(name, words)).check(model)
        entries.defenses.choose(Spec(name)).check(model)


@pytest.mark.parametrize("name", ["cgat", "saat"])
def test_bounds_with_the_statistics_of_crafted_images_alone_are_refused(name: str) -> None:
    model = HashModel(nn.Sequential(nn.Flatten(), nn.Linear(64, 4)), 4)
    for words in ({"batches": "apart"}, {"interval": "0.1"}):
        entries.defenses.choose(Spec(name, words)).check(model)
    with pytest.raises(BadParameter, match="leave out batches=apart or interval"):
        entries.defenses.choose(Spec(name, {"batches": "apart", "interval": "0.1"})).check(model)
