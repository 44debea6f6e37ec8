"""Products of float32 matrices, on the CPU by oneDNN.

For these torch calls MKL, which keeps to 256-bit instructions on processors that are not Intel's. oneDNN, which torch
brings along for convolutions, has no such preference: ``benchmarks/matmul.py`` compares the two.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def widest(device: torch.device) -> torch.dtype:
    """The widest float type that a device computes with: Apple's GPUs have no float64."""
    return torch.float32 if device.type == "mps" else torch.float64


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """``a [m, k] @ b [k, n]``, not differentiable; on other devices and for other types what torch makes of it."""
    return _product(a, b.T) if _suits(a, b) else a @ b


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x [m, k] @ weight [n, k].T + bias [n]``, differentiable in all three."""
    if not _suits(x, weight):
        return F.linear(x, weight, bias)
    return _Linear.apply(x, weight, bias) if torch.is_grad_enabled() else _product(x, weight, bias)


class Linear(nn.Linear):
    """``nn.Linear`` by :func:`linear`; the same parameters under the same names, not initialised."""

    def reset_parameters(self) -> None:
        """Nothing: the caller has a generator, and torch's way to leave this out imports half a second of sympy."""

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[m, out_features]`` of ``x [m, in_features]``."""
        return linear(x, self.weight, self.bias)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        return (
            _product(gradient, weight.T) if needs_x else None,
            _product(gradient.T, x.T) if needs_weight else None,
            gradient.sum(dim=0) if needs_bias else None,
        )


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    # The operator behind torch.compile's linear layers: the only way to oneDNN that takes plain tensors as they lie.
    return torch.ops.mkldnn._linear_pointwise(_dense(x), _dense(weight), bias, "none", [], "")


def _dense(matrix: Tensor) -> Tensor:
    """The matrix by rows or by columns without gaps: for others oneDNN has but its hundredfold slower reference."""
    return matrix if matrix.is_contiguous() or matrix.T.is_contiguous() else matrix.contiguous()


def _suits(x: Tensor, y: Tensor) -> bool:
    return (
        x.device.type == y.device.type == "cpu"
        and x.dtype == y.dtype == torch.float32
        and x.numel() > 0 < y.numel()
        and torch.backends.mkldnn.is_available()
    )
