"""The plan against the formula of forwards, and against what the stages really write."""

import copy

import pytest
import torch
from PIL import Image

from pixelherd.datasets.originals import Digests
from pixelherd.datasets.prepare import classes_of, prepare
from pixelherd.errors import UserError
from pixelherd.heads.network import Head, LinearHead, MlpHead, SampledHead
from pixelherd.study import plan
from pixelherd.study.checks import budgets_fit
from pixelherd.study.plan import by_stage, items, page, readable
from pixelherd.study.stages import backbone, backbone_request, pretraining
from pixelherd.study.study import Study

IMAGES = {"demo": {"train": 6, "test": 3}}
T, M = 2, 2


@pytest.fixture
def content(settings):
    return copy.deepcopy(settings)


def stages(content, images=IMAGES):
    return by_stage(items(Study.read(content), images))


def forwards(content, images=IMAGES):
    return sum(item.forwards for item in stages(content, images).values())


def of_all(content):
    """The page before anything has run."""
    study = Study.read(content)
    return page(study, IMAGES, study.runs())


def test_a_budget_beyond_what_the_images_offer_is_found_before_anything_runs(content):
    def check(**change):
        study = Study.read(content | change)
        budgets_fit(study, study.runs(), IMAGES)

    # lists of 4 + 3 pixels, of which a pool keeps half of the first 4; 6 images, 2 rounds, 20 context pixels
    check(budgets=[12])
    with pytest.raises(UserError, match=r"a round asks edald for 13 pixels, but the images of demo offer it 12;.*pool"):
        check(budgets=[13])
    with pytest.raises(UserError, match=r"all rounds together ask edald for 44 pixels, .* 42; .*`candidates.reserve`"):
        check(budgets=[4], rounds=11)
    random = {"methods": {"random": None}}
    check(**random, budgets=[60])
    with pytest.raises(UserError, match=r"ask random for 122 pixels, .* offer it 120; .*`features.ddpm.context`"):
        check(**random, budgets=[61])
    check(methods={"full": None}, budgets=[100_000])


@pytest.mark.parametrize("score", ["edald", "coverage", "uherding", "k_center", "typiclust", "badge", "tcm"])
def test_a_round_takes_no_more_than_the_lists_offer(content, score):
    def check(budget, **change):
        study = Study.read(content | {"methods": {score: None}, "rounds": 1, "budgets": [budget]} | change)
        budgets_fit(study, study.runs(), IMAGES)

    check(24)
    with pytest.raises(UserError, match=rf"a round asks {score} for 25 pixels, .* 24; .* raise `candidates.listed`$"):
        check(25)
    few = {"candidates": {"pixels": 3, "listed": 4, "reserve": 3}}
    check(18, candidates=few["candidates"])
    with pytest.raises(UserError, match=rf"a round asks {score} for 19 pixels, .* 18; .* raise `candidates.pixels`$"):
        check(19, **few)
    five = {"candidates": {"pixels": 5, "listed": 4, "reserve": 3}, "rounds": 16}
    with pytest.raises(UserError, match=rf"all rounds together ask {score} for 32 .* 30; .* raise `candidates.pixels`"):
        check(2, **five)
    check(2, **five | {"rounds": 15})
    everywhere = {"candidates": {"pixels": "all", "listed": 4, "reserve": 10**6}, "rounds": 1025}
    with pytest.raises(UserError, match=r"for 6,150 .* offer it 6,144; .* raise `datasets.demo.size`"):
        check(6, **everywhere)


def test_a_pool_is_limited_by_the_candidates_of_an_image(content):
    def check(budget, **method):
        candidates = {"pixels": 2, "listed": 4, "reserve": 3}
        changes = {"methods": {"edald": method}, "budgets": [budget], "candidates": candidates}
        study = Study.read(content | changes)
        budgets_fit(study, study.runs(), IMAGES)

    check(6)
    mend = "`candidates.pixels` or `methods.edald.pool_fraction`"
    with pytest.raises(UserError, match=f"a round asks edald for 7 pixels, .* 6; .* raise {mend}$"):
        check(7)
    check(1, pool_fraction=0.01)  # a pool is never empty


