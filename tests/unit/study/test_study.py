"""The configuration: what is accepted, what a mistake says, and which settings a run's results depend on."""

import copy
import json
import os
import re
import subprocess
import sys

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st
from pydantic import BaseModel

from pixelherd.errors import UserError
from pixelherd.heads.settings import LinearSettings, MlpSettings, TrainingSettings
from pixelherd.selection.methods import SCORES, SELECTIONS
from pixelherd.storage.files import hash_of
from pixelherd.study import plan, stages
from pixelherd.study.checks import no_key_twice
from pixelherd.study.run import Run
from pixelherd.study.study import Study, schema
from unit.places import REPOSITORY

MLP = {"kind": "mlp"}
STUDIES = [REPOSITORY / "config.yaml", *sorted((REPOSITORY / "studies").glob("*.yaml"))]


@pytest.fixture
def content(settings):
    return copy.deepcopy(settings)


# The files of the repository


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_study_is_valid(path):
    content = yaml.safe_load(path.read_text())
    study = Study.read(content)
    jsonschema.validate(content, schema(), jsonschema.Draft202012Validator)
    again = Study.read(json.loads(json.dumps(study.content())))
    assert again == study and again.content() == study.content() and again.runs() == study.runs()


AS_IN_0_1 = {
    "config": "770b7d362309f45f",
    "ablations": "0d908778e44aef7f",
    "camvid": "6ca6554f058b11e4",
    "own-images": "ae5d52645b906e6d",
    "paper": "0044e19ec74ebba0",
    "table1": "e60100c18e609b16",
    "table2": "ec4f645f4ebc7c7e",
}
"""What 0.1 sealed runs of these studies with, hashed: their paths and the settings of their results."""

SINCE_0_1 = {
    "ablations": {"edald_linear", "random_linear", *(f"edald_linear_weight_{each}" for each in ("0", "0_3", "3"))},
    "camvid": {"entropy"},
    "config": {"coverage"},
}
"""Methods that these studies did not have."""

FIVE, TEN = list(range(5)), list(range(10))

TABLES_OF_0_1 = {
    "table1": {
        "entropy_single": {},
        "entropy": {},
        "ebald_single": {"seeds": FIVE},
        "ebald": {},
        "edald_single": {},
        "edald": {"seeds": TEN},
        "bald_single": {"seeds": FIVE},
    },
    "table2": {
        "random": {"seeds": TEN},
        "margin_single": {"seeds": TEN},
        "entropy_single": {},
        "edald_single": {"score": "edald", "stages": 1},
        "edald": {"seeds": TEN},
    },
}
"""Methods that these studies began with, up to the last that has fewer seeds by now, or none; all others had five."""

HEADS_OF_0_1 = {
    "config": {
        "head": {"epochs": 5, "context": "kept"},
        "features": {"ddpm": {"backbone": "backbones/demo", "timesteps": [50, 150, 250], "blocks": [1, 3, 5, 7]}},
        "candidates": {"pixels": 1500, "reserve": 50},
        "seeds": [0, 1],
    },
    "camvid": {"methods": {"full": {"epochs": 15}}, "seeds": [0, 1, 2]},
    "own-images": {
        "head": {"epochs": 10},
        "features": {"ddpm": {"backbone": "backbones/demo", "blocks": [1, 3, 5, 7]}},
        "size": [96, 96],
    },
}
"""What studies that now have the linear head said of the paper's, and of what else is another by now."""


def shipped(name: str) -> dict:
    (path,) = (path for path in STUDIES if path.stem == name)
    return yaml.safe_load(path.read_text())


def results_of(study: Study, without: frozenset[str] | set[str] = frozenset()) -> list[list]:
    return [[run.path, stages.result(study, run)] for run in study.runs() if run.method not in without]


@pytest.mark.parametrize("name", sorted(AS_IN_0_1.keys() - HEADS_OF_0_1.keys()))
def test_runs_that_0_1_finished_stay_finished(name):
    content, since = shipped(name), SINCE_0_1.get(name, set())
    if of_0_1 := TABLES_OF_0_1.get(name, {}):
        methods = {method: entry or {} for method, entry in content["methods"].items()}
        both = {method: methods.get(method, {}) | of_0_1.get(method, {}) for method in of_0_1 | methods}
        both |= {method: {"epochs": 15} for method in methods if method == "full"}
        content |= {"seeds": FIVE, "methods": both}
    study = Study.read(content)
    assert since <= set(study.methods)
    found = hash_of(results_of(study, since))[:16]
    assert found == AS_IN_0_1[name], "users' runs would be made again; if they have to, say so in CHANGELOG.md"


@pytest.mark.parametrize("name", HEADS_OF_0_1)
def test_runs_that_0_1_finished_stay_finished_where_the_study_names_their_head(name):
    content, of_0_1 = shipped(name), HEADS_OF_0_1[name]
    content["features"] = of_0_1.get("features", content["features"])
    content["candidates"] = content["candidates"] | of_0_1.get("candidates", {})
    for dataset in content["datasets"].values():
        dataset["size"] = of_0_1.get("size", dataset["size"])
    head = {"kind": "mlp"} | of_0_1.get("head", {})
    changed = {"head": head, "methods": content["methods"] | of_0_1.get("methods", {})}
    changed |= {"seeds": of_0_1.get("seeds", content.get("seeds", [0]))}
    linear = results_of(Study.read(content | {"seeds": changed["seeds"]}), SINCE_0_1.get(name, set()))
    mlp = results_of(Study.read(content | changed), SINCE_0_1.get(name, set()))
    assert hash_of(mlp)[:16] == AS_IN_0_1[name], "users' runs would be made again, whatever their study says"
    both = dict(map(tuple, linear)), dict(map(tuple, mlp))
    shared = both[0].keys() & both[1].keys()
    assert shared and all(both[0][path] != both[1][path] for path in shared), "the linear head makes runs of its own"


def test_the_kind_of_the_papers_head_is_in_no_hash_and_that_of_others_is(content):
    """Seals are older than the kinds."""
    content |= {"methods": {"random": None, "linear": {"score": "random", "head": {"l2": 0.5}}}, "head": MLP}
    study = Study.read(content)
    mlp, linear = (stages.result(study, run)["training"] for run in study.runs())
    of_0_1 = {"hidden", "epochs", "batch_images", "learning_rate", "weight_decay", "period", "minimum_learning_rate"}
    assert mlp.keys() == of_0_1 | {"patience", "accuracy", "minimum_epochs", "context", "seed", "threads"}
    assert linear == {"kind": "linear", "l2": 0.5, "class_balance": "balanced", "seed": 0, "threads": 1}


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_study_tells_what_the_rules_of_its_results_ask(path):
    study = Study.read(yaml.safe_load(path.read_text()))
    settings = stages.statistics(study)
    assert (settings["reference"] is None) == (settings["features"] is None) == (study.runs() == [])


def test_the_schema_file_is_that_of_the_models():
    path, command = REPOSITORY / "config.schema.json", "python -m pixelherd.study.study > config.schema.json"
    assert path.read_text() == json.dumps(schema(), indent=1) + "\n", f"{path.name} is out of date, run: {command}"


