"""What holds of every registered attack, with no special case."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toys import layers, linear_model, make_toy, random_images, small_model

from hashbench.errors import BadParameter
from hashbench.models.data import Queries, Victim
from hashbench.models.helpers import NONE, Settings, Tensors, Versions, train_anew
from hashbench.registry import entries
from hashbench.registry.entries import attacks
from hashbench.registry.spec import Spec
from hashbench.registry.threats import check_threat
from hashbench.threat import KINDS, Threat
from hashbench.types import Images

NAMES = [entry.name for entry in attacks]
TRAINED: dict[str, Tensors] = {}
every_attack = pytest.mark.parametrize("name", NAMES)
every_threat = pytest.mark.parametrize(
    ("name", "norm"), [(entry.name, n.replace("patch", "patch-3")) for entry in attacks for n in entry.threats]
)


def craft(name: str, victim: Victim, threat: Threat, batches: list[Queries]) -> Images:
    torch.manual_seed(0)
    crafted = attacks.choose(cheap(name)).call(victim, threat)
    return torch.cat([crafted(batch) for batch in batches])


def small(name: str) -> Threat:
    """A threat that an attack works with."""
    return Threat(0.1, "linf" if "linf" in attacks[name].threats else "patch-3")


def cheap(name: str) -> Spec:
    """An attack at its cheapest."""
    return Spec(name, {"preset": "quick"} if "quick" in attacks[name].presets else {})


def cut(queries: Queries, size: int) -> list[Queries]:
    places = torch.split(torch.arange(len(queries.index)), size)
    return [queries.take(rows) for rows in places]


def train_once(
    name: str,
    settings: Settings,
    make: Callable[[], Tensors],
    *,
    of_victim: bool = True,
    versions: Versions = NONE,
) -> Tensors:
    """Networks that attacks train for the toy, once for all tests that do not ask how they are trained."""
    key = repr((name, sorted(settings.items())))
    if key not in TRAINED:
        TRAINED[key] = train_anew(name, settings, make, of_victim=of_victim, versions=versions)
    return {part: tensor.clone() for part, tensor in TRAINED[key].items()}


@functools.cache
def whole(name: str, norm: str = "linf") -> Images:
    """The toy's queries, crafted in one batch."""
    victim, queries = make_toy(small_model())
    return craft(name, replace(victim, keep=train_once), Threat(0.1, norm), [queries])


@pytest.fixture
def trained_toy(toy: tuple[Victim, Queries]) -> tuple[Victim, Queries]:
    """The toy, for which networks are trained once."""
    victim, queries = toy
    return replace(victim, keep=train_once), queries


@every_threat
def test_stays_inside_the_budget(name: str, norm: str) -> None:
    victim, queries = make_toy(small_model())
    victim = replace(victim, keep=train_once)
    of_attacks = any(kind == "attack" for kind, _ in attacks[name].uses)  # each of which has examples of its own
    examples = 2 if of_attacks else 8 if norm == "linf" else 4

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(eps=st.sampled_from([0.0, 1 / 255, 8 / 255, 0.2, 1.0]) | st.floats(0, 1), seed=st.integers(0, 2**32))
    def stays_inside(eps: float, seed: int) -> None:
        random = torch.Generator().manual_seed(seed)
        drawn = replace(queries, images=torch.rand(queries.images.shape, generator=random))
        threat = Threat(eps, norm)
        threat.check(craft(name, victim, threat, [drawn]), drawn.images)

    stays_inside()


@every_attack
def test_repeats_under_the_same_seed(name: str, toy: tuple[Victim, Queries]) -> None:
    victim, queries = toy
    assert torch.equal(craft(name, victim, small(name), [queries]), whole(name, small(name).norm))


@every_threat
@pytest.mark.parametrize("size", [1, 7])
def test_does_not_depend_on_the_batch_size(
    name: str, norm: str, size: int, trained_toy: tuple[Victim, Queries]
) -> None:
    victim, queries = trained_toy
    pieces = craft(name, victim, Threat(0.1, norm), cut(queries, size)[:3])
    # a step along an l2 gradient keeps the gradient's rounding, which differs with the batch; that of a sign does not
    near = 1e-3 if norm == "l2" else 1e-6
    torch.testing.assert_close(pieces, whole(name, norm)[: len(pieces)], atol=near, rtol=0)