@pytest.mark.parametrize("seeds", [[0], [0, 1, 2]])
@pytest.mark.parametrize("per_seed", [True, False])
@pytest.mark.parametrize("more", [{}, {"budgets": [3, 4, 5], "rounds": 9}, {"images_per_job": 1}])
def test_forwards_of_two_stage_methods(content, seeds, per_seed, more):
    content |= {"methods": {"power_dald": None}, "seeds": seeds, "pictures": 0, **more}  # random with shared lists too
    content["candidates"]["per_seed"] = per_seed
    train, test = 100, 30
    draws = len(seeds) if per_seed else 1
    expected = train * (T + T * M * draws) + T * test
    assert forwards(content, {"demo": {"train": train, "test": test}}) == expected


def test_pictures_are_drawn_once(content):
    found = stages(content | {"seeds": [0, 1]})
    assert (found["picture"].jobs, found["picture"].forwards) == (1, 2 * T * M)
    assert "picture" not in stages(content | {"pictures": 0})
    assert stages(content | {"pictures": 99})["picture"].forwards == 6 * T * M


@pytest.mark.parametrize("draw_maps", ["keep", "recompute"])
def test_one_round_needs_no_noise_draws_but_for_its_pictures(content, draw_maps):
    content["methods"] = {"edald": None, "single": {"score": "dald", "stages": 1}}
    content["features"]["ddpm"]["draw_maps"] = draw_maps
    found = stages(content | {"rounds": 1})
    assert not {"perturb", "index_draws", "extract_draws", "rank", "pool"} & set(found)
    assert found["picture"].forwards == 2 * T * M and forwards(content | {"rounds": 1}) == T * 9 + 2 * T * M
    assert "in every round" not in of_all(content | {"rounds": 1})
    assert {"perturb", "index_draws"} <= set(stages(content))


def test_what_no_method_needs_is_not_planned(content):
    content["methods"] = {"margin": None, "coverage": None}
    assert not {"perturb", "index_draws", "picture"} & set(stages(content))
    assert forwards(content) == T * 9
    content["methods"] = {"random": None, "full": None}
    assert not {"herd", "gather", "pool"} & set(stages(content))


def test_recomputed_maps_store_nothing_and_cost_forwards(content):
    content |= {"seeds": [0, 1]}
    content["methods"].pop("full")
    content["features"]["ddpm"]["maps"] = "recompute"
    found = stages(content)
    runs = 8
    assert found["extract"].forwards == T * 6 and found["herd"].forwards == T * 6 * 2
    assert found["test_pass"].forwards == T * 3  # the test images, once for all runs
    assert found["evaluate"].forwards == runs * T * (4 + 2)  # the pictures of both splits
    assert found["fit"].forwards == stages(content | {"head": {"kind": "mlp"}})["train"].forwards == 0
    assert found["extract"].bytes == 6 * 20 * (48 * 2 + 4)


def test_training_on_recomputed_maps_has_an_upper_bound(content):
    content["features"]["ddpm"]["maps"] = "recompute"
    mlp = {"kind": "mlp", "epochs": 10}
    content |= {"methods": {"full": {"epochs": 4}}, "head": mlp}
    # the epochs, the statistics of two BatchNorms, and D
    assert stages(content)["train"].forwards == ((4 + 2) * 6 + 1) * T
    assert "extract" not in stages(content)  # every pixel is seen: no context is gathered
    content |= {"methods": {"random": None}, "head": mlp | {"context": "all"}}
    assert stages(content)["train"].forwards == 2 * ((10 + 2) * 6 + 1) * T
    assert stages(content)["extract"].forwards == 6 * T
    assert "forwards of `train` (it may stop early) are upper bounds" in of_all(content)
    content["methods"] = {"bald": None}
    found = stages(content)
    assert found["train_dropout"].forwards * 2 == found["train"].forwards > 0
    assert "forwards of `train_dropout` and `train` (it may stop early) are upper bounds" in of_all(content)


def test_a_linear_head_learns_gathered_pixels_alone(content):
    content["features"]["ddpm"]["maps"] = "recompute"
    content |= {"methods": {"full": None, "bald": None, "random": None}, "pictures": 0}
    found = stages(content)
    assert found["fit"].forwards == found["sample"].forwards == 0 and not {"train", "train_dropout"} & set(found)
    assert set(found["extract"].methods) == {"full", "bald", "random"} and found["extract"].forwards == 6 * T
    assert forwards(content) == T * 6 + T * 6 + T * 3, "context, lists, test images"
    assert "upper bound" not in of_all(content)


