"""Encoders of the transformers library against the library's own models, on random weights of the real classes."""

import json
import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

import pixelherd
from pixelherd.errors import UserError
from pixelherd.features.backbones import manifest
from pixelherd.features.backbones.provide import provide
from pixelherd.features.backbones.sources.kinds import PretrainedEncoder
from pixelherd.study import plan
from pixelherd.study.study import Study

transformers = pytest.importorskip("transformers", reason="transformers is missing: pip install -e '.[encoders]'")

TOKENS = dict(hidden_size=32, num_hidden_layers=3, num_attention_heads=2)
STAGES = dict(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1])
WINDOWED = dict(embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2])
FAMILIES = {
    "beit": ("BeitConfig", dict(**TOKENS, image_size=64, patch_size=16, intermediate_size=64)),
    "dinov2": ("Dinov2Config", dict(**TOKENS, image_size=56, patch_size=14, mlp_ratio=2)),
    "dinov2_with_registers": ("Dinov2WithRegistersConfig", dict(**TOKENS, image_size=56, patch_size=14, mlp_ratio=2)),
    "dinov3_vit": ("DINOv3ViTConfig", dict(**TOKENS, patch_size=16, intermediate_size=64, num_register_tokens=4)),
    "convnext": ("ConvNextConfig", STAGES),
    "convnextv2": ("ConvNextV2Config", STAGES),
    "dinov3_convnext": ("DINOv3ConvNextConfig", STAGES),
    "pvt_v2": ("PvtV2Config", dict(**STAGES, num_attention_heads=[1] * 4, mlp_ratios=[2] * 4)),
    "resnet": ("ResNetConfig", dict(**STAGES, embedding_size=8)),
    "swin": ("SwinConfig", dict(**WINDOWED, window_size=2)),
    "hiera": ("HieraConfig", dict(**WINDOWED, image_size=[64, 64], masked_unit_size=[8, 8])),
}
NORMALISED = {
    "dinov2": 1e-6,
    "dinov2_with_registers": 1e-6,
    "dinov3_vit": 1e-5,
    "convnext": 1e-6,
    "convnextv2": 1e-6,
} | {"swin": 1e-5}
"""Families whose maps are normalised over channels, with the library's ε."""


BEFORE_HALVING = {"hiera": {}, "swin": {"output_hidden_states_before_downsampling": True}}
"""Families whose outputs have places of their own, and what asks for them as they are before the next stage."""


FAST = "dinov2_with_registers", "convnextv2"
"""One of either kind; others are tested in the slow lane."""


@pytest.fixture(
    params=[each if each in FAST else pytest.param(each, marks=pytest.mark.slow) for each in FAMILIES], scope="module"
)
def saved(request, tmp_path_factory):
    """A family, its model, and the folder in which it was saved as those of the hub are: as a whole model."""
    torch.manual_seed(0)
    kind, options = FAMILIES[request.param]
    model = transformers.AutoModel.from_config(getattr(transformers, kind)(**options)).eval()
    folder = tmp_path_factory.mktemp(request.param) / "model"
    model.save_pretrained(folder)
    return request.param, model, folder


def pictures(count: int, size) -> torch.Tensor:
    return torch.rand((count, 3, *size), generator=torch.Generator().manual_seed(5)) * 2 - 1