def test_the_schema_is_printed():
    printed = subprocess.run(
        [sys.executable, "-m", "pixelherd.study.study"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(printed.stdout) == schema() and printed.stderr == ""


def test_every_setting_has_a_description():
    models = {"": schema(), **schema()["$defs"]}
    settings = [(name, key, value) for name, model in models.items() for key, value in model["properties"].items()]
    assert len(settings) > 60
    assert [f"{name}.{key}" for name, key, value in settings if not value.get("description")] == []


@pytest.mark.parametrize(
    "change",
    [
        {"budget": [1]},
        {"budgets": [0]},
        {"methods": {"edald": {"wieght": 1}}},
        {"datasets": {"demo": {"kind": "dem"}}},
        {"candidates": {"pixels": "some"}},
        {"head": {"epochs": 5, "l2": 1}},
        {"head": {"kind": "mpl"}},
        {"head": {"kind": "linear", "epochs": 5}},
        {"head": {"kind": "mlp", "l2": 1}},
        {"methods": {"edald": {"head": {"kind": "linear", "epochs": 5}}}},
    ],
)
def test_the_schema_refuses_what_the_models_refuse(content, change):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content | change, schema(), jsonschema.Draft202012Validator)
    with pytest.raises(UserError):
        Study.read(content | change)


def test_methods_are_compared_with_the_one_named_else_random_else_the_first(settings):
    def reference(methods: dict, **statistics) -> str | None:
        study = Study.read({**settings, "methods": methods, "statistics": statistics})
        return stages.statistics(study)["reference"]

    uniform = {"full": None, "edald": None, "uniform": {"score": "random"}}
    assert reference(uniform) == "uniform"
    assert reference(uniform, reference="edald") == "edald"
    assert reference({"full": None, "margin": None, "edald": None}) == "margin"
    assert reference({"full": None}) is None


def test_features_are_compared_with_the_first_of_their_dataset(content):
    ddpm = content["features"].pop("ddpm")
    content["features"] = {"late": ddpm | {"datasets": ["other"]}, "ddpm": ddpm, "last": ddpm}
    assert stages.statistics(Study.read(content | {"features": {"ddpm": ddpm}}))["features"] == "ddpm"
    content["datasets"]["other"] = {"kind": "demo"}
    assert stages.statistics(Study.read(content))["features"] == {"demo": "ddpm", "other": "late"}
    assert stages.statistics(Study.read(content | {"methods": {}, "features": {}}))["features"] is None


def test_two_stage_methods_are_measured_by_the_same_score_in_one_stage(settings):
    single = {"score": "edald", "stages": 1}
    methods = {
        "one": single,
        "edald": {"seeds": [3]},
        "small_pool": {"score": "edald", "pool_fraction": 0.3},
        "lighter": {"score": "edald", "weight": 0.5},
        "one_lighter": single | {"weight": 0.5},
        "entropy": None,
        "margin_single": {"score": "margin", "stages": 1},
        "random": None,
        "mlp": {"score": "edald", "head": MLP},
        "entropy_single_mlp": {"score": "entropy", "stages": 1, "head": MLP},
    }
    study = Study.read({**settings, "methods": methods})
    assert stages.stage_pairs(study) == {"edald": "one", "small_pool": "one", "lighter": "one_lighter"}
    assert stages.statistics(study)["stages"] == stages.stage_pairs(study)
    table1 = Study.read(yaml.safe_load((REPOSITORY / "studies" / "table1.yaml").read_text()))
    assert stages.stage_pairs(table1) == {
        name: f"{name}_single" for name in ("entropy", "ebald", "edald", "bald", "dald")
    }


def test_statistics_change_no_run(settings):
    one, two = (Study.read({**settings, "statistics": {"confidence": value}}) for value in (0.9, 0.95))
    assert [stages.identity(one, run) for run in one.runs()] == [stages.identity(two, run) for run in two.runs()]


@pytest.mark.parametrize(
    ("statistics", "message"),
    [
        ({"reference": "rando"}, "did you mean 'random'"),
        ({"reference": "full"}, "no method to compare with"),
        ({"fractions": [0.5, 0.5]}, "appears twice"),
        ({"fractions": [1.5]}, "fractions"),
        ({"confidence": 1}, "confidence"),
    ],
)
@pytest.mark.hostile("settings and paths")
def test_mistakes_in_statistics_are_named(settings, statistics, message):
    with pytest.raises(UserError, match=message) as caught:
        Study.read({**settings, "statistics": statistics})
    assert "\n" not in str(caught.value)


def test_the_demo_study_explains_every_key():
    lines = (REPOSITORY / "config.yaml").read_text().splitlines()
    for key in set(Study.model_fields) - {"pretraining"}:
        (place,) = [number for number, line in enumerate(lines) if re.match(rf"{key}:", line)]
        assert "#" in lines[place] or lines[place - 1].startswith("#"), key
    shown = yaml.safe_load("\n".join(lines))["features"]["ddpm"]
    assert set(Study.read(yaml.safe_load("\n".join(lines))).features["ddpm"].model_fields_set) == set(shown)


def test_reading_a_study_imports_nothing_heavy():
    code = (
        "import sys; import pixelherd.study.plan, pixelherd.pipeline.inputs.results, pixelherd.storage.shards;"
        "assert not {'torch', 'diffusers', 'zarr', 'pandas', 'matplotlib', 'scipy'} & set(sys.modules), sys.modules"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


# Mistakes


def put(content, place, value):
    *parents, key = place.split(".")
    for parent in parents:
        content = content.setdefault(parent, {})
    content[key] = value


PRETRAINING = {"dataset": "demo", "size": [32, 32], "steps": 3}
FOLDER = {"kind": "folder", "root": "x", "train_list": "a", "test_list": "b"}


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("budget", [0.1], "unknown key `budget` (did you mean 'budgets'?)"),
        ("thread", 2, "unknown key `thread` (did you mean 'threads'?)"),
        ("datasets.demo.siz", 3, "unknown key `datasets.demo.siz` (did you mean 'size'?)"),
        ("features.ddpm.block", 3, "unknown key `features.ddpm.block` (did you mean 'blocks'?)"),
        ("methods.edald", {"wieght": 2}, "unknown key `methods.edald.wieght` (did you mean 'weight'?)"),
        ("candidates.pixls", 3, "unknown key `candidates.pixls` (did you mean 'pixels'?)"),
        ("head", MLP | {"epoch": 3}, "unknown key `head.epoch` (did you mean 'epochs'?)"),
        ("head", {"l3": 3}, "unknown key `head.l3` (did you mean 'l2'?)"),
        ("head", {"l2": 0}, "study: head.l2: Input should be greater than 0"),
        ("datasets.demo.size", [], "study: datasets.demo.size.0: this key is required"),
        ("head", {"class_balance": "some"}, "study: head.class_balance: Input should be 'none', 'balanced' or 'sqrt'"),
        ("head", {"kind": "linear", "patience": 3}, "unknown key `head.patience` (known: class_balance, "),
        ("head", MLP | {"l2": 1}, "unknown key `head.l2` (known: accuracy, "),
        ("head", {"kind": "mpl"}, "study: head: give a mapping whose `kind` is `linear` (the default) or `mlp`"),
        ("head", {"kind": ["mlp"]}, "study: head: give a mapping whose `kind` is `linear` (the default) or `mlp`"),
        ("head", "mlp", "study: head: give a mapping whose `kind` is `linear` (the default) or `mlp`"),
        ("head", None, "study: head: give a mapping whose `kind` is `linear` (the default) or `mlp`"),
        ("methods.edald", {"head": {"kind": "mpl"}}, "methods.edald.head: give a mapping whose `kind` is `linear` ("),
        ("methods.edald", {"head": {"epochs": 3, "l2": 1}}, "unknown key `methods.edald.head.l2` (known: accuracy, "),
        ("methods.edald", {"head": MLP | {"epoch": 3}}, "`methods.edald.head.epoch` (did you mean 'epochs'?)"),
        ("methods.edald", {"epochs": 3}, "methods.edald.epochs: edald does not use it here; delete the line"),
        ("methods.full", {"epochs": 3}, "methods.full.epochs: full does not use it here; delete the line"),
        ("methods.bald", {"dropout": 0.3}, "methods.bald.dropout: bald does not use it here; delete the line"),
        ("methods.bald", {"dropout": 0.2}, "methods.bald.dropout: bald does not use it here; delete the line"),
        ("methods.edald", {"samples": 3}, "methods.edald.samples: edald does not use it here; delete the line"),
        (
            "pretraining.mine",
            PRETRAINING | {"stages": [{"size": [32, 32], "steps": 1, "step": 1}]},
            "unknown key `pretraining.mine.stages.0.step` (did you mean 'steps'?)",
        ),
        (
            "datasets.mine",
            FOLDER | {"classes": [{"name": "a"}, {"name": "b", "color": [1, 2, 3]}]},
            "unknown key `datasets.mine.classes.1.color` (did you mean 'colour'?)",
        ),
        ("methods.edlad", None, "methods.edlad: unknown score 'edlad' (did you mean 'edald'?)"),
        ("methods.mine", {"score": "Edald"}, "methods.mine: unknown score 'Edald' (did you mean 'edald'?)"),
        ("methods.BALD", None, "methods.BALD: unknown score 'BALD' (did you mean 'bald'?)"),
        ("methods.coreset", None, "methods.coreset: unknown score 'coreset' (did you mean 'k_center'?)"),
        ("methods.mine", {"score": "Core-Set"}, "methods.mine: unknown score 'Core-Set' (did you mean 'k_center'?)"),
        ("methods.core_set", None, "methods.core_set: unknown score 'core_set' (did you mean 'k_center'?)"),
        ("methods.mine", {"score": "xyz"}, "'xyz' (known: coverage, uherding, rare_herding, k_center,"),
        ("Rounds", 2, "unknown key `Rounds` (did you mean 'rounds'?)"),
        ("methods.mine", {"score": "full"}, "methods.mine: the fully labelled reference is called `full`; rename"),
        ("methods.full", {"score": "edald"}, "methods.full: the fully labelled reference is called `full`; rename"),
        ("features", {}, "study: features: methods choose pixels by their features; add an entry, or delete `methods`"),
        ("features.ddpm.datasets", [], "features.ddpm.datasets: List should have at least 1 item"),
        ("methods.edald", {"features": []}, "methods.edald.features: List should have at least 1 item"),
        ("methods.mine", {"score": "covrage"}, "methods.mine: unknown score 'covrage' (did you mean 'coverage'?)"),
        ("methods.coverage", {"stages": 1}, "methods.coverage.stages: coverage is no score that could rank every"),
        ("methods.edald", {"dropout": 0.3}, "methods.edald.dropout: edald does not use it here; delete the line"),
        ("methods.coverage", {"pool_fraction": 0.3}, "methods.coverage.pool_fraction: coverage does not use it"),
        ("methods.random", {"candidates": {"listed": 9}}, "methods.random.candidates: random does not use it"),
        ("methods.margin", {"score": "margin", "weight": 2}, "methods.margin.weight: margin does not use it"),
        ("methods.edald", {"dropout": 0.2}, "methods.edald.dropout: edald does not use it here; delete the line"),
        ("methods.coverage", {"stages": 2}, "methods.coverage.stages: coverage does not use it here; delete the line"),
        ("methods.random", {"candidates": {}}, "methods.random.candidates: random does not use it here; delete"),
        ("methods.margin", {"weight": 1.0}, "methods.margin.weight: margin does not use it here; delete the line"),
        ("methods.dald", {"weight": 2}, "methods.dald.weight: dald does not use it here; delete the line"),
        ("methods.bald", {"weight": 2}, "methods.bald.weight: bald does not use it here; delete the line"),
        ("methods.power_dald", {"weight": 2}, "methods.power_dald.weight: power_dald does not use it here"),
        ("methods.balentacq", {"stages": 1, "weight": 2}, "methods.balentacq.weight: balentacq does not use it here"),
        ("methods.edald", {"stages": 3}, "study: methods.edald.stages: Input should be 1 or 2"),
        ("methods.edald", {"draws": 3}, "methods.edald.draws: features.ddpm have 2; raise their `draws`"),
        ("methods.edald", {"draws": 1}, "methods.edald: edald measures disagreement and needs `draws` ≥ 2"),
        (
            "methods.edald",
            {"features": ["dpm"]},
            "methods.edald.features: unknown features 'dpm' (did you mean 'ddpm'?)",
        ),
        ("methods.edald", {"seeds": [1, 1]}, "methods.edald.seeds: an entry appears twice"),
        (
            "methods.edald",
            {"candidates": {"kernl": "rbf"}},
            "`methods.edald.candidates.kernl` (did you mean 'kernel'?)",
        ),
        (
            "published",
            {"source": "x", "miou": {"dem": {}}},
            "published.miou: this study has no 'dem' (did you mean 'demo'?)",
        ),
        (
            "published",
            {"source": "x", "miou": {"demo": {"edal": 3}}},
            "this study has no 'edal' (did you mean 'edald'?)",
        ),
        ("methods.two words", {"score": "edald"}, "methods.two words: String should match pattern"),
        ("features.ddpm.datasets", ["dem"], "features.ddpm.datasets: unknown dataset 'dem' (did you mean 'demo'?)"),
        ("features.ddpm.blocks", [1, 2, 1], "features.ddpm.blocks: an entry appears twice"),
        ("features.ddpm.draws", 1, "methods.edald: edald measures disagreement and needs `draws` ≥ 2"),
        ("features.ddpm.backbone", {"pretrain": "x"}, "features.ddpm.backbone: `pretraining` has no entry 'x'"),
        ("features.ddpm.backbone", {"pretrian": "x"}, "features.ddpm.backbone.pretrian` (did you mean 'pretrain'?)"),
        ("features.mine", {"backbone": "x"}, "study: features.mine: `blocks` is required"),
        ("pretraining.mine", PRETRAINING | {"dataset": "dem"}, "unknown dataset 'dem' (did you mean 'demo'?)"),
        ("datasets.demo.kind", "dem", "study: datasets.demo: Input tag 'dem' found using 'kind'"),
        ("datasets.mine", {}, "study: datasets.mine.kind: this key is required"),
        ("budgets", [0], "study: budgets.0: 0 is no budget; write "),
        ("budgets", [0.1, -0.1], "study: budgets.1: -0.1 is no budget; write "),
        ("budgets", [float("inf")], "inf is no budget"),
        ("budgets", [float("nan")], "nan is no budget"),
        ("budgets", ["1e-3"], "'1e-3' is no budget"),
        ("budgets", [True], "True is no budget"),
        ("budgets", [0.1, 0.1], "budgets: an entry appears twice"),
        ("budgets", 0.1, "study: budgets: Input should be a valid list"),
        ("seeds", [2, 2], "seeds: an entry appears twice"),
        ("seeds", [-1], "study: seeds.0: Input should be greater than or equal to 0"),
        ("rounds", 0, "study: rounds: Input should be greater than 0"),
        ("candidates.pixels", "al", "study: candidates.pixels: Input should be a valid integer"),
        ("candidates.kernel", "rfb", "study: candidates.kernel: Input should be 'rbf'"),
    ],
)
@pytest.mark.hostile("settings and paths")
def test_a_mistake_is_one_line_that_says_where(content, place, value, message):
    put(content, place, value)
    with pytest.raises(UserError) as error:
        Study.read(content)
    assert message in str(error.value)
    assert "\n" not in str(error.value) and "constrained-" not in str(error.value)


