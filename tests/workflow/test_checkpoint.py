"""A checkpoint of guided-diffusion through the workflow, from the file to stored maps."""

import json

import pytest
import torch

from conftest import Workspace
from pixelherd.features.backbones.diffusion.architecture import Architecture

TINY = {
    "image_size": 32,
    "num_channels": 32,
    "channel_mult": [1, 1],
    "num_res_blocks": 1,
    "attention_resolutions": [16],
    "num_head_channels": 16,
    "resblock_updown": True,
}


@pytest.mark.slow
def test_a_study_converts_its_checkpoint(settings, raw_images, tmp_path):
    (tmp_path / "data").symlink_to(raw_images)
    backbone = {"checkpoint": "adm.pt", "architecture": TINY}
    adm = {**settings["features"]["ddpm"], "backbone": backbone, "blocks": [1, 3]}
    study = Workspace(tmp_path, {**settings, "features": {"adm": adm}, "methods": {"random": None}})

    missing = study.snakemake("features", check=False)
    assert missing.returncode == 1 and "Traceback" not in missing.stderr
    assert "there is no checkpoint adm.pt; put the file there" in missing.stderr

    state_dict = {}
    for layer in Architecture.read(TINY).layers():
        state_dict[f"{layer.source}.weight"] = torch.full(layer.shape, 0.01).half()
        state_dict[f"{layer.source}.bias"] = torch.zeros(layer.shape[0]).half()
    torch.save(state_dict, tmp_path / "adm.pt")
    assert {job.split("/")[0] for job in study.ran("features", "--until", "backbone")} == {"backbone"}
    (manifest,) = (tmp_path / "cache" / "backbones").glob("adm-*.json")
    found = json.loads(manifest.read_text())
    assert found["path"] == f"cache/backbones/{manifest.stem}" and found["source"]["checkpoint"] == "adm.pt"
    (tmp_path / "adm.pt").unlink()  # it is not needed any more
    assert {job.split("/")[0] for job in study.ran("features")} == {"extract", "index_features"}


@pytest.mark.parametrize("key", ["architecture", "url"])
def test_mistakes_are_one_line(settings, raw_images, tmp_path, key):
    (tmp_path / "data").symlink_to(raw_images)
    backbone = {"checkpoint": "adm.pt", "architecture": "imagenet_256", key: "nonsense"}
    adm = {**settings["features"]["ddpm"], "backbone": backbone}
    done = Workspace(tmp_path, {**settings, "features": {"adm": adm}}).snakemake("plan", check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"study: features.adm.backbone.{key}: " in done.stderr