def test_each_kind_of_head_is_planned_for_its_methods(content):
    content["methods"] = {"edald": None, "margin": {"head": {"kind": "mlp"}}, "full": {"head": {"kind": "mlp"}}}
    found = stages(content)
    assert (found["fit"].jobs, found["fit"].methods) == (2, ("edald",))
    assert (found["train"].jobs, found["train"].methods) == (3, ("margin", "full"))


def test_jobs(content):
    found = stages(content | {"seeds": [0, 1], "budgets": [3, 4], "rounds": 5})
    shards = {"train": 2, "test": 1}
    assert found["prepare"].jobs == found["backbone"].jobs == 1
    assert found["extract"].jobs == sum(shards.values()) and found["index_features"].jobs == 2
    assert found["herd"].jobs == found["perturb"].jobs == 2 * shards["train"]
    assert found["gather"].jobs == found["index_draws"].jobs == 2
    runs = 4 * 2 * 2  # methods that ask × budgets × seeds
    assert found["pool"].jobs == 2 * 2 * 2 * 4
    assert found["score"].jobs == runs * 5 and "label" not in found
    assert found["fit"].jobs == runs * 5 + 2 and found["evaluate"].jobs == runs + 2
    assert "train" not in found
    mlp = stages(content | {"seeds": [0, 1], "budgets": [3, 4], "rounds": 5, "head": {"kind": "mlp"}})
    assert mlp["train"].jobs == found["fit"].jobs and "fit" not in mlp
    others = mlp.keys() - {"train"}
    assert others == found.keys() - {"fit"} and all(mlp[stage] == found[stage] for stage in others)


@pytest.mark.parametrize(
    ("kind", "sampled", "learnt", "heads"), [("mlp", "train_dropout", "train", 1), ("linear", "sample", "fit", 5)]
)
def test_a_head_is_sampled_for_every_round_that_it_ranks(content, kind, sampled, learnt, heads):
    content |= {"methods": {"bald": None, "uherding": None, "k_center": None}, "seeds": [0, 1], "rounds": 5}
    content["head"] = {"kind": kind}
    found = stages(content)
    assert found[sampled].jobs == 2 * 4 and found["pool"].jobs == 2 * 4 and found[learnt].jobs == 6 * 5
    assert found[sampled].bytes * 30 == found[learnt].bytes * 8 * heads
    assert not {"perturb", "picture"} & set(found) and forwards(content) == T * 9
    content["methods"]["bald"] = {"samples": 9}
    assert stages(content)[sampled].bytes == found[sampled].bytes * (9 / 5 if kind == "linear" else 1)


def test_bytes_of_heads_are_those_of_their_first_layers(content):
    content |= {"methods": {"bald": {"samples": 3}}, "rounds": 2}
    dim, classes = 48, len(classes_of(Study.read(content).datasets["demo"]))

    def stored(*heads: Head) -> int:
        return sum(head.first.weight.nbytes for head in heads)

    linear = stages(content)
    assert linear["fit"].bytes == 2 * stored(LinearHead(dim, classes))
    assert linear["sample"].bytes == stored(*SampledHead(dim, classes, 3).heads)
    mlp, head = stages(content | {"head": {"kind": "mlp"}}), MlpHead(dim, classes, generator=torch.Generator())
    assert mlp["train"].bytes == 2 * stored(head) and mlp["train_dropout"].bytes == stored(head)


def test_single_stage_methods_rank_every_image_in_every_round(content):
    content |= {"methods": {"margin": {"stages": 1}}, "seeds": [0, 1], "rounds": 5, "budgets": [3, 8]}
    found = stages(content)
    runs, shards = 4, 2
    assert found["rank"].jobs == runs * 4 * shards and found["vectors"].jobs == found["score"].jobs == runs * 5
    assert found["vectors"].bytes == 2 * 5 * (3 + 8) * 48 * 2
    assert "pool" not in found and forwards(content) == T * 9
    content["features"]["ddpm"]["maps"] = "recompute"
    found = stages(content)
    assert found["rank"].forwards == runs * 4 * 6 * T
    assert found["vectors"].forwards == 2 * 5 * T * (3 + 6), "an image at most once a round"
    assert "`vectors` are upper bounds" in of_all(content)


