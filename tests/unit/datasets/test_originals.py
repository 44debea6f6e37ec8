"""The raw files of a dataset as they are: what is remembered, what is read again, and what is told of a change."""

import os
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pixelherd.datasets import originals
from pixelherd.datasets.dataset import Dataset
from pixelherd.datasets.originals import ABSENT, DRAWN, NO_MASK, Digests, counts, look, remember, remembered
from pixelherd.datasets.prepare import prepare
from pixelherd.datasets.settings import AdeBedSettings, CamVidSettings, DemoSettings, FolderSettings
from pixelherd.errors import UserError
from pixelherd.storage.files import digest_of
from pixelherd.storage.records import is_sound


class Raw:
    """A person's images in a folder, and what is remembered of them beside it."""

    def __init__(self, folder):
        self.folder, self.record, self.digests = (
            folder / "raw",
            folder / "c" / "mine.json",
            folder / "c" / "digests.json",
        )
        for split, names in (("train", "abc"), ("test", "d")):
            for name in names:
                self.write(split, name, ord(name))

    def write(self, split, name, value, parts=("images", "masks")):
        """Write an image and its mask, of one colour and of one class."""
        for part in parts:
            path = self.path(split, name, part)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB" if part == "images" else "L", (16, 16), value if part == "images" else value % 2).save(path)

    def path(self, split, name, part="images"):
        return self.folder / split / part / f"{name}.png"

    def settings(self, **changes):
        parts = {f"{split}_{part}": f"{split}/{part}" for split in ("train", "test") for part in ("images", "masks")}
        classes = [{"name": "wall"}, {"name": "floor"}]
        fields = {"kind": "folder", "root": str(self.folder), "size": (16, 16), "classes": classes, **parts, **changes}
        return FolderSettings(**{key: value for key, value in fields.items() if value is not None})

    def look(self, **changes):
        """Look as a new session does that makes files."""
        settings = self.settings(**changes)
        found, told = look(settings, self.record, Digests(self.digests))
        remember(settings, self.record, found)
        return found, told


@pytest.fixture
def raw(tmp_path):
    return Raw(tmp_path)


@pytest.fixture
def read(monkeypatch):
    """The files whose content has been read for digests, by name."""
    found = []
    monkeypatch.setattr(originals, "digest_of", lambda path: found.append(path.name) or digest_of(path))
    return found


def test_images_are_known_by_the_digests_of_their_files(raw):
    found, changes = raw.look()
    assert changes == [] and [each.id for each in found["train"]] == ["a", "b", "c"] and len(found["test"]) == 1
    for split, listed in found.items():
        for each in listed:
            files = [raw.path(split, each.id, part) for part in ("images", "masks")]
            assert [each.image, each.mask] == list(map(digest_of, files))
    assert remembered(raw.settings(), raw.record) == found


def test_digests_are_remembered_as_long_as_nothing_about_a_file_changes(raw, read):
    first = raw.look()
    assert len(read) == 8
    assert raw.look() == first and len(read) == 8, "a second look reads no file"


def replaced_in_place(path):
    """Other content of the same length, with the times of the old: only the kernel's own time tells."""
    state, content = path.stat(), path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def longer(path):
    state = path.stat()
    path.write_bytes(path.read_bytes() + b"\0")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def moved_here(path):
    """Another file, renamed over the old one, which an archive gave the old one's time."""
    state = path.stat()
    other = path.with_name("other")
    other.write_bytes(path.read_bytes()[:-1] + b"\1")
    os.utime(other, ns=(state.st_atime_ns, state.st_mtime_ns))
    other.replace(path)


def touched(path):
    os.utime(path)


@pytest.mark.parametrize("part", ["images", "masks"])
@pytest.mark.parametrize("change", [replaced_in_place, longer, moved_here, touched])
def test_a_file_that_may_have_changed_is_read_again_and_it_alone(raw, read, change, part):
    before, _ = raw.look()
    read.clear()
    path = raw.path("train", "b", part)
    change(path)
    found, changes = raw.look()
    assert read == ["b.png"]
    if change is touched:
        assert found == before and changes == []
    else:
        assert changes == [f"1 train image {'replaced' if part == 'images' else 'with another mask'} (b)"]
        assert getattr(found["train"][1], part.removesuffix("s")) == digest_of(path)
        assert [*found["train"][:1], *found["train"][2:]] == [*before["train"][:1], *before["train"][2:]]
        assert raw.look() == (found, []), "a change is told once"


