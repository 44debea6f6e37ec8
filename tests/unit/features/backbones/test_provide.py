"""Checkpoints, the hub's cache, and studies whose backbones come from there."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pixelherd.errors import UserError
from pixelherd.features.backbones import manifest
from pixelherd.features.backbones.diffusion.architecture import Architecture
from pixelherd.features.backbones.provide import provide
from pixelherd.features.backbones.sources.kinds import Checkpoint, Folder
from pixelherd.storage.records import write_record
from pixelherd.study import plan, stages
from pixelherd.study.study import Study
from unit.features.backbones.diffusion.test_convert import SMALL, half
from unit.networks import NETWORKS, build, save, save_latent_model, save_text_model
from unit.reference_adm import reference
from unit.storage.serving import serving

# Checkpoints


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "small.pt"
    torch.save(half(reference(Architecture.read(SMALL)).state_dict()), path)
    return path


def source(path: Path, **more) -> Checkpoint:
    return Checkpoint(checkpoint=str(path), architecture=SMALL, **more)


def test_a_checkpoint_becomes_a_backbone(checkpoint, tmp_path):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "rest of a killed job").touch()
    content = checkpoint.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    with serving(content) as server:
        path = tmp_path / "data" / "small.pt"
        asked = source(path, url=server.url, bytes=len(content), sha256=digest)
        made = provide(asked, tmp_path / "made")
    assert path.read_bytes() == content
    options = Architecture.read(SMALL).model_dump(mode="json")
    assert made["source"] == {"checkpoint": str(path), "sha256": digest, "architecture": options}
    assert sorted(os.listdir(tmp_path / "made")) == ["scheduler", "unet"]
    write_record(tmp_path / "made.json", made)
    backbone = manifest.open_manifest(tmp_path / "made.json")[0]
    assert backbone.description.shapes((16, 16), [0, 3]) == {0: (64, 8, 8), 3: (32, 16, 16)}
    again = provide(source(path), tmp_path / "again")
    assert again["files"] == made["files"], "the same bytes every time"
    shutil.rmtree(tmp_path / "made")
    with pytest.raises(UserError, match=r"made was deleted; delete .*made.json too and run again"):
        manifest.open_manifest(tmp_path / "made.json")[0]


@pytest.mark.hostile("checkpoints and backbones")
def test_checkpoints_that_are_not_what_they_should_be(checkpoint, tmp_path):
    size = checkpoint.stat().st_size
    for asked, message in [
        (source(tmp_path / "absent.pt"), r"there is no checkpoint .*absent.pt; put the file there, or give a `url`"),
        (
            Checkpoint(checkpoint="a/lsun.pt", architecture="lsun_bedroom"),
            r"there is no checkpoint a/lsun.pt; download https://openaipublic.*/jul-2021/lsun_bedroom.pt and put it",
        ),
        (source(checkpoint.parent), r"checkpoint .* is a folder; name a file"),
        (source(checkpoint, bytes=7), rf"small.pt has {size} bytes rather than 7; delete it and fetch it again, or"),
        (source(checkpoint, sha256="0" * 64), r"small.pt has SHA-256 [0-9a-f]{64} rather than 0{64}; delete it and"),
        (
            Checkpoint(checkpoint=str(checkpoint), architecture="imagenet_256"),
            r"small.pt does not fit the architecture: .*num_channels: 32, channel_mult: \[1, 2\]",
        ),
    ]:
        with pytest.raises(UserError, match=message) as error:
            provide(asked, tmp_path / "made")
        assert "\n" not in str(error.value)
        assert not (tmp_path / "made").exists()


# Models of the hub


def snapshot_of(home: Path, name: str) -> Path:
    """The folder in which the hub's client keeps a model's only commit."""
    folder, commit = home / "hub" / f"models--{name.replace('/', '--')}", hashlib.sha1(name.encode()).hexdigest()
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(commit)
    return folder / "snapshots" / commit


def cached_model(home: Path, name: str, network, *, beside: bool = False, **parts) -> str:
    """A model as the hub's client keeps it; older ones have the files of network and scheduler beside the index."""
    snapshot = snapshot_of(home, name)
    save(snapshot, network)
    if beside:
        for part in ("unet", "scheduler"):
            for file in (snapshot / part).iterdir():
                file.rename(snapshot / file.name)
            (snapshot / part).rmdir()
    index = {"unet": ["diffusers", "UNet2DModel"], "scheduler": ["diffusers", "DDPMScheduler"], **parts}
    index |= {"_class_name": "DDPMPipeline", "_diffusers_version": "0.1.0"}
    (snapshot / "model_index.json").write_text(json.dumps(index))
    return snapshot.name