@pytest.mark.parametrize("keys", [{"epochs": 5}, {"hidden": None}, {"patience": 3, "context": "all"}])
def test_a_head_without_a_kind_is_that_of_its_keys(content, keys):
    """Studies of 0.1, which had no kinds, mean what they meant."""
    content |= {"head": keys, "methods": {"edald": None, "mine": {"score": "edald", "head": keys}}}
    study = Study.read(content)
    assert study.head == study.head_of("mine") == Study.read(content | {"head": MLP | keys}).head
    jsonschema.validate(content, schema(), jsonschema.Draft202012Validator)


@pytest.mark.parametrize("keys", [{}, {"l2": 0.5}, {"class_balance": "sqrt"}])
def test_a_head_without_keys_of_the_papers_is_linear(content, keys):
    assert Study.read(content | {"head": keys}).head.kind == "linear"
    jsonschema.validate(content | {"head": keys}, schema(), jsonschema.Draft202012Validator)


def test_a_name_without_a_likeness_is_answered_by_each_known_one_once(content):
    put(content, "methods.mine", {"score": "xyz"})
    with pytest.raises(UserError) as error:
        Study.read(content)
    known = re.search(r"\(known: (.*)\)", str(error.value))[1].split(", ")
    assert sorted(known) == sorted({*SELECTIONS, *SCORES})


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
@pytest.mark.parametrize(
    "place",
    [
        "methods.edald.weight",
        "methods.edald.candidates.bandwidth",
        "candidates.bandwidth",
        "head.learning_rate",
        "head.weight_decay",
        "head.minimum_learning_rate",
        "head.l2",
        "methods.edald.head.learning_rate",
        "methods.edald.head.l2",
        "pretraining.mine.learning_rate",
        "features.ddpm.backbone.architecture.channel_mult.0",
    ],
)
@pytest.mark.hostile("settings and paths")
def test_settings_are_finite(content, place, value):
    content |= {"methods": {"edald": {}}, "pretraining": {"mine": {**PRETRAINING}}}
    content["features"]["ddpm"]["backbone"] = {"checkpoint": "x.pt", "architecture": {"channel_mult": {}}}
    put(content, place, value)
    if "head" in place:
        put(content, f"{place.rpartition('.')[0]}.kind", "linear" if place.endswith(".l2") else "mlp")
    multipliers = content["features"]["ddpm"]["backbone"]["architecture"]
    multipliers["channel_mult"] = list(multipliers["channel_mult"].values())
    with pytest.raises(UserError, match=rf"{place.replace('.', '[.]')}: Input should be (a finite number|greater)"):
        Study.read(content)


