"""Converted checkpoints against golden activations of the original network and a reference network; every refusal."""

import json
import os
import pickle
from pathlib import Path

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from pixelherd.errors import UserError
from pixelherd.features.backbones import manifest
from pixelherd.features.backbones.diffusion import convert as adm
from pixelherd.features.backbones.diffusion.architecture import PRESETS, Architecture, recognised
from pixelherd.features.backbones.diffusion.pipeline import Pipeline, read_folder
from pixelherd.features.backbones.provide import provide
from pixelherd.features.backbones.sources.folder import DiffusersFolder
from pixelherd.features.backbones.sources.kinds import Checkpoint
from unit.places import SHARED
from unit.reference_adm import ReferenceADM, reference

GOLDEN = SHARED / "golden"
needs_golden = pytest.mark.skipif(
    not (GOLDEN / "adm_tiny.pt").is_file(), reason="needs ../shared/golden (PIXELHERD_SHARED)"
)
SMALL = {
    "image_size": 16,
    "num_channels": 32,
    "channel_mult": [1, 2],
    "num_res_blocks": 1,
    "attention_resolutions": [8],
    "num_head_channels": 16,
    "resblock_updown": True,
    "learn_sigma": True,
}


PREFIXES = ["module.", "model.", "_orig_mod.", "module.model.", "model.diffusion_model.", "module.module."]


@pytest.fixture(scope="module")
def state_dict() -> dict[str, torch.Tensor]:
    return reference(Architecture.read(SMALL)).state_dict()


def half(state_dict):
    return {name: tensor.half() for name, tensor in state_dict.items()}


def write(state_dict, path: Path) -> Path:
    save_file(dict(state_dict), path) if path.suffix == ".safetensors" else torch.save(dict(state_dict), path)
    return path


def decoder_outputs(network, samples, timesteps) -> list[torch.Tensor]:
    """Outputs of the decoder blocks of a diffusers network's own forward pass."""
    ends = []
    for level in network.up_blocks:
        ends += getattr(level, "attentions", None) or level.resnets
        if level.upsamplers:
            ends[-1] = level.upsamplers[-1]
    outputs = {}
    handles = [
        module.register_forward_hook(lambda _, __, output, number=number: outputs.update({number: output}))
        for number, module in enumerate(ends)
    ]
    with torch.no_grad():
        network(samples, timesteps)
    for handle in handles:
        handle.remove()
    return [outputs[number] for number in range(len(ends))]


# The same function


@needs_golden
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_golden_activations(tmp_path, suffix):
    facts = json.loads((GOLDEN / "adm_tiny.json").read_text())
    golden = load_file(GOLDEN / "adm_tiny.safetensors")
    tensors = adm.read_checkpoint(GOLDEN / "adm_tiny.pt")
    path = write({name: tensor.clone() for name, tensor in tensors.items()}, tmp_path / f"tiny.{suffix}")
    found = provide(Checkpoint(checkpoint=str(path), architecture=facts["architecture"]), tmp_path / "made")
    backbone = manifest.load(found["path"])
    asked = {"timesteps": facts["timesteps"], "blocks": facts["decoder_blocks"]}
    maps = backbone.maps(golden["image"], golden["noise"], **asked)
    network = adm.convert_adm(adm.read_checkpoint(path), facts["architecture"])
    for position, timestep in enumerate(facts["timesteps"]):
        outputs = decoder_outputs(network, golden[f"noisy.t{timestep}"], timestep)
        for block in facts["decoder_blocks"]:
            expected = golden[f"t{timestep}.block{block}"]
            assert (outputs[block] - expected).abs().max() <= 1e-4
            assert (maps[block][:, position] - expected).abs().max() <= 1e-4
    shapes = read_folder(found["path"]).describe().shapes((64, 64), facts["decoder_blocks"])
    assert shapes == {block: golden[f"t50.block{block}"].shape[1:] for block in facts["decoder_blocks"]}


