"""What stages read, of studies that have nothing to do with Snakemake."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from pixelherd.datasets.originals import Original
from pixelherd.errors import UserError
from pixelherd.pipeline.inputs import results, rounds, shared
from pixelherd.pipeline.inputs.travel import Travel
from pixelherd.pipeline.inputs.work import Work, one_of
from pixelherd.study import stages
from pixelherd.study.run import Run
from pixelherd.study.study import Study

IMAGES = {"demo": {"train": 6, "test": 3}}


@pytest.fixture
def work_of(settings):
    """Gives the work of the tiny study, nothing of which is done, with changes to its file."""

    def make(*, waiting=None, pending=None, again=None, images=IMAGES, **changes):
        study = Study.read({**settings, "results": "r", "cache": "c", **changes})
        lacking = {run: range(study.rounds_of(run.method)) for run in study.runs()} if pending is None else pending
        return Work(study, lacking, waiting or {}, originals_of(images), again or {}, "source of {}".format, dict)

    return make


def originals_of(images):
    return {
        name: {
            split: [Original(f"{split}-{number}", "drawn", "drawn") for number in range(count)]
            for split, count in each.items()
        }
        for name, each in images.items()
    }


ADDRESS = re.compile("-[0-9a-f]{12}(?=[./]|$)")


def bare(files):
    """Files without the addresses in their paths, which have tests of their own."""
    if isinstance(files, str):
        return ADDRESS.sub("", files)
    if isinstance(files, dict):
        return {name: bare(each) for name, each in files.items()}
    return [bare(each) for each in files]


def run_of(work, method):
    (run,) = [run for run in work.study.runs() if run.method == method]
    return run


def features(work, **changes):
    return {"features": {"ddpm": work.study.content()["features"]["ddpm"] | changes}}


ROUND = "r/runs/demo/ddpm/{}/budget-3/seed-0/round-{}"
INDEX = "c/features/demo/ddpm/train/index.json"
QUESTIONS = ["queries.csv", "queries.json", "scores.csv", "correlations.csv"]
ANSWERS = ["labels.json", "stopping.json"]
METHODS = {"ebald_mlp": {"score": "ebald", "head": {"kind": "mlp"}}}
SAMPLED = ["sampled_head.safetensors", "sampled_training.csv", "sampled_training.json"]
UNION = "c/lists/demo/ddpm/seed-0/union-4/manifest.json"
DATASET = "c/datasets/demo/manifest.json"


def test_round_0_is_herded_or_drawn_and_asks_no_head(work_of):
    work = work_of()
    assert bare(rounds.score(work, run_of(work, "edald"), 0)) == {"dataset": DATASET, "labels": [], "union": UNION}
    assert bare(rounds.score(work, run_of(work, "random"), 0)) == {"dataset": DATASET, "labels": [], "context": INDEX}


def test_later_rounds_read_what_their_method_asks(work_of):
    work = work_of(methods={name: None for name in ("edald", "bald", "uherding", "coverage")})
    common = {"dataset": DATASET, "union": UNION}
    heads = {name: f"{ROUND.format(name, 0)}/head.safetensors" for name in work.study.methods}
    labels = {name: [f"{ROUND.format(name, 0)}/labels.csv"] for name in work.study.methods}
    pools = {name: f"c/pools/demo/ddpm/{name}/budget-3/seed-0/round-1.npz" for name in ("edald", "bald")}
    draws = "c/draws/demo/ddpm/seed-0/index.json"
    sampled = f"{ROUND.format('bald', 1)}/sampled_head.safetensors"
    more = {
        "edald": {"pool": pools["edald"], "draws": draws, "head": heads["edald"]},
        "bald": {"pool": pools["bald"], "head": heads["bald"], "sampled_head": sampled},
        "uherding": {"head": heads["uherding"]},
        "coverage": {},
    }
    for name, files in more.items():
        assert bare(rounds.score(work, run_of(work, name), 1)) == common | {"labels": labels[name]} | files


def test_a_single_stage_round_reads_the_ranks_of_every_shard(work_of):
    work = work_of(methods={"one": {"score": "edald", "stages": 1}})
    run = run_of(work, "one")
    assert bare(rounds.score(work, run, 0))["union"] == UNION
    step = "demo/ddpm/one/budget-3/seed-0/round-1"
    ranks = [f"c/ranks/{step}/{shard}.npz" for shard in ("00000-00003", "00004-00005")]
    before = ROUND.format("one", 0)
    asked = {"head": f"{before}/head.safetensors", "union": UNION}  # a head that knows one class ranks nothing
    assert bare(rounds.score(work, run, 1)) == {
        "dataset": DATASET,
        "labels": [f"{before}/labels.csv"],
        "ranks": ranks,
        **asked,
    }
    ranked = bare(rounds.rank(work, run, 1, "00004-00005"))
    assert ranked["maps"] == "c/features/demo/ddpm/train/00004-00005/manifest.json"
    assert ranked["backbone"] == "c/backbones/ddpm.json" and "draw_maps" not in ranked
    kept = work_of(methods={"one": {"score": "edald", "stages": 1}}, **features(work, draw_maps="keep"))
    assert "backbone" not in bare(rounds.rank(kept, run, 1, "00004-00005"))
    assert bare(rounds.rank(kept, run, 1, "00004-00005"))["draw_maps"].startswith("c/draw_maps/demo/ddpm/00004-00005")
    vectors = [f"c/vectors/demo/ddpm/one/budget-3/seed-0/round-{number}.npz" for number in range(2)]
    assert bare(rounds.train(work, run, 1))["vectors"] == vectors


def test_a_single_stage_round_asks_the_heads_that_ranked(work_of):
    work = work_of(methods={"bald": {"stages": 1}})
    run = run_of(work, "bald")
    heads = {
        "head": f"{ROUND.format('bald', 0)}/head.safetensors",
        "sampled_head": f"{ROUND.format('bald', 1)}/sampled_head.safetensors",
    }
    assert (
        bare(rounds.score(work, run, 1)).items()
        >= heads.items()
        <= bare(rounds.rank(work, run, 1, "00000-00003")).items()
    )


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_heads_that_are_sampled_learn_the_labels_of_the_round_before(work_of, kind):
    work = work_of(methods={"bald": None}, head={"kind": kind})
    run = run_of(work, "bald")
    assert bare(rounds.train_sampled(work, run, 1)) == bare(rounds.train(work, run, 0))
    assert rounds.sampled_checkpoint(work, run, 1) != rounds.checkpoint(work, run, 1)


def test_the_reference_reads_its_pixels_and_no_answers(work_of):
    without = {"dataset": DATASET, "labels": []}
    for maps in ("keep", "recompute"):
        changes = features(work_of(), maps=maps)
        linear = work_of(**changes)
        assert bare(rounds.train(linear, run_of(linear, "full"), 0)) == without | {"context": INDEX}
        mlp = work_of(**changes, head={"kind": "mlp"})
        read = {"maps": INDEX} if maps == "keep" else {"backbone": "c/backbones/ddpm.json"}
        assert bare(rounds.train(mlp, run_of(mlp, "full"), 0)) == without | read


def test_each_kind_of_head_has_rounds_of_its_own(work_of):
    of_all = work_of()
    assert of_all.steps_with("linear") == of_all.steps() and of_all.steps_with("mlp") == []
    work = work_of(methods={"edald": None, "old": {"score": "edald", "head": {"kind": "mlp"}}})
    edald, old = work.study.runs()
    assert work.steps_with("linear") == [edald.step(0), edald.step(1)]
    assert work.steps_with("mlp") == [old.step(0), old.step(1)]
    lacking = work_of(methods=work.study.content()["methods"], pending={old: range(1, 2)})
    assert lacking.steps_with("linear") == [] and lacking.steps_with("mlp") == [old.step(1)] == lacking.steps()


def test_what_other_settings_finished_must_be_newer_than_its_mark(work_of):
    work = work_of()
    run = run_of(work, "random")
    marked = work_of(again={run: 1})
    assert "mark" not in bare(rounds.score(marked, run, 0))
    (mark,) = {
        bare(rounds.score(marked, run, 1))["mark"],
        bare(rounds.train(marked, run, 1))["mark"],
        bare(results.evaluate(marked, run))["mark"],
    }
    assert mark.endswith("r/runs/demo/ddpm/random/budget-3/seed-0/run.json")
    assert "mark" not in bare(results.evaluate(work, run))


def test_evaluation_reads_stored_maps_or_passes_of_the_network(work_of):
    work = work_of()
    run = run_of(work, "edald")
    read = bare(results.evaluate(work, run))
    assert read["heads"] == [f"{ROUND.format('edald', number)}/head.safetensors" for number in range(2)]
    assert read["test_maps"] == "c/features/demo/ddpm/test/index.json" and read["train_maps"] == INDEX
    assert read["pictures"] == "c/features/demo/ddpm/pictures/manifest.json"
    assert not {"passes", "stopping_0"} & read.keys() and work.confusions(run) == []
    again = work_of(**features(work, maps="recompute"))
    read = bare(results.evaluate(again, run))
    assert read["passes"].startswith("c/passes/demo/ddpm/") and read["test_backbone"] == "c/backbones/ddpm.json"
    assert bare(again.confusions(run)) == ["c/confusions/demo/ddpm/00000-00002.npz"]
    fewer = work_of(**features(work, maps="recompute"), pending={run: range(2)})
    assert results.passes(fewer, run) != results.passes(again, run), "other runs share another pass"


def test_runs_whose_maps_are_not_kept_share_a_pass_over_the_test_images(work_of):
    work = work_of(**features(work_of(), maps="recompute"))
    edald, random = (run_of(work, name) for name in ("edald", "random"))
    together = results.evaluated_together(work, "demo", "ddpm")
    assert {edald, random} <= set(together)
    waiting = work_of(**features(work, maps="recompute"), waiting={edald: 1})
    assert edald not in results.evaluated_together(waiting, "demo", "ddpm")
    heads = results.heads_evaluated_together(work, "demo", "ddpm")
    assert [head for head in heads if "/random/" in head] == results.heads(work, random)
    group = results.passes(work, edald).split("/")[-2]
    shards = results.shards_of_passes(work, "demo", "ddpm", group)
    assert bare(shards) == [f"c/passes/demo/ddpm/{group}/00000-00002.npz"]
    read = bare(results.test_pass(work, "demo", "ddpm", group))
    assert read == {
        "dataset": DATASET,
        "backbone": "c/backbones/ddpm.json",
        "heads": shards[0].rpartition("/")[0] + "/heads.json",
    }
    assert results.made_of(work, edald) == work.addresses.run(edald) != results.made_of(work, random)


def test_predictions_are_compared_with_labels_in_the_size_of_their_files(work_of, tmp_path):
    dataset = {"kind": "camvid", "root": str(tmp_path), "size": [32, 32], "evaluate_at": "original"}
    own = {"datasets": {"demo": dataset}}
    kept, anew = work_of(**own), work_of(**own, **features(work_of(), maps="recompute"))
    labels = "c/original_labels/demo/manifest.json"
    assert bare(results.evaluate(kept, run_of(kept, "random")))["original_labels"] == labels
    assert "original_labels" not in results.evaluate(anew, run_of(anew, "random"))
    assert bare(results.test_pass(anew, "demo", "ddpm", "0" * 12))["original_labels"] == labels


def test_what_a_study_uses_of_its_cache_is_more_than_what_is_pending(work_of):
    work = work_of(pending={})
    used, addresses = work.used()
    assert work.stores() == {} and {*work_of().stores().values()} <= set(used)
    assert {"c/lock", "c/digests.json", "c/originals/demo.json"} <= set(used)
    assert sorted(addresses) == sorted(work.addresses.run(run) for run in work.study.runs())
    again = work_of(pending={}, **features(work, maps="recompute"))
    assert {*again.confusions(work.study.runs()[0])} <= set(again.used()[0])


def test_a_study_that_trains_its_backbone_reads_it_from_the_cache(work_of):
    pretraining = {"small": {"dataset": "demo", "size": [32, 32], "steps": 3, "channels": [16, 32], "groups": 8}}
    pretraining["small"] |= {"attention": [1], "head_dim": 16, "warmup_steps": 1}
    trained = features(work_of(), backbone={"pretrain": "small"})
    work = work_of(pretraining=pretraining, **trained)
    assert bare(shared.pretraining(work, "small")) == DATASET
    assert bare(shared.backbone(work, "ddpm")) == "c/pretrained/small/manifest.json"
    assert bare(shared.every_pretrained(work)) == ["c/pretrained/small/manifest.json"]
    assert shared.backbone(work_of(), "ddpm") == []


def test_maps_under_noise_draws_that_are_kept_are_read(work_of):
    work = work_of(**features(work_of(), draw_maps="keep"))
    assert shared.kept_draws(work, "demo", "ddpm") == 2 and shared.listed_draws(work, "demo", "ddpm", "0") == 2
    kept = [f"c/draw_maps/demo/ddpm/{shard}/manifest.json" for shard in ("00000-00003", "00004-00005")]
    assert bare(shared.perturb(work, "demo", "ddpm", "0", "00004-00005"))["draw_maps"] == kept[1]
    assert set(kept) <= set(bare(shared.every_index(work)))
    recomputed = work_of(**features(work, maps="recompute"))
    assert INDEX in bare(shared.every_index(recomputed)), "context pixels"
    single = work_of(methods={"edald": {"stages": 1}}, **features(work, draw_maps="keep"))
    ranked = bare(rounds.rank(single, run_of(single, "edald"), 1, "00000-00003"))
    assert ranked["draw_maps"] == kept[0] and "backbone" not in ranked


def test_without_test_images_nothing_is_looked_at_besides_training_images(work_of):
    work = work_of(images={"demo": {"train": 6, "test": 0}})
    read = bare(results.evaluate(work, run_of(work, "random")))
    assert "train_maps" in read and "test_maps" not in read


@pytest.mark.parametrize(
    ("oracle", "method", "every_round", "later_rounds"),
    [
        ("masks", "edald", QUESTIONS, []),
        ("masks", "ebald", QUESTIONS, SAMPLED),
        ("masks", "ebald_mlp", QUESTIONS, SAMPLED),
        ("masks", "full", [], []),
        ("csv", "edald", ANSWERS, []),
        ("csv", "ebald", ANSWERS, SAMPLED),
    ],
)
def test_an_evaluation_asks_for_all_that_its_seal_speaks_of(work_of, oracle, method, every_round, later_rounds):
    """Else what was deleted since, as a line said to, would be missing in the seal."""
    work = work_of(oracle=oracle, methods={method: METHODS.get(method)})
    run = run_of(work, method)
    names = ["training.csv", "training.json", *every_round]
    rounds_of = range(work.study.rounds_of(method))
    expected = {f"{step_of(run, number)}/{name}" for number in rounds_of for name in names}
    expected |= {f"{step_of(run, number)}/{name}" for number in rounds_of[1:] for name in later_rounds}
    assert {*bare(results.evaluate(work, run))["sealed"]} == expected


def step_of(run, number):
    return f"r/runs/{run.step(number)}"


def test_a_person_is_asked_by_pages_and_answers_by_files(work_of):
    work = work_of(oracle="csv", methods={"edald": None})
    run = run_of(work, "edald")
    waiting = work_of(oracle="csv", methods={"edald": None}, waiting={run: 1})
    page = "r/annotation/demo/ddpm/edald/budget-3/seed-0/round-1/page.html"
    assert bare(results.every_page(waiting)) == [page, "c/draws/demo/ddpm/seed-0/index.json"]
    assert results.every_seal(waiting) == [] and list(results.of_finished_runs(waiting, "report")) == []
    read = bare(rounds.annotate(work, run, 1))
    assert read["head"].endswith("round-0/head.safetensors") and read["maps"] == INDEX
    assert read["stopping"] == [f"{ROUND.format('edald', 0)}/stopping.csv"]
    assert "head" not in bare(rounds.annotate(work, run, 0))
    assert bare(rounds.answer(work, run, 1))["answers"] == page.replace("page.html", "labels.csv")
    assert bare(rounds.stopping(work, run, 1))["before"].endswith("round-0/head.safetensors")
    assert work.unasked() == work.steps()


def test_what_is_shared_is_asked_for_once(work_of):
    work = work_of()
    wanted = bare(shared.every_index(work))
    assert wanted == sorted(set(wanted)) and {INDEX, UNION, "c/draws/demo/ddpm/seed-0/index.json"} <= set(wanted)
    assert bare(shared.every_index(work_of(pending={}))) == []
    lists = bare(work.lists("demo", "ddpm", "0"))
    assert lists == [f"c/lists/demo/ddpm/seed-0/{shard}/manifest.json" for shard in ("00000-00003", "00004-00005")]
    assert bare(shared.herd(work, "demo", "ddpm", "00000-00003")).keys() == {"dataset", "maps"}
    again = work_of(**features(work, maps="recompute"))
    assert bare(shared.herd(again, "demo", "ddpm", "00000-00003")).keys() == {"dataset", "backbone"}
    assert bare(shared.perturb(work, "demo", "ddpm", "0", "00000-00003")).keys() == {"dataset", "lists", "backbone"}


@pytest.fixture
def joining(work_of):
    """Work on joined features alone, whose parts no method uses."""

    def make(**changes):
        ddpm = work_of().study.content()["features"]["ddpm"]
        filters = {"backbone": {"filters": [1.0]}, "draws": 2}
        both = {"backbone": ["ddpm", "filters"], "draws": 2, **changes}
        named = {"ddpm": {**ddpm, "datasets": ["other"]}, "filters": {**filters, "datasets": ["other"]}, "both": both}
        datasets = work_of().study.content()["datasets"]
        more = {"both": {**both, "datasets": ["demo"]}}
        return work_of(
            datasets={**datasets, "other": datasets["demo"]},
            features=named | more,
            methods={"edald": None},
            images={**IMAGES, "other": IMAGES["demo"]},
        )

    return make


def test_joined_backbones_read_their_parts_which_belong_to_the_stores(joining):
    work = joining()
    names = ["c/backbones/both.json", "c/backbones/ddpm.json", "c/backbones/filters.json"]
    read = bare(shared.extract(work, "demo", "both"))
    assert read["backbone"] == names[0] and read["parts"] == names[1:]
    assert bare(shared.backbone(work, "both")) == names[1:]
    runs = [run for run in work.pending if run.features == "both"]
    alone = Work(work.study, {run: range(2) for run in runs}, {}, work.originals, {}, "source of {}".format, dict)
    assert set(names) <= set(bare(alone.stores().values())), "else `clean` would remove the parts"


def test_whether_maps_are_kept_is_no_matter_to_joined_features(joining):
    found = []
    for maps in ("keep", "recompute"):
        study = joining(maps=maps).study
        run = next(run for run in study.runs() if run.features == "both")
        found.append((stages.result(study, run), stages.identity(study, run)))
    assert found[0] == found[1]


def test_the_head_that_predicts(work_of, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    work = work_of(predict={"images": "photos"})
    run = work.study.runs()[0]
    assert results.predicting(work) == (run, 1) and results.mistake(work) is None
    assert bare(results.predict(work)) == {
        "head": f"{ROUND.format('edald', 1)}/head.safetensors",
        "backbone": "c/backbones/ddpm.json",
    }
    waiting = work_of(predict={"images": "photos"}, waiting={run: 1})
    assert results.predicting(waiting) == (run, 0), "the last head that there is"
    for changes, message in (
        ({"predict": {}}, "predict.images: name the folder"),
        ({"predict": {"images": "photos", "round": 7}}, "has 2 heads so far, and none of round 7"),
        ({"predict": {"images": "photos"}, "pending": {}}, "is gone; to make the finished run again delete r/runs"),
        ({"predict": {"images": "photos", "run": "demo/ddpm/edal"}}, "this study has no run"),
    ):
        work = work_of(**changes)
        assert (
            message in results.mistake(work) and bare(results.predict(work)) == results.prediction_settings(work) == {}
        )
        with pytest.raises(UserError):
            results.predicting(work)


def test_sealed_rounds_have_no_rule_but_are_learned_from(work_of):
    run = Run("demo", "ddpm", "edald", "3", 0)
    work = work_of(pending={run: range(1, 2)})
    assert work.steps() == [run.step(1)] and work.answered() == [run.step(0), run.step(1)]


def test_a_pattern_of_paths_matches_these_alone():
    paths = ["a/b/round-1", "a/b/round-10", "a/c.d/round-1", "e"]
    pattern = re.compile(one_of(paths))
    others = ["a", "a/b", "a/b/round-2", "a/cxd/round-1", "e/f", "", "a/b/round-1/x"]
    assert [path for path in paths + others if pattern.fullmatch(path)] == paths
    assert not re.compile(one_of([])).match("")


def test_paths_are_spelt_by_one_module_alone():
    package = Path(results.__file__).parents[2]
    names = (
        "queries.csv",
        "labels.csv",
        "run.json",
        "metrics.csv",
        "expected.csv",
        "head.safetensors",
        "thumbnails.npz",
        "stopping.csv",
    )
    spelt = re.compile(rf"[\"/]({'|'.join(map(re.escape, names))})\"")
    found = {path.relative_to(package).as_posix() for path in package.rglob("*.py") if spelt.search(path.read_text())}
    assert found == {"study/paths.py"}


def test_runs_that_wait_for_a_person_share_no_pass(work_of):
    changes = features(work_of(), maps="recompute") | {"oracle": "csv", "methods": {"edald": None, "full": None}}
    work = work_of(**changes)
    edald, full = (run_of(work, method) for method in ("edald", "full"))
    both = results.heads_evaluated_together(work, "demo", "ddpm")
    assert both == [*results.heads(work, edald), *results.heads(work, full)]
    waits = work_of(waiting={edald: 1}, **changes)
    assert results.heads_evaluated_together(waits, "demo", "ddpm") == results.heads(waits, full)
    assert results.passes(waits, full) != results.passes(work, full)


def test_answers_are_compared_with_what_heads_expected(work_of):
    work = work_of(oracle="csv", methods={"edald": None, "random": None})
    assert {"context", "union"} <= results.evaluate(work, run_of(work, "edald")).keys()
    assert "context" in results.evaluate(work, run_of(work, "random"))
    masks = work_of()
    assert {"context", "union"} <= results.evaluate(masks, run_of(masks, "edald")).keys()
    assert not {"context", "union"} & results.evaluate(masks, run_of(masks, "full")).keys(), "nobody answered it"


def along(work, files):
    return bare(Travel(work).along(files))


def test_from_a_storage_comes_what_lies_beside_manifests(work_of):
    work = work_of()
    run = run_of(work, "edald")
    found = along(work, rounds.score(work, run, 0))
    assert "c/datasets/demo/data" in found and "c/lists/demo/ddpm/seed-0/union-4/vectors.npy" in found
    assert not [path for path in found if path.endswith("manifest.json")], "they are named by the rule"


def test_from_a_storage_come_the_shards_that_an_index_names_and_all_of_each(work_of):
    work = work_of()
    index = work.maps_index("demo", "ddpm", "train")
    (shard, data), *others = [(path, str(Path(path).with_name("data"))) for path in work.maps("demo", "ddpm", "train")]
    found = Travel(work).along({"context": index})
    assert {shard, data} <= set(found) and len(found) == 2 * (1 + len(others))


def test_from_a_storage_come_the_network_and_what_it_was_trained_to(work_of):
    work = work_of()
    assert along(work, work.network("ddpm")) == ["c/backbones/ddpm"]


def test_from_a_storage_tables_get_what_runs_leave_and_no_heads(work_of):
    work = work_of()
    found = along(work, {"seals": results.every_seal(work)})
    run = "r/runs/demo/ddpm/edald/budget-3/seed-0"
    assert {
        f"{run}/{name}" for name in ("metrics.csv", "thumbnails.npz", "round-0/labels.csv", "round-1/queries.csv")
    } <= set(found)
    assert not [path for path in found if path.endswith("head.safetensors")]


def test_of_finished_runs_comes_what_there_is(work_of):
    work = replace(work_of(pending={}), is_there=lambda path: path.endswith("metrics.csv"))
    assert {Path(path).name for path in along(work, {"seals": results.every_seal(work)})} == {"metrics.csv"}


def test_an_evaluation_that_goes_on_gets_what_earlier_rounds_left(work_of):
    whole = work_of()
    work = work_of(pending={run: range(1, 2) for run in whole.study.runs()})
    run = run_of(work, "edald")
    files = results.evaluate(work, run)
    left = {path for path in along(work, files) if "/round-0/" in path}
    assert left == {path for path in bare(results.left_by(work, run, [0]))}