@pytest.mark.parametrize(
    ("both", "message"),
    [
        ({"backbone": ["ddpm"]}, "features.both.backbone: List should have at least 2 items"),
        ({"backbone": ["ddpm", "photos"]}, "features.both.backbone: unknown features 'photos' (did you mean 'photo'?)"),
        ({"backbone": ["ddpm", "ddpm"]}, "features.both.backbone: an entry appears twice"),
        ({"backbone": ["ddpm", "both"]}, "features.both.backbone: both joins others itself; name those"),
        ({"backbone": ["ddpm", "photo"], "blocks": [1]}, "blocks: features that join others take these from them"),
        (
            {"backbone": ["ddpm", "photo"], "noise_seed": 1},
            "noise_seed: features that join others take these from them",
        ),
    ],
)
@pytest.mark.hostile("settings and paths")
def test_joined_features_that_are_refused(settings, both, message):
    photo = {"backbone": {"embedded": "efficientnet_lite2"}}
    with pytest.raises(UserError) as error:
        Study.read({**settings, "features": {**settings["features"], "photo": photo, "both": both}})
    assert message in str(error.value) and "\n" not in str(error.value)


def test_joined_features_are_planned_as_the_sum_of_their_parts(settings):
    photo = {"backbone": {"embedded": "efficientnet_lite2"}, "window": {"size": [64, 64]}, "image_size": [64, 96]}
    features = {**settings["features"], "photo": photo, "both": {"backbone": ["ddpm", "photo"]}}
    study = Study.read({**settings, "features": features})
    for measured in (plan.forwards_of, lambda *of: plan.geometry_of(*of)[0], lambda *of: plan.geometry_of(*of)[1]):
        parts = [measured(study, "demo", name) for name in ("ddpm", "photo")]
        assert measured(study, "demo", "both") == sum(parts)
    assert plan.forwards_of(study, "demo", "photo") == 2, "two windows"
    assert study.content()["features"]["both"]["backbone"] == ["ddpm", "photo"]


def test_every_model_of_settings_refuses_unknown_keys_and_infinite_numbers():
    """Through all models that a study is made of, whatever their base."""

    def models(annotation):
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield annotation
            for field in annotation.model_fields.values():
                yield from models(field.annotation)
        for part in getattr(annotation, "__args__", ()):
            yield from models(part)

    found = set(models(Study))
    assert {model.__name__ for model in found} == {
        "Study",
        "Folder",
        *schema()["$defs"],
    }  # a folder is written as its path
    assert all(model.model_config["extra"] == "forbid" for model in found)
    assert not any(model.model_config["allow_inf_nan"] for model in found)


PATHS = [
    "results",
    "cache",
    "predict.folder",
    "predict.images",
    "features.ddpm.backbone",
    "features.ddpm.backbone.checkpoint",
    "datasets.mine.root",
    "datasets.mine.train_images",
    "datasets.mine.train_masks",
    "datasets.mine.test_images",
    "datasets.mine.test_masks",
    "datasets.camvid.root",
]


