"""A second device on any machine: tensors that say they are on a GPU, hold their values, and refuse to meet others.

Unlike torch's FakeTensorMode it has values, so code whose flow depends on them runs to its end, and its numbers can be
compared with those of the processor. It shows mixed devices, calls of `numpy()`, and each wait of the host for the
device. It does not show what only a GPU's own kernels do: their rounding, their memory, their order of sums.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

GPU = torch.device("cuda:0")
# Operations whose result, or its shape, the host must wait for.
WAITS = frozenset(
    {"_local_scalar_dense", "nonzero", "masked_select", "unique_dim", "_unique2", "unique_consecutive", "equal",
     "bincount", "repeat_interleave", "is_nonzero"}
)  # fmt: skip
MOVES = frozenset({"_to_copy", "copy_"})  # between devices, as asked
INDEXED = frozenset({"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"})


class MixedDevicesError(RuntimeError):
    """An operation got tensors of both devices."""


class OnGpu(Tensor):
    """A tensor of the second device; `held` has its values."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> OnGpu:
        # For the library it is on `meta`, where autograd runs without a driver.
        made: OnGpu = torch.Tensor._make_wrapper_subclass(
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype,
            device=torch.device("meta"),
        )  # fmt: skip
        made.held = held
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]
    device = property(lambda self: GPU)
    is_cuda = property(lambda self: True)
    is_meta = property(lambda self: False)

    def numpy(self, **_: Any) -> Any:
        raise TypeError("can't convert a tensor of the second device to numpy")

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __array__(self, *_: Any) -> Any:
        raise TypeError("can't convert a tensor of the second device to numpy")

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        raise MixedDevicesError(f"{func}: a tensor of the second device outside of `second_device()`")


class SecondDevice(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Carries out operations on the second device; `waits` counts those that the host waits for, by name."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.waits: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name, leaves = func._schema.name.partition("::")[2], tree_leaves((args, kwargs))
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        remote = [tensor for tensor in tensors if isinstance(tensor, OnGpu)]
        wanted = kwargs.get("device")
        asked = wanted is not None and torch.device(wanted).type in ("cuda", "meta")
        if not remote and not asked:
            return func(*args, **kwargs)
        self._check(name, args, tensors, len(remote))
        self._count(name, args, remote, to_host=wanted is not None and not asked)
        if asked:
            kwargs["device"] = torch.device("cpu")
        kwargs.pop("pin_memory", None)
        inner = tree_map(_held, (args, kwargs))
        found = func(*inner[0], **inner[1])
        stays = not (name == "_to_copy" and wanted is not None and not asked)
        if name == "copy_" and not isinstance(args[0], OnGpu):
            return args[0]
        known = {id(tensor.held): tensor for tensor in remote}
        return tree_map(lambda value: _wrapped(value, known) if stays else value, found)

    def _check(self, name: str, args: Any, tensors: list[Tensor], remote: int) -> None:
        """As on a GPU: only numbers and positions may lie on the host."""
        if name in MOVES or not remote:
            return
        strange = [tensor for tensor in tensors if not isinstance(tensor, OnGpu) and tensor.dim() > 0]
        if strange and not (name in INDEXED and isinstance(args[0], OnGpu)):
            raise MixedDevicesError(f"aten::{name} got tensors of both devices")

    def _count(self, name: str, args: Any, remote: list[OnGpu], *, to_host: bool) -> None:
        from_host = name == "copy_" and not isinstance(args[0], OnGpu)
        masked = name in INDEXED and any(
            isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8) for index in args[1]
        )
        far = name in INDEXED and any(isinstance(index, Tensor) and not isinstance(index, OnGpu) for index in args[1])
        if remote and (name in WAITS or to_host or from_host or masked or far):
            self.waits["to the host" if to_host or from_host else name] += 1


def _held(value: Any) -> Any:
    return value.held if isinstance(value, OnGpu) else value


def _wrapped(value: Any, known: dict[int, OnGpu]) -> Any:
    if not isinstance(value, Tensor):
        return value
    if id(value) not in known:
        return OnGpu(value)
    same = known[id(value)]
    if same.shape != value.shape:
        raise NotImplementedError("an operation in place changed a shape")
    return same


@contextmanager
def second_device() -> Iterator[SecondDevice]:
    """A block in which `.to("cuda:0")` moves to the second device."""
    overwrite = torch.__future__.get_overwrite_module_params_on_conversion()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "_lazy_init", lambda: None)
        patch.setattr(Tensor, "pin_memory", lambda tensor: tensor)
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        torch._C._set_only_lift_cpu_tensors(True)
        try:
            with SecondDevice() as mode:
                yield mode
        finally:
            torch._C._set_only_lift_cpu_tensors(False)
            torch.__future__.set_overwrite_module_params_on_conversion(overwrite)
