from __future__ import annotations

import pytest
import torch
from toys import make_toy, small_model

from hashbench.attacks.patch_hamming import pasted, patch_hamming
from hashbench.crafting.objectives import masked_agreement
from hashbench.errors import BadInput
from hashbench.evaluation.judge import PATCH_SIDE, judge
from hashbench.models.codes import encode, mainstay_code
from hashbench.models.data import ImageSet
from hashbench.models.model import HashModel, binarize
from hashbench.registry.entries import attacks
from hashbench.registry.spec import Spec
from hashbench.threat import Threat
from hashbench.types import Codes, Images
from hashbench.verification.cell import make_again

THREAT = Threat(1.0, "patch-3")


def test_one_square_of_the_same_pixels_lowers_the_objective_of_all_queries() -> None:
    victim, queries = make_toy(small_model(48, 3), 3)
    found = patch_hamming(victim, THREAT, epochs=10, batch_size=10)(queries)
    changed = (found != queries.images).any(1)
    contents = []
    for image, moved in zip(found, changed, strict=True):
        rows, columns = moved.any(1).nonzero().flatten(), moved.any(0).nonzero().flatten()
        assert (rows[-1] - rows[0], columns[-1] - columns[0]) == (2, 2)
        contents.append(image[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    torch.testing.assert_close(torch.stack(contents), contents[0].expand(len(contents), -1, -1, -1))
    guides = mainstay_code(binarize(encode(victim.model, victim.train)), victim.train.labels, queries.labels)
    before, after = (masked_agreement(victim.model(images), guides) for images in (queries.images, found))
    spots = queries.draw((16, 2), stream=1)
    random = torch.stack(
        [
            masked_agreement(victim.model(pasted(queries.images, torch.rand(1, 3, 3, 3), spots[:, place], 1.0)), guides)
            for place in range(16)
        ]
    )
    assert after.mean() < random.mean(1).min(), "no patch of one content is better, of sixteen at random"
    assert (after < before).all()


class Halves(torch.nn.Module):
    """Eight bits: seven of the brightness of the upper half, one of that of the lower half."""

    def forward(self, images: Images) -> Codes:
        """Logits [images, 8]; a black square of 3 pixels turns the bits of the half that it lies in."""
        upper, lower = images[:, 0, :3].mean((1, 2)), images[:, 0, 3:].mean((1, 2))
        return 4 * (torch.stack([upper] * 7 + [lower], dim=1) - 0.6)


def test_the_place_is_where_most_bits_turn_not_where_an_easy_one_leaves_the_mask() -> None:
    bright = ImageSet(torch.full((20, 1, 6, 6), 0.9), torch.ones(20, 1))
    victim, queries = make_toy(small_model())
    victim = type(victim)(
        HashModel(Halves(), 8).eval(), bright, type(victim.gallery)(torch.ones(5, 8), torch.ones(5, 1))
    )
    batch = type(queries)(bright.images[torch.arange(3)], torch.ones(3, 1), torch.arange(3), 0)
    codes = victim.model(patch_hamming(victim, THREAT, epochs=20, batch_size=5, places=64)(batch))
    places = torch.rand(500, 2)
    tried = victim.model(pasted(batch.images[:1].expand(500, -1, -1, -1), torch.zeros(1, 1, 3, 3), places, 1.0))
    assert (codes.mean(1) < tried.mean(1).min() + 0.02).all()


class Brightness(torch.nn.Module):
    """Four bits that are all the images' brightness."""

    def forward(self, images: Images) -> Codes:
        """Logits [images, 4], which a square of 3 pixels can lower, but not turn: bits that turn far are left alone."""
        return 0.05 * (images - 0.5).flatten(1).sum(1, keepdim=True).expand(-1, 4)


def test_of_images_that_count_by_their_brightness_the_learned_square_is_black() -> None:
    bright = ImageSet(torch.full((20, 1, 6, 6), 0.9), torch.ones(20, 1))
    victim, queries = make_toy(small_model())
    model = HashModel(Brightness(), 4).eval()
    victim = type(victim)(model, bright, type(victim.gallery)(torch.ones(5, 4), torch.ones(5, 1)))
    batch = type(queries)(bright.images[torch.arange(3)], torch.ones(3, 1), torch.arange(3), 0)
    found = patch_hamming(victim, THREAT, epochs=20, batch_size=5)(batch)
    assert ((found == 0).flatten(1).sum(1) == 9).all()  # all bits are +1, and every pixel down lowers them all
    assert ((found == batch.images).flatten(1).sum(1) == 27).all()


def test_squares_are_pasted_at_any_place_and_no_further() -> None:
    images, patch = torch.zeros(4, 2, 5, 7), torch.arange(1, 9).view(1, 2, 2, 2) / 8
    found = pasted(images, patch, torch.tensor([[0.0, 0.0], [0.999, 0.999], [0.999, 0.0], [0.3, 0.5]]), 1.0)
    for image, (top, left) in zip(found, [(0, 0), (3, 5), (3, 0), (1, 3)], strict=True):
        assert torch.equal(image[:, top : top + 2, left : left + 2], patch[0])
        assert (image != 0).sum() == 8


def test_the_side_of_each_change_is_kept_and_verified() -> None:
    victim, _ = make_toy(small_model())
    queries = victim.train
    found = judge(attacks.choose(Spec("patch-hamming", {"preset": "quick"})), victim, queries, THREAT, 0)
    assert found.arrays[PATCH_SIDE].max() == 3
    assert PATCH_SIDE not in judge(attacks.choose(Spec("none")), victim, queries, Threat(0.1), 0).arrays
    identity = {"bits": 12, "goal": "untargeted", "norm": "patch-3", "eps": 1.0}
    assert make_again(found.arrays, identity, "it")["map"] == pytest.approx(found.numbers["map"])
    with pytest.raises(BadInput, match="it: a change spans 3 pixels, the patch has 2 x 2"):
        make_again(found.arrays, {**identity, "norm": "patch-2"}, "it")
    with pytest.raises(BadInput, match="it lacks patch_side"):
        make_again({n: a for n, a in found.arrays.items() if n != PATCH_SIDE}, identity, "it")
    far = {**found.arrays, "l2": found.arrays["l2"] + 1}
    with pytest.raises(BadInput, match=r"it: an image moved by .* in l2, the row's eps is 0\.5"):
        make_again(far, {**identity, "norm": "l2", "eps": 0.5}, "it")