def with_paths(content: dict, place: str, value: object) -> dict:
    classes = [{"name": "a"}, {"name": "b"}]
    content["datasets"] |= {
        "mine": {"kind": "folder", "root": "data", "train_images": "i", "test_images": "t", "test_masks": "m"},
        "camvid": {"kind": "camvid", "root": "data"},
    }
    content["datasets"]["mine"]["classes"] = classes
    content |= {"predict": {}}
    if place.endswith("checkpoint"):
        content["features"]["ddpm"]["backbone"] = {"architecture": "imagenet_256"}
    put(content, place, value)
    return content


@pytest.mark.parametrize("place", PATHS)
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "at least 1 character"),
        (" ", "begins or ends with a space"),
        ("data ", "begins or ends with a space"),
        ("da\0ta", "characters that cannot be seen"),
        ("da\nta", "characters that cannot be seen"),
        ("da\x1bta", "characters that cannot be seen"),
        ("da\ud800ta", "valid string"),
        ("~/data", "only a shell replaces"),
        ("n" * 300, "longer than file systems take"),
        ("ü" * 120, "longer than file systems take"),
        ("folder/" * 200, "longer than file systems take"),
        (3, "valid string|give a diffusers folder"),
        (None, "valid string|give a diffusers folder|^works$"),
    ],
)
@pytest.mark.hostile("settings and paths")
def test_a_path_that_no_file_has_is_one_line(content, place, value, message):
    if value is None and ("mine." in place or place == "predict.images"):
        return  # no folder
    with pytest.raises(UserError, match=message) as error:
        Study.read(with_paths(content, place, value))
    assert "\n" not in str(error.value) and place.partition(".")[0] in str(error.value) and len(str(error.value)) < 300


@pytest.mark.parametrize("place", PATHS)
@pytest.mark.parametrize("value", ["data", "../data", "/data/a b", "dätä", "a/./b/", "日本", "-x", "a'b", "a#b"])
@pytest.mark.hostile("settings and paths")
def test_paths_of_any_name_are_taken(content, place, value):
    Study.read(with_paths(content, place, value))


@pytest.mark.parametrize(
    ("results", "cache", "message"),
    [
        ("a", "a", "cache: it is the folder of the results"),
        ("a", "b/../a/", "cache: it is the folder of the results"),
        ("a", "a/cache", "cache: 'a/cache' lies inside `results`"),
        (".", "cache", "cache: 'cache' lies inside `results`"),
        ("cache/a", "cache", "results: 'cache/a' lies inside `cache`"),
        ("results", "..", "results: 'results' lies inside `cache`"),
        ("/", "cache", "results: '/' is the root"),
        ("results", "/..", "cache: '/..' is the root"),
        ("re{s}", "cache", "results: 're{s}' has braces"),
        ("results", "c}", "cache: 'c}' has braces"),
        ("file", "cache", "results: '.*/file' is a file"),
        ("results", "file/cache", "cache: '.*/file' is a file"),
        ("linked", "results/cache", "cache: 'results/cache' lies inside `results`"),
    ],
)
@pytest.mark.hostile("settings and paths")
def test_results_and_cache_are_folders_apart(content, tmp_path, monkeypatch, results, cache, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "results").mkdir()
    (tmp_path / "linked").symlink_to("results")
    with pytest.raises(UserError, match=f"^study: {message}"):
        Study.read(content | {"results": results, "cache": cache})
    Study.read(content | {"results": "a", "cache": "ab"})


HUGE = [10**9 + 1, 10**30, 10**4000, -(10**30), 1e30]


def whole_numbers() -> list[str]:
    """Where a study has whole numbers."""
    counted = ["rounds", "threads", "images_per_job", "pictures", "jobs_per_gpu", "budgets.0", "predict.round"]
    counted += [f"candidates.{key}" for key in ("pixels", "listed", "reserve")]
    counted += [f"features.ddpm.{key}" for key in ("timesteps.0", "blocks.0", "image_size.0", "draws", "context")]
    counted += [f"methods.edald.{key}" for key in ("samples", "draws", "candidates.pixels", "candidates.listed")]
    counted += [f"datasets.demo.{key}" for key in ("train", "test", "size.0")]
    counted += [f"pretraining.mine.{key}" for key in ("steps", "batch", "layers_per_block", "channels.0", "size.1")]
    options = ("image_size", "num_res_blocks", "num_channels", "diffusion_steps", "channel_mult.0", "num_heads")
    counted += [f"features.ddpm.backbone.architecture.{key}" for key in options]
    counted += [f"head.{key}" for key in ("epochs", "batch_images", "period", "patience", "hidden.0")]
    return [*counted, "seeds.0", "features.ddpm.noise_seed", "datasets.demo.seed", "pretraining.mine.seed"]


@pytest.mark.parametrize("place", whole_numbers())
@pytest.mark.parametrize("value", HUGE, ids=["1e9", "1e30", "1e4000", "-1e30", "float"])
@pytest.mark.hostile("settings and paths")
def test_numbers_that_nothing_has_are_one_line(content, place, value):
    pretraining = {**copy.deepcopy(PRETRAINING), "channels": [32], "attention": [0]}
    content |= {"methods": {"edald": {"candidates": {}}}, "pretraining": {"mine": pretraining}}
    content |= {"predict": {}, "head": {"kind": "mlp"}}
    if "architecture" in place:
        architecture = {"channel_mult": [1, 2]}
        content["features"]["ddpm"]["backbone"] = {"checkpoint": "x.pt", "architecture": architecture}
    *parents, key = place.split(".")
    inner = content
    for parent in parents:
        default = {"size": [64, 64], "image_size": [64, 64], "hidden": [32, 32]}.get(parent, {})
        inner = inner.setdefault(parent, default) if isinstance(inner, dict) else inner[int(parent)]
    inner[int(key) if isinstance(inner, list) else key] = value
    if "seed" in place and value == 10**9 + 1:
        Study.read(content)
        return
    with pytest.raises(UserError) as error:
        Study.read(content)
    shown = "pretraining.mine" if place.startswith("pretraining") else place.rpartition(".")[0] or place
    assert str(error.value).startswith(f"study: {shown}") and "\n" not in str(error.value)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("place", ["datasets", "features", "methods", "pretraining"])
@pytest.mark.parametrize("name", ["n" * 101, "n" * 300, "", "a\n", "a\0", "ä", "..", "a/b", "{a}", "\ud800", 3, None])
@pytest.mark.hostile("settings and paths")
def test_names_that_are_no_part_of_a_path_are_one_line(content, place, name):
    entry = {"pretraining": PRETRAINING, "methods": {"score": "margin"}}.get(place) or next(
        iter(content[place].values())
    )
    content[place] = {name: entry}
    with pytest.raises(UserError) as error:
        Study.read(content)
    assert "\n" not in str(error.value)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**9, 10**12)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["", "/", "..", "a{b}", "n" * 300, "a\0b", "all", "edald", "demo"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=5,
)