def test_single_stage_draws_are_dense_and_told(content):
    content |= {"methods": {"edald": {"stages": 1}}, "rounds": 5, "pictures": 0}
    found = stages(content)
    assert found["rank"].forwards == 4 * 6 * T * M and "perturb" not in found
    assert "edald: the network runs on every training image again in every round, for every seed and budget: 96 of" in (
        of_all(content)
    )
    content["features"]["ddpm"]["maps"] = "recompute"
    assert stages(content)["rank"].forwards == 4 * 6 * T * (M + 1)
    content["features"]["ddpm"]["draw_maps"] = "keep"
    found = stages(content)
    assert found["extract_draws"].forwards == 6 * T * M and found["rank"].forwards == 4 * 6 * T
    assert "in every round" not in of_all(content)
    assert "vectors" in stages(content)
    content["head"] = {"kind": "mlp"}
    assert "vectors" in stages(content)
    content["head"] = {"kind": "mlp", "context": "all"}
    assert "vectors" not in stages(content), "heads see every pixel anyway"


def test_stored_draws_serve_all_seeds_and_take_what_the_most_demanding_method_takes(content):
    content["features"]["ddpm"] |= {"draw_maps": "keep", "draws": 9, "context": 1}
    content["methods"] = {"edald": {"draws": 2}, "dald": {"draws": 4}, "margin": None}
    content |= {"seeds": [0, 1], "pictures": 0}
    found = stages(content)
    norms = 32 * 32 * 4
    native = (found["extract"].bytes - 6 * (48 * 2 + 4)) / 9 - norms
    assert found["extract_draws"].forwards == 6 * T * 4 and found["perturb"].forwards == 0
    assert found["extract_draws"].bytes == 6 * 4 * (native + norms)
    assert set(found["extract_draws"].methods) == {"edald", "dald"}
    content["methods"] = {"margin": None}
    assert "extract_draws" not in stages(content)


def test_a_single_stage_method_may_ask_for_any_pixel_but_opens_with_the_lists(content):
    content |= {"methods": {"margin": {"stages": 1}}, "rounds": 50}
    for budget, message in (
        (24, None),
        (25, r"the first round asks margin for 25 pixels, .* 24; .*`candidates.listed`"),
    ):
        study = Study.read(content | {"budgets": [budget]})
        if message is None:
            budgets_fit(study, study.runs(), IMAGES)
            continue
        with pytest.raises(UserError, match=message):
            budgets_fit(study, study.runs(), IMAGES)


def test_lists_of_other_settings_are_herded_and_drawn_too(content):
    content["methods"] = {
        "edald": {"draws": 2},
        "three": {"score": "edald", "draws": 3},
        "offer": {"score": "margin", "candidates": {"listed": 3, "reserve": 4}},
        "longer": {"score": "dald", "draws": 2, "candidates": {"reserve": 13}, "seeds": [0]},
    }
    content["features"]["ddpm"]["draws"] = 4
    content |= {"seeds": [0, 1], "pictures": 0}
    found, shards, vector = stages(content), 2, 48 * 2
    assert found["herd"].jobs == 3 * shards and found["gather"].jobs == 5 and found["index_draws"].jobs == 3
    assert found["herd"].bytes == 6 * (2 * 7 + 17) * (vector + 4)
    assert found["perturb"].forwards == 6 * T * (3 + 3 + 2)
    assert found["perturb"].bytes == 6 * (2 * 7 * 3 + 17 * 2) * vector
    assert found["fit"].jobs == 7 * 2


def test_bytes_are_those_of_the_stores(cache):
    found = by_stage(items(cache.study, IMAGES))

    def arrays(*folders):
        """Bytes of the arrays below some folders, without headers of files."""
        npy = [file for folder in folders for file in folder.rglob("*.npy")]
        chunks = [file for folder in folders for file in folder.rglob("*.zarr/*/c.*")]
        return sum(file.stat().st_size - 128 for file in npy) + sum(file.stat().st_size for file in chunks)

    assert found["extract"].bytes == arrays(cache.train.parent, cache.test.parent)
    assert found["herd"].bytes == arrays(*cache.lists)
    assert found["perturb"].bytes == arrays(cache.draws.parent)
    assert found["gather"].bytes == arrays(cache.union)


