"""Addresses: what each change of a study, its files or the source gives another name, and what it leaves alone."""

import copy
import re
from collections import Counter

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pixelherd.datasets.originals import ABSENT, NO_MASK, Digests, Original
from pixelherd.pipeline.inputs.stores import addressed
from pixelherd.pipeline.inputs.work import Work, none_of
from pixelherd.study import stages
from pixelherd.study.addresses import LENGTH, STAGES, address, files_of_backbones
from pixelherd.study.study import Study

SPLITS = {"train": 6, "test": 3}


class World:
    """A study of a person's images, the digests of its files, and the source; what a session would find.

    Attributes:
        content: the study, as a file of settings has it.
        originals: the raw images by split.
        sources: the hash of the source of each stage.
        files: digests of the files of backbones, by features.
    """

    def __init__(self, masks="labelled"):
        classes = [{"name": "wall", "colour": [1, 2, 3]}, {"name": "floor", "colour": [4, 5, 6]}]
        images = {"train_images": "train/images", "test_images": "test/images", "test_masks": "test/masks"}
        mine = {"kind": "folder", "root": "data", "size": [32, 32], "classes": classes, **images}
        labelled = {"train_masks": "train/masks"} if masks == "labelled" else {}
        features = {"backbone": "net", "timesteps": [50], "blocks": [3], "draws": 4, "context": 20, "draw_maps": "keep"}
        methods = {"edald": {"draws": 2}, "dense": {"score": "margin", "stages": 1}, "coverage": None}
        trained = {"dataset": "mine", "size": [32, 32], "channels": [16, 32], "attention": [], "steps": 3}
        self.content = {
            "results": "r",
            "cache": "c",
            "datasets": {"mine": mine | labelled},
            "features": {"net": features, "own": features | {"backbone": {"pretrain": "small"}}},
            "pretraining": {"small": trained},
            "candidates": {"pixels": 60, "listed": 4, "reserve": 3},
            "methods": methods if masks == "labelled" else {name: methods[name] for name in ("edald", "coverage")},
            "oracle": "masks" if masks == "labelled" else "csv",
            "budgets": [3],
            "seeds": [0],
            "rounds": 2,
            "pictures": 2,
            "images_per_job": 4,
        }
        if masks == "unlabelled":
            self.content["candidates"]["avoid_ignored"] = True
        self.originals = {
            split: [Original(f"{split}-{n}", f"image {split} {n}", f"mask {split} {n}") for n in range(count)]
            for split, count in SPLITS.items()
        }
        if masks == "unlabelled":
            self.originals["train"] = [each._replace(mask=NO_MASK) for each in self.originals["train"]]
        self.sources = {stage: f"source of {stage}" for stage in STAGES}
        self.files = {"net": {"unet/weights": "abc"}, "own": {}}

    @property
    def study(self):
        return Study.read(copy.deepcopy(self.content))

    def work(self):
        study = self.study
        lacking = {run: range(study.rounds_of(run.method)) for run in study.runs()}
        originals = dict.fromkeys(study.datasets, self.originals)
        return Work(study, lacking, {}, originals, {}, self.sources.__getitem__, lambda: self.files)

    def stores(self):
        """By kind, the addresses of all stores of the features `net`, shards in order, and those of backbones."""
        work = self.work()
        run = next(run for run in work.study.runs() if run.method == "edald" and run.features == "net")
        key = stages.list_key(work.study, run.method, run.seed)
        pair = run.dataset, run.features
        paths = {
            "dataset": [work.dataset("mine")],
            "original_labels": [work.original_labels("mine")],
            "pretrained": [work.pretrained("small")],
            "backbone": [work.backbone("net")],
            "own backbone": [work.backbone("own")],
            "train maps": work.maps(*pair, "train"),
            "test maps": work.maps(*pair, "test"),
            "train index": [work.maps_index(*pair, "train")],
            "test index": [work.maps_index(*pair, "test")],
            "draw maps": work.draw_maps(*pair) if work.kept_draws[pair] else [],
            "pictures": [work.pictures(run)],
            "lists": work.lists(*pair, key),
            "union": [work.union(run)],
            "draws": work.draws(*pair, key),
            "draws index": [work.draws_index(run)],
        }
        found = {kind: [addressed(path) for path in listed] for kind, listed in paths.items()}
        return found | {"run": [work.addresses.run(run)]}


def changed_by(change, masks="labelled"):
    """The kinds of stores, some of whose addresses are others after a change."""
    world = World(masks)
    before = world.stores()
    assert World(masks).stores() == before, "the same study has the same addresses"
    change(world)
    after = world.stores()
    return {kind for kind in before if before[kind] != after[kind]}


def setting(value, *place):
    def change(world):
        *parents, last = place
        inner = world.content
        for each in parents:
            inner = inner[each]
        inner[last] = value

    change.__name__ = ".".join(map(str, place))
    return change