@st.composite
def architectures(draw):
    levels = draw(st.integers(1, 4))
    sides = [16 >> level for level in range(levels)]
    options = {
        "image_size": 16,
        "num_channels": 32,
        "channel_mult": [draw(st.sampled_from([1, 2, 3])) for _ in range(levels)],
        "num_res_blocks": draw(st.integers(1, 3)),
        "attention_resolutions": draw(st.lists(st.sampled_from(sides), unique=True)),
        "num_head_channels": draw(st.sampled_from([8, 16, 32, -1])),
        "use_new_attention_order": draw(st.booleans()),
        "use_scale_shift_norm": draw(st.booleans()),
        "resblock_updown": draw(st.booleans()),
        "learn_sigma": draw(st.booleans()),
        "num_heads": draw(st.sampled_from([1, 4])),
        "class_cond": draw(st.booleans()),
    }
    try:
        return Architecture.read(options)
    except UserError as error:
        assert "heads of several sizes" in str(error)
        return Architecture.read(options | {"num_heads": 1})


@hypothesis.settings(max_examples=20, derandomize=True)
@hypothesis.given(architecture=architectures())
def test_any_architecture_computes_what_the_reference_does(architecture, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adm")
    original = reference(architecture)
    network = adm.convert_adm(original.state_dict(), architecture)
    assert sum(parameter.numel() for parameter in network.parameters()) >= architecture.parameters
    network.save_pretrained(folder / "unet")
    adm.scheduler(architecture).save_pretrained(folder / "scheduler")
    label = 7 if architecture.class_cond else None
    backbone = manifest.load(DiffusersFolder(folder, label))
    generator = torch.Generator().manual_seed(1)
    images, noise = torch.randn((2, 3, 16, 32), generator=generator), torch.randn((3, 16, 32), generator=generator)
    maps = backbone.maps(images, noise, timesteps=[0, 731], blocks=range(backbone.blocks))
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    for position, timestep in enumerate((0, 731)):
        abar = (1 - betas[: timestep + 1]).prod()
        noisy = (abar.sqrt() * images.double() + (1 - abar).sqrt() * noise.double()).float()
        with torch.no_grad():
            prediction, expected = original(noisy, torch.tensor([timestep, timestep]), label)
            labels = None if label is None else torch.tensor([label, label])
            torch.testing.assert_close(network(noisy, timestep, labels).sample, prediction, rtol=1e-4, atol=1e-4)
        assert len(expected) == backbone.blocks
        for block, output in enumerate(expected):
            torch.testing.assert_close(maps[block][:, position], output, rtol=1e-4, atol=1e-4)
    config = architecture.unet_config()
    blocks = list(range(backbone.blocks))
    assert Pipeline("", {}, config).describe().shapes((16, 32), blocks) == backbone.description.shapes((16, 32), blocks)


@hypothesis.settings(max_examples=50, derandomize=True)
@hypothesis.given(architecture=architectures())
def test_layers_are_those_of_the_reference_and_recognised(architecture):
    with torch.device("meta"):
        shapes = {name: tuple(tensor.shape) for name, tensor in ReferenceADM(architecture).state_dict().items()}
    expected = {}
    for layer in architecture.layers():
        expected |= {f"{layer.source}.{part}": shape for part, shape in layer.shapes.items()}
    assert shapes == expected
    found = recognised(shapes, architecture.image_size)
    if len(architecture.channels) == 1:  # nothing resamples
        found["resblock_updown"] = architecture.resblock_updown
    again = Architecture.read(architecture.model_dump() | found)
    assert list(again.layers()) == list(architecture.layers())


def test_the_published_networks():
    for preset in PRESETS.values():
        assert preset.architecture.parameters == 552_814_086
        shapes = Pipeline("", {}, preset.architecture.unet_config()).describe().shapes((256, 256), [5, 8, 12, 17])
        assert shapes == {5: (1024, 32, 32), 8: (512, 64, 64), 12: (256, 128, 128), 17: (256, 256, 256)}


def test_early_exit_of_a_converted_network(tmp_path, state_dict):
    path = write(state_dict, tmp_path / "small.pt")
    found = provide(Checkpoint(checkpoint=str(path), architecture=SMALL), tmp_path / "made")
    backbone = manifest.load(found["path"])
    ran = []
    for number, level in enumerate(backbone.network.up_blocks):
        for layer, resnet in enumerate(level.resnets):
            resnet.register_forward_hook(lambda *_, name=(number, layer): ran.append(name))
        for upsampler in level.upsamplers or ():
            upsampler.register_forward_hook(lambda *_, name=(number, "up"): ran.append(name))
    for last, expected in enumerate([[(0, 0)], [(0, 1), (0, "up")], [(1, 0)], [(1, 1)]]):
        ran.clear()
        backbone.maps(torch.zeros(1, 3, 16, 16), torch.zeros(3, 16, 16), timesteps=[50], blocks=[last])
        assert ran[-len(expected) :] == expected


def test_dropout_of_the_training_is_off(state_dict):
    network = adm.convert_adm(state_dict, SMALL | {"dropout": 0.1})
    assert not network.training
    samples = torch.randn((1, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = network(samples, 50).sample
        assert torch.equal(network.train()(samples, 50).sample, expected)


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.hostile("checkpoints and backbones")
def test_prefixes_of_wrappers_are_stripped(state_dict, prefix):
    wrapped = {prefix + name: tensor for name, tensor in state_dict.items()}
    found, expected = (adm.convert_adm(each, SMALL).state_dict() for each in (wrapped, state_dict))
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("more", ["model_ema.decay", "time_embed.0.weight", "module2.x"])
@pytest.mark.hostile("checkpoints and backbones")
def test_prefixes_that_some_names_lack_are_not_stripped(state_dict, more):
    wrapped = {f"model.{name}": tensor for name, tensor in state_dict.items()} | {more: torch.zeros(1)}
    with pytest.raises(UserError, match=r"has unknown model\.time_embed.0.weight"):
        adm.convert_adm(wrapped, SMALL)


def test_the_state_dict_is_left_alone(state_dict):
    before = {name: tensor.clone() for name, tensor in state_dict.items()}
    network = adm.convert_adm(state_dict, SMALL)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    assert all(torch.equal(tensor, before[name]) for name, tensor in state_dict.items())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, torch.linspace(1e-4, 0.02, 1000)),
        ({"diffusion_steps": 4000}, torch.linspace(2.5e-5, 0.005, 4000)),
        ({"noise_schedule": "cosine"}, None),
    ],
)
def test_noise_schedules(options, expected):
    found = adm.scheduler(Architecture.read(SMALL | options))
    if expected is None:  # Nichol & Dhariwal 2021, eq. 17
        steps = torch.arange(1001, dtype=torch.float64) / 1000
        abar = torch.cos((steps + 0.008) / 1.008 * torch.pi / 2) ** 2
        expected = (1 - abar[1:] / abar[:-1]).clamp(max=0.999)
    torch.testing.assert_close(found.betas, expected.float())
    assert found.config.variance_type == "learned_range"