def test_context_is_never_more_than_the_pixels(content):
    content["features"]["ddpm"] |= {"context": 10**6, "maps": "recompute"}
    assert stages(content)["extract"].bytes == 6 * 1024 * (48 * 2 + 4)


def test_a_backbone_that_is_not_trained_yet(content):
    content["pretraining"] = {
        "mine": {"dataset": "demo", "size": [32, 32], "steps": 1, "channels": [8, 16], "groups": 4, "head_dim": 8}
        | {"attention": []}
    }
    expected = stages(content)
    content["features"]["ddpm"]["backbone"] = {"pretrain": "mine"}
    assert stages(content) == expected  # the same channels and levels


def test_datasets_without_runs_are_left_out(content):
    expected = stages(content)
    content["datasets"]["other"] = {"kind": "demo"}
    content["features"]["ddpm"]["datasets"] = ["demo"]
    assert stages(content) == expected


def test_datasets_add_up(content):
    one = stages(content)
    content["datasets"]["other"] = content["datasets"]["demo"] | {"seed": 1}
    both = stages(content, IMAGES | {"other": IMAGES["demo"]})
    assert all(item.jobs == (1 if stage == "backbone" else 2 * one[stage].jobs) for stage, item in both.items())
    assert all(item.forwards == 2 * one[stage].forwards for stage, item in both.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"budgets": [0.01]}, "0.01 of 6 training images is no pixel"),
        ({"features": {"ddpm": {"backbone": "absent", "blocks": [1]}}}, "no backbone folder absent"),
    ],
)
@pytest.mark.hostile("settings and paths")
def test_mistakes_that_only_a_plan_sees(content, change, message):
    with pytest.raises(UserError, match=message):
        stages(content | change)


def test_blocks_that_the_network_does_not_have(content):
    content["features"]["ddpm"]["blocks"] = [0, 4]
    with pytest.raises(UserError, match="no block 4; choose from 0 to 3"):
        stages(content)


def test_images_are_counted_without_raw_data(content, tmp_path):
    classes = [{"name": "a"}, {"name": "b"}]
    lists = {"train_list": "a.txt", "test_list": "b.txt", "classes": classes}
    content["datasets"] |= {
        "camvid": {"kind": "camvid", "root": "absent"},
        "bedrooms": {"kind": "ade_bed", "root": "absent", "images": {"train": 7, "test": 5}},
        "mine": {"kind": "folder", "root": "absent", **lists},
        "rooms": {"kind": "ade_bed", "root": "absent"},
    }
    study = Study.read(content | {"cache": str(tmp_path)})
    assert plan.images_of(study, ["demo"]) == IMAGES
    published = {"camvid": {"train": 367, "test": 233}, "bedrooms": {"train": 7, "test": 5}}
    assert plan.images_of(study, list(published)) == published
    for name in ("mine", "rooms"):
        with pytest.raises(UserError, match="absent does not exist"):
            plan.images_of(study, [name])


