"""Decoder blocks against hooks on diffusers' own forward pass, geometry against real maps, and every refusal."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel

from pixelherd.errors import UserError
from pixelherd.features import perturbations as noise
from pixelherd.features.backbones import manifest
from pixelherd.features.backbones.diffusion.pipeline import read_folder
from pixelherd.features.interpolation import NativeMaps, vectors
from pixelherd.storage.records import write_record
from unit.networks import NETWORKS, build, save
from unit.places import SHARED

CAMVID_DDPM = SHARED / "backbones" / "camvid-ddpm"
SIZE = (16, 24)


@pytest.fixture(params=NETWORKS)
def folder(request, tmp_path):
    return save(tmp_path, build(**NETWORKS[request.param]))


@pytest.fixture
def plain(tmp_path):
    return save(tmp_path, build(**NETWORKS["plain"]))


def pictures(count: int, size=SIZE) -> torch.Tensor:
    return torch.rand((count, 3, *size), generator=torch.Generator().manual_seed(5)) * 2 - 1


def decoder_of(network: UNet2DModel) -> list[torch.nn.Module]:
    """The module whose output ends each decoder block."""
    ends = []
    for level in network.up_blocks:
        ends += getattr(level, "attentions", None) or level.resnets
        if level.upsamplers:
            ends[-1] = level.upsamplers[-1]
    return ends


def hooked(network: UNet2DModel, samples: torch.Tensor, timestep: int) -> list[torch.Tensor]:
    """Outputs of all decoder blocks of a plain forward pass."""
    outputs = {}
    handles = [
        module.register_forward_hook(lambda _, __, output, number=number: outputs.update({number: output}))
        for number, module in enumerate(decoder_of(network))
    ]
    with torch.no_grad():
        network(samples, timestep)
    for handle in handles:
        handle.remove()
    return [outputs[number] for number in range(len(handles))]


def check_against_hooks(folder: Path, size: tuple[int, int], tolerance: float) -> None:
    timesteps = [0, 150, 999]
    backbone = manifest.load(folder)
    blocks = list(range(backbone.blocks))
    images, eps = pictures(2, size), noise.draw(0, 0, (3, *size))
    maps = backbone.maps(images, eps, timesteps=timesteps, blocks=blocks)
    network = UNet2DModel.from_pretrained(folder / "unet", low_cpu_mem_usage=False, torch_dtype=torch.float32).eval()
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    for position, timestep in enumerate(timesteps):
        abar = (1 - betas[: timestep + 1]).prod()
        diffused = (abar.sqrt() * images.double() + (1 - abar).sqrt() * eps.double()).float()
        expected = hooked(network, diffused, timestep)
        assert len(expected) == backbone.blocks
        for block in blocks:
            torch.testing.assert_close(maps[block][:, position], expected[block], rtol=tolerance, atol=tolerance)


def test_maps_are_the_outputs_of_decoder_blocks(folder):
    check_against_hooks(folder, SIZE, 1e-5)


@pytest.mark.skipif(not CAMVID_DDPM.is_dir(), reason="needs ../shared/backbones/camvid-ddpm (PIXELHERD_SHARED)")
def test_maps_of_the_camvid_network():
    check_against_hooks(CAMVID_DDPM, (32, 48), 1e-4)
    shapes = read_folder(CAMVID_DDPM).describe().shapes((128, 128), [1, 3, 5, 7])
    assert shapes == {1: (256, 32, 32), 3: (128, 64, 64), 5: (64, 128, 128), 7: (32, 128, 128)}


def test_geometry_is_that_of_the_maps(folder):
    backbone = manifest.load(folder)
    blocks = list(range(backbone.blocks))
    maps = backbone.maps(pictures(1), noise.draw(0, 0, (3, *SIZE)), timesteps=[50], blocks=blocks)
    shapes = read_folder(folder).describe().shapes(SIZE, blocks)
    assert {block: tuple(found.shape[2:]) for block, found in maps.items()} == shapes
    assert backbone.description.shapes(SIZE, blocks) == shapes and not backbone.description.covered(SIZE, blocks)


def test_an_image_does_not_depend_on_its_neighbours(folder):
    backbone = manifest.load(folder)
    images, eps = pictures(3), noise.draw(0, 1, (3, *SIZE))
    asked = dict(timesteps=[50, 150, 250], blocks=[0, backbone.blocks - 1])
    together = backbone.maps(images, eps, **asked)
    for number in range(3):
        alone = backbone.maps(images[number : number + 1], eps, **asked)
        for block in asked["blocks"]:
            assert torch.equal(alone[block][0], together[block][number])


def test_batch_limit_changes_rounding_only(plain):
    images, eps = pictures(2), noise.draw(0, 0, (3, *SIZE))
    asked = dict(timesteps=[50, 150, 250], blocks=[1])
    expected = manifest.load(plain).maps(images, eps, **asked)[1]
    sizes = []
    backbone = manifest.load(plain, batch=2)
    backbone.network.conv_in.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    torch.testing.assert_close(backbone.maps(images, eps, **asked)[1], expected, rtol=1e-5, atol=1e-5)
    assert sizes == [2, 1, 2, 1]


def test_noise_of_each_image(plain):
    backbone = manifest.load(plain)
    images = pictures(2)
    draws = torch.stack([noise.draw(0, number, (3, *SIZE)) for number in (1, 2)])
    each = backbone.maps(images, draws, timesteps=[50], blocks=[0])[0]
    for number in range(2):
        alone = backbone.maps(images[number : number + 1], draws[number], timesteps=[50], blocks=[0])[0]
        assert torch.equal(each[number], alone[0])


def test_images_that_cannot_be_halved_are_padded_and_their_maps_cut(folder):
    """Maps and vectors are those of the image whose last rows and columns repeat."""
    backbone, size = manifest.load(folder), (13, 21)
    images, blocks = pictures(1, size), list(range(backbone.blocks))
    padded = backbone.description.padded(size)
    eps = noise.draw(0, 0, backbone.description.noise_shape(size))
    maps = backbone.maps(images, eps, timesteps=[50], blocks=blocks)
    rows, columns = (torch.arange(length).clamp(max=last - 1) for length, last in zip(padded, size, strict=True))
    whole = backbone.maps(images[..., rows, :][..., columns], eps, timesteps=[50], blocks=blocks)
    covered = backbone.description.covered(size, blocks)
    cut = NativeMaps({block: values[0] for block, values in maps.items()}, covered)
    rows, columns = (each.flatten() for each in torch.meshgrid(*map(torch.arange, size), indexing="ij"))
    expected = vectors({block: values[0] for block, values in whole.items()}, rows, columns, padded)
    torch.testing.assert_close(vectors(cut, rows, columns, size), expected, rtol=1e-5, atol=1e-6)


def test_nothing_runs_behind_the_last_block(folder):
    backbone = manifest.load(folder)
    ends = decoder_of(backbone.network)
    ran = []
    for number, module in enumerate(ends):
        module.register_forward_hook(lambda *_, number=number: ran.append(number))
    backbone.network.conv_out.register_forward_hook(lambda *_: ran.append("out"))
    for last in range(len(ends)):
        ran.clear()
        maps = backbone.maps(pictures(1), noise.draw(0, 0, (3, *SIZE)), timesteps=[50], blocks=[last])
        assert list(maps) == [last]
        assert ran == list(range(last + 1))


def test_forwards_count_samples(plain):
    backbone = manifest.load(plain)
    backbone.maps(pictures(3), noise.draw(0, 0, (3, *SIZE)), timesteps=[50, 150], blocks=[0, 1])
    assert backbone.forwards == 6
    backbone.maps(pictures(1), noise.draw(0, 1, (3, *SIZE)), timesteps=[50], blocks=[0])
    assert backbone.forwards == 7


def test_network_is_frozen_and_float32(tmp_path):
    backbone = manifest.load(save(tmp_path, build(**NETWORKS["plain"]).half()))
    assert not backbone.network.training
    assert all(p.dtype == torch.float32 and not p.requires_grad for p in backbone.network.parameters())
    maps = backbone.maps(pictures(1), noise.draw(0, 0, (3, *SIZE)), timesteps=[50], blocks=[0])
    assert maps[0].dtype == torch.float32
    scale = torch.ones((), requires_grad=True)
    (maps[0] * scale).sum().backward()  # maps may take part in training


def test_any_scheduler_with_betas(tmp_path):
    for scheduler in (DDIMScheduler(beta_schedule="squaredcos_cap_v2"), DDPMScheduler(trained_betas=[0.1, 0.2, 0.3])):
        backbone = manifest.load(save(tmp_path, build(**NETWORKS["plain"]), scheduler))
        assert torch.equal(backbone.alphas_cumprod, scheduler.alphas_cumprod)
    with pytest.raises(UserError, match="no timestep 50; choose from 0 to 2"):
        backbone.maps(pictures(1), noise.draw(0, 0, (3, *SIZE)), timesteps=[50], blocks=[0])


def test_draws_are_keyed():
    base = noise.draw(0, 0, (3, 8, 12))
    assert base.shape == (3, 8, 12) and base.dtype == torch.float32
    assert torch.equal(base, noise.draw(0, 0, (3, 8, 12)))
    assert not torch.equal(base, noise.draw(0, 1, (3, 8, 12)))
    assert not torch.equal(base, noise.draw(1, 0, (3, 8, 12)))
    large = noise.draw(0, 1, (3, 200, 200))
    assert abs(large.mean()) < 0.01 and abs(large.std() - 1) < 0.01


def test_geometry_needs_neither_torch_nor_diffusers(plain):
    code = (
        "import sys; from pixelherd.features.backbones.diffusion.pipeline import read_folder\n"
        "import pixelherd.features.backbones.settings\n"
        f"read_folder({str(plain)!r}).describe().shapes((16, 16), [0])\n"
        "assert not {'torch', 'diffusers'} & set(sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(timesteps=[50, 1000]), "no timestep 1000; choose from 0 to 999"),
        (dict(timesteps=[-1]), "no timestep -1"),
        (dict(timesteps=[]), "none was asked for"),
        (dict(blocks=[0, 4]), "no block 4; choose from 0 to 3"),
        (dict(blocks=[-1]), "no block -1"),
        (dict(blocks=[]), "none was asked for"),
    ],
)
@pytest.mark.hostile("checkpoints and backbones")
def test_requests_that_the_network_cannot_meet(plain, change, message):
    asked = dict(timesteps=[50], blocks=[0], size=SIZE) | change
    size = asked.pop("size")
    with pytest.raises(UserError, match=message):
        manifest.load(plain).maps(pictures(1, size), noise.draw(0, 0, (3, *size)), **asked)


def test_maps_that_are_not_finite(plain):
    images = pictures(2)
    images[1, 0, 0, 0] = float("nan")
    with pytest.raises(UserError, match="not finite in block 1 at timestep 150"):
        manifest.load(plain).maps(images, noise.draw(0, 0, (3, *SIZE)), timesteps=[150], blocks=[1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            dict(_class_name="UNet2DConditionModel"),
            "has unet UNet2DConditionModel, scheduler; pixelherd knows UNet2DModel and a scheduler",
        ),
        (dict(class_embed_type="timestep"), "conditioned by class_embed_type"),
        (dict(num_class_embeds=10), "another architecture"),
        (dict(in_channels=4), "4 input channels"),
        (dict(time_embedding_type="fourier"), "noise levels"),
        (dict(up_block_types=["SkipUpBlock2D", "UpBlock2D"]), "up_block_types SkipUpBlock2D"),
        (dict(down_block_types=["KDownBlock2D", "DownBlock2D"]), "down_block_types KDownBlock2D"),
        (dict(block_out_channels=[8, 24]), "another architecture"),
        (dict(layers_per_block=2), "another architecture"),
    ],
)
def test_networks_of_another_kind(plain, changes, message):
    file = plain / "unet" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    with pytest.raises(UserError, match=message) as error:
        manifest.load(plain)
    assert "\n" not in str(error.value)


def test_folders_that_are_incomplete(plain, tmp_path):
    with pytest.raises(UserError, match="no backbone folder"):
        manifest.load(tmp_path / "absent")
    weights = plain / "unet" / "diffusion_pytorch_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cannot load the weights"):
        manifest.load(plain)
    weights.unlink()
    with pytest.raises(UserError, match="cannot load the weights"):
        manifest.load(plain)
    weights.write_bytes(whole)
    scheduler = plain / "scheduler" / "scheduler_config.json"
    scheduler.write_text(json.dumps({"_class_name": "EDMEulerScheduler", "num_train_timesteps": 1000}))
    with pytest.raises(UserError, match="defines no betas"):
        manifest.load(plain)
    scheduler.write_text("{}")
    with pytest.raises(UserError, match="defines no betas"):
        read_folder(plain)
    scheduler.write_text("{")
    with pytest.raises(UserError, match="not valid JSON"):
        manifest.load(plain)
    scheduler.unlink()
    with pytest.raises(UserError, match="has no scheduler/scheduler_config"):
        manifest.load(plain)
    (plain / "unet" / "config.json").unlink()
    with pytest.raises(UserError, match="has no unet/config"):
        read_folder(plain)


PARTS = {"unet": ["diffusers", "UNet2DModel"], "scheduler": ["diffusers", "DDIMScheduler"]}


@pytest.mark.parametrize("where", ["index", "folder", "both"])
@pytest.mark.parametrize(
    ("part", "kind"),
    [("vqvae", "AutoencoderTiny"), ("vae", "AsymmetricAutoencoderKL"), ("text_encoder", "CLIPText"), ("mel", "Mel")],
)
@pytest.mark.hostile("checkpoints and backbones")
def test_pipelines_of_other_parts_are_refused(plain, part, kind, where):
    if where != "folder":
        (plain / "model_index.json").write_text(json.dumps(PARTS | {part: ["diffusers", kind], "_class_name": "X"}))
    if where != "index":
        (plain / part).mkdir()
        (plain / part / "config.json").write_text(json.dumps({"_class_name": kind}))
    for read in (lambda: read_folder(plain), lambda: manifest.load(plain), lambda: manifest.manifest(plain)):
        with pytest.raises(UserError, match=rf"backbone .* has unet UNet2DModel, .*{part} {kind}; pixelherd knows"):
            read()


@pytest.mark.parametrize("index", ["{", "[]", "3", "null"])
def test_an_index_that_is_none(plain, index):
    (plain / "model_index.json").write_text(index)
    with pytest.raises(UserError, match=r"model_index.json is not .*; fetch or convert"):
        read_folder(plain)


def test_pipelines_of_a_network_and_its_scheduler_may_have_an_index(plain):
    index = PARTS | {"_class_name": "DDPMPipeline", "_diffusers_version": "0.1", "safety": [None, None], "odd": []}
    (plain / "model_index.json").write_text(json.dumps(index))
    (plain / "samples").mkdir()
    (plain / "unet_ema").mkdir()
    (plain / "unet_ema" / "config.json").write_text((plain / "unet" / "config.json").read_text())
    assert manifest.load(plain).blocks == 4


@pytest.mark.parametrize("variant", ["fp16", "non_ema"])
@pytest.mark.parametrize(("safe", "shard"), [(True, "10GB"), (True, "20KB"), (False, "10GB")])
def test_weights_that_there_are_as_a_variant_alone(plain, variant, safe, shard):
    expected = manifest.load(plain).network
    shutil.rmtree(plain / "unet")
    options = dict(variant=variant, safe_serialization=safe, max_shard_size=shard)
    build(**NETWORKS["plain"]).half().save_pretrained(plain / "unet", **options)
    found = manifest.load(plain).network
    assert found.dtype == torch.float32
    for name, tensor in found.state_dict().items():
        assert torch.equal(tensor, expected.state_dict()[name].half().float())


def test_of_several_variants_the_plain_one_is_taken_and_none_is_guessed(plain):
    network, expected = build(**NETWORKS["plain"]), manifest.load(plain).network
    for variant in ("fp16", "bf16"):
        network.half().save_pretrained(plain / "unet", variant=variant)
    assert torch.equal(manifest.load(plain).network.conv_in.weight, expected.conv_in.weight)
    (plain / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(UserError, match="has weights as bf16 and fp16; leave one of them there"):
        manifest.load(plain)


# Manifests


def test_a_manifest_tells_which_weights_a_backbone_has(plain, tmp_path):
    found = manifest.manifest(plain)
    names = ["unet/config.json", "unet/diffusion_pytorch_model.safetensors", "scheduler/scheduler_config.json"]
    assert found["path"] == str(plain) and sorted(found["files"]) == sorted(names)
    path = tmp_path / "manifest.json"
    write_record(path, found)
    opened = manifest.open_manifest(path)[0]
    asked = dict(timesteps=[50], blocks=[0])
    maps = [each.maps(pictures(1), noise.draw(0, 0, (3, *SIZE)), **asked)[0] for each in (opened, manifest.load(plain))]
    assert torch.equal(*maps)


@pytest.mark.parametrize("harm", ["other weights", "another file", "no file"])
@pytest.mark.hostile("checkpoints and backbones")
def test_a_backbone_that_changed_is_refused(plain, tmp_path, harm):
    path = tmp_path / "manifest.json"
    write_record(path, manifest.manifest(plain))
    weights = plain / "unet" / "diffusion_pytorch_model.safetensors"
    if harm == "other weights":
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content)
    elif harm == "another file":
        (plain / "unet" / "more.bin").write_bytes(b"")
    else:
        weights.unlink()
    with pytest.raises(UserError, match=r"changed since features were made; delete .*manifest.json and run again"):
        manifest.open_manifest(path)[0]
    with pytest.raises(UserError, match="there is no backbone folder"):
        manifest.manifest(tmp_path / "absent")