# Options


def test_options_as_on_the_command_line():
    flags = SMALL | {"channel_mult": "1,2", "attention_resolutions": "8", "use_fp16": True, "dropout": 0.1}
    assert list(Architecture.read(flags).layers()) == list(Architecture.read(SMALL).layers())
    assert Architecture.read({"image_size": 256, "num_heads": 1}).channel_mult == (1, 1, 2, 2, 4, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("imagenet", "unknown preset 'imagenet' (did you mean 'imagenet_256'?)"),
        ({"num_chanels": 32}, "architecture: unknown key `num_chanels` (did you mean 'num_channels'?)"),
        ({"num_channels": 48}, "48 channels, which the 32 groups of the normalisation do not divide"),
        ({"num_channels": 64, "channel_mult": [0.5, 1]}, "the first multiplier must be at least 1"),
        ({"num_head_channels": 24}, "num_head_channels 24: the [64] channels of attention do not divide evenly"),
        (
            {"num_head_channels": -1, "attention_resolutions": [16]},
            "num_heads 4: attention on [32, 64] channels has heads of several sizes",
        ),
        ({"out_channels": 3}, "out_channels 3: with learn_sigma True they are 6"),
        ({"channel_mult": None, "image_size": 48}, "guided-diffusion has no default for image_size 48; give it"),
        ({"noise_schedule": "sqrt"}, "architecture: noise_schedule: Input should be 'linear' or 'cosine'"),
    ],
)
@pytest.mark.hostile("checkpoints and backbones")
def test_options_that_are_refused(options, message):
    with pytest.raises(UserError) as error:
        adm.convert_adm({}, options if isinstance(options, str) else SMALL | options)
    assert message in str(error.value) and "\n" not in str(error.value)