def test_runs_need_masks_of_the_training_images(content, tmp_path):
    for path in ("train/a.png", "test/b.png", "masks/b.png"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        Image.new("L", (32, 32)).save(tmp_path / path)
    folders = {"train_images": "train", "test_images": "test", "test_masks": "masks"}
    content["datasets"]["mine"] = {"kind": "folder", "root": str(tmp_path), "size": [32, 32], **folders}
    content["datasets"]["mine"]["classes"] = [{"name": "a"}, {"name": "b"}]
    study = Study.read(content | {"cache": str(tmp_path / "cache")})
    with pytest.raises(UserError, match=r"datasets\.mine: the training images have no masks.*give `train_masks`"):
        plan.images_of(study, ["mine"])
    prepare(study.datasets["mine"], tmp_path / "cache" / "datasets" / "mine", progress=False)
    with pytest.raises(UserError, match="have no masks"):
        plan.images_of(study, ["mine"])
    assert plan.images_of(Study.read({**content, "oracle": "csv", "methods": {"edald": None}}), ["mine"]) == {
        "mine": {"train": 1, "test": 1}
    }
    with_reference = {**content, "oracle": "csv", "methods": {"full": None}}
    with pytest.raises(UserError, match="leave out the method `full`"):
        plan.images_of(Study.read(with_reference), ["mine"])
    content["features"]["ddpm"]["datasets"] = ["demo"]  # a backbone may still be trained on them
    study = Study.read(content | {"cache": str(tmp_path / "cache")})
    assert plan.images_of(study, ["mine"]) == {"mine": {"train": 1, "test": 1}}


def test_original_labels_are_a_job(content):
    content["datasets"]["demo"] = {"kind": "camvid", "root": "absent", "size": [32, 32]}
    assert "original_labels" not in stages(content)
    content["datasets"]["demo"]["evaluate_at"] = "original"
    assert stages(content)["original_labels"].jobs == 1


def test_the_page_shows_stages_methods_and_the_sum(content):
    study = Study.read(content)
    text = page(study, IMAGES, study.runs())
    assert (
        text.startswith("5 runs, 0 of them sealed") and "remain" not in text and "demo: 6 train, 3 test images" in text
    )
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("|")}
    for stage, item in stages(content).items():
        cells = [cell.strip() for cell in rows[stage].split("|")[2:5]]
        assert cells == [f"{item.jobs:,}", f"{item.forwards:,}", readable(item.bytes)], stage
    assert rows["total"].split("|")[3].strip() == f"{forwards(content):,}"
    assert int(rows["edald"].split("|")[4]) == T * 9 + T * M * 6 + T * M * 2
    assert int(rows["coverage"].split("|")[4]) == T * 9


def test_the_page_tells_what_remains_of_a_study(content):
    study = Study.read(content | {"seeds": [0, 1]})
    pending = [run for run in study.runs() if run.seed == 1 and run.method in ("margin", "full")]
    text = page(study, IMAGES, pending)
    assert text.startswith("10 runs, 8 of them sealed; demo") and "The whole study, as if nothing of it were" in text
    alone = items(Study.read(content | {"seeds": [1], "methods": {"margin": None, "full": None}}), IMAGES)
    jobs, size = sum(item.jobs for item in alone), readable(sum(item.bytes for item in alone))
    assert f"What remains, 2 runs, needs at most {jobs} jobs, {T * 9} forwards and {size}: less by what" in text
    assert of_all(content | {"seeds": [0, 1]}).splitlines()[2:] == text.splitlines()[6:], "tables of the whole study"


@pytest.mark.parametrize("draw_maps", ["keep", "recompute"])
def test_what_runs_need_is_what_a_study_of_them_alone_needs(content, draw_maps):
    content["features"]["ddpm"] |= {"draw_maps": draw_maps, "datasets": ["demo"]}
    content["methods"]["three"] = {"score": "margin", "candidates": {"listed": 3}, "seeds": [1]}
    study = Study.read(content | {"seeds": [0, 1]})
    for methods, seeds in ((["three"], [1]), (["edald"], [0, 1]), (["edald", "random"], [1]), (["full"], [0])):
        runs = [run for run in study.runs() if run.method in methods and run.seed in seeds]
        alone = Study.read(content | {"seeds": seeds, "methods": {name: content["methods"][name] for name in methods}})
        assert by_stage(items(study, IMAGES, runs)) == by_stage(items(alone, IMAGES)) | {
            "backbone": by_stage(items(study, IMAGES, runs))["backbone"]
        }


def test_a_finished_study_is_told_without_its_data_and_backbone(content, tmp_path):
    content["features"]["ddpm"]["backbone"] = str(tmp_path / "absent")
    finished = Study.read(content)
    text = plan.overview(finished, [])
    assert text.startswith("5 runs, 5 of them sealed: nothing remains to be done") and "no backbone folder" in text
    content["datasets"]["demo"] = {"kind": "folder", "root": str(tmp_path / "gone"), "train_images": "."} | {
        "classes": [{"name": "a"}, {"name": "b"}]
    }
    gone = Study.read(content | {"cache": str(tmp_path)})
    assert "nothing remains to be done" in plan.overview(gone, [])
    with pytest.raises(UserError, match="no backbone folder"):
        plan.overview(finished, finished.runs()[:1])


