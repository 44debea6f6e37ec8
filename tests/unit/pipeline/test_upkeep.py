"""What nothing uses of a cache is found, and nothing else; indices of shards that are gone are dropped."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from pixelherd.features.backbones import manifest
from pixelherd.pipeline import seals, upkeep
from pixelherd.storage.files import write_text
from pixelherd.storage.records import write_digests, write_record
from pixelherd.storage.stores import save_arrays, writing
from pixelherd.study.study import Study
from unit.pipeline.sealed import ADDRESS, finish

OLD, NEW, RUN = "0" * 12, "1" * 12, "2" * 12


def store(folder):
    with writing(folder, {}) as made:
        write_text(made / "values.txt", "values")
    return folder


def test_what_nothing_uses_is_found_and_what_is_somebody_elses_is_left(tmp_path):
    cache = tmp_path / "cache"
    features = cache / "features" / f"photos-{202601151230}" / "ddpm" / "train"  # a name that looks like an address
    used = store(features / f"00000-00003-{NEW}")
    old = store(features / f"00000-00003-{OLD}")
    half = features / f"00004-00005-{OLD}"
    half.mkdir()
    killed = features / f".00000-00003-{NEW}.part"  # of a job that was killed
    write_text(killed / "data" / "maps.zarr" / "zarr.json", "{}")
    step = "d/ddpm/edald/budget-3/seed-0"
    for address in (RUN, OLD):
        save_arrays(cache / "pools" / step / f"round-1-{address}.npz")
        save_arrays(cache / "ranks" / step / f"round-1-{address}" / f"00000-00003-{NEW}.npz")
    older = store(cache / "datasets" / "d")  # of pixelherd 0.1
    for path in ("thesis.tex", "my/photo.png", "features/notes.txt"):
        write_text(cache / path, "not pixelherd's")
    found = upkeep.unused(cache, {used}, {RUN})
    pools, ranks = (cache / kind / step / f"round-1-{OLD}" for kind in ("pools", "ranks"))
    assert set(found) == {old, half, killed, pools.with_suffix(".npz"), ranks, older}
    assert killed in upkeep.stores(cache) and not any(killed in path.parents for path in upkeep.stores(cache))
    assert found[old] == sum(path.stat().st_size for path in old.rglob("*.*")) and found[half] == 0
    upkeep.remove(found)
    assert upkeep.unused(cache, {used}, {RUN}) == {} and used.is_dir()
    assert (cache / "thesis.tex").exists() and (cache / "my" / "photo.png").exists()


def test_an_index_goes_with_a_shard_that_is_gone(tmp_path):
    shards = [tmp_path / name for name in "ab"]
    for path in (*shards, tmp_path / "index.json", tmp_path / "whole.json"):
        path.touch()
    upkeep.drop_incomplete({str(tmp_path / "index.json"): map(str, shards)})
    assert (tmp_path / "index.json").exists()
    shards[0].unlink()
    indices = {str(tmp_path / "index.json"): map(str, shards), str(tmp_path / "whole.json"): [str(shards[1])]}
    upkeep.drop_incomplete(indices)
    assert not (tmp_path / "index.json").exists() and (tmp_path / "whole.json").exists()


@pytest.fixture
def world(settings, backbone_folder, tmp_path):
    """A study with a file of each kind, as if it were finished; its last run is not."""
    places = {name: str(tmp_path / name) for name in ("cache", "results")}
    study = Study.read({**settings, **places, "methods": {"coverage": None, "random": None}})
    cache, paths = Path(study.cache), study.paths
    store(cache / "features" / "demo" / "ddpm" / "train" / f"00000-00003-{NEW}")
    for part in ("unet", "scheduler"):
        shutil.copytree(Path(backbone_folder) / part, cache / "backbones" / f"ddpm-{NEW}" / part)
    found = manifest.manifest(cache / "backbones" / f"ddpm-{NEW}")
    write_record(cache / "backbones" / f"ddpm-{NEW}.json", {**found, "source": "converted"})
    trained = cache / "pretrained" / f"own-{NEW}"
    shutil.copytree(cache / "backbones" / f"ddpm-{NEW}", trained / "data")
    write_record(trained / "manifest.json", manifest.manifest(trained / "data"), trained.name)
    save_arrays(cache / "pools" / f"round-1-{NEW}.npz", rows=np.arange(3))
    write_text(cache / "confusions" / f"00000-00003-{NEW}.npz", "as good as none")
    write_record(cache / "originals" / "demo.json", {"files": "a"})
    done, half = study.runs()
    finish(study, done, address=ADDRESS)
    folder = study.paths.run_folder(half)
    write_text(folder / "round-0" / "queries.csv", "asked")
    write_digests(folder / "round-0" / "queries.json", [folder / "round-0" / "queries.csv"])
    seals.note_made_of(folder, half, ADDRESS)
    write_text(Path(paths.table.format(table="final", kind="csv")), "table")
    write_digests(Path(paths.tables_digests), [Path(paths.table.format(table="final", kind="csv"))])
    with writing(Path(paths.figures).parent, {}, inside="") as drawn:
        write_text(drawn / "demo" / "curve.svg", "drawn")
    write_record(paths.record, {"jobs": 3})
    return study


def damages(study, **options):
    return [str(each) for each in upkeep.damages(study.paths, study.runs(), **options)]


def test_a_sound_study_has_no_damage(world):
    seen = []
    assert damages(world, progress=lambda: seen.append(1)) == []
    assert len(seen) == len(upkeep.stores(Path(world.cache))) == 6
    assert upkeep.changed_results(world.paths, world.runs()) == []


CACHE = {
    "features/demo/ddpm/train/00000-00003-1*/data/values.txt": "is damaged; delete",
    "features/demo/ddpm/train/00000-00003-1*/manifest.json": "is damaged; delete",
    "backbones/ddpm-1*/unet/config.json": "is not valid JSON",
    "backbones/ddpm-1*.json": "is damaged; delete it",
    "pretrained/own-1*/data/unet/diffusion_pytorch_model.safetensors": "changed since features were made; delete",
    "pools/round-1-1*.npz": "is damaged; delete it",
    "originals/demo.json": "is damaged; delete it",
}
DONE, HALF = (f"runs/demo/ddpm/{method}/budget-3/seed-0" for method in ("coverage", "random"))
RESULTS = {
    f"{DONE}/metrics.csv": "has changed since the run was finished; put back the file of then",
    f"{DONE}/run.json": "is damaged; delete it",
    f"{DONE}/begun.json": "is damaged; delete it",
    f"{HALF}/round-0/queries.csv": "has changed since pixelherd wrote it; delete it",
    f"{HALF}/round-0/queries.json": "is damaged; delete it",
    f"{HALF}/begun.json": "is damaged; delete it",
    "tables/final.csv": "has changed since pixelherd wrote it; delete it",
    "tables/digests.json": "is damaged; delete it",
    "figures/demo/curve.svg": "is damaged; delete",
    "figures/manifest.json": "is damaged; delete",
    "run.json": "is damaged; delete it",
}


@pytest.mark.parametrize(
    ("below", "pattern"), [("cache", name) for name in CACHE] + [("results", name) for name in RESULTS]
)
def test_what_is_damaged_is_named_with_its_mend(world, below, pattern):
    (path,) = Path(getattr(world, below)).glob(pattern)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    found = damages(world)
    assert any({**CACHE, **RESULTS}[pattern] in each for each in found), found
    if below == "results":
        assert [str(each) for each in upkeep.changed_results(world.paths, world.runs())] == found


def test_only_verifying_looks_at_heads_and_misses_tables_of_finished_runs(world):
    folder = world.paths.run_folder(world.runs()[0])
    (folder / "round-0" / "head.safetensors").write_text("another")
    (folder / "metrics.csv").unlink()
    assert upkeep.changed_results(world.paths, world.runs()) == []
    one, other = sorted(damages(world))
    assert "metrics.csv is missing; put it back, or run the study again" in one
    assert "head.safetensors has changed since the run was finished" in other


def test_a_backbone_that_was_made_and_that_nothing_uses_goes_whole(world):
    cache = Path(world.cache)
    folder = cache / "backbones" / f"ddpm-{NEW}"
    assert upkeep.unused(cache, {folder, folder.with_suffix(".json")}, {NEW}) == {}
    found = upkeep.unused(cache, set(), set())
    assert {folder, folder.with_suffix(".json")} <= set(found) and not any(folder in path.parents for path in found)
