"""The Python API: names, signatures and examples of ``docs/api.md``, and what importing the package costs."""

import inspect
import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pytest
import torch
from PIL import Image

import pixelherd
from pixelherd.datasets.readers.demo import CLASSES
from pixelherd.datasets.settings import DemoSettings
from pixelherd.errors import UserError
from pixelherd.features.backbones.backbone import Backbone
from pixelherd.features.backbones.diffusion.architecture import Architecture
from pixelherd.heads.network import MlpHead, save
from pixelherd.storage.files import write_json
from unit.places import REPOSITORY
from unit.reference_adm import reference

PAGE = (REPOSITORY / "docs" / "api.md").read_text(encoding="utf-8")

SIGNATURES = {
    "max_herding": "features, budget, *, bandwidth=None, kernel='rbf', covered=None, weights=None, generator=None, "
    "memory=None",
    "score": "name, log_probs, *, base=None, weight=1.0, generator=None",
    "load_backbone": "source, *, folder=None, device='cpu', batch=None, autocast='float16'",
    "convert_adm": "state_dict, architecture, *, where='the state dict'",
    "vectors": "maps, rows, columns, size, normalisation='unit'",
    "predict": "maps, heads, size, normalisation='unit', *, lengths=None",
    "confusion": "target, prediction, classes",
    "miou": "confusion",
    "Predictor.load": "run, *, round_number=None, backbone=None, device='auto'",
    "Predictor.__call__": "self, image",
}
OPTIONS = {
    "image_size": 32,
    "num_channels": 32,
    "channel_mult": "1,2",
    "num_res_blocks": 1,
    "attention_resolutions": "16",
    "num_heads": 2,
}


def written(function) -> str:
    """The signature of a function without its annotations."""
    signature = inspect.signature(function)
    bare = [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))[1:-1]


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures_stay(name):
    found = pixelherd
    for part in name.split("."):
        found = getattr(found, part)
    assert written(found) == SIGNATURES[name]


def test_what_users_rely_on_besides():
    assert written(Backbone.maps) == "self, images, perturbation, *, timesteps=(), blocks, window=None"
    assert {"indices", "coverage", "credited"} == set(pixelherd.Herding.__dataclass_fields__)


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys, pixelherd\n"
        "print(*({'torch', 'numpy', 'pydantic', 'zarr', 'diffusers'} & set(sys.modules)))\n"
        "assert set(pixelherd.__all__) <= set(dir(pixelherd))\n"
        "pixelherd.miou; print(*({'torch', 'zarr', 'diffusers'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == []


def test_names_are_listed_and_unknown_ones_refused():
    assert pixelherd.__version__
    for name in pixelherd.__all__:
        assert name in dir(pixelherd) and getattr(pixelherd, name) is getattr(pixelherd, name)
        assert name.startswith("__") or f"`{name}`" in PAGE
    with pytest.raises(AttributeError, match="module 'pixelherd' has no attribute 'max_hedring'"):
        _ = pixelherd.max_hedring
    assert not hasattr(pixelherd, "torch")


def test_no_other_normalisation_is_known_yet():
    maps = {0: torch.ones(1, 2, 4, 4)}
    one = torch.zeros(1, dtype=torch.int64)
    for call in (
        lambda: pixelherd.vectors(maps, one, one, (4, 4), "rms"),
        lambda: pixelherd.predict(maps, [MlpHead(2, 2, generator=torch.Generator()).eval()], (4, 4), "rms"),
    ):
        with pytest.raises(ValueError, match="unknown normalisation 'rms': choose one of unit"):
            call()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with what the examples find: the demo's backbone, a small checkpoint, a finished run and a photo."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "backbones").mkdir()
    (tmp_path / "backbones" / "demo").symlink_to(REPOSITORY / "backbones" / "demo")
    (tmp_path / "checkpoints").mkdir()
    torch.save(reference(Architecture.read(OPTIONS)).state_dict(), tmp_path / "checkpoints" / "small.pt")
    run = tmp_path / "results" / "runs" / "demo" / "ddpm" / "edald" / "budget-0.1" / "seed-0"
    head = MlpHead(3 * (96 + 96 + 32 + 16), len(CLASSES), generator=torch.Generator().manual_seed(0))
    save(head, run / "round-0" / "head.safetensors", {})
    features = {
        "timesteps": [50, 150, 250],
        "blocks": [1, 3, 5, 7],
        "noise_seed": 0,
        "context": 256,
        "image_size": [96, 96],
        "threads": 1,
    }
    settings = {"dataset": DemoSettings(kind="demo").preparation(), "backbone": {"path": "backbones/demo"}}
    seal = {"run": {}, "rounds": 1, "settings_sha256": "", "source_sha256": "", "files": {}}
    classes = [{"name": name, "colour": list(colour)} for name, colour in CLASSES]
    write_json(run / "run.json", {**seal, "classes": classes, "settings": {**settings, "features": features}})
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.jpg")
    return tmp_path


def test_the_examples_run_as_they_stand(folder):
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 10
    space: dict = {}
    for block in blocks:
        told = StringIO()
        with redirect_stdout(told):
            exec(compile(block, "docs/api.md", "exec"), space)
        # what a block prints stands behind the print, or in comments of their own after a loop
        expected = [line.removeprefix("# ") for line in block.splitlines() if line.startswith("# ")]
        expected_behind = re.findall(r"^print\(.*\)  # (.*)$", block, re.MULTILINE)
        assert told.getvalue().splitlines() == expected + expected_behind, block


def test_a_kept_network_is_converted_once(folder, monkeypatch):
    from pixelherd.features.backbones import provide

    settings = {"checkpoint": "checkpoints/small.pt", "architecture": OPTIONS}
    image, noise = torch.zeros(1, 3, 32, 32), torch.ones(3, 32, 32)
    passing = pixelherd.load_backbone(settings)
    assert passing.path.name == "small.pt" and sorted(os.listdir(folder / "backbones")) == ["demo"]
    kept = pixelherd.load_backbone(settings, folder="backbones/small")
    monkeypatch.setattr(provide, "provide", None)
    again = pixelherd.load_backbone(settings, folder="backbones/small")
    for other in (kept, again):
        for block, values in other.maps(image, noise, timesteps=[50], blocks=[0, 3]).items():
            assert torch.equal(values, passing.maps(image, noise, timesteps=[50], blocks=[0, 3])[block])
    record = json.loads((folder / "backbones" / "small" / "backbone.json").read_text())
    assert record["source"]["checkpoint"] == "checkpoints/small.pt"
    (folder / "other").mkdir()
    for content, place in ((settings, "other"), ({**settings, "checkpoint": "b.pt"}, "backbones/small")):
        with pytest.raises(UserError, match="holds something else than this backbone; delete it, or name another"):
            pixelherd.load_backbone(content, folder=place)
    assert list((folder / "other").iterdir()) == []
    with pytest.raises(ValueError, match="backbones/demo is there already"):
        pixelherd.load_backbone("backbones/demo", folder="backbones/small")
    for content, message in (
        ({"checkpoint": "a.pt"}, "backbone: architecture: this key is required"),
        ({"checkpoint": "a.pt", "architecture": OPTIONS, "urll": "x"}, r"unknown key `urll` \(did you mean 'url'\?\)"),
        ({"pretrain": "mine"}, "unknown key `pretrain`"),
    ):
        with pytest.raises(UserError, match=message):
            pixelherd.load_backbone(content)
