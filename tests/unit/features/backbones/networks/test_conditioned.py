"""Diffusion models of latents, of classes and of prompts, against the library's own forward passes."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

import pixelherd
from pixelherd.errors import UserError
from pixelherd.features.backbones import manifest
from pixelherd.features.backbones.diffusion.pipeline import read_folder
from pixelherd.features.backbones.networks import prompts
from pixelherd.features.backbones.provide import provide
from pixelherd.features.backbones.sources.folder import PROMPT, DiffusersFolder
from pixelherd.features.backbones.sources.kinds import Folder, HubModel
from pixelherd.storage.records import write_record
from unit.networks import NETWORKS, build, save, save_latent_model, save_text_model

SIZE = (24, 40)

DECODERS = {
    "text": [
        "up_blocks.0.resnets.0",
        "up_blocks.0.upsamplers.0",
        "up_blocks.1.attentions.0",
        "up_blocks.1.attentions.1",
    ],
    "plain": ["up_blocks.0.resnets.0", "up_blocks.0.upsamplers.0", "up_blocks.1.resnets.0", "up_blocks.1.resnets.1"],
}
"""The modules that end the decoder's blocks, by name."""


def pictures(count: int = 2, size=SIZE) -> torch.Tensor:
    return torch.rand((count, 3, *size), generator=torch.Generator().manual_seed(5)) * 2 - 1