FETCH = """
import json, sys
from pixelherd.features.backbones.sources.kinds import HubModel
from pixelherd.features.backbones.provide import provide
from pixelherd.errors import UserError
found = {}
for name in sys.argv[2:]:
    try:
        levels = HubModel(diffusers=name).describe(name).levels
        found[name] = [levels[0].channels, provide(HubModel(diffusers=name), f"{sys.argv[1]}/{name}")]
    except UserError as error:
        found[name] = str(error)
print(json.dumps(found))
"""


def fetched(home: Path, made: Path, *names: str, **environment: str) -> dict:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "HF_HOME": str(home), **environment}
    done = subprocess.run(
        [sys.executable, "-c", FETCH, str(made), *names], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_models_of_the_hubs_cache(tmp_path):
    home, made = tmp_path / "home", tmp_path / "made"
    plain = build(**NETWORKS["plain"])
    commits = {
        "us/folders": cached_model(home, "us/folders", plain),
        "us/beside": cached_model(home, "us/beside", plain, beside=True),
        "us/broken": cached_model(home, "us/broken", plain),
        "us/vae": cached_model(home, "us/vae", plain, vae=["diffusers", "AutoencoderTiny"]),
        "us/textless": cached_model(home, "us/textless", plain, unet=["diffusers", "UNet2DConditionModel"]),
    }
    weights = next((home / "hub" / "models--us--broken").rglob("*.safetensors"))
    tensors = load_file(weights)
    del tensors["conv_in.bias"]
    save_file(tensors, weights)
    names = [*commits, "us/absent"]
    found = fetched(home, made, *names, HF_HUB_OFFLINE="1")
    for name in ("us/folders", "us/beside"):
        channels, recorded = found[name]
        assert channels == 16
        assert recorded["source"] == {"diffusers": name, "commit": commits[name]}
        loaded = manifest.load(made / name).network
        assert all(torch.equal(*pair) for pair in zip(loaded.parameters(), plain.parameters(), strict=True))
    assert "of another architecture than its config.json: 1 tensors" in found["us/broken"]
    assert "us/vae has unet UNet2DModel, scheduler DDPMScheduler, vae AutoencoderTiny; pixelherd" in found["us/vae"]
    assert "us/textless has unet UNet2DConditionModel" in found["us/textless"]
    assert "cannot get model us/absent from the Hugging Face hub or its local cache: " in found["us/absent"]
    assert not any("\n" in each for each in found.values() if isinstance(each, str))


def test_models_of_latents_and_of_prompts(tmp_path):
    home, made = tmp_path / "home", tmp_path / "made"
    snapshots = {name: snapshot_of(home, name) for name in ("us/latent", "us/text")}
    save_latent_model(snapshots["us/latent"])
    save_text_model(snapshots["us/text"])
    found = fetched(home, made, "us/latent", "us/text", HF_HUB_OFFLINE="1")
    for name, channels in (("us/latent", 16), ("us/text", 32)):
        assert found[name][0] == channels
        assert found[name][1]["files"] == manifest.manifest(snapshots[name])["files"]
    assert sorted(path.name for path in (made / "us" / "text").iterdir()) == [
        *("prompt.safetensors", "scheduler", "text_encoder", "tokenizer", "unet", "vae"),
    ]


@pytest.mark.slow  # the hub's client tries again and again
def test_the_hubs_cache_serves_without_a_network(tmp_path):
    commit = cached_model(tmp_path, "us/folders", build(**NETWORKS["plain"]))
    found = fetched(tmp_path, tmp_path / "made", "us/folders", "us/absent", HF_ENDPOINT="http://127.0.0.1:9")
    assert found["us/folders"][1]["source"]["commit"] == commit
    assert "check id, revision and network" in found["us/absent"]


# Studies


@pytest.fixture
def content(settings):
    return json.loads(json.dumps(settings))


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ({"checkpoint": "a.pt"}, "study: features.ddpm.backbone.architecture: this key is required"),
        ({"chekpoint": "a.pt"}, "unknown key `features.ddpm.backbone.chekpoint` (did you mean 'checkpoint'?)"),
        ({"checkpoint": "a.pt", "architecture": "imagenet"}, "Input should be 'imagenet_256'"),
        (
            {"checkpoint": "a.pt", "architecture": {"num_chanels": 64}},
            "unknown key `features.ddpm.backbone.architecture.num_chanels` (did you mean 'num_channels'?)",
        ),
        (
            {"checkpoint": "a.pt", "architecture": SMALL, "condition": "a street"},
            "study: features.ddpm.backbone.condition: Input should be a valid integer",
        ),
        ({"checkpoint": "a.pt", "architecture": SMALL, "url": "file:///a"}, "backbone.url: String should match"),
        ({"diffusers": ""}, "study: features.ddpm.backbone.diffusers: String should have at least 1 character"),
        (
            {"model": "x"},
            "backbone: give a diffusers folder, or a mapping with `embedded`, `encoder`, `filters`, ",
        ),
        (
            3,
            "backbone: give a diffusers folder, or a mapping with `embedded`, `encoder`, `filters`, ",
        ),
    ],
)
@pytest.mark.hostile("checkpoints and backbones")
def test_mistakes_in_a_study(content, backbone, message):
    content["features"]["ddpm"]["backbone"] = backbone
    with pytest.raises(UserError) as error:
        Study.read(content)
    assert message in str(error.value)
    if "chekpoint" not in str(backbone):
        assert str(error.value).count("study: ") == 1, "the other kinds of backbones have no say"


