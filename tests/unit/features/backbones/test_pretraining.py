"""A tiny pretraining: it learns, it can be interrupted, it leaves a folder that loads, and it refuses bad input."""

import csv
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from pixelherd.errors import UserError
from pixelherd.features.backbones import manifest
from pixelherd.features.backbones.pretraining import learning_rate_at, pretrain, size_at
from pixelherd.features.backbones.settings import PretrainingSettings

TINY = dict(
    dataset="stripes",
    size=(16, 16),
    channels=[8, 16],
    attention=[1],
    head_dim=8,
    groups=4,
    steps=8,
    stages=[dict(size=(8, 8), steps=5)],
    batch=4,
    learning_rate=2e-3,
    warmup_steps=2,
    ema_decay=0.5,
    crop=0.7,
    checkpoint_every=3,
)


def settings(**changes) -> PretrainingSettings:
    return PretrainingSettings(**TINY | changes)


def stripes(count: int = 6) -> np.ndarray:
    """Images [count, 16, 20, 3] of vertical stripes."""
    rng = np.random.default_rng(0)
    columns = (np.arange(20) // 4 % 2)[None, None, :, None] * rng.integers(100, 200, (count, 1, 1, 3))
    return np.broadcast_to(columns + 20, (count, 16, 20, 3)).astype(np.uint8)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")


class Interrupting:
    """Images that stop being readable after some time, as when a job is killed."""

    def __init__(self, images: np.ndarray, reads: int):
        self.images, self.reads, self.shape = images, reads, images.shape

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> np.ndarray:
        self.reads -= 1
        if self.reads < 0:
            raise KeyboardInterrupt
        return self.images[number]


def test_folder_loads_as_a_backbone(tmp_path):
    pretrain(stripes(), settings(), tmp_path / "out", progress=False)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "unet",
        "scheduler",
        "loss.csv",
        "loss.png",
        "recipe.json",
    }
    assert all(weight.dtype == torch.float16 for weight in weights(tmp_path / "out").values())
    backbone = manifest.load(tmp_path / "out")
    maps = backbone.maps(torch.zeros(1, 3, 16, 16), torch.zeros(3, 16, 16), timesteps=[50], blocks=[1, 3])
    assert {block: tuple(found.shape) for block, found in maps.items()} == {1: (1, 1, 16, 16, 16), 3: (1, 1, 8, 16, 16)}
    assert len(backbone.alphas_cumprod) == 1000
    recipe = json.loads((tmp_path / "out" / "recipe.json").read_text())
    assert PretrainingSettings(**recipe["settings"]) == settings()
    rows = list(csv.DictReader((tmp_path / "out" / "loss.csv").open()))
    assert [int(row["step"]) for row in rows] == [8]


@pytest.mark.parametrize("killed_at", [1, 4, 7])
def test_resumed_training_gives_the_same_weights(tmp_path, killed_at):
    images = stripes()
    pretrain(images, settings(), tmp_path / "whole", progress=False)
    reads = len(images) + killed_at * TINY["batch"]  # the digest reads every image once
    with pytest.raises(KeyboardInterrupt):
        pretrain(Interrupting(images, reads), settings(), tmp_path / "parts", progress=False)
    assert not (tmp_path / "parts" / "recipe.json").exists()
    assert (tmp_path / "parts" / "checkpoint.pt").exists() == (killed_at >= TINY["checkpoint_every"])
    pretrain(images, settings(), tmp_path / "parts", progress=False)
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    for name in ("loss.csv", "recipe.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()


def test_seed_decides_and_global_state_does_not(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.manual_seed(ord(name))
        before = torch.get_rng_state()
        pretrain(stripes(), settings(seed=seed, steps=5), tmp_path / name, progress=False)
        assert torch.equal(before, torch.get_rng_state())
    a, b, c = (weights(tmp_path / name) for name in "abc")
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert any(not torch.equal(a[key], c[key]) for key in a)


def test_loss_falls(tmp_path):
    pretrain(stripes(), settings(steps=200, stages=[], crop=1.0), tmp_path, progress=False)
    losses = [float(row["loss"]) for row in csv.DictReader((tmp_path / "loss.csv").open())]
    assert len(losses) == 2
    assert losses[1] < 0.7 * losses[0]


def test_checkpoint_of_another_training(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        pretrain(Interrupting(stripes(), 6 + 16), settings(), tmp_path, checkpoint=tmp_path / "state", progress=False)
    with pytest.raises(UserError, match="other settings or images"):
        pretrain(stripes(), settings(seed=9), tmp_path, checkpoint=tmp_path / "state", progress=False)
    with pytest.raises(UserError, match="other settings or images"):
        pretrain(stripes(5), settings(), tmp_path, checkpoint=tmp_path / "state", progress=False)
    (tmp_path / "state").write_bytes(b"nonsense")
    with pytest.raises(UserError, match="cannot read checkpoint"):
        pretrain(stripes(), settings(), tmp_path, checkpoint=tmp_path / "state", progress=False)


@pytest.mark.hostile("checkpoints and backbones")
def test_bad_input(tmp_path):
    with pytest.raises(UserError, match="no training images"):
        pretrain(stripes()[:0], settings(), tmp_path, progress=False)
    with pytest.raises(UserError, match="lower learning_rate"):
        pretrain(stripes(), settings(learning_rate=1e30, warmup_steps=0), tmp_path, progress=False)


def test_schedules():
    chosen = settings(stages=[dict(size=(8, 8), steps=2), dict(size=(12, 12), steps=3)])
    assert [size_at(chosen, step) for step in range(8)] == [(8, 8)] * 2 + [(12, 12)] * 3 + [(16, 16)] * 3
    rates = [learning_rate_at(chosen, step) for step in range(8)]
    assert rates[:3] == pytest.approx([1e-3, 2e-3, 2e-3])
    assert rates[5] == pytest.approx(1e-3)
    assert all(first > second > 0 for first, second in pairwise(rates[2:]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(size=(16, 15)), "multiples of 2"),
        (dict(stages=[dict(size=(9, 8), steps=1)]), "multiples of 2"),
        (dict(stages=[dict(size=(8, 8), steps=9)]), "more steps"),
        (dict(channels=[6, 16]), "multiples of groups"),
        (dict(attention=[2]), "levels count from 0 to 1"),
        (dict(head_dim=12), "head_dim 12"),
        (dict(epochs=3), "epochs"),
    ],
)
@pytest.mark.hostile("checkpoints and backbones")
def test_settings_that_do_not_fit(changes, message):
    with pytest.raises(ValidationError, match=message):
        settings(**changes)
