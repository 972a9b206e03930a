"""Images, labels and budgets of every type that people hold them in, and splits of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from toys import random_images

from hashbench import ImageSet, RetrievalSplit, dataset, split_of_tensors
from hashbench.api.checks import checked_split
from hashbench.digests import digest
from hashbench.errors import BadInput
from hashbench.evaluation.foreign_code import load_split
from hashbench.models.arrays import MOST_CLASSES, budget_of, labels_of, whole_of
from hashbench.registry import entries
from hashbench.registry.spec import Spec

WHOLE = (
    torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32, torch.uint32, torch.int64, torch.uint64,
)  # fmt: skip
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@pytest.mark.parametrize("kind", [*WHOLE, *FLOATS])
def test_class_numbers_of_every_type_are_the_same_labels(kind: torch.dtype) -> None:
    wanted = torch.nn.functional.one_hot(torch.tensor([0, 100, 7]), 101).float()
    found = labels_of({"queries": (torch.tensor([0, 100, 7]).to(kind), 3)})["queries"]
    assert torch.equal(found, wanted)
    assert found.dtype == torch.float32
    if kind != torch.bfloat16:  # unknown to numpy
        assert torch.equal(labels_of({"queries": (torch.tensor([0, 100, 7]).to(kind).numpy(), 3)})["queries"], wanted)


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        (np.int8, -1), (np.int16, -1), (np.int32, MOST_CLASSES), (np.uint32, 1 << 31), (np.int64, -1),
        (np.uint64, (1 << 63) + 1), (np.float32, 0.5), (np.float64, np.nan), (np.float64, np.inf), (np.float32, 1e30),
    ],
)  # fmt: skip
def test_what_is_no_class_number_is_refused_in_every_type(kind: Any, number: float) -> None:
    with pytest.raises(BadInput, match="the labels of train are no class numbers from 0 to 65535; give whole numbers"):
        labels_of({"train": (np.array([0, number], dtype=kind), 2)})


def test_the_highest_class_number_is_taken_as_unsigned_16_bits() -> None:
    assert labels_of({"train": (np.array([MOST_CLASSES - 1], dtype=np.uint16), 1)})["train"].shape == (1, MOST_CLASSES)


def test_complex_numbers_are_no_labels() -> None:
    with pytest.raises(BadInput, match="the labels of train are a ndarray that is no array of numbers"):
        labels_of({"train": (np.array([1j]), 1)})


HOT = torch.eye(3)[[0, 1, 2, 0]]
PIXELS = torch.rand(4, 1, 8, 8)


@pytest.mark.parametrize(
    ("queries", "database", "message"),
    [
        (HOT, torch.eye(4), "queries has labels of 3 classes, database of 4; give all roles the same ones"),
        (HOT, torch.tensor([0, 1, 2, 5]), "queries has labels of 3 classes, database of 6; give all roles the same"),
    ],
)
def test_roles_with_other_classes_are_refused(queries: torch.Tensor, database: torch.Tensor, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        split_of_tensors(queries=(PIXELS, queries), database=(PIXELS, database), eps=0.1)
    if database.dim() == 2:
        with pytest.raises(BadInput, match=message):
            split_of_tensors(queries=ImageSet(PIXELS, queries), database=ImageSet(PIXELS, database), eps=0.1)


def test_a_role_without_images_may_have_any_classes() -> None:
    part, nothing = ImageSet(PIXELS, HOT), ImageSet(PIXELS[:0], torch.zeros(0, 1))
    assert len(split_of_tensors(queries=part, database=part, validation=nothing, eps=0.1).validation) == 0


def of_types(part: ImageSet, images: torch.dtype, labels: torch.dtype) -> ImageSet:
    """The set with other types, which the shape checks of the tests would refuse."""
    found = ImageSet(part.images, part.labels)
    for name, values, kind in (("images", part.images, images), ("labels", part.labels, labels)):
        assert isinstance(values, torch.Tensor)
        object.__setattr__(found, name, values.to(kind))
    return found


ODD_TYPES = [
    (torch.float64, torch.float32, "images of queries are torch.float64; give 32-bit floats .*: images.float()"),
    (torch.bfloat16, torch.float32, "images of queries are torch.bfloat16; give 32-bit floats .*: images.float()"),
    (torch.uint8, torch.float32, r"images of queries are torch.uint8; give .*: images.float\(\) / 255"),
    (torch.float32, torch.float64, "labels of queries are torch.float64; give 0 and 1 as 32-bit floats: labels.float"),
    (torch.float32, torch.int64, "labels of queries are torch.int64; give 0 and 1 as 32-bit floats: labels.float()"),
    (torch.float32, torch.bool, "labels of queries are torch.bool; give 0 and 1 as 32-bit floats: labels.float()"),
]


@pytest.mark.parametrize(("images", "labels", "message"), ODD_TYPES)
def test_sets_of_other_types_become_32_bit_floats_or_are_refused(
    images: torch.dtype, labels: torch.dtype, message: str
) -> None:
    part = ImageSet(torch.randint(0, 2, (4, 1, 8, 8)).float(), HOT)
    odd, plain = of_types(part, images, labels), split_of_tensors(queries=part, database=part, eps=0.1)
    if images != torch.uint8:  # 1 becomes 1/255
        assert split_of_tensors(queries=odd, database=part, eps=0.1).digest == plain.digest
    made = split_of_tensors(queries=odd, database=odd, eps=0.1)
    assert isinstance(made.queries.images, torch.Tensor)
    assert made.queries.images.dtype == made.database.labels.dtype == torch.float32
    with pytest.raises(BadInput, match=message):
        checked_split(replace(plain, queries=odd))


def test_a_split_keeps_its_contents_when_the_tensors_it_was_made_of_change() -> None:
    images, hot, part = PIXELS.clone(), HOT.clone(), ImageSet(PIXELS.clone(), HOT.clone())
    split = split_of_tensors(queries=(images, hot), database=part, eps=0.1)
    for given in (images, hot, part.images, part.labels):
        assert isinstance(given, torch.Tensor)
        given.zero_()
    again = split_of_tensors(queries=split.queries, database=split.database, eps=0.1)
    assert (
        again.digest == split.digest == split_of_tensors(queries=(PIXELS, HOT), database=(PIXELS, HOT), eps=0.1).digest
    )


def test_the_digest_of_32_bit_floats_is_as_ever() -> None:
    part = ImageSet(torch.arange(2 * 64).view(2, 1, 8, 8) / 128, torch.eye(2))
    assert split_of_tensors(queries=part, database=part, eps=0.1).digest == "047dc21ce86cd2e0"


@pytest.mark.parametrize("eps", [np.float32(0.25), np.float64(0.25), 0.25])
def test_a_budget_may_be_a_number_of_numpy(eps: Any) -> None:
    split = split_of_tensors(queries=(PIXELS, HOT), database=(PIXELS, HOT), eps=eps)
    assert (split.eps, type(split.eps)) == (0.25, float)


@pytest.mark.parametrize("eps", [True, np.True_, "8/255", None, [0.1], np.array([0.1]), 1j])
def test_what_is_no_number_is_no_budget(eps: Any) -> None:
    with pytest.raises(BadInput, match=r"eps is .*; give a number in pixel units of \[0, 1\], such as 8 / 255") as said:
        budget_of(eps)
    assert "\n" not in str(said.value)
    assert budget_of(np.int64(1)) == 1.0


@pytest.mark.parametrize("number", [8, np.int64(8), np.uint8(8)])
def test_a_count_of_numpy_is_python_s_own(number: Any) -> None:
    assert digest(whole_of(number, "bits")) == digest(8)
    for odd in (True, 8.0, "8", None, np.array([8])):
        with pytest.raises(BadInput, match=r"bits is .*; give a whole number"):
            whole_of(odd, "bits")


SOUND = split_of_tensors(queries=random_images(6), database=random_images(12, seed=1), eps=0.1)


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (lambda: replace(SOUND, train=random_images(6, classes=5)), "train has classes 5, queries 4; they must be the"),
        (lambda: replace(SOUND, validation=random_images(6, size=4)), r"validation has images of shape \(1, 4, 4\)"),
        (lambda: replace(SOUND, database=of_types(SOUND.database, torch.float32, torch.int64)), "labels of database"),
    ],
)
def test_the_split_of_a_plugin_is_checked_when_it_is_loaded(odd: Callable[[], RetrievalSplit], message: str) -> None:
    @dataset("planted")
    def planted() -> RetrievalSplit:
        """A data set."""
        return odd()

    with pytest.raises(BadInput, match=f"data set planted: .*{message}"):
        load_split(entries.datasets.choose(Spec("planted")))