def test_maps_are_the_librarys_own_activations(saved):
    family, model, folder = saved
    backbone = manifest.load(PretrainedEncoder(encoder=str(folder)))
    size = tuple(4 * backbone.description.multiple + side for side in (0, backbone.description.multiple))
    size = backbone.description.fixed or size
    images, stages = pictures(1, size), list(backbone.description.levels)
    mean, spread = (torch.tensor(values)[:, None, None] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.inference_mode():
        given = ((images + 1) / 2 - mean) / spread
        if family in BEFORE_HALVING:
            hidden = model(given, output_hidden_states=True, **BEFORE_HALVING[family]).reshaped_hidden_states
        else:
            hidden = model(given, output_hidden_states=True).hidden_states
    maps = backbone.maps(images, None, blocks=stages)
    assert stages == list(range(1, len(stages) + 1)) and backbone.forwards == 1
    for stage, expected in zip(stages, hidden[-len(stages) :], strict=True):
        found = maps[stage][:, 0]
        channels = expected.movedim(1, -1) if expected.ndim == 4 and family != "hiera" else expected
        if family in NORMALISED:
            channels = F.layer_norm(channels, channels.shape[-1:], eps=NORMALISED[family])
        if expected.ndim == 3:  # tokens; those of no patch come first
            rows, columns = found.shape[-2:]
            channels = channels[:, -rows * columns :].unflatten(1, (rows, columns))
        torch.testing.assert_close(found, channels.movedim(-1, 1), rtol=1e-5, atol=1e-5)


def test_shapes_are_known_without_the_library(saved):
    _, _, folder = saved
    source = PretrainedEncoder(encoder=str(folder))
    backbone, description = manifest.load(source), source.stored().describe()
    for size in ((64, 96), (70, 53)):
        maps = backbone.maps(pictures(2, size), None, blocks=list(description.levels))
        shapes = description.shapes(size, list(description.levels))
        assert {block: tuple(values.shape[2:]) for block, values in maps.items()} == shapes


def test_planning_a_folder_imports_neither_torch_nor_transformers(saved):
    code = (
        "import sys\nfrom pixelherd.features.backbones.sources.kinds import PretrainedEncoder\n"
        f"PretrainedEncoder(encoder={str(saved[2])!r}).stored().describe()\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})


@pytest.fixture
def folder(tmp_path):
    model = transformers.AutoModel.from_config(transformers.ConvNextV2Config(**STAGES))
    model.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_a_study_plans_and_opens_an_encoder(folder, tmp_path):
    source = PretrainedEncoder(encoder=str(folder))
    entry = {"backbone": {"encoder": str(folder)}, "blocks": [2, 3]}
    study = Study.read(
        {
            "datasets": {"demo": {"kind": "demo", "train": 2, "test": 1, "size": [64, 96]}},
            "features": {"encoder": entry},
            "methods": {"edald": None},
            "budgets": [2],
            "seeds": [0],
            "rounds": 1,
        }
    )
    assert study.features["encoder"].timesteps == [] and study.features["encoder"].steps == 1
    assert plan.geometry_of(study, "demo", "encoder") == (2 * (16 * 8 * 12 + 24 * 4 * 6), 16 + 24)
    made = provide(source, tmp_path / "unused")
    assert made == manifest.manifest(source) and set(made["files"]) == {"config.json", "model.safetensors"}
    assert pixelherd.load_backbone({"encoder": str(folder)}).description.levels == source.stored().describe().levels


def test_images_are_seen_as_the_preprocessor_says(folder):
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.5] * 3}))
    backbone = manifest.load(PretrainedEncoder(encoder=str(folder)))
    seen = []
    backbone.network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    backbone.maps(pictures(1, (32, 32)), None, blocks=[1])
    torch.testing.assert_close(seen[0], pictures(1, (32, 32)))


@pytest.mark.slow
def test_hiera_as_it_is_published_after_self_supervision(tmp_path):
    """Such a checkpoint has no pooler, which nothing reads."""
    decoder = dict(decoder_hidden_size=8, decoder_depth=1, decoder_num_heads=2)
    config = transformers.HieraConfig(**FAMILIES["hiera"][1], **decoder)
    model = transformers.HieraForPreTraining(config).eval()
    model.save_pretrained(tmp_path / "mae")
    backbone = manifest.load(PretrainedEncoder(encoder=str(tmp_path / "mae")))
    weights = backbone.network.embeddings.patch_embeddings.projection.weight
    assert torch.equal(weights, model.hiera.embeddings.patch_embeddings.projection.weight)


@pytest.mark.parametrize("change", [{"hidden_sizes": None}, {"hidden_sizes": 3}, {"model_type": "swin"}])
@pytest.mark.hostile("checkpoints and backbones")
def test_configurations_that_do_not_tell_the_maps_are_one_line(folder, change):
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    with pytest.raises(UserError, match=r"the configuration of .* lacks what tells its maps"):
        PretrainedEncoder(encoder=str(folder)).stored().describe()


@pytest.mark.hostile("checkpoints and backbones")
def test_encoders_that_are_not_what_they_should_be(folder, tmp_path, monkeypatch):
    def message(path=folder, **options) -> str:
        with pytest.raises(UserError) as error:
            manifest.load(PretrainedEncoder(encoder=str(path)))
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "lacks config.json or safetensors; save the model there" in message(tmp_path)
    config, weights = folder / "config.json", folder / "model.safetensors"
    content, whole = json.loads(config.read_text()), weights.read_bytes()
    config.write_text(json.dumps(content | {"model_type": "bert"}))
    assert "is an encoder of the family bert; pixelherd knows beit, convnext" in message()
    config.write_text("[")
    assert "config.json is not valid JSON" in message()
    config.write_text(json.dumps(content | {"depths": [2, 1, 1, 1]}))
    assert "are of another network than its config.json" in message()
    config.write_text(json.dumps(content))
    weights.write_bytes(whole[:1000])
    assert f"cannot load the encoder in {folder}: " in message()
    with pytest.raises(UserError, match=r"there is no encoder data/none/dinov2; give a folder that holds config.json"):
        PretrainedEncoder(encoder="data/none/dinov2").describe("")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"cannot get model us/absent from the Hugging Face hub or its local cache"):
        PretrainedEncoder(encoder="us/absent").describe("")
    with pytest.raises(UserError, match=r"cannot get model us/absent .*; check id, revision and network"):
        PretrainedEncoder(encoder="us/absent").make(tmp_path / "made")
