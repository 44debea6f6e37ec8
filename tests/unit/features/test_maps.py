"""Native maps, kept or made again, and the vectors that are gathered from them."""

import itertools

import numpy as np
import pytest
import torch
from PIL import Image

from pixelherd.errors import UserError
from pixelherd.features import interpolation
from pixelherd.features.backbones import manifest
from pixelherd.features.backbones.sources.kinds import Embedded
from pixelherd.features.extract import context_pixels, store_draws, write_draws, write_features
from pixelherd.features.maps import (
    ComputedMaps,
    StoredDraws,
    StoredMaps,
    compute,
    compute_joined,
    network_input,
    network_of,
    open_draws,
    open_maps,
    vectors_at,
)
from pixelherd.features.perturbations import PerturbationSettings, draw
from pixelherd.features.settings import MapSettings
from pixelherd.storage.records import write_record
from pixelherd.storage.shards import Shards
from pixelherd.storage.stores import create_array, writing


@pytest.fixture(scope="module")
def backbone(backbone_folder):
    return manifest.load(backbone_folder)


def same(one, other) -> bool:
    return list(one) == list(other) and all(torch.equal(one[block], other[block]) for block in one)


def test_the_network_sees_images_in_its_range_and_size():
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    image[0, 0], image[0, 1] = 0, 255
    seen = network_input(image, (20, 30))
    assert seen.shape == (1, 3, 20, 30) and seen.dtype == torch.float32
    np.testing.assert_allclose(seen[0].permute(1, 2, 0), image / 127.5 - 1, atol=1e-6)
    assert seen[0, :, 0, 0].tolist() == [-1] * 3 and seen[0, :, 0, 1].tolist() == [1] * 3
    small = network_input(image, (16, 12))
    expected = np.asarray(Image.fromarray(image).resize((12, 16), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(small[0].permute(1, 2, 0), expected / 127.5 - 1, atol=1e-6)


def test_maps_are_the_backbones_in_float16(cache, backbone):
    image = cache.dataset.train.images[0]
    maps = compute(backbone, image, cache.features, 1)
    asked = dict(timesteps=[50, 150], blocks=[0, 3])
    expected = backbone.maps(network_input(image, (32, 32)), draw(0, 1, (3, 32, 32)), **asked)
    assert list(maps) == [0, 3]  # ascending, whatever the order in the study
    assert same(maps, {block: values[0].half() for block, values in expected.items()})
    assert not same(maps, compute(backbone, image, cache.features))  # the base draw is another one
    other = cache.features.model_copy(update={"noise_seed": 1})
    assert not same(maps, compute(backbone, image, other, 1))


def test_kept_maps_are_recomputed_ones(cache, backbone, tmp_path):
    write_record(tmp_path / "backbone.json", manifest.manifest(backbone.path))
    for name in ("train", "test"):
        split = getattr(cache.dataset, name)
        kept = open_maps(str(getattr(cache, name)), None, split.images, cache.features, "cpu")
        made = open_maps(None, str(tmp_path / "backbone.json"), split.images, cache.features, "cpu")
        assert isinstance(kept, StoredMaps) and isinstance(made, ComputedMaps)
        for image in (len(split) - 1, 0):
            assert same(kept(image), made(image))
        assert (kept.forwards, made.forwards) == (0, 4)


def test_norms_of_images_lie_beside_their_maps(cache, backbone):
    for index, split in ((cache.train, cache.dataset.train), (cache.test, cache.dataset.test)):
        maps_of = StoredMaps(index)
        for image in range(len(split)):
            assert torch.equal(maps_of.norms(image), interpolation.norms(maps_of(image), (32, 32)))
    assert ComputedMaps([backbone], cache.dataset.train.images, cache.features).norms(0) is None


def test_context_vectors_are_those_of_the_context_pixels(cache):
    shards, maps_of = Shards.open(cache.train), StoredMaps(cache.train)
    for image, name in enumerate(cache.dataset.train.ids):
        pixels = shards.image("context_pixels", image)
        assert np.array_equal(pixels, context_pixels(name, cache.features, (32, 32)))
        direct = vectors_at(maps_of(image), pixels, (32, 32))
        assert np.array_equal(shards.image("context", image), direct.half().numpy())


def test_context_pixels_depend_on_the_image_and_the_noise_key(cache):
    settings = cache.features.model_copy(update={"context": 20})

    def changed(**update):
        return settings.model_copy(update=update)

    pixels = context_pixels("a", settings, (10, 30))
    assert pixels.dtype == np.int32 and len(set(pixels)) == 20 and (np.diff(pixels) > 0).all() and pixels.max() < 300
    assert np.array_equal(pixels, context_pixels("a", changed(maps="recompute", timesteps=[2]), (10, 30)))
    assert not np.array_equal(pixels, context_pixels("b", settings, (10, 30)))
    assert not np.array_equal(pixels, context_pixels("a", changed(noise_seed=1), (10, 30)))
    assert np.array_equal(context_pixels("a", changed(context=999), (10, 30)), np.arange(300))


def test_vectors_at_flat_pixels_of_images_that_are_not_square(cache, backbone):
    image = np.random.default_rng(0).integers(0, 256, (24, 36, 3), dtype=np.uint8)
    maps = compute(backbone, image, cache.features)  # the network sees 32x32
    assert maps[3].shape == (2, 8, 32, 32) and maps[0].shape == (2, 16, 16, 16)
    pixels = np.array([0, 35, 36, 24 * 36 - 1])
    rows, columns = torch.tensor([0, 0, 1, 23]), torch.tensor([0, 35, 0, 35])
    assert torch.equal(vectors_at(maps, pixels, (24, 36)), interpolation.vectors(maps, rows, columns, (24, 36)))
    assert vectors_at(maps, np.array([], dtype=np.int64), (24, 36)).shape == (0, 48)


@pytest.mark.parametrize("size", [1, 4])
def test_draws_at_listed_pixels(cache, backbone, size):
    lists, draws = Shards(cache.lists), Shards.open(cache.draws)
    image = 6 - size
    listed = lists.image("pixels", image)
    for number in (1, 2):
        maps = compute(backbone, cache.dataset.train.images[image], cache.features, number)
        direct = vectors_at(maps, listed, (32, 32)).half().numpy()
        assert np.array_equal(draws.image("draws", image)[:, number - 1], direct)


def test_stored_draws_are_those_that_the_network_makes(cache, backbone, tmp_path):
    computed = ComputedMaps([backbone], cache.dataset.train.images, cache.features)
    with writing(tmp_path / "00002-00004", {"images": 3, "draws": 2}) as folder:
        store_draws(folder, range(2, 5), computed, 2, (32, 32))
    stored = open_draws(str(tmp_path / "00002-00004" / "manifest.json"), None, None, cache.features, "cpu")
    for image, number in itertools.product(range(2, 5), (1, 2)):
        assert same(stored(image, number), computed(image, number))
        assert torch.equal(stored.norms(image, number), interpolation.norms(computed(image, number), (32, 32)))
    assert stored.forwards == 0
    assert not same(stored(2, 1), stored(2, 2)) and not same(stored(2, 1), stored(3, 1))


def test_images_without_candidates_have_draws_of_zeros(cache, backbone, tmp_path):
    with writing(tmp_path / "00000-00001", {}) as folder:
        pixels = create_array(folder, "pixels", (2, 3), "int32")
        pixels[:] = [[-1, -1, -1], [5, 900, -1]]
        pixels.flush()
    lists = Shards.open(tmp_path / "00000-00001" / "manifest.json")
    with writing(tmp_path / "draws" / "00000-00001", {}) as folder:
        perturbed = ComputedMaps([backbone], cache.dataset.train.images, cache.features)
        write_draws(folder, range(2), lists, perturbed, 2, (32, 32))
    draws = Shards.open(tmp_path / "draws" / "00000-00001" / "manifest.json").all("draws")
    assert draws.shape == (2, 3, 2, 48)
    empty = (draws == 0).all(axis=(2, 3))
    assert empty.tolist() == [[True, True, True], [False, False, True]]


def test_shards_and_recomputation_do_not_change_context(cache, backbone, tmp_path):
    options, split = cache.features.model_copy(update={"maps": "recompute"}), cache.dataset.train
    computed, bars = ComputedMaps([backbone], split.images, options), []
    with writing(tmp_path / "00003-00004", {}) as folder:
        shard = folder, range(3, 5), split, computed, (32, 32)
        write_features(*shard, training=True, progress=lambda: bars.append(1))
    made = tmp_path / "00003-00004"
    assert sorted(path.name for path in (made / "data").iterdir()) == ["context.npy", "context_pixels.npy"]
    assert len(bars) == 2
    whole, part = Shards.open(cache.train), Shards.open(made / "manifest.json")
    for image in (3, 4):
        for array in ("context", "context_pixels"):
            assert np.array_equal(whole.image(array, image), part.image(array, image))


def test_activations_beyond_float16_are_one_line(cache, backbone_folder):
    backbone = manifest.load(backbone_folder)
    with torch.no_grad():
        backbone.network.up_blocks[0].resnets[0].conv2.bias.fill_(1e5)
    image = cache.dataset.train.images[0]
    with pytest.raises(UserError, match=r"block 0 has activations beyond 65504"):
        compute(backbone, image, cache.features)


def test_maps_know_the_network_that_they_are_of(cache, backbone, tmp_path):
    write_record(tmp_path / "backbone.json", found := manifest.manifest(backbone.path))
    assert network_of(None, str(tmp_path / "backbone.json")) == manifest.identity(found)
    assert network_of(str(cache.train), None) is None, "stored without it"
    with writing(tmp_path / "00000-00000", {"network": "a"}):
        pass
    assert network_of(str(tmp_path / "00000-00000" / "manifest.json"), None) == "a"
    assert network_of(None, None) is None
    with pytest.raises(ValueError, match="need a backbone"):
        open_maps(None, None, None, cache.features, "cpu")


@pytest.fixture
def joined(cache, backbone):
    """Settings of a diffusion model and of an encoder, and both together; their networks."""
    photo = MapSettings(
        timesteps=[], blocks=[3, 20], noise_seed=0, context=5, maps="keep", image_size=(45, 70), threads=1,
        perturbation=PerturbationSettings(kind="noise"),
    )  # fmt: skip
    parts = [cache.features, photo]
    both = photo.model_copy(update={"blocks": [], "perturbation": None, "parts": parts})
    return both, [backbone, manifest.load(Embedded(embedded="efficientnet_lite2"))]


@pytest.mark.parametrize("number", [0, 1])
def test_joined_maps_are_those_of_all_parts_each_of_which_counts_alike(joined, number):
    settings, networks = joined
    image = np.random.default_rng(0).integers(0, 256, (45, 70, 3), dtype=np.uint8)
    maps = compute_joined(networks, image, settings, number)
    single = [compute(*each, number) for each in zip(networks, [image] * 2, settings.parts, strict=True)]
    assert list(maps) == [0, 1, 2, 3] and maps.covered == {2: (11.25, 17.5), 3: (45 / 32, 70 / 32)}
    assert [len(values) for values in maps.values()] == [2, 2, 1, 1], "timesteps of each"
    pixels = np.arange(45 * 70)
    found, lengths = vectors_at(maps, pixels, (45, 70)), []
    first = sum(values.shape[0] * values.shape[1] for values in single[0].values())
    for part, its in zip(single, (found[:, :first], found[:, first:]), strict=True):
        own = vectors_at(part, pixels, (45, 70))
        torch.testing.assert_close(torch.nn.functional.normalize(its, dim=1), own, rtol=0.01, atol=2e-3)
        lengths.append(its.square().sum(dim=1).mean())
    assert lengths[0] == pytest.approx(0.5, abs=0.15) and sum(lengths) == pytest.approx(1)


def test_joined_maps_count_the_networks_work_and_need_one_network_each(joined, cache):
    settings, networks = joined
    computed = ComputedMaps(networks, cache.dataset.train.images, settings)
    before = computed.forwards
    computed(0)
    assert computed.forwards - before == 2 + 1
    with pytest.raises(ValueError, match="zip"):
        compute_joined(networks[:1], cache.dataset.train.images[0], settings)


def test_stored_maps_of_padded_images_know_how_far_the_image_goes(tmp_path):
    """What is stored of an encoder's maps gives the vectors and lengths that they give themselves."""
    encoder, size = manifest.load(Embedded(embedded="efficientnet_lite2")), (45, 70)
    images = np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    options = MapSettings(
        timesteps=[], blocks=[3, 20], noise_seed=0, context=5, maps="keep", image_size=size, threads=1,
        perturbation=PerturbationSettings(kind="shift"),
    )  # fmt: skip
    computed = ComputedMaps([encoder], images, options)
    with writing(tmp_path / "00000-00001", {"images": 2, "draws": 1}) as folder:
        store_draws(folder, range(2), computed, 1, size)
    stored = StoredDraws(tmp_path / "00000-00001" / "manifest.json")
    pixels = np.array([0, 69, 44 * 70, 45 * 70 - 1, 1234])
    for image in range(2):
        kept, made = stored(image, 1), computed(image, 1)
        assert same(kept, made) and kept.covered == made.covered == {3: (11.25, 17.5), 20: (45 / 32, 70 / 32)}
        assert torch.equal(vectors_at(kept, pixels, size), vectors_at(made, pixels, size))
        torch.testing.assert_close(stored.norms(image, 1), interpolation.norms(made, size))
        assert not same(made, computed(image)), "the base draw is of the image as it is"
