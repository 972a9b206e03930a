"""A model that was trained elsewhere."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Annotated

from torch import nn

from hashbench.errors import BadInput, BadParameter
from hashbench.models.data import ImageSet
from hashbench.models.foreign_weights import pools_without_relu, torchvision_names
from hashbench.models.layers import Channels, last_linear
from hashbench.models.model import HashModel
from hashbench.models.weight_files import load_strictly, read_tensors
from hashbench.registry.decorators import defense
from hashbench.registry.parameters import ContentFile
from hashbench.registry.protocols import Method
from hashbench.threat import Threat

File = Annotated[Path, ContentFile()] | None
OURS = "network."  # every tensor name in a checkpoint of hashbench begins with this


def check(model: HashModel, *, file: Path | None, normalise: bool) -> None:
    """Refuse a file that does not fit the model, before anything is trained.

    Raises:
        BadParameter: no file is named.
        BadInput: the file is damaged, contains code, or belongs to another model.
    """
    restored(model, file, normalise)


@defense("checkpoint", trains=False, check=check)
def checkpoint(
    model: HashModel, train: ImageSet, method: Method, threat: Threat, *, file: File = None, normalise: bool = True
) -> HashModel:
    """Load the model from a file: a checkpoint of hashbench, or a state dict in the layout of published code.

    The backbone and the code length are those of the command line. The published layouts are those that CgAT, SAAT
    and DeepHash-pytorch use for AlexNet, VGG, ResNet and DenseNet.

    Args:
        file: *.safetensors, or a state dict saved by torch.save; code in it is never run.
        normalise: whether the model was trained on pixels normalised by ImageNet's mean and standard deviation,
            inside it or in its data loader; no: on pixels in [0, 1]. A checkpoint of hashbench brings its own
            normalisation.

    Raises:
        BadParameter: no file is named.
        BadInput: the file is damaged, contains code, or belongs to another model.
    """
    return restored(model, file, normalise)


def restored(model: HashModel, file: Path | None, normalise: bool) -> HashModel:
    """A copy of a model with the weights of a file.

    Raises:
        BadParameter: no file is named.
        BadInput: the file is damaged, contains code, or belongs to another model.
    """
    if file is None:
        raise BadParameter("defense 'checkpoint' needs a file: checkpoint:file=PATH")
    tensors = read_tensors(file)
    found = copy.deepcopy(model)
    if all(name.startswith(OURS) for name in tensors):
        load_strictly(found, tensors, str(file))
        return found.eval()
    parts = list(found.network.children())
    if len(parts) != 3 or not isinstance(parts[0], Channels):
        raise BadInput(
            f"{file} is not a checkpoint of hashbench, and published layouts can be read for torchvision's networks "
            "only; name the network that it was trained with by --backbone"
        )
    channels, normaliser, network = parts
    last, _ = last_linear(network)
    load_strictly(network, torchvision_names(tensors, last, str(file)), str(file))
    if pools_without_relu(tensors):
        features, hash_layer = network.get_submodule("features"), network.get_submodule(last)
        network = nn.Sequential(features, nn.AvgPool2d(7), nn.Flatten(), hash_layer)
    whole = [channels, normaliser if normalise else nn.Identity(), network]
    return HashModel(nn.Sequential(*whole), model.bits).eval()