@settings_of_hypothesis(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
@pytest.mark.hostile("settings and paths")
def test_a_study_is_read_or_refused_in_one_line(settings, data):
    content = copy.deepcopy(settings)
    for _ in range(data.draw(st.integers(1, 3))):
        inner, places = content, []
        while isinstance(inner, dict) and inner and (not places or data.draw(st.booleans())):
            places.append(inner)
            key = data.draw(st.sampled_from([*inner, *(Study.model_fields if inner is content else ["kind", "x"])]))
            inner = inner.get(key)
        places[-1][key] = data.draw(VALUES)
    try:
        study = Study.read(content)
    except UserError as error:
        assert str(error).isprintable() and str(error).startswith("study: ")
    else:
        study.runs()
        assert Study.read(study.content()) == study


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rounds: 1\nseeds: [0]\nrounds: 2\n", "line 3: `rounds` is given already in line 1; delete one of them"),
        ("methods:\n  a: {score: x}\n  b:\n  a:\n", "line 4: `a` is given already in line 2"),
        ("a: [{b: 1, b: 2}]", "line 1: `b` is given already in line 1"),
        ('{"a": 1,\n"a": 2}', "line 2: `a` is given already in line 1"),
    ],
)
@pytest.mark.hostile("settings and paths")
def test_a_key_that_is_given_twice_is_one_line(tmp_path, text, message):
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(UserError, match=re.escape(message)):
        no_key_twice(tmp_path / "study.yaml")


@pytest.mark.parametrize(
    "text", ["", "3", "[1, 1]", "a: &x {b: 1}\nc: *x\n", "a: [", "a: &x [*x]", "\xff", "? [a]\n: 1\n? [a]\n: 2"]
)
def test_files_without_a_key_twice(tmp_path, text):
    (tmp_path / "study.yaml").write_text(text, encoding="latin-1")
    no_key_twice(tmp_path / "study.yaml")
    no_key_twice(tmp_path / "absent.yaml")


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_no_study_of_the_repository_gives_a_key_twice(path):
    no_key_twice(path)


def test_all_mistakes_are_told_at_once(content):
    with pytest.raises(UserError, match=r"study: rounds: .*; study: unknown key `seed`"):
        Study.read(content | {"rounds": 0, "seed": 1})


@pytest.mark.parametrize("content", [None, [], "text", {}])
@pytest.mark.hostile("settings and paths")
def test_files_that_hold_no_study(content):
    with pytest.raises(UserError, match=r"^study: "):
        Study.read(content)


# Runs


def test_runs_are_the_product_in_the_order_of_the_file(content):
    content |= {"budgets": [1, 1.0, 0.5], "seeds": [3, 0], "methods": {"mine": {"score": "edald"}, "full": None}}
    study = Study.read(content)
    expected = [("mine", budget, seed) for budget in ("1", "1.0", "0.5") for seed in (3, 0)]
    expected += [("full", "all", seed) for seed in (3, 0)]
    assert [(run.method, run.budget, run.seed) for run in study.runs()] == expected
    assert len({run.path for run in study.runs()}) == len(expected)
    for run in study.runs():
        assert Run.parse(run.path) == Run.parse(f"{run.path}/round-3") == run
    assert study.rounds_of("mine") == 2 and study.rounds_of("full") == 1


def test_features_may_be_for_some_datasets_only(content):
    content["datasets"]["other"] = {"kind": "demo", "seed": 1}
    content["features"]["more"] = content["features"]["ddpm"] | {"datasets": ["other"]}
    assert list(Study.read(content).pairs()) == [("demo", "ddpm"), ("other", "ddpm"), ("other", "more")]


def test_what_a_method_needs(content):
    content["methods"] = {"edald": None, "power_dald": None, "entropy": None, "coverage": None, "random": None} | {
        "full": None
    }
    study = Study.read(content)

    def those(needs):
        return {method for method in study.methods if needs(method)}

    assert those(study.is_two_stage) == {"edald", "power_dald", "entropy"}
    assert those(study.needs_lists) == {"edald", "power_dald", "entropy", "coverage"}
    assert those(study.needs_draws) == {"edald", "power_dald"}
    assert those(study.needs_head) == {"edald", "power_dald", "entropy"}
    assert those(study.needs_samples) == set()
    assert those(study.trains_densely) == set() and those(study.needs_context) == set(study.methods)
    assert {study.head_of(method).kind for method in study.methods} == {"linear"}
    mlp = Study.read(content | {"head": MLP})
    assert those(mlp.trains_densely) == {"full"}
    assert those(mlp.needs_context) == set(study.methods) - {"full"}
    dense = Study.read(content | {"head": MLP | {"context": "all"}})
    assert those(dense.trains_densely) == set(study.methods) and those(dense.needs_context) == {"random"}
    content["methods"] |= {"full": {"head": MLP}, "random": {"head": MLP}, "edald": {"head": MLP | {"context": "all"}}}
    mixed = Study.read(content)
    assert those(mixed.trains_densely) == {"full", "edald"}
    assert those(mixed.needs_context) == set(study.methods) - {"full", "edald"}


def test_a_method_may_have_a_head_of_its_own(content):
    content["head"] = MLP | {"epochs": 7}
    content["methods"] = {
        "margin": None,
        "longer": {"score": "margin", "epochs": 9},
        "linear": {"score": "margin", "head": {"class_balance": "sqrt"}},
        "wide": {"score": "margin", "head": MLP | {"hidden": [300, 200]}},
        "wide_longer": {"score": "margin", "head": MLP | {"hidden": [300, 200], "epochs": 8}, "epochs": 9},
    }
    study = Study.read(content)
    mlp, wide = MlpSettings(kind="mlp"), MlpSettings(kind="mlp", hidden=[300, 200])
    heads = {
        "margin": mlp.model_copy(update={"epochs": 7}),
        "longer": mlp.model_copy(update={"epochs": 9}),
        "linear": LinearSettings(class_balance="sqrt"),
        "wide": wide,
        "wide_longer": wide.model_copy(update={"epochs": 9}),
    }
    assert {name: study.head_of(name) for name in study.methods} == heads
    assert {run.method: stages.training(study, run).head for run in study.runs()} == heads
    assert len({stages.identity(study, run) for run in study.runs()}) == len(heads)
    for run in study.runs():  # as rules hand it to jobs
        handed = stages.training(study, run).model_dump(mode="json", exclude_none=True)
        assert TrainingSettings(**json.loads(json.dumps(handed))) == stages.training(study, run)
    assert Study.read(content | {"methods": {"margin": {"head": None}}}).head_of("margin") == heads["margin"]


@pytest.mark.parametrize(("head", "used"), [(MLP, {"dropout": 0.2, "samples": 5}), ({}, {"samples": 5})])
@pytest.mark.parametrize("score", ["bald", "ebald", "power_bald", "balentacq"])
@pytest.mark.hostile("settings and paths")
def test_scores_of_samples_need_a_head_and_no_draws(content, score, head, used):
    content["head"] = head
    study = Study.read(content | {"methods": {score: None}})
    assert study.is_two_stage(score) and study.needs_head(score) and study.needs_samples(score)
    assert not study.needs_draws(score)
    (run,) = study.runs()
    found = stages.selection(study, run)
    assert {name: getattr(found, name) for name in ("dropout", "samples")} == {"dropout": None} | used
    for changed in ({"samples": 3}, {"dropout": 0.3}):
        if changed.keys() <= used.keys():
            other = Study.read(content | {"methods": {score: changed}})
            assert stages.identity(other, run) != stages.identity(study, run)