def identities(content, backbone) -> list[str]:
    content["features"]["ddpm"]["backbone"] = backbone
    study = Study.read(content)
    return [stages.identity(study, run) for run in study.runs()]


def test_what_runs_are_sealed_with(content):
    options = {**SMALL, "image_size": 256, "num_channels": 256, "channel_mult": [1, 1, 2, 2, 4, 4]}
    options |= {"num_res_blocks": 2, "attention_resolutions": [32, 16, 8], "num_head_channels": 64}
    named = {"checkpoint": "a.pt", "architecture": "imagenet_256"}
    expected = identities(content, named)
    same = [
        named | {"url": "https://x/y.pt", "bytes": 3, "sha256": "0" * 64},
        named | {"architecture": options},
        named | {"architecture": options | {"use_fp16": True, "dropout": 0.1, "out_channels": 6}},
        named | {"architecture": options | {"channel_mult": "", "attention_resolutions": "32,16,8"}},
    ]
    for backbone in same:
        assert identities(content, backbone) == expected
    model = {"diffusers": "google/ddpm-ema-church-256"}
    others = [
        named | {"checkpoint": "b.pt"},
        named | {"architecture": options | {"use_new_attention_order": True}},
        named | {"architecture": options | {"noise_schedule": "cosine"}},
        model,
        model | {"revision": "abc"},
    ]
    seen = [expected, *(identities(content, backbone) for backbone in others)]
    assert len({tuple(each) for each in seen}) == len(seen)


def test_a_study_with_a_checkpoint_is_planned_before_the_file_is_there(content):
    content["features"]["ddpm"] |= {"backbone": {"checkpoint": "absent.pt", "architecture": SMALL}, "blocks": [0, 3]}
    study = Study.read(content)
    images = {"demo": {"train": 4, "test": 2}}
    found = plan.by_stage(plan.items(study, images))
    assert found["backbone"].bytes == 4 * Architecture.read(SMALL).parameters
    native = 2 * 2 * (64 * 16 * 16 + 32 * 32 * 32)  # float16, two timesteps
    context = 4 * 20 * (2 * 2 * (64 + 32) + 4)
    norms = 6 * 32 * 32 * 4
    assert found["extract"].bytes == 6 * native + norms + context
    content["features"]["ddpm"]["blocks"] = [4]
    with pytest.raises(UserError, match=r"of features.ddpm has no block 4; choose from 0 to 3"):
        plan.items(Study.read(content), images)


def test_configurations_before_and_after(content, plain_folder):
    assert Folder(path=str(plain_folder)).stored().describe().levels[0].channels == 16
    assert source(Path("absent.pt")).describe("").levels[0].channels == 64


@pytest.fixture
def plain_folder(tmp_path):
    return save(tmp_path, build(**NETWORKS["plain"]))
