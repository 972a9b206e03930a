"""Models from files: the same codes bit for bit, and files that are refused by name."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn
from toys import small_model

from hashbench.backbones.torchvision_models import IMAGENET, hash_network
from hashbench.defenses.checkpoint import restored
from hashbench.errors import BadInput, BadParameter, MissingData
from hashbench.models.foreign_weights import pools_without_relu, torchvision_names
from hashbench.models.model import HashModel
from hashbench.registry.entries import defenses
from hashbench.registry.spec import Spec

BITS = 12
State = dict[str, Tensor]


def plain(name: str) -> nn.Module:
    """A torchvision network with a K-bit last layer, made without hashbench."""
    torch.manual_seed(1)
    network: nn.Module = torchvision.models.get_model(name, num_classes=BITS)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = torch.rand(module.num_features)
    return network.eval()


def ours(name: str, bits: int = BITS) -> HashModel:
    return HashModel(hash_network(name, bits, 3, 224, "none"), bits)


def normalised(images: Tensor) -> Tensor:
    mean, std = (torch.tensor(values)[:, None, None] for values in IMAGENET)
    return (images - mean) / std


def as_hash_layer(last: str) -> Callable[[State], State]:
    return lambda state: {
        name.replace(f"{last}.", "hash_layer.") if name.startswith(f"{last}.") else name: tensor
        for name, tensor in state.items()
    }


def resnet_layout(state: State) -> State:
    parts = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}
    renamed = as_hash_layer("fc")(state)
    again = {
        f"feature_layers.{parts[head]}.{rest}": tensor
        for name, tensor in renamed.items()
        for head, _, rest in [name.partition(".")]
        if head in parts
    }
    return {f"module.{name}": tensor for name, tensor in {**renamed, **again}.items()}


def saat_vgg_layout(state: State) -> State:
    return {**state, "cl1.weight": state["classifier.0.weight"], "cl1.bias": state["classifier.0.bias"]}


LAYOUTS: dict[str, tuple[str, Callable[[State], State]]] = {
    "AlexNet of CgAT and SAAT": ("alexnet", dict),
    "AlexNet of DeepHash-pytorch": ("alexnet", as_hash_layer("classifier")),
    "VGG of SAAT": ("vgg11", saat_vgg_layout),
    "ResNet": ("resnet18", resnet_layout),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_published_state_dict_gives_the_same_codes(layout: str, tmp_path: Path) -> None:
    name, rename = LAYOUTS[layout]
    network, images = plain(name), torch.rand(3, 3, 224, 224)
    torch.save(rename(network.state_dict()), tmp_path / "model.pth")
    found = restored(ours(name), tmp_path / "model.pth", normalise=True)
    with torch.no_grad():
        assert torch.equal(found.logits(images), network(normalised(images)))
    assert not found.training


def test_a_model_of_plain_pixels_gives_the_same_codes(tmp_path: Path) -> None:
    network, images = plain("resnet18"), torch.rand(3, 3, 224, 224)
    torch.save(network.state_dict(), tmp_path / "model.pth")
    found = restored(ours("resnet18"), tmp_path / "model.pth", normalise=False)
    with torch.no_grad():
        assert torch.equal(found.logits(images), network(images))


def test_the_published_densenet_pools_without_a_relu(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = torchvision.models.densenet161(num_classes=10).eval()
    hash_layer = nn.Linear(network.classifier.in_features, BITS)
    state = network.state_dict()
    again = {f"feature_layers.0.{n.removeprefix('features.')}": t for n, t in state.items() if n.startswith("features")}
    own = {f"hash_layer.{name}": tensor for name, tensor in hash_layer.state_dict().items()}
    torch.save({**state, **again, **own}, tmp_path / "model.pth")
    images = torch.rand(2, 3, 224, 224)
    found = restored(ours("densenet161"), tmp_path / "model.pth", normalise=True)
    with torch.no_grad():
        pooled = nn.functional.avg_pool2d(network.features(normalised(images)), 7).flatten(1)
        assert torch.equal(found.logits(images), hash_layer(pooled))


def test_a_checkpoint_of_hashbench_gives_the_same_codes(tmp_path: Path) -> None:
    model = small_model(seed=5)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    images = torch.rand(4, 1, 8, 8)
    found = restored(small_model(seed=6), tmp_path / "model.safetensors", normalise=True)
    assert torch.equal(found(images), model(images))


def test_two_copies_of_a_layer_must_agree() -> None:
    state = {"features.0.weight": torch.ones(2), "feature_layers.0.0.weight": torch.zeros(2)}
    with pytest.raises(BadInput, match=r"feature_layers\.0\.0\.weight.*features\.0\.weight"):
        torchvision_names(state, "classifier.6", "file")


class Planted:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.path,)  # type: ignore[return-value]


@pytest.mark.parametrize("write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_code_in_a_file_is_refused_and_never_run(write: Callable[[object, Path], None], tmp_path: Path) -> None:
    traces = tmp_path / "it ran"
    write({"features.0.weight": Planted(traces)}, tmp_path / "model.pth")
    with pytest.raises(BadInput, match="could run code"):
        restored(small_model(), tmp_path / "model.pth", normalise=True)
    assert not traces.exists()


def alexnet_state() -> State:
    return plain("alexnet").state_dict()


def test_a_truncated_file_is_called_damaged(tmp_path: Path) -> None:
    file = tmp_path / "model.pth"
    torch.save({"weight": torch.zeros(10000)}, file)
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(BadInput, match=r"model\.pth is damaged"):
        restored(small_model(), file, normalise=True)
    safe = tmp_path / "model.safetensors"
    save_file({"weight": torch.zeros(10000)}, safe)
    safe.write_bytes(safe.read_bytes()[:5000])
    with pytest.raises(BadInput, match="not an intact safetensors file"):
        restored(small_model(), safe, normalise=True)


@pytest.fixture(scope="module")
def alexnet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("alexnet") / "model.pth"
    torch.save(alexnet_state(), path)
    return path


def test_a_wrong_code_length_names_the_layer(alexnet_file: Path) -> None:
    wanted = r"classifier\.6\.bias is \[12\] instead of \[16\], classifier\.6\.weight is \[12, 4096\]"
    with pytest.raises(BadInput, match=wanted):
        restored(ours("alexnet", 16), alexnet_file, normalise=True)


def test_a_wrong_backbone_names_layers_of_both(alexnet_file: Path) -> None:
    with pytest.raises(BadInput, match=r"lacks bn1\.bias.* and has the unexpected classifier\.1\.bias"):
        restored(ours("resnet18"), alexnet_file, normalise=True)
    with pytest.raises(BadInput, match="published layouts can be read for torchvision's networks only"):
        restored(small_model(), alexnet_file, normalise=True)


def test_the_file_is_checked_before_anything_is_trained(alexnet_file: Path) -> None:
    choice = defenses.choose(Spec("checkpoint", {"file": str(alexnet_file)}))
    choice.check(ours("alexnet"))
    with pytest.raises(BadInput):
        choice.check(ours("resnet18"))
    with pytest.raises(BadParameter, match="file=PATH"):
        defenses.choose(Spec("checkpoint")).check(small_model())
    with pytest.raises(MissingData, match="is not a file"):
        defenses.choose(Spec("checkpoint", {"file": "/nowhere"}))


def test_the_content_of_the_file_is_part_of_the_cell(tmp_path: Path) -> None:
    labels = []
    for content, name in ((b"one", "a"), (b"one", "b"), (b"two", "a")):
        (tmp_path / name).write_bytes(content)
        labels.append(defenses.choose(Spec("checkpoint", {"file": str(tmp_path / name)})).label)
    assert labels[0] == labels[1] != labels[2]


@pytest.mark.parametrize(
    ("names", "published"),
    [
        (("module.features.denseblock1.denselayer1.norm.1.weight", "module.hash_layer.weight"), True),
        (("features.denseblock1.denselayer1.norm1.weight", "classifier.weight"), False),  # of torchvision
        (("feature_layers.0.weight", "hash_layer.weight"), False),  # a published ResNet
    ],
)
def test_only_the_published_densenet_omits_a_relu(names: tuple[str, ...], published: bool) -> None:
    assert pools_without_relu({name: torch.ones(1) for name in names}) == published
