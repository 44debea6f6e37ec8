"""What computes on a GPU gives there what it gives on the CPU; without one both sides are the CPU.

``PIXELHERD_TEST_DEVICE`` names another device, as ``benchmarks/gpu.py`` does.
"""

import os

import numpy as np
import pytest
import torch

from pixelherd.features.backbones.provide import load_backbone
from pixelherd.heads import dense, linear
from pixelherd.heads.network import LinearHead, MlpHead
from pixelherd.heads.settings import LinearSettings
from pixelherd.heads.sources import Labelled
from pixelherd.selection.coverage.herding import max_herding
from unit.places import REPOSITORY

DEVICE = os.environ.get("PIXELHERD_TEST_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")


def drawn(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def test_a_backbone_gives_the_same_maps():
    images, noise = drawn(2, 3, 32, 32).clamp(-1, 1), drawn(3, 32, 32)
    found, wanted = (
        load_backbone(REPOSITORY / "backbones" / "demo", device=device, autocast=None).maps(
            images.to(device), noise.to(device), timesteps=(50, 150), blocks=(1, 3)
        )
        for device in (DEVICE, "cpu")
    )
    for block in wanted:
        assert found[block].device.type == torch.device(DEVICE).type
        torch.testing.assert_close(found[block].cpu(), wanted[block], rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("memory", [10**9, 3 * 400**2, 0], ids=["held", "bounds", "rows"])
@pytest.mark.parametrize("kernel", ["rbf", "laplace"])
def test_herding_covers_as_much(kernel, memory):
    vectors = torch.nn.functional.normalize(drawn(20, 16).repeat_interleave(20, dim=0) + 0.5 * drawn(400, 16), dim=1)
    weights, covered = drawn(400).abs(), vectors[:3]
    options = {"bandwidth": 1.0, "kernel": kernel, "memory": memory, "weights": weights}
    wanted = max_herding(vectors, 60, covered=covered, **options)
    found = max_herding(vectors.to(DEVICE), 60, covered=covered.to(DEVICE), **options)
    torch.testing.assert_close(found.coverage, wanted.coverage, rtol=1e-5, atol=1e-6)
    assert len(set(found.indices.tolist())) == 60


@pytest.mark.parametrize("kind", [LinearHead, MlpHead])
def test_heads_say_the_same_of_every_pixel(kind):
    maps = {1: drawn(2, 20, 8, 8).half(), 3: drawn(1, 24, 16, 16)}
    head = kind(64, 5, generator=torch.Generator().manual_seed(0)) if kind is MlpHead else kind(64, 5)
    if kind is LinearHead:  # which a fit fills; until then its weights are whatever lies in memory
        for weights in head.parameters():
            weights.data = 0.1 * drawn(*weights.shape)
    head.eval()
    wanted = dense.log_probabilities(maps, [head], (32, 32))[0]
    found = dense.log_probabilities({at: each.to(DEVICE) for at, each in maps.items()}, [head.to(DEVICE)], (32, 32))[0]
    torch.testing.assert_close(found.cpu(), wanted, rtol=1e-4, atol=1e-4)


def test_a_linear_head_is_fitted_to_the_same_probabilities():
    vectors = torch.nn.functional.normalize(drawn(60, 12), dim=1).numpy().astype(np.float16)
    labelled = Labelled(vectors, np.arange(60), np.arange(60) % 4)
    found, wanted = (linear.fit(labelled, 4, LinearSettings(l2=0.3), device) for device in (DEVICE, "cpu"))
    assert found.head.first.weight.device.type == torch.device(DEVICE).type
    torch.testing.assert_close(found.head.first.weight.cpu(), wanted.head.first.weight, rtol=1e-3, atol=1e-3)
