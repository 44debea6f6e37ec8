"""Matrix products by oneDNN, against float64 in every layout of memory that operands come in."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelherd.compute.matmul import Linear, linear, matmul

LAYOUTS = {
    "rows": lambda x: x.contiguous(),
    "columns": lambda x: x.T.contiguous().T,
    "gaps between rows": lambda x: torch.cat([x, x], dim=1)[:, : x.shape[1]],
    "gaps between columns": lambda x: torch.cat([x, x])[: len(x)].T.contiguous().T,
    "every other row": lambda x: x.repeat_interleave(2, dim=0)[::2],
    "expanded": lambda x: x[:1].expand(x.shape),
}


@pytest.mark.parametrize("left", LAYOUTS)
@pytest.mark.parametrize("right", LAYOUTS)
def test_every_layout(left, right):
    generator = torch.Generator().manual_seed(0)
    a = LAYOUTS[left](torch.randn(5, 70, generator=generator))
    b = LAYOUTS[right](torch.randn(70, 9, generator=generator))
    torch.testing.assert_close(matmul(a, b).double(), a.double() @ b.double(), rtol=0, atol=2e-5)
    torch.testing.assert_close(linear(a, b.T).double(), a.double() @ b.double(), rtol=0, atol=2e-5)


@settings(max_examples=40)
@given(rows=st.integers(0, 40), inner=st.integers(0, 300), columns=st.integers(0, 40))
def test_every_shape_as_torch(rows, inner, columns):
    generator = torch.Generator().manual_seed(rows + inner + columns)
    a = torch.randn(rows, inner, generator=generator)
    b = torch.randn(inner, columns, generator=generator)
    product = matmul(a, b)
    assert product.dtype == torch.float32 and product.shape == (rows, columns)
    torch.testing.assert_close(product, a @ b, rtol=1e-5, atol=1e-4)


def test_the_same_bits_twice_and_for_equal_rows():
    a = torch.randn(300, 1440, generator=torch.Generator().manual_seed(0))
    a[200:] = a[:100]
    b = torch.randn(1440, 128, generator=torch.Generator().manual_seed(1))
    once = matmul(a, b)
    assert torch.equal(once, matmul(a, b)) and torch.equal(once[200:], once[:100])


def test_double_precision_stays_double():
    a = torch.randn(3, 4, dtype=torch.float64)
    assert torch.equal(matmul(a, a.T), a @ a.T)
    assert linear(a, a).dtype == torch.float64


@pytest.mark.parametrize("bias", [True, False])
def test_gradients_are_those_of_torch(bias):
    generator = torch.Generator().manual_seed(0)
    x, weight, shift = (torch.randn(*shape, generator=generator) for shape in ((37, 60), (8, 60), (8,)))
    found = []
    for function in (linear, torch.nn.functional.linear):
        leaves = [each.clone().requires_grad_() for each in (x, weight, shift)]
        function(leaves[0], leaves[1], leaves[2] if bias else None).square().sum().backward()
        found.append([each.grad for each in leaves[: 2 + bias]])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-4)


def test_only_what_is_asked_for_gets_a_gradient():
    x, weight = torch.randn(4, 5), torch.randn(3, 5, requires_grad=True)
    linear(x, weight).sum().backward()
    assert x.grad is None
    torch.testing.assert_close(weight.grad, x.sum(dim=0).expand(3, 5))


def test_the_layer_has_the_parameters_of_torchs():
    ours, theirs = Linear(5, 3), torch.nn.Linear(5, 3)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(7, 5)
    torch.testing.assert_close(ours(x), theirs(x))
