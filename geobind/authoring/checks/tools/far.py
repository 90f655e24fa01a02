"""A device that this machine need not have: tensors that compute on the CPU and claim to be elsewhere.

Whatever meets them must have been moved to them, as on a GPU. Unlike torch's fake tensors they hold values, so that an
encoder may look at them (``counts.tolist()``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

DEVICE = torch.device("meta")
"""What far tensors claim: every build of torch knows it, and real computing never has it."""
PACKING = ("aten._pack_padded_sequence.", "aten._pad_packed_sequence.")
"""Operations of packed sequences, whose lengths are always on the CPU."""
HELPERS = ("aten.index.", "aten.index_put", "aten._index_put", "aten.copy_", "aten._to_copy", *PACKING)
"""Operations that take CPU tensors beside those of a GPU: indices, lengths, and what is copied."""
FROM_VALUES = (torch.tensor, torch.as_tensor, torch.asarray)
"""Functions that take values and a device."""


class DeviceMix(Exception):
    """A tensor of the CPU met one of the device."""


class FarTensor(Tensor):
    """A tensor that claims to be on :data:`DEVICE`."""

    near: Tensor
    """Its values, on the CPU."""

    @staticmethod
    def __new__(cls: type[Self], near: Tensor) -> Self:
        """Wrap a tensor of the CPU."""
        far: Self = Tensor._make_wrapper_subclass(
            cls,
            near.size(),
            strides=near.stride(),
            storage_offset=near.storage_offset(),
            dtype=near.dtype,
            device=DEVICE,
        )
        far.near = near.detach()
        return far

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """What torch does with values outside of dispatch; NumPy reads no device but the CPU."""
        if func is Tensor.tolist:
            return args[0].near.tolist()
        if func is Tensor.new_tensor:
            return FarTensor(args[0].near.new_tensor(*args[1:], **(kwargs or {})))
        if func in (Tensor.numpy, Tensor.__array__):
            raise DeviceMix("NumPy was given a tensor that is on a device")
        with torch._C.DisableTorchFunctionSubclass():  # torch would give what is on the CPU this class, too
            return func(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Compute as :func:`far` does."""
        return _compute(func, args, kwargs or {})


@contextmanager
def far() -> Iterator[None]:
    """While it lasts, ``device=`` of a far tensor gives far tensors, and tensors that meet must be together."""
    with _FromValues(), _Computing():  # type: ignore[no-untyped-call]
        yield


class _FromValues(TorchFunctionMode):
    """torch would fill tensors out of values itself, and cannot for the device that is claimed."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        device = kwargs.pop("device", None) if func in FROM_VALUES else None
        made = func(*args, **kwargs)
        return made if device is None else made.to(device)


class _Computing(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(func, args, kwargs or {})


def move(module: nn.Module) -> None:
    """Move a module's parameters and buffers to the device, as ``module.to`` would."""
    module.requires_grad_(False)
    module._apply(FarTensor)  # type: ignore[no-untyped-call]


def _compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    far = any(isinstance(tensor, FarTensor) for tensor in tensors)
    beside = [tensor for tensor in tensors if not isinstance(tensor, FarTensor) and tensor.ndim]
    if far and beside and not str(func).startswith(HELPERS):
        raise DeviceMix(f"{func} got a tensor {list(beside[0].shape)} of the CPU beside tensors of the device")
    device = kwargs.get("device")
    if device is not None:
        far = torch.device(device).type == DEVICE.type
        kwargs = {**kwargs, "device": torch.device("cpu")}
    args, kwargs = tree_map_only(FarTensor, lambda tensor: tensor.near, (args, kwargs))
    out = func(*args, **kwargs)
    if far and str(func).startswith(PACKING):
        return FarTensor(out[0]), out[1]
    return tree_map_only(Tensor, FarTensor, out) if far else out
