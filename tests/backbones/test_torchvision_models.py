"""Networks of torchvision as hashing models."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save
from torch import nn

from hashbench.backbones import torchvision_models
from hashbench.backbones.torchvision_models import PAPERS, hash_network
from hashbench.errors import BadInput, BadParameter, MissingData
from hashbench.models.layers import last_linear
from hashbench.models.model import HashModel
from hashbench.registry.entries import backbones
from hashbench.registry.spec import Spec

BITS = 24


@pytest.fixture
def no_initialisation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights in one fast draw a layer: drawing 140 million normal numbers takes longer than the tests."""
    for name in ("kaiming_normal_", "normal_", "trunc_normal_", "xavier_uniform_"):
        monkeypatch.setattr(nn.init, name, lambda tensor, *args, **kwargs: tensor)
    monkeypatch.setattr(nn.init, "kaiming_uniform_", lambda tensor, *args, **kwargs: tensor.data.uniform_(-0.02, 0.02))


FAMILIES = ["alexnet", "vgg11", "vgg11_bn", "resnet18", "resnet50", "densenet161", "vit_b_16"]


@pytest.mark.usefixtures("no_initialisation")
@pytest.mark.parametrize("name", FAMILIES)
def test_codes_gradients_and_a_round_trip_at_224_pixels(name: str) -> None:
    choice = backbones.choose(Spec(name, {"weights": "none"}))
    model, again = (HashModel(choice.call(BITS, 3, 224), BITS).eval() for _ in range(2))
    nn.init.uniform_(last_linear(model)[1].weight, -1, 1)
    images = torch.rand(1, 3, 224, 224).requires_grad_()
    codes = model(images)
    assert codes.shape == (1, BITS)
    (gradient,) = torch.autograd.grad(codes.sum(), images)
    assert gradient.abs().max() > 0
    again.load_state_dict(load(save({name: t.contiguous() for name, t in model.state_dict().items()})))
    with torch.no_grad():
        assert torch.equal(again(images), model(images))


@pytest.mark.parametrize("name", sorted(PAPERS.keys() - set(FAMILIES)))
def test_the_others_of_each_family_make_codes_of_the_right_shape(name: str) -> None:
    with torch.device("meta"):
        network = hash_network(name, BITS, 3, 224, "none").eval()
        assert network(torch.rand(2, 3, 224, 224)).shape == (2, BITS)


@pytest.mark.parametrize("name", ["alexnet", "resnet18", "densenet161"])
def test_the_hash_layer_starts_as_published(name: str) -> None:
    torch.manual_seed(0)
    path, layer = last_linear(hash_network(name, 64, 3, 224, "none"))
    assert path.endswith(("classifier.6", "fc", "classifier"))
    assert layer.weight.std().item() == pytest.approx(0.01, rel=0.03)
    assert layer.bias.abs().max() == 0


def test_grey_images_become_three_equal_channels() -> None:
    network = hash_network("resnet18", BITS, 1, 64, "none").eval()
    images = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        assert torch.equal(network(images), network(images.expand(-1, 3, -1, -1)))


def test_images_that_do_not_fit_are_refused() -> None:
    with pytest.raises(BadParameter, match="alexnet does not take images of 8 pixels"):
        hash_network("alexnet", BITS, 1, 8, "default")
    with pytest.raises(BadParameter, match="vit_b_16 takes images of 224 pixels"):
        hash_network("vit_b_16", BITS, 3, 32, "none")
    with pytest.raises(BadParameter, match="1 or 3 channels"):
        hash_network("resnet18", BITS, 4, 224, "none")


def test_any_other_network_goes_by_its_name() -> None:
    choice = backbones.choose(Spec("torchvision", {"model": "mobilenet_v3_small", "weights": "none"}))
    with torch.no_grad():
        assert choice.call(BITS, 3, 64).eval()(torch.rand(2, 3, 64, 64)).shape == (2, BITS)
    with pytest.raises(BadParameter, match="no ImageNet weights of 'nothing'"):
        _ = backbones.choose(Spec("torchvision", {"model": "nothing"})).needs
    with pytest.raises(BadParameter, match="no classification network 'nothing'"):
        hash_network("nothing", BITS, 3, 224, "none")
    with pytest.raises(BadParameter, match="has no linear layer to replace by a hash layer"):
        hash_network("squeezenet1_0", BITS, 3, 224, "none")


def test_missing_imagenet_weights_say_which_file_goes_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unreachable(*args: object, **kwargs: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    with pytest.raises(MissingData) as refused:
        hash_network("vgg11", BITS, 3, 224, "default")
    message = str(refused.value)
    assert f"at {tmp_path}/checkpoints/vgg11-8a719046.pth" in message
    assert "https://download.pytorch.org/models/vgg11-8a719046.pth" in message
    assert "\n" not in message
    assert "vgg11-8a719046.pth" in backbones.choose(Spec("vgg11")).needs
    assert backbones.choose(Spec("vgg11", {"weights": "none"})).needs == ""


def test_default_weights_come_from_the_cache_of_torch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    trained = torchvision_models._untrained("resnet18", 224)
    torch.save(trained.state_dict(), tmp_path / "weights")
    cached = tmp_path / f"resnet18-{hashlib.sha256((tmp_path / 'weights').read_bytes()).hexdigest()[:8]}.pth"
    (tmp_path / "weights").rename(cached)
    monkeypatch.setattr(torchvision_models, "imagenet_place", lambda name: ("https://there", cached))
    network = hash_network("resnet18", BITS, 3, 224, "default")
    assert torch.equal(network.state_dict()["2.conv1.weight"], trained.state_dict()["conv1.weight"])
    assert last_linear(network)[1].out_features == BITS


def test_a_cached_file_with_other_content_than_its_name_says_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "checkpoints").mkdir()
    cached = tmp_path / "checkpoints" / "resnet18-f37072fd.pth"
    torch.save(torchvision_models._untrained("resnet18", 224).state_dict(), cached)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    found = hashlib.sha256(cached.read_bytes()).hexdigest()[:8]
    message = f"{cached} holds other weights than its name says, its SHA-256 begins with {found}; delete it and start"
    with pytest.raises(BadInput, match=message) as refused:
        hash_network("resnet18", BITS, 3, 224, "default")
    assert str(refused.value).endswith("put https://download.pytorch.org/models/resnet18-f37072fd.pth in its place")


def test_old_names_of_densenet_are_understood() -> None:
    old = "features.denseblock1.denselayer1.norm.1.weight"
    assert torchvision_models.new_name(old) == "features.denseblock1.denselayer1.norm1.weight"


def test_weights_from_a_file_are_used_all_but_the_last_layer(tmp_path: Path) -> None:
    trained = torchvision_models._untrained("resnet18", 224)
    torch.save(trained.state_dict(), tmp_path / "weights.pth")
    layer = "layer4.1.conv2.weight"
    network = hash_network("resnet18", BITS, 3, 224, str(tmp_path / "weights.pth"))
    assert torch.equal(network.state_dict()[f"2.{layer}"], trained.state_dict()[layer])
    with pytest.raises(
        BadInput, match=r"lacks layer1\.0\.bn3\.bias, .* and \d+ more; does it belong to another backbone"
    ):
        hash_network("resnet50", BITS, 3, 224, str(tmp_path / "weights.pth"))