def test_the_page_shows_each_dataset_where_there_are_several(content):
    assert "Each dataset alone" not in of_all(content)
    alone = forwards(content)
    content["datasets"]["other"] = content["datasets"]["demo"] | {"seed": 1}
    text = page(Study.read(content), IMAGES | {"other": {"train": 12, "test": 6}}, Study.read(content).runs())
    rows = {line.split("|")[1].strip(): line.split("|") for line in text.splitlines() if line.startswith("|")}
    assert int(rows["demo"][4]) == alone and rows["demo"][2].strip() == "5"
    content["datasets"] = {"other": content["datasets"]["other"]}
    assert int(rows["other"][4]) == forwards(content, {"other": {"train": 12, "test": 6}})


def test_numbers_of_bytes_are_readable():
    sizes = (0, 999, 1000, 26_500, 1_260_000, 5 * 10**9, 3 * 10**15)
    assert [readable(size) for size in sizes] == ["0 B", "999 B", "1 kB", "26 kB", "1.3 MB", "5.0 GB", "3000.0 TB"]


@pytest.mark.parametrize("maps", ["keep", "recompute"])
def test_a_person_needs_pages(content, maps):
    content["methods"] = {"edald": None, "coverage": None}
    by_masks = forwards(content)
    assert not {"annotate", "stopping"} & stages(content).keys()
    content["features"]["ddpm"]["maps"] = maps
    recomputed = forwards(content) if maps == "recompute" else by_masks
    content["oracle"] = "csv"
    found = stages(content)
    assert found["annotate"].jobs == found["stopping"].jobs == 2 * 2
    pages = 2 * 3 * T if maps == "recompute" else 0  # of two methods' second round, three images at most
    assert forwards(content) == recomputed + pages and found["annotate"].forwards == pages


def test_without_test_images_nothing_is_evaluated_on_them(content):
    content["features"]["ddpm"]["maps"] = "recompute"
    images = {"demo": {"train": 6, "test": 0}}
    assert "test_pass" in stages(content) and "test_pass" not in stages(content, images)
    content["features"]["ddpm"]["maps"] = "keep"
    assert stages(content, images)["index_features"].jobs == 1


def test_images_that_changed_are_told_and_those_of_before_are_known(content, tmp_path):
    (tmp_path / "train").mkdir()
    Image.new("RGB", (32, 32)).save(tmp_path / "train" / "a.png")
    mine = {"kind": "folder", "root": str(tmp_path), "size": [32, 32], "train_images": "train"}
    mine["classes"] = [{"name": "a"}, {"name": "b"}]
    cache = str(tmp_path / "cache")
    study = Study.read(
        content | {"datasets": {"mine": mine}, "oracle": "csv", "cache": cache, "methods": {"edald": None}}
    )

    def look():
        lines = []
        looked = plan.Looked(study, Digests(tmp_path / "digests.json"), lines.append)
        found = looked["mine"]
        looked.remember()
        return lines, found, looked.superseded

    lines, before, superseded = look()
    assert lines == [] and superseded == {}
    Image.new("RGB", (32, 32), "red").save(tmp_path / "train" / "a.png")
    lines, after, superseded = look()
    assert lines == ["dataset mine has changed: 1 train image replaced (a); what depends on that is made anew"]
    assert superseded == {"mine": before} and after != before
    assert look()[0] == []


def test_methods_that_train_a_backbone_say_of_what(content):
    trained = {"dataset": "demo", "size": [32, 32], "steps": 3, "channels": [16, 32], "groups": 8}
    trained |= {"attention": [1], "head_dim": 16, "warmup_steps": 1}
    content["features"]["ddpm"]["backbone"] = {"pretrain": "small"}
    study = Study.read(content | {"pretraining": {"small": trained}})
    assert pretraining(study, "small").steps == 3
    assert backbone_request(study, "ddpm") == backbone(study, "ddpm")
    checkpoint = {"checkpoint": "adm.pt", "architecture": "imagenet_256", "sha256": "f" * 64}
    content["features"]["ddpm"]["backbone"] = checkpoint
    asked = backbone_request(Study.read(content), "ddpm")
    assert asked["checkpoint"] == "adm.pt" and asked["sha256"] == "f" * 64