# State dicts of another architecture


@pytest.mark.parametrize(
    ("change", "messages"),
    [
        (
            {"num_res_blocks": 2},
            ["lacks input_blocks.", "num_res_blocks: 1", "correct `architecture`"],
        ),
        ({"num_channels": 64}, ["time_embed.0.weight [128, 32] instead of [256, 64]", "num_channels: 32"]),
        ({"channel_mult": [1, 2, 2]}, ["channel_mult: [1, 2],"]),
        ({"attention_resolutions": [16, 8]}, ["lacks input_blocks.1.1.norm.weight", "attention_resolutions: [8]"]),
        ({"attention_resolutions": []}, ["has unknown input_blocks.3.1.norm.weight", "attention_resolutions: [8]"]),
        ({"resblock_updown": False}, ["lacks input_blocks.2.0.op.weight", "resblock_updown: true"]),
        ({"use_scale_shift_norm": False}, ["emb_layers.1.weight [64, 128]", "use_scale_shift_norm: true"]),
        ({"learn_sigma": False}, ["out.2.weight [6, 32, 3, 3] instead of [3, 32, 3, 3]", "learn_sigma: true"]),
        ({"class_cond": True}, ["lacks label_emb.weight"]),
    ],
)
def test_the_likely_architecture_is_told(state_dict, change, messages):
    with pytest.raises(UserError) as error:
        adm.convert_adm(state_dict, SMALL | change, where="checkpoint x.pt")
    for message in ["checkpoint x.pt does not fit the architecture: it ", *messages]:
        assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_every_tensor_is_used_exactly_once(state_dict):
    names = list(state_dict)
    for name in (names[1], names[len(names) // 2], names[-1]):
        less = {key: value for key, value in state_dict.items() if key != name}
        with pytest.raises(UserError, match=rf"it lacks {name}. Its options are right but the file is not whole"):
            adm.convert_adm(less, SMALL)
        with pytest.raises(UserError, match=rf"{name} \[.*\] instead of \["):
            adm.convert_adm(state_dict | {name: state_dict[name][..., None]}, SMALL)
    with pytest.raises(UserError, match=r"it has unknown out\.2\.scale"):
        adm.convert_adm(state_dict | {"out.2.scale": torch.ones(1)}, SMALL)


@pytest.mark.hostile("checkpoints and backbones")
def test_state_dicts_of_other_networks(state_dict):
    with pytest.raises(UserError, match=r"has unknown label_emb.weight. .*class_cond: true}; correct `architecture`"):
        adm.convert_adm(state_dict | {"label_emb.weight": torch.zeros(1000, 128)}, SMALL)
    for other in ({}, {"conv.weight": torch.zeros(3)}, {f"inner.{name}": each for name, each in state_dict.items()}):
        with pytest.raises(UserError, match="It is no U-Net of guided-diffusion"):
            adm.convert_adm(other, SMALL)
    with pytest.raises(UserError, match="1 entries that are no floating-point tensors, such as epoch"):
        adm.convert_adm(state_dict | {"epoch": 3}, SMALL)


# Files


@pytest.mark.parametrize("name", ["small.pt", "small.safetensors"])
def test_float16_stays_float16_on_disk_and_runs_in_float32(state_dict, tmp_path, name):
    path = write(half(state_dict), tmp_path / name)
    found = provide(Checkpoint(checkpoint=str(path), architecture=SMALL), tmp_path / "made")
    stored = load_file(tmp_path / "made" / "unet" / "diffusion_pytorch_model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    assert {each.dtype for each in manifest.load(found["path"]).network.parameters()} == {torch.float32}
    mixed = half(state_dict) | {"out.2.bias": state_dict["out.2.bias"]}
    path = write(mixed, tmp_path / name)
    provide(Checkpoint(checkpoint=str(path), architecture=SMALL), tmp_path / "made")
    stored = load_file(tmp_path / "made" / "unet" / "diffusion_pytorch_model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float32}
    assert torch.equal(stored["conv_out.bias"], state_dict["out.2.bias"])


def test_files_of_older_torch_versions(state_dict, tmp_path):
    torch.save(dict(state_dict), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    found = adm.read_checkpoint(tmp_path / "old.pt")
    assert all(torch.equal(found[name], tensor) for name, tensor in state_dict.items())


class Harmful:
    """What a pickle may do when it is loaded."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.mkdir, (self.file,)


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.hostile("checkpoints and backbones")
def test_pickles_that_are_not_tensors_are_not_loaded(tmp_path, old):
    harm = Harmful(str(tmp_path / "harm"))
    torch.save({"x": harm}, tmp_path / "bad.pt", _use_new_zipfile_serialization=not old)
    with pytest.raises(UserError) as error:
        adm.read_checkpoint(tmp_path / "bad.pt")
    assert "bad.pt is damaged or holds pickled objects that are not tensors (posix.mkdir)" in str(error.value)
    assert not (tmp_path / "harm").exists() and "\n" not in str(error.value)
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(harm, protocol=2))
    with pytest.raises(UserError, match="pickled objects that are not tensors"):
        adm.read_checkpoint(tmp_path / "plain.pt")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("name", ["small.pt", "small.safetensors", "old.pt"])
@pytest.mark.parametrize("keep", [0, 1, 1000, 0.5, 0.999])
@pytest.mark.hostile("checkpoints and backbones")
def test_truncated_files(state_dict, tmp_path, name, keep):
    path = tmp_path / name
    if name == "old.pt":
        torch.save(dict(state_dict), path, _use_new_zipfile_serialization=False)
    else:
        write(state_dict, path)
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
    with pytest.raises(UserError, match=rf"checkpoint .*{name} is (truncated or )?damaged") as error:
        adm.read_checkpoint(path)
    assert "\n" not in str(error.value)


@pytest.mark.hostile("checkpoints and backbones")
def test_files_that_hold_something_else(state_dict, tmp_path):
    torch.save([torch.zeros(2)], tmp_path / "list.pt")
    with pytest.raises(UserError, match="holds a list rather than tensors by name"):
        adm.read_checkpoint(tmp_path / "list.pt")
    torch.save({"step": 3, "ema": dict(state_dict)}, tmp_path / "nested.pt")
    source = Checkpoint(checkpoint=str(tmp_path / "nested.pt"), architecture=SMALL)
    with pytest.raises(UserError, match=r"nested\.pt holds 2 entries that are no floating-point tensors, such as step"):
        provide(source, tmp_path / "made")
    with pytest.raises(UserError, match="there is no checkpoint"):
        adm.read_checkpoint(tmp_path / "absent.pt")