@pytest.mark.parametrize(
    ("score", "head"),
    [
        *(("uherding", True), ("k_center", False), ("typiclust", False), ("probcover", False)),
        *(("rare_herding", True), ("badge", True), ("tcm", True), ("clasp_pe", True), ("dropquery", True)),
    ],
)
@pytest.mark.hostile("settings and paths")
def test_selections_that_are_no_scores(content, score, head):
    study = Study.read(content | {"methods": {score: None}})
    assert study.needs_lists(score) and study.needs_head(score) == head
    assert not (study.is_two_stage(score) or study.needs_draws(score) or study.needs_samples(score))


def test_single_stage_methods(content):
    content["methods"] = {"edald": None, "one": {"score": "edald", "stages": 1}, "bald": {"stages": 1}}
    study = Study.read(content)
    assert [study.is_single_stage(name) for name in study.methods] == [False, True, True]
    assert [study.is_two_stage(name) for name in study.methods] == [True, False, False]
    assert all(map(study.needs_lists, study.methods)), "round 0 is herded"
    assert [study.needs_draws(name) for name in study.methods] == [True, True, False]
    assert [study.needs_listed_draws(name) for name in study.methods] == [True, False, False]
    assert study.needs_samples("bald") and not study.needs_samples("one")
    two, one, _ = (stages.selection(study, run) for run in study.runs())
    assert two.stages is None and one.pool_fraction is None and one.stages == 1 and one.draws == two.draws


def test_empty_methods_are_defaults(content):
    assert Study.read(content).methods["margin"] == Study.read(content | {"methods": {"margin": {}}}).methods["margin"]


# What depends on what

ALL = {"edald", "margin", "coverage", "random", "full"}
LISTED = {"edald", "margin", "coverage"}


@pytest.mark.parametrize(
    ("place", "value", "changed"),
    [
        ("rounds", 9, set()),
        ("seeds", [0, 1, 2], set()),
        ("budgets", [3, 0.5], set()),
        ("pictures", 0, set()),
        ("images_per_job", 1, set()),
        ("device", "cpu", set()),
        ("results", "elsewhere", set()),
        ("cache", "elsewhere", set()),
        ("features.ddpm.maps", "recompute", set()),
        ("features.ddpm.image_size", [32, 32], set()),  # the dataset's own size
        ("features.ddpm.datasets", ["demo"], set()),
        ("features.more", {"backbone": "x", "blocks": [1]}, set()),
        ("datasets.more", {"kind": "demo"}, set()),
        ("methods.entropy", None, set()),
        ("methods.mine", {"score": "edald", "weight": 3}, set()),
        ("pretraining.mine", PRETRAINING, set()),
        ("methods.edald", {"weight": 2}, {"edald"}),
        ("methods.margin", {"pool_fraction": 0.3}, {"margin"}),
        ("features.ddpm.draws", 3, {"edald"}),
        ("candidates.listed", 5, LISTED),
        ("candidates.bandwidth", 1.5, LISTED),
        ("candidates.bandwidth", 2.0, set()),
        ("methods.edald", {"candidates": {"listed": 5}}, {"edald"}),
        ("methods.edald", {"candidates": {"listed": 4}}, set()),  # as it is
        ("methods.edald", {"draws": 2, "seeds": [0], "features": ["ddpm"]}, set()),
        ("published", {"source": "a paper", "miou": {"demo": {"edald": 30.5}}}, set()),
        ("candidates.kernel", "laplace", LISTED),
        ("candidates.per_seed", False, LISTED),
        ("candidates.avoid_ignored", False, LISTED | {"random"}),
        ("features.ddpm.timesteps", [50], ALL),
        ("features.ddpm.noise_seed", 1, ALL),
        ("features.ddpm.backbone", "elsewhere", ALL),
        ("features.ddpm.image_size", [64, 64], ALL),
        ("datasets.demo.train", 7, ALL),
        ("threads", 2, ALL),
    ],
)
@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_the_runs_that_a_setting_changes(content, kind, place, value, changed):
    assert changed_by(content | {"head": {"kind": kind}}, place, value) == changed


def changed_by(content, place, value) -> set[str]:
    """Methods whose runs a setting changes."""
    study = Study.read(copy.deepcopy(content))
    put(content, place, value)
    edited = Study.read(content)
    return {run.method for run in study.runs() if stages.identity(edited, run) != stages.identity(study, run)}


@pytest.mark.parametrize(
    ("head", "place", "value", "changed"),
    [
        ({}, "head.kind", "linear", set()),
        ({}, "head.l2", 0.05, set()),
        ({}, "head.l2", 0.1, ALL),
        ({}, "head.class_balance", "none", ALL),
        ({}, "head.self_training", {}, ALL),
        ({}, "head.self_training", None, set()),
        ({}, "head.kind", "mlp", ALL),
        ({}, "methods.full", {"head": {"l2": 0.1}}, {"full"}),
        ({}, "methods.edald", {"head": {"kind": "linear", "l2": 0.05}}, set()),  # as it is
        ({}, "methods.edald", {"head": MLP}, {"edald"}),
        (MLP, "head.learning_rate", 0.1, ALL),
        (MLP, "head.epochs", 50, set()),
        (MLP, "head.context", "all", ALL),
        (MLP, "methods.full", {"epochs": 3}, {"full"}),
        (MLP, "methods.full", {"head": MLP | {"epochs": 3}}, {"full"}),
        (MLP, "methods.edald", {"head": MLP}, set()),
        (MLP, "methods.edald", {"head": {}}, {"edald"}),
    ],
)
def test_the_runs_that_a_setting_of_the_head_changes(content, head, place, value, changed):
    assert changed_by(content | {"head": {**head}}, place, value) == changed


def test_runs_differ(content):
    study = Study.read(content | {"budgets": [3, 4], "seeds": [0, 1]})
    identities = [stages.identity(study, run) for run in study.runs()]
    assert len(set(identities)) == len(identities)


@pytest.mark.parametrize("head", [MLP | {"epochs": 2}, {"l2": 1.0}])
def test_editing_methods_leaves_shared_stages_alone(content, head):
    study = Study.read(content)
    content |= {"methods": {"edald": {"weight": 3, "pool_fraction": 0.1}}, "seeds": [5], "budgets": [9], "rounds": 1}
    content |= {"head": head}
    edited = Study.read(content)
    for settings in (
        lambda study: stages.preparation(study, "demo"),
        lambda study: stages.backbone(study, "ddpm"),
        lambda study: stages.maps(study, "demo", "ddpm"),
        lambda study: stages.lists(study),
    ):
        assert settings(study) == settings(edited)


