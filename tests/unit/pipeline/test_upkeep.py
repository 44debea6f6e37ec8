"""What nothing uses of a cache is found, and nothing else; indices of shards that are gone are dropped."""

from pixelherd.pipeline import upkeep
from pixelherd.storage.files import write_text
from pixelherd.storage.stores import save_arrays, writing

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
    step = "d/ddpm/edald/budget-3/seed-0"
    for address in (RUN, OLD):
        save_arrays(cache / "pools" / step / f"round-1-{address}.npz")
        save_arrays(cache / "ranks" / step / f"round-1-{address}" / f"00000-00003-{NEW}.npz")
    older = store(cache / "datasets" / "d")  # of pixelherd 0.1
    for path in ("thesis.tex", "my/photo.png", "features/notes.txt"):
        write_text(cache / path, "not pixelherd's")
    found = upkeep.unused(cache, {used}, {RUN})
    pools, ranks = (cache / kind / step / f"round-1-{OLD}" for kind in ("pools", "ranks"))
    assert set(found) == {old, half, pools.with_suffix(".npz"), ranks, older}
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