def test_images_that_are_added_come_last_and_stay_there(raw):
    raw.look()
    for name in ("aa", "0"):
        raw.write("train", name, 7)
    found, changes = raw.look()
    assert [each.id for each in found["train"]] == ["a", "b", "c", "0", "aa"]
    assert changes == ["2 train images added (0, aa)"]
    raw.write("train", "_", 8)
    found, changes = raw.look()
    assert [each.id for each in found["train"]] == ["a", "b", "c", "0", "aa", "_"]
    raw.path("train", "b").unlink()
    raw.path("train", "b", "masks").unlink()
    found, changes = raw.look()
    assert [each.id for each in found["train"]] == ["a", "c", "0", "aa", "_"]
    assert changes == ["1 train image gone (b)"]


@settings(max_examples=15)
@given(batches=st.lists(st.sets(st.sampled_from("ABCDEFGHIJ"), max_size=3), max_size=4))
def test_images_keep_their_places_whenever_others_come(tmp_path_factory, batches):
    raw = Raw(tmp_path_factory.mktemp("raw"))
    order = [each.id for each in raw.look()[0]["train"]]
    for batch in batches:
        for name in batch:
            raw.write("train", name, ord(name))
        order += sorted(batch - set(order))
        assert [each.id for each in raw.look()[0]["train"]] == order


def test_what_is_prepared_has_the_order_of_the_look(raw, tmp_path):
    raw.look()
    raw.write("train", "0", 7)
    found, _ = raw.look()
    prepare(raw.settings(), tmp_path / "out", progress=False, originals=found)
    train = Dataset.open(tmp_path / "out").train
    assert train.ids == [each.id for each in found["train"]] == ["a", "b", "c", "0"]
    assert train.images[3, 0, 0].tolist() == [7, 0, 0] and train.labels[3, 0, 0] == 1
    raw.write("train", "later", 9)
    with pytest.raises(UserError, match=r"raw is changing; wait, then run the same command again"):
        prepare(raw.settings(), tmp_path / "again", progress=False, originals=found)


@pytest.mark.parametrize("part", ["images", "masks"])
def test_a_file_that_changes_after_the_look_is_not_prepared(raw, tmp_path, part):
    found, _ = raw.look()
    raw.write("train", "b", 77 if part == "images" else 1, [part])
    with pytest.raises(UserError, match=r"b\.png changed while it was prepared; run the same command again"):
        prepare(raw.settings(), tmp_path / "out", progress=False, originals=found)
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_look_that_makes_nothing_remembers_nothing(raw):
    look(raw.settings(), raw.record, Digests(raw.digests))
    assert not raw.record.exists() and raw.digests.exists()


def test_names_and_sizes_do_not_change_which_files_there_are(raw):
    raw.look()
    raw.write("train", "0", 7)
    added, _ = raw.look()
    renamed = [{"name": "stone", "key": "wall"}, {"name": "floor", "colour": (1, 2, 3)}]
    assert raw.look(classes=renamed, size=(32, 32)) == (added, []), "the new one stays last"


def test_many_changes_are_told_in_a_few_words(raw):
    raw.look()
    for name in "abc":
        raw.write("train", name, 0)
    raw.write("test", "d", 1, parts=["images"])
    for name in "vwxyz":
        raw.write("train", name, 1)
    _, changes = raw.look()
    assert changes == [
        "3 train images replaced (a, b, c)",
        "2 train images with another mask (a, c)",
        "5 train images added (v, w, x, …)",
        "1 test image replaced (d)",
    ]


def test_other_files_begin_anew(raw):
    raw.look()
    raw.write("train", "0", 7)
    found, changes = raw.look(train_masks=None)
    assert [each.id for each in found["train"]] == ["0", "a", "b", "c"] and changes == []


def test_masks_may_be_absent(raw):
    found, _ = raw.look(train_masks=None)
    assert [each.mask for each in found["train"]] == [NO_MASK] * 3
    assert found["test"][0].mask == digest_of(raw.path("test", "d", "masks"))
    assert counts(raw.settings(train_masks=None), raw.record) == ({"train": 3, "test": 1}, False)
    assert counts(raw.settings(), raw.record) == ({"train": 3, "test": 1}, True)