@every_attack
def test_keeps_no_state_between_batches(name: str, trained_toy: tuple[Victim, Queries]) -> None:
    victim, queries = trained_toy
    head, tail = cut(queries, 4)
    alone = craft(name, victim, small(name), [tail])
    after = craft(name, victim, small(name), [head, tail])[4:]
    torch.testing.assert_close(after, alone, atol=1e-6, rtol=0)


@every_attack
@pytest.mark.parametrize("training", [True, False])
def test_leaves_the_model_as_it_was(name: str, training: bool) -> None:
    model = small_model().train(training)
    layers(model)[1].eval()  # one frozen layer must stay frozen
    layers(model)[5].weight.requires_grad_(False)
    victim, queries = make_toy(model)
    weights = copy.deepcopy(model.state_dict())
    gradient = torch.ones_like(layers(model)[0].weight)
    layers(model)[0].weight.grad = gradient.clone()
    modes = [module.training for module in model.modules()]
    wanted = [weight.requires_grad for weight in model.parameters()]
    images, labels = queries.images.clone(), queries.labels.clone()

    craft(name, victim, small(name), [queries])

    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert [weight.requires_grad for weight in model.parameters()] == wanted
    assert torch.equal(layers(model)[0].weight.grad, gradient)
    assert all(weight.grad is None for weight in list(model.parameters())[1:])
    assert torch.equal(queries.images, images)
    assert torch.equal(queries.labels, labels)


@every_attack
def test_takes_queries_without_relevant_items_or_labels(name: str, toy: tuple[Victim, Queries]) -> None:
    victim, queries = toy
    labels = queries.labels.clone()
    labels[0] = 0
    strange = replace(queries, labels=labels)
    victim = replace(victim, gallery=replace(victim.gallery, labels=victim.gallery.labels.clone()))
    victim.gallery.labels[:, 1] = 0
    small(name).check(craft(name, victim, small(name), [strange]), queries.images)


@every_attack
@pytest.mark.parametrize(("bits", "channels", "size"), [(12, 3, 8), (48, 1, 16), (48, 3, 8)])
def test_takes_any_code_length_and_image(name: str, bits: int, channels: int, size: int) -> None:
    victim, queries = make_toy(small_model(bits, channels, size), channels, size)
    (first, *_) = cut(queries, 1)
    crafted = craft(name, victim, small(name), [first])
    assert crafted.shape == (1, channels, size, size)
    small(name).check(crafted, first.images)


@every_threat
def test_with_no_budget_returns_the_clean_images(name: str, norm: str, toy: tuple[Victim, Queries]) -> None:
    victim, queries = toy
    assert torch.equal(craft(name, victim, Threat(0.0, norm), [queries]), queries.images)


@every_attack
def test_a_threat_that_it_does_not_work_with_is_refused(name: str) -> None:
    choice = attacks.choose(cheap(name))
    for kind in KINDS:
        threat = Threat(0.1, kind.replace("patch", "patch-3"))
        if kind in choice.entry.threats:
            check_threat(choice, threat)
        else:
            what = "a patch" if kind == "patch" else f"norm {kind}"
            known = " and ".join(choice.entry.threats)
            with pytest.raises(BadParameter, match=f"{name} does not work with {what}; it works with {known}$"):
                check_threat(choice, threat)


def test_all_entries_say_what_they_are() -> None:
    for group in entries.REGISTRIES:
        for entry in group:
            assert entry.summary.endswith("."), entry.name
            home = entry.module.rsplit(".", 1)[-1]
            assert home in (entry.name.replace("-", "_"), "torchvision_models", "timm_models", "list_files"), (
                entry.name
            )  # factories


def test_labels_name_only_what_differs_from_the_defaults() -> None:
    choice = attacks.choose(Spec.parse("pgd-hamming:steps=7,restarts=1"))
    defaults = attacks.choose(Spec("pgd-hamming"))
    assert defaults.label == "pgd-hamming"
    assert choice.label == "pgd-hamming:steps=7,restarts=1"


def test_linear_models_have_disjoint_pixels() -> None:
    weight = layers(linear_model(4, 1, 8))[1].weight
    assert ((weight != 0).sum(0) <= 1).all()
    assert len(random_images(8)) == 8