def image(number, split="train", **parts):
    def change(world):
        world.originals[split][number] = world.originals[split][number]._replace(**parts)

    return change


def source(stage):
    return lambda world: world.sources.update({stage: "another"})


def backbone_replaced(world):
    world.files["net"] = {"unet/weights": "abd"}


def images_removed(world):
    del world.originals["train"][-1]


def of_class(number, **parts):
    return lambda world: world.content["datasets"]["mine"]["classes"][number].update(parts)


def class_added(world):
    world.content["datasets"]["mine"]["classes"].append({"name": "door"})


EVERY = set(World().stores())
PREPARED = {"dataset", "original_labels"}
MADE_OF_MAPS = {
    *{"train maps", "train index", "draw maps", "pictures", "lists", "union", "draws", "draws index", "run"},
}
MAPS = MADE_OF_MAPS | {"test maps", "test index"}
TRAINED = {"pretrained", "own backbone"}
MADE_OF_LISTS = {"union", "draws", "draws index"}
LISTS = {"lists"} | MADE_OF_LISTS
SHARDS = MAPS - {"pictures", "run"}

CHANGES = {
    # settings of datasets
    "size": (setting([32, 48], "datasets", "mine", "size"), EVERY - {"backbone"}),
    "resize": (setting([48, 48], "datasets", "mine", "resize"), EVERY - {"backbone"}),
    "root moved": (setting("elsewhere", "datasets", "mine", "root"), set()),
    "folder of images renamed": (setting("photos", "datasets", "mine", "train_images"), set()),
    "evaluated at original size": (setting("original", "datasets", "mine", "evaluate_at"), {"run"}),
    "class renamed": (of_class(0, name="brick wall"), set()),
    "class recoloured": (of_class(0, colour=[7, 8, 9]), set()),
    "values of a class": (of_class(0, values=[0, 7]), PREPARED | LISTS | {"run"}),
    "class added": (class_added, PREPARED | LISTS | {"run"}),
    # raw files
    "training image replaced": (image(5, image="new"), EVERY - {"backbone", "test maps", "test index"}),
    "test image replaced": (image(0, "test", image="new"), PREPARED | {"test maps", "test index", "run"}),
    "training mask replaced": (image(5, mask="new"), PREPARED | LISTS | {"run"}),
    "test mask replaced": (image(0, "test", mask="new"), PREPARED | {"run"}),
    "training image renamed": (image(5, id="new"), EVERY - {"backbone", "test maps", "test index"}),
    "training image removed": (images_removed, EVERY - {"backbone", "test maps", "test index"}),
    "backbone replaced": (backbone_replaced, {"backbone"} | MAPS),
    # settings of features
    "noise_seed": (setting(1, "features", "net", "noise_seed"), MAPS),
    "timesteps": (setting([50, 150], "features", "net", "timesteps"), MAPS),
    "blocks": (setting([2], "features", "net", "blocks"), MAPS),
    "context": (setting(30, "features", "net", "context"), MAPS),
    "image_size": (setting([64, 64], "features", "net", "image_size"), MAPS),
    "threads": (setting(3, "threads"), MAPS),
    "more draws in pictures": (setting(5, "features", "net", "draws"), {"pictures"}),
    "draws stored or not": (setting("recompute", "features", "net", "draw_maps"), {"draw maps"}),
    "path of a backbone": (setting("other", "features", "net", "backbone"), {"backbone"} | MAPS),
    "training of a backbone": (setting(4, "pretraining", "small", "steps"), TRAINED),
    # settings of methods and the study
    "M raised": (setting(3, "methods", "edald", "draws"), {"draw maps", "draws", "draws index", "run"}),
    "candidates": (setting(50, "candidates", "pixels"), LISTS | {"run"}),
    "kernel": (setting("laplace", "candidates", "kernel"), LISTS | {"run"}),
    "ignored pixels listed": (setting(False, "candidates", "avoid_ignored"), LISTS | {"run"}),
    "longer lists": (setting(9, "candidates", "reserve"), LISTS | {"run"}),
    "images_per_job": (setting(2, "images_per_job"), SHARDS),
    "pictures": (setting(3, "pictures"), {"pictures"}),
    "head": (setting({"l2": 0.5}, "head"), {"run"}),
    "rounds added": (setting(9, "rounds"), set()),
    "seeds added": (setting([0, 1, 2], "seeds"), set()),
    "budgets added": (setting([3, 5], "budgets"), set()),
    "method added": (setting(None, "methods", "entropy"), set()),
    "method without draws added": (setting({"score": "margin"}, "methods", "another"), set()),
    "device": (setting("cpu", "device"), set()),
    "statistics": (setting({"confidence": 0.9}, "statistics"), set()),
    # the source
    "source of prepare": (source("prepare"), EVERY - {"backbone"}),
    "source of original_labels": (source("original_labels"), {"original_labels"}),
    "source of pretrained": (source("pretrained"), TRAINED),
    "source of backbone": (source("backbone"), {"backbone", "own backbone"} | MAPS),
    "source of extract": (source("extract"), MAPS - {"draw maps", "pictures"}),
    "source of extract_draws": (source("extract_draws"), {"draw maps"}),
    "source of picture": (source("picture"), {"pictures"}),
    "source of herd": (source("herd"), LISTS),
    "source of perturb": (source("perturb"), {"draws", "draws index"}),
    "source of gather": (source("gather"), {"union"}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_gives_new_addresses_to_what_depends_on_it_and_to_nothing_else(name):
    change, expected = CHANGES[name]
    assert changed_by(change) == expected


def test_every_stage_with_an_address_is_among_the_changes():
    assert {f"source of {stage}" for stage in STAGES} <= CHANGES.keys()
    touched = set().union(*(expected for _, expected in CHANGES.values()))
    assert touched == EVERY


@pytest.mark.parametrize("change", [of_class(0, values=[0, 7]), class_added])
def test_without_masks_classes_move_no_list(change):
    """A person who finds that a class is missing keeps all but what tells the classes apart."""
    assert changed_by(change, "unlabelled") == PREPARED | {"run"}


def test_masks_that_come_change_only_what_is_made_of_them():
    before, after = World("unlabelled"), World("unlabelled")
    after.originals["train"] = [each._replace(mask="new") for each in after.originals["train"]]
    before, after = before.stores(), after.stores()
    assert {kind for kind in before if before[kind] != after[kind]} == PREPARED | LISTS | {"run"}


@pytest.mark.parametrize("added", [1, 2, 5])
def test_images_that_are_added_leave_full_shards_of_others_alone(added):
    world = World()
    before = world.stores()
    world.originals["train"] += [Original(f"new-{n}", f"new image {n}", f"new mask {n}") for n in range(added)]
    after = world.stores()
    for kind in ("train maps", "draw maps", "lists", "draws"):
        assert after[kind][0] == before[kind][0] and after[kind][1] != before[kind][1], kind
        assert len(after[kind]) == (3 if added > 2 else 2)
    assert after["test maps"] == before["test maps"] and after["backbone"] == before["backbone"]
    for kind in ("train index", "union", "draws index", "dataset", "pictures", "run", "pretrained"):
        assert after[kind] != before[kind], kind


@pytest.mark.parametrize("place", range(6))
def test_an_image_that_is_replaced_moves_its_own_shard_alone(place):
    for parts, kinds in (
        ({"image": "new"}, ("train maps", "draw maps", "lists", "draws")),
        ({"mask": "new"}, ("lists", "draws")),
    ):
        world = World()
        before = world.stores()
        image(place, **parts)(world)
        after = world.stores()
        own = place // 4
        for kind in kinds:
            assert [each for each in range(2) if before[kind][each] != after[kind][each]] == [own], (kind, parts)


def test_images_whose_digests_are_unknown_have_addresses_of_their_own():
    """A benchmark that is not here is counted, and what is planned of it is never taken for what its files give."""
    assert changed_by(lambda world: [image(n, image=ABSENT, mask=ABSENT)(world) for n in range(6)]) >= {
        "dataset",
        "lists",
    }


def test_addresses_are_short_and_in_paths():
    stores = World().stores()
    assert all(re.fullmatch(f"[0-9a-f]{{{LENGTH}}}", each) for found in stores.values() for each in found)


def test_no_two_stores_of_a_study_share_an_address():
    stores = World().stores()
    counted = Counter(each for found in stores.values() for each in found)
    assert max(counted.values()) == 1


def fewer_offered(world):
    world.content["methods"]["fewer"] = {"score": "edald", "draws": 2, "candidates": {"listed": 3, "reserve": 4}}


def like_features(world):
    more = {"draws": 5, "draw_maps": "recompute"}
    world.content["features"]["more"] = world.content["features"]["net"] | more
    world.files["more"] = world.files["net"]


def like_dataset(world):
    classes = [{"name": "built", "values": [0, 1]}, {"name": "other", "values": 2}]
    world.content["datasets"]["coarse"] = world.content["datasets"]["mine"] | {"classes": classes}
    world.content["datasets"]["large"] = world.content["datasets"]["mine"] | {"evaluate_at": "original"}


@pytest.mark.parametrize("change", [fewer_offered, like_features, like_dataset])
def test_what_is_not_there_is_made_though_its_like_is(tmp_path, monkeypatch, change):
    """Lists of one length that offer fewer, features that differ in draws, other classes of the same images."""
    monkeypatch.chdir(tmp_path)
    world = World()
    change(world)
    paths = every_store(world.work())
    assert len({addressed(path) for path in paths}) == len(paths)
    assert set(world.work().stores().values()) >= paths
    half = sorted(paths)[::2]
    for path in half:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    may_be_made = re.compile(none_of(world.work().made))
    assert {path for path in paths if may_be_made.fullmatch(addressed(path))} == paths - set(half)


def every_store(work):
    """All stores that the runs of a study read, by their manifests."""
    found, study = set(), work.study
    for run in work.pending:
        pair = run.dataset, run.features
        found |= {work.dataset(run.dataset), work.backbone(run.features)}
        found |= {work.original_labels(run.dataset)} if study.evaluates_originals(run.dataset) else set()
        for split in SPLITS:
            found |= {work.maps_index(*pair, split), *work.maps(*pair, split)}
        if study.needs_lists(run.method):
            key = stages.list_key(study, run.method, run.seed)
            found |= {work.union(run), *work.lists(*pair, key)}
            if study.needs_listed_draws(run.method):
                found |= {work.draws_index(run), *work.draws(*pair, key)}
        if study.needs_draws(run.method):
            found.add(work.pictures(run))
        if study.ranks_by_draws(run.method) and work.kept_draws[pair]:
            found |= set(work.draw_maps(*pair))
    return found


# Two things never share an address

IDS = st.text(max_size=3)
ORIGINALS = st.lists(st.builds(Original, IDS, IDS, IDS), min_size=1, max_size=6, unique_by=lambda each: each.id)


@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(one=ORIGINALS, other=ORIGINALS, per_job=st.integers(1, 4), per_other=st.integers(1, 4))
def test_shards_have_one_address_only_if_their_images_are_one(one, other, per_job, per_other):
    def named(originals, images_per_job):
        world = World()
        world.originals["train"], world.content["images_per_job"] = originals, images_per_job
        found = world.work().addresses.shards("maps", "mine", "net", "train")
        parts = [originals[first : first + images_per_job] for first in range(0, len(originals), images_per_job)]
        firsts = range(0, len(originals), images_per_job)
        contents = [
            (first, tuple((each.id, each.image) for each in part)) for first, part in zip(firsts, parts, strict=True)
        ]
        return dict(zip(contents, (name[-LENGTH:] for name in found), strict=True))

    both = [named(one, per_job), named(other, per_other)]
    for content in both[0].keys() | both[1].keys():
        found = {each[content] for each in both if content in each}
        assert len(found) == 1, "one content has one address"
    together = both[0] | both[1]
    assert len(set(together.values())) == len(together), "different ones have different addresses"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=5,
)


def frozen(value):
    """A value in which 1, True and "1" differ."""
    if isinstance(value, dict):
        return frozenset((key, frozen(each)) for key, each in value.items())
    return tuple(map(frozen, value)) if isinstance(value, list) else (type(value), value)


@given(st.dictionaries(st.sampled_from("abc"), JSON), st.dictionaries(st.sampled_from("abc"), JSON))
def test_parts_that_differ_have_other_addresses(one, other):
    assert (address(**one) == address(**other)) == (frozen(one) == frozen(other))


@hypothesis_settings(max_examples=40)
@given(names=st.sets(st.sampled_from(sorted(CHANGES)), min_size=1, max_size=3))
def test_changes_together_move_what_each_of_them_moves(names):
    def together(world):
        for name in sorted(names, key=lambda name: (name == "images_per_job", "removed" in name, name)):
            CHANGES[name][0](world)

    assert changed_by(together) >= set().union(*(CHANGES[name][1] for name in names))


# Files of backbones


def test_files_of_a_local_backbone_are_known_by_content_wherever_they_lie(tmp_path):
    def digests_of(folder):
        study = World()
        study.content["features"]["net"]["backbone"] = str(folder)
        return files_of_backbones(study.study, Digests(tmp_path / "digests.json"))["net"]

    for name in ("one", "two"):
        for part in ("unet/config.json", "unet/weights.safetensors", "scheduler/config.json", "readme.md"):
            (tmp_path / name / part).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / part).write_text(part)
    one = digests_of(tmp_path / "one")
    assert one == digests_of(tmp_path / "two")
    assert set(one) == {"unet/config.json", "unet/weights.safetensors", "scheduler/config.json"}
    (tmp_path / "two" / "unet" / "weights.safetensors").write_text("unet/weights.safetensorz")
    assert digests_of(tmp_path / "two") != one
    for path in sorted((tmp_path / "one").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert digests_of(tmp_path / "one") == one, "of a backbone that is gone, what it was is remembered"


def test_a_trained_backbone_has_no_files_of_its_own(tmp_path):
    world = World()
    world.content["features"] = {"own": world.content["features"]["own"]}
    assert files_of_backbones(world.study, Digests(tmp_path / "digests.json")) == {"own": {}}