def test_methods_share_lists_that_are_equal(content):
    more = {"offer": {"listed": 3, "reserve": 4}, "more": {"listed": 4, "reserve": 5}, "kernel": {"kernel": "laplace"}}
    content["methods"] |= {name: {"score": "margin", "candidates": changes} for name, changes in more.items()}
    study = Study.read(content)
    keys = {name: stages.list_key(study, name, 0) for name in study.methods}
    assert {name for name, key in keys.items() if key == "0"} == set(study.methods) - {"more", "kernel"}
    assert len(set(keys.values())) == 3 and stages.list_key(study, "more", 1) == keys["more"].replace("0-", "1-", 1)
    assert study.candidates_of("offer").listed == 3 and study.candidates_of("kernel").listed == 4
    assert stages.herding(study, "offer") == stages.herding(study, "margin")
    (run,) = [run for run in study.runs() if run.method == "kernel"]
    assert stages.selection(study, run).kernel == "laplace"
    assert stages.result(study, run)["candidates"]["kernel"] == "laplace"


def test_seals_older_than_the_bandwidth_hold(content):
    run = Study.read(content).runs()[0]
    assert "bandwidth" not in stages.result(Study.read(content), run)["candidates"]
    content["candidates"]["bandwidth"] = 3
    assert stages.result(Study.read(content), run)["candidates"]["bandwidth"] == 3


def test_who_errs_makes_runs_of_their_own_and_heads_of_their_answers(content):
    right = Study.read(content)
    content["methods"]["erring"] = {"score": "margin", "annotator": {"error": 0.1, "where": "borders"}}
    study, never = Study.read(content), Study.read(content | {"annotator": {"error": 0}})
    for run in right.runs():
        assert stages.result(never, run) == stages.result(study, run) == stages.result(right, run)
    erring, margin = (next(run for run in study.runs() if run.method == name) for name in ("erring", "margin"))
    asked = stages.result(study, erring)["selection"].pop("annotator")
    assert asked == {"error": 0.1, "where": "borders", "reach": 3}
    assert stages.identity(study, erring) == stages.identity(study, margin), "equal answers give equal heads"
    every = Study.read(content | {"annotator": {"error": 0.2}})
    found = {run.method: stages.result(every, run)["selection"].get("annotator", {}) for run in every.runs()}
    assert found["full"] == {}, "the reference learns masks as they are"
    assert found["erring"]["error"] == 0.1 and found["random"]["error"] == found["margin"]["error"] == 0.2
    content["candidates"] |= {"per_seed": False}
    assert Study.read(content | {"methods": {"erring": content["methods"]["erring"]}, "seeds": [0, 1]})


def test_nobody_errs_in_a_persons_place(content):
    with pytest.raises(UserError, match="annotator: with `oracle: csv` a person answers"):
        Study.read(content | {"oracle": "csv", "annotator": {"error": 0.1}})
    with pytest.raises(UserError, match=r"methods\.margin\.annotator: margin does not use it here"):
        Study.read(content | {"oracle": "csv", "methods": {"margin": {"annotator": {"error": 0.1}}}})
    with pytest.raises(UserError, match=r"methods\.full\.annotator: full does not use it here"):
        Study.read(content | {"methods": {"full": {"annotator": {"error": 0.1}}}})
    with pytest.raises(UserError, match=r"annotator\.error: Input should be less than or equal to 1"):
        Study.read(content | {"annotator": {"error": 2}})


def test_a_method_may_have_features_seeds_and_draws_of_its_own(content):
    content["features"]["ddpm"]["draws"] = 8
    content["features"]["more"] = content["features"]["ddpm"] | {"blocks": [1]}
    content["methods"] = {"edald": {"draws": 5}, "few": {"score": "edald", "draws": 2, "features": ["ddpm"]}} | {
        "random": {"seeds": [0, 7]}
    }
    study = Study.read(content)
    runs = [(run.features, run.method, run.seed) for run in study.runs()]
    alone = [("edald", 0), ("random", 0), ("random", 7)]
    assert runs == [("ddpm", *each) for each in [alone[0], ("few", 0), *alone[1:]]] + [
        ("more", *each) for each in alone
    ]
    assert study.draws_of("few", "ddpm") == 2 and stages.selection(study, study.runs()[0]).draws == 5
    assert stages.listed_draws(study, "demo", "ddpm") == {"0": 5}, "no more than any method takes"
    content["methods"]["all"] = {"score": "dald", "candidates": {"kernel": "laplace"}}
    assert sorted(stages.listed_draws(Study.read(content), "demo", "more").values()) == [5, 8]


def test_candidates_are_keyed_by_seed_or_shared(content):
    assert Study.read(content).candidate_seed(3) == "3"
    content["candidates"]["per_seed"] = False
    shared = Study.read(content)
    assert shared.candidate_seed(3) == shared.candidate_seed(4) == "shared"
    assert stages.lists(shared) == stages.lists(Study.read(content | {"seeds": [1]}))


def test_the_backbone_that_a_study_trains(content):
    content["features"]["ddpm"]["backbone"] = {"pretrain": "mine"}
    content["pretraining"] = {"mine": PRETRAINING}
    study = Study.read(content)
    content["pretraining"] = {"mine": PRETRAINING | {"steps": 4}}
    edited = Study.read(content)
    assert stages.backbone(study, "ddpm")["pretrain"]["steps"] == 3
    assert all(stages.identity(study, run) != stages.identity(edited, run) for run in study.runs())


@pytest.mark.parametrize(
    ("methods", "more", "told"),
    [
        ({"edald": None}, {"candidates": {"per_seed": False}}, "methods.edald.seeds: candidates are the same for all"),
        ({"coverage": None}, {"candidates": {"pixels": "all"}}, r"write `seeds: \[3\]`"),
        ({"k_center": {"candidates": {"pixels": "all"}}}, {}, "methods.k_center.seeds"),
        ({"three": {"score": "margin", "stages": 1}}, {"candidates": {"per_seed": False}}, "methods.three.seeds"),
    ],
)
def test_seeds_that_would_repeat_one_run_are_refused(settings, methods, more, told):
    study = settings | {"methods": methods, "seeds": [3, 4]} | more
    study["candidates"] = settings["candidates"] | more.get("candidates", {})
    with pytest.raises(UserError, match=told):
        Study.read(study)
    one = {name: (method or {}) | {"seeds": [3]} for name, method in methods.items()}
    assert len(Study.read(study | {"methods": one}).runs()) == 1


@pytest.mark.parametrize("score", ["random", "typiclust", "probcover", "badge", "tcm", "bald", "power_dald"])
def test_methods_that_are_random_by_themselves_keep_their_seeds(settings, score):
    candidates = settings["candidates"] | {"per_seed": False}
    study = Study.read(settings | {"methods": {score: None}, "seeds": [3, 4], "candidates": candidates})
    assert len(study.runs()) == 2
    paper = {"methods": {"edald": None}, "head": {"kind": "mlp"}, "seeds": [3, 4], "candidates": candidates}
    assert len(Study.read(settings | paper).runs()) == 2, "the network's weights begin at random"
