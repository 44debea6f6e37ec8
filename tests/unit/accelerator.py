"""A simulated accelerator: a torch device whose tensors no operation takes together with the CPU's.

Code that forgets to move a tensor fails on it without a GPU; the rest gives what torch gives on the CPU. It shows
nothing of speed, memory, rounding or order of a GPU. One thread at a time.
"""

from typing import Any

import torch
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

_setup_privateuseone_for_python_backend("simulated")

DEVICE = torch.device("simulated", 0)

BETWEEN = {"_to_copy", "copy_", "_copy_from"}
"""Operations that move numbers between devices."""

INDEXED = {"index", "index_put_", "_index_put_impl_"}
"""Operations that take indices from the CPU, too."""


class Tensor(torch.Tensor):
    """A tensor on the device; its numbers lie in ``inside``, where only operations of the device reach them."""

    @staticmethod
    def __new__(cls, inside: torch.Tensor) -> "Tensor":
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            inside.shape,
            strides=inside.stride(),
            storage_offset=inside.storage_offset(),
            dtype=inside.dtype,
            device=DEVICE,
        )
        made.inside = inside
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None) -> Any:
        return _run(operation, args, kwargs or {})


def _run(operation: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    """An operation on the numbers inside.

    Raises:
        RuntimeError: it takes tensors from the CPU, too, other than numbers without dimensions.
    """
    name = operation.__name__.split(".")[0]
    tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)]
    here = [isinstance(each, Tensor) for each in tensors]
    strangers = [each for each, is_here in zip(tensors, here, strict=True) if not is_here and each.dim()]
    if strangers and name not in BETWEEN and not (name in INDEXED and here[0]):
        raise RuntimeError(f"{operation}: tensors of {DEVICE} and of the CPU")
    target = kwargs.get("device")
    stays = here[0] if target is None else torch.device(target).type == DEVICE.type
    if target is not None:
        kwargs = kwargs | {"device": torch.device("cpu")}
    args, kwargs = tree_map(_inside, (args, kwargs))

    def outside(value: Any) -> Any:
        return Tensor(value) if stays and isinstance(value, torch.Tensor) else value

    returned = [each.alias_info for each in operation._schema.returns]
    if any(each and each.is_write for each in returned):  # in place or into `out`: what was given comes back
        operation(*args, **kwargs)
        written = [each for each in tensors if isinstance(each, Tensor)]
        if any(each.shape != each.inside.shape for each in written):
            raise NotImplementedError(f"{operation} gave a tensor another shape")
        return tensors[0] if operation._schema.arguments[0].is_write else written[-1]
    if any(returned):  # a view is an inference tensor if its base is one, whatever the mode
        with torch.inference_mode(tensors[0].is_inference()):
            return tree_map(outside, operation(*args, **kwargs))
    return tree_map(outside, operation(*args, **kwargs))


def _inside(value: Any) -> Any:
    return value.inside if isinstance(value, Tensor) else value


def _empty(size, *, dtype=None, layout=None, device=None, pin_memory=None, memory_format=None) -> Tensor:
    return Tensor(torch.empty(size, dtype=dtype, memory_format=memory_format or torch.contiguous_format))


def _empty_strided(size, stride, *, dtype=None, layout=None, device=None, pin_memory=None) -> Tensor:
    return Tensor(torch.empty_strided(size, stride, dtype=dtype))


def _arange(*bounds, dtype=None, layout=None, device=None, pin_memory=None) -> Tensor:
    return Tensor(torch.arange(*bounds, dtype=dtype))


def _copy_from(source, target, non_blocking=False) -> torch.Tensor:
    _inside(target).copy_(_inside(source))
    return target


# Tensors are made by these; other operations find one among their arguments.
_library = torch.library.Library("aten", "IMPL", "PrivateUse1")
_library.impl("empty.memory_format", _empty)
_library.impl("empty_strided", _empty_strided)
_library.impl("_copy_from", _copy_from)
for _overload in ("arange", "arange.start", "arange.start_step"):
    _library.impl(_overload, _arange)