def test_raw_files_that_are_gone_are_those_that_they_were(raw, read):
    first, _ = raw.look()
    read.clear()
    shutil.rmtree(raw.folder)
    assert raw.look() == (first, []) and read == []
    assert counts(raw.settings(), raw.record) == ({"train": 3, "test": 1}, True)
    with pytest.raises(UserError, match="raw does not exist"):
        raw.look(train_masks=None)  # at other files nobody has looked
    raw.record.unlink()
    with pytest.raises(UserError, match="raw does not exist"):
        raw.look()


def test_of_an_image_that_alone_is_gone_nothing_is_made(raw):
    raw.look()
    raw.path("train", "b").unlink()
    with pytest.raises(UserError, match=r"mask .*b\.png has no image"):
        raw.look()


def test_benchmarks_that_are_not_here_are_counted(tmp_path):
    settings = CamVidSettings(kind="camvid", root=str(tmp_path / "absent"))
    found, changes = look(settings, tmp_path / "record.json", Digests(tmp_path / "digests.json"))
    assert {split: len(listed) for split, listed in found.items()} == {"train": 367, "test": 233} and changes == []
    assert {each.image for each in found["train"]} == {ABSENT}
    assert list(tmp_path.iterdir()) == [], "what nobody has seen is not remembered"
    assert counts(settings, tmp_path / "record.json") == ({"train": 367, "test": 233}, True)
    unknown = AdeBedSettings(kind="ade_bed", root=str(tmp_path / "absent"))
    with pytest.raises(UserError, match="absent does not exist"):
        look(unknown, tmp_path / "record.json", Digests(tmp_path / "digests.json"))


def test_drawn_images_are_no_files(tmp_path, read):
    settings = DemoSettings(kind="demo", train=3, test=2)
    found, changes = look(settings, tmp_path / "record.json", Digests(tmp_path / "digests.json"))
    assert {(each.image, each.mask) for listed in found.values() for each in listed} == {(DRAWN, DRAWN)}
    assert read == changes == [] and counts(settings, tmp_path / "record.json") == ({"train": 3, "test": 2}, True)


def test_counting_reads_and_writes_no_file(raw, read):
    before = sorted(raw.folder.parent.rglob("*"))
    assert counts(raw.settings(), raw.record) == ({"train": 3, "test": 1}, True)
    assert read == [] and sorted(raw.folder.parent.rglob("*")) == before


@pytest.mark.parametrize("part", ["images", "masks"])
@pytest.mark.hostile("own images, masks and lists")
def test_a_file_that_cannot_be_read_is_named_in_a_line(raw, monkeypatch, part):
    refused = raw.path("train", "b", part)

    def denied(path):
        if path == refused:
            raise PermissionError(13, "Permission denied")
        return digest_of(path)

    monkeypatch.setattr(originals, "digest_of", denied)
    with pytest.raises(UserError) as error:
        raw.look()
    assert str(error.value) == f"{refused} cannot be read (Permission denied); mend its rights, or replace it"
    assert not raw.record.exists(), "no half of a look is remembered"


@pytest.mark.hostile("own images, masks and lists")
def test_a_file_that_goes_while_files_are_looked_at_is_named_in_a_line(raw):
    gone = raw.path("train", "zz")
    with pytest.raises(UserError) as error:
        Digests(raw.digests).of([gone], "raw")
    assert str(error.value) == f"{gone} cannot be read (No such file or directory); put it there, or mend its rights"


@pytest.mark.parametrize("content", ["", "{", "null", '{"files": {}}'])
@pytest.mark.hostile("own images, masks and lists")
def test_damaged_memories_are_made_anew(raw, read, content):
    first = raw.look()
    for record in (raw.record, raw.digests):
        record.write_text(content)
    read.clear()
    assert raw.look() == first and len(read) == 8
    assert is_sound(raw.record) and is_sound(raw.digests)


def test_a_folder_that_takes_no_memories_is_looked_at_all_the_same(raw, read):
    raw.record.parent.write_text("no folder")  # as one that is read only, also for root
    first = raw.look()
    assert raw.look() == first and len(read) == 16
    assert len(first[0]["train"]) == 3


def test_datasets_share_the_memory_of_their_files(raw, read, tmp_path):
    digests = Digests(raw.digests)
    for name, size in (("one", (16, 16)), ("two", (32, 32))):
        look(raw.settings(size=size), tmp_path / f"{name}.json", digests)
    assert len(read) == 8