def hooked(network, names, *given, **options) -> list[torch.Tensor]:
    """Outputs of modules in a call of a network."""
    found = {}

    def keep(name):
        def hook(_, __, output):
            found[name] = output if isinstance(output, torch.Tensor) else output[0]

        return hook

    handles = [network.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    with torch.no_grad():
        network(*given, **options)
    for handle in handles:
        handle.remove()
    return [found[name] for name in names]


def check(backbone, network, names, latents, scheduler, noise, **options) -> None:
    """Compare maps with what the library's scheduler and network make of latents."""
    timesteps = [0, 150, 999]
    maps = backbone.maps(pictures(), noise, timesteps=timesteps, blocks=range(len(names)))
    assert backbone.forwards == len(timesteps) * len(pictures())
    for position, timestep in enumerate(timesteps):
        noisy = scheduler.add_noise(latents, noise.expand_as(latents), torch.tensor([timestep]))
        for block, expected in enumerate(hooked(network, names, noisy, torch.tensor(timestep), **options)):
            torch.testing.assert_close(maps[block][:, position], expected, rtol=1e-5, atol=1e-5)
            level = backbone.description.levels[block]
            assert expected.shape[1:] == (level.channels, *(side // level.stride for side in SIZE))


@pytest.mark.parametrize("prompt", [None, "a street of houses"])
def test_stable_diffusion_is_that_of_the_whole_pipeline(tmp_path, prompt):
    pipeline = save_text_model(tmp_path / "sd")
    backbone = manifest.load(DiffusersFolder(tmp_path / "sd", prompt))
    assert backbone.description.multiple == 4 and backbone.description.noise_shape(SIZE) == (4, 12, 20)
    with torch.no_grad():
        latents = pipeline.vae.encode(pictures()).latent_dist.mode() * pipeline.vae.config.scaling_factor
        text = pipeline.encode_prompt(prompt or "", "cpu", 1, False)[0].expand(2, -1, -1)
    noise = torch.randn((4, 12, 20), generator=torch.Generator().manual_seed(1))
    check(backbone, pipeline.unet, DECODERS["text"], latents, pipeline.scheduler, noise, encoder_hidden_states=text)


def test_a_prompt_changes_the_maps(tmp_path):
    save_text_model(tmp_path / "sd")
    maps = [
        manifest.load(DiffusersFolder(tmp_path / "sd", prompt)).maps(
            pictures(), torch.zeros(4, 12, 20), timesteps=[0], blocks=[3]
        )[3]
        for prompt in (None, "", "houses", "house " * 40)
    ]
    assert torch.equal(maps[0], maps[1]) and not torch.equal(maps[0], maps[2])
    assert maps[3].isfinite().all(), "long prompts are cut"


def test_latents_without_a_prompt(tmp_path):
    pipeline = save_latent_model(tmp_path / "latent")
    backbone = manifest.load(tmp_path / "latent")
    with torch.no_grad():
        latents = pipeline.vqvae.eval().encode(pictures()).latents * pipeline.vqvae.config.scaling_factor
    noise = torch.randn((3, 12, 20), generator=torch.Generator().manual_seed(1))
    check(backbone, pipeline.unet.eval(), DECODERS["plain"], latents, pipeline.scheduler, noise)


@pytest.mark.parametrize("label", [0, 9])
def test_a_class_conditions_a_network(tmp_path, label):
    network = build(**NETWORKS["plain"], num_class_embeds=10)
    backbone = manifest.load(DiffusersFolder(save(tmp_path, network), label))
    steps, noise = [50], torch.zeros(3, *SIZE)
    found = backbone.maps(pictures(), noise, timesteps=steps, blocks=range(4))
    noisy = backbone.alphas_cumprod[50].sqrt() * pictures()
    labels = torch.tensor([label, label])
    for block, expected in enumerate(hooked(network, DECODERS["plain"], noisy, torch.tensor(50), class_labels=labels)):
        torch.testing.assert_close(found[block][:, 0], expected, rtol=1e-5, atol=1e-5)


def test_without_a_class_the_timestep_alone_conditions_a_network(tmp_path):
    network = build(**NETWORKS["plain"], num_class_embeds=10)
    found = manifest.load(save(tmp_path, network)).maps(pictures(), torch.zeros(3, *SIZE), timesteps=[50], blocks=[3])
    network.class_embedding.weight.data.zero_()
    save(tmp_path / "zero", network)
    zero = manifest.load(DiffusersFolder(tmp_path / "zero", 3))
    expected = zero.maps(pictures(), torch.zeros(3, *SIZE), timesteps=[50], blocks=[3])
    assert torch.equal(found[3], expected[3])


def test_a_prompt_is_embedded_once(tmp_path, monkeypatch):
    save_text_model(tmp_path / "sd")
    source = HubModel(diffusers=str(tmp_path / "sd"), condition="houses")
    recorded = provide(source, tmp_path / "made")
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == [PROMPT]
    kept = load_file(tmp_path / "made" / PROMPT)["prompt"].clone()
    assert torch.equal(kept, prompts.embed(tmp_path / "sd", "houses"))
    write_record(tmp_path / "made.json", {"settings": source.identity(), **recorded})
    monkeypatch.setattr(prompts, "embed", None)
    opened = manifest.open_manifest(tmp_path / "made.json")[0]
    monkeypatch.undo()
    asked = dict(timesteps=[0], blocks=[2])
    noise = torch.zeros(4, 12, 20)
    anew = pixelherd.load_backbone({"diffusers": str(tmp_path / "sd"), "condition": "houses"})
    assert torch.equal(opened.maps(pictures(), noise, **asked)[2], anew.maps(pictures(), noise, **asked)[2])
    (tmp_path / "made" / PROMPT).write_bytes(b"half")
    with pytest.raises(UserError, match=rf"{PROMPT} is damaged; delete it and run again"):
        manifest.open_manifest(tmp_path / "made.json")
    (tmp_path / "made" / PROMPT).unlink()
    (again,) = manifest.open_manifest(tmp_path / "made.json")
    assert torch.equal(again.maps(pictures(), noise, **asked)[2], anew.maps(pictures(), noise, **asked)[2])
    assert torch.equal(load_file(tmp_path / "made" / PROMPT)["prompt"], kept)
    vocabulary = tmp_path / "sd" / "tokenizer" / "vocab.json"
    vocabulary.write_text(vocabulary.read_text() + " ")
    with pytest.raises(UserError, match=r"changed since features were made"):
        manifest.open_manifest(tmp_path / "made.json")


def test_weights_in_half_precision_alone(tmp_path):
    pipeline = save_text_model(tmp_path / "sd")
    expected = manifest.load(tmp_path / "sd")
    shutil.rmtree(tmp_path / "sd")
    index = save_text_model(tmp_path / "sd")  # its tokenizer, as it is published
    for part in ("unet", "vae", "text_encoder"):
        shutil.rmtree(tmp_path / "sd" / part)
        getattr(pipeline, part).half().save_pretrained(tmp_path / "sd" / part, variant="fp16")
    assert index is not None
    found = manifest.load(tmp_path / "sd")
    for backbone in (found, expected):
        assert {each.dtype for each in backbone.network.parameters()} == {torch.float32}
    asked = dict(timesteps=[50], blocks=[3])
    maps = [each.maps(pictures(), torch.zeros(4, 12, 20), **asked)[3] for each in (found, expected)]
    torch.testing.assert_close(*maps, rtol=0.02, atol=0.02)


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("unet", {"in_channels": 9}, "9 input channels rather than the 4 channels of its autoencoder"),
        ("unet", {"addition_embed_type": "text_time"}, "conditioned by addition_embed_type"),
        ("unet", {"num_class_embeds": 1000}, "conditioned by num_class_embeds"),
        (
            "unet",
            {"_class_name": "UNet2DModel"},
            "has unet UNet2DModel, .*text_encoder CLIPTextModel.*; pixelherd knows",
        ),
        ("vae", {"_class_name": "AutoencoderTiny"}, "vae AutoencoderTiny.*; pixelherd knows"),
        ("vae", {"latent_channels": None}, "4 input channels rather than the None channels of its autoencoder"),
    ],
)
@pytest.mark.hostile("checkpoints and backbones")
def test_models_of_other_kinds(tmp_path, part, change, message):
    save_text_model(tmp_path / "sd")
    file = tmp_path / "sd" / part / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(UserError, match=message) as error:
        read_folder(tmp_path / "sd")
    assert "\n" not in str(error.value)


def test_noise_of_another_shape_is_refused(tmp_path):
    save_text_model(tmp_path / "sd")
    backbone = manifest.load(tmp_path / "sd")
    for shape in ((3, 24, 40), (4, 24, 40), (4, 12, 10)):
        with pytest.raises(ValueError, match=r"noise of shape .* where the images need \[4, 12, 20\]"):
            backbone.maps(pictures(), torch.zeros(shape), timesteps=[0], blocks=[0])


@pytest.mark.parametrize("part", ["text_encoder", "tokenizer", "vae", "unet"])
@pytest.mark.hostile("checkpoints and backbones")
def test_models_that_lack_a_part(tmp_path, part):
    save_text_model(tmp_path / "sd")
    shutil.rmtree(tmp_path / "sd" / part)
    with pytest.raises(UserError, match=rf"cannot load the text encoder in|has no {part}/|; pixelherd knows") as error:
        manifest.load(tmp_path / "sd")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("condition", "message"),
    [("a street", "no prompt conditions this network"), (10, "there is no such class; choose from 0 to 9")],
)
@pytest.mark.hostile("checkpoints and backbones")
def test_conditions_that_a_network_does_not_know(tmp_path, condition, message):
    folder = save(tmp_path, build(**NETWORKS["plain"], num_class_embeds=10))
    for stored in (DiffusersFolder(folder, condition), HubModel(diffusers=str(folder), condition=condition).stored()):
        with pytest.raises(UserError, match=message):
            stored.describe()
    plain = save(tmp_path / "plain", build(**NETWORKS["plain"]))
    with pytest.raises(UserError, match="this network knows no classes"):
        manifest.load(DiffusersFolder(plain, 0))
    assert Folder(path=str(folder)).stored().describe().noise == (3, 1)
