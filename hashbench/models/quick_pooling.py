"""Max pooling that takes less time on a CPU, with the same values and the same gradients."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from hashbench.models.layers import is_plain


class QuickMaxPool2d(nn.MaxPool2d):
    """Finds maxima with channels last, where the processor compares many values at once, and gathers them."""

    def forward(self, images: Tensor) -> Tensor:
        """Window maxima [images, channels, height, width]; inputs of other shapes or devices are left to torch."""
        if images.device.type != "cpu" or images.dim() != 4:
            return functional.max_pool2d(
                images, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode
            )
        with torch.no_grad():
            _, places = functional.max_pool2d(
                images.contiguous(memory_format=torch.channels_last),
                self.kernel_size,
                self.stride,
                self.padding,
                self.dilation,
                self.ceil_mode,
                return_indices=True,
            )
        places = places.contiguous()
        found: Tensor = images.flatten(2).gather(2, places.flatten(2)).view(places.shape)
        return found


def with_quick_pools(network: nn.Module) -> nn.Module:
    """The network with its max pools replaced in place, except subclasses and pools with hooks or other methods."""
    for name, module in network.named_children():
        quick = with_quick_pools(module)
        if quick is not module:
            setattr(network, name, quick)
    if not isinstance(network, nn.MaxPool2d) or type(network) is not nn.MaxPool2d or network.return_indices:
        return network
    if not is_plain(network):
        return network
    window = network.kernel_size, network.stride, network.padding, network.dilation
    return QuickMaxPool2d(*window, ceil_mode=network.ceil_mode).train(network.training)
