"""A study: datasets × features × methods × budgets × seeds, as Pydantic models.

The models are the one description of the configuration: they check it, the JSON schema is made from them, and every
workflow stage takes from them exactly the settings that it uses. Reading a study touches no data and imports no torch.
"""

import difflib
import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    NonNegativeInt,
    PlainValidator,
    PositiveInt,
    Tag,
    ValidationError,
    model_validator,
)

from .backbones.settings import Checkpoint, HubModel, PretrainingSettings
from .datasets.settings import DatasetSettings
from .errors import UserError
from .mistakes import explain, nearest
from .scores import SCORES, SELECTIONS, meant
from .settings import Settings
from .training_settings import HeadSettings


def _budget(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(
            f"{value!r} is no budget; write pixels as a whole number such as 40, or with a decimal point as a multiple "
            "of the training images such as 0.1"
        )
    return value


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
Budget = Annotated[int | float, PlainValidator(_budget, json_schema_input_type=Annotated[float, Field(gt=0)])]
Kernel = Literal["rbf", "laplace", "cauchy", "student_t", "rational_quadratic", "top_hat"]


class Pretrained(Settings):
    """A backbone that this study trains itself."""

    pretrain: Name = Field(description="Name of an entry of `pretraining`.")


def _origin(backbone: Any) -> str | None:
    """Which of the kinds of backbones is meant, by the key that names it, misspelt or not."""
    if not isinstance(backbone, dict):
        return "folder" if isinstance(backbone, str) else type(backbone).__name__
    kinds = {"checkpoint": "Checkpoint", "diffusers": "HubModel", "pretrain": "Pretrained"}
    named = [key for key in kinds if key in backbone]
    named += [match for key in backbone for match in difflib.get_close_matches(str(key), kinds, n=1)]
    return kinds[named[0]] if named else None


BackboneSettings = Annotated[
    Annotated[str, Tag("folder")]
    | Annotated[Checkpoint, Tag("Checkpoint")]
    | Annotated[HubModel, Tag("HubModel")]
    | Annotated[Pretrained, Tag("Pretrained")],
    Discriminator(
        _origin,
        custom_error_type="backbone",
        custom_error_message="give a diffusers folder, or a mapping with `checkpoint`, `diffusers` or `pretrain`",
    ),
]


class FeatureSettings(Settings):
    """Where pixel vectors come from: a frozen diffusion backbone, its timesteps and decoder blocks."""

    backbone: BackboneSettings = Field(
        description="Folder with a diffusers `unet` and `scheduler`; `{checkpoint: FILE, architecture: …}` for a "
        "checkpoint of guided-diffusion; `{diffusers: ID}` for a model of the Hugging Face hub; or `{pretrain: NAME}` "
        "for one this study trains."
    )
    timesteps: list[NonNegativeInt] = Field(
        default=[50, 150, 250], min_length=1, description="Diffusion timesteps t at which activations are read."
    )
    blocks: list[NonNegativeInt] = Field(
        min_length=1, description="Decoder blocks read, numbered from 0 over all decoder blocks of the network."
    )
    image_size: tuple[PositiveInt, PositiveInt] | None = Field(
        default=None, description="[height, width] that the network sees; by default the dataset's own size."
    )
    noise_seed: int = Field(default=0, description="Key of the noise draws; seeds of runs do not change them.")
    draws: PositiveInt = Field(
        default=5, description="M, the noise draws besides the base draw, for scores that measure disagreement."
    )
    context: PositiveInt = Field(
        default=256,
        description="Pixels kept from every training image, unlabelled: BatchNorm's statistics come from them, and "
        "random selection chooses among them.",
    )
    maps: Literal["keep", "recompute"] = Field(
        default="keep",
        description="`keep` stores native feature maps; `recompute` runs the network wherever maps are needed.",
    )
    draw_maps: Literal["keep", "recompute"] = Field(
        default="recompute",
        description="`keep` also stores native maps of training images under noise draws 1…M, where a score measures "
        "disagreement: M times the disk of `maps`, and the network sees each draw once, not once a seed (two-stage "
        "methods) or once in every round of every run (single-stage methods).",
    )
    datasets: Annotated[list[Name], Field(min_length=1)] | None = Field(
        default=None, description="Datasets that use these features; by default all."
    )


class CandidateSettings(Settings):
    """Stage 1 within an image: which pixels may be listed, and how many are."""

    pixels: PositiveInt | Literal["all"] = Field(
        default=10_000, description="Random pixels of an image among which its list is herded, or `all`."
    )
    listed: PositiveInt = Field(default=50, description="K, the pixels that an image offers in every round.")
    reserve: NonNegativeInt = Field(
        default=50, description="Further listed pixels that take the place of those labelled already."
    )
    kernel: Kernel = Field(default="rbf", description="Similarity kernel of local and global herding.")
    bandwidth: float = Field(
        default=2.0,
        gt=0,
        description="σ of the kernel, as a multiple of the median distance between vectors of a sample.",
    )
    avoid_ignored: bool = Field(
        default=True, description="Leave out pixels that the ground truth ignores, as the paper's code does."
    )
    per_seed: bool = Field(default=True, description="Draw candidates anew for every seed; `false` shares them.")


class CandidateChanges(Settings):
    """What of the study's `candidates` is different for one method."""

    pixels: PositiveInt | Literal["all"] | None = Field(default=None, description="Instead of `candidates.pixels`.")
    listed: PositiveInt | None = Field(default=None, description="Instead of `candidates.listed`.")
    reserve: NonNegativeInt | None = Field(default=None, description="Instead of `candidates.reserve`.")
    kernel: Kernel | None = Field(default=None, description="Instead of `candidates.kernel`.")
    bandwidth: float | None = Field(default=None, gt=0, description="Instead of `candidates.bandwidth`.")


class MethodSettings(Settings):
    """One selection method."""

    score: str | None = Field(
        default=None,
        description="Score, or one of `coverage`, `uherding`, `k_center`, `typiclust`, `random` and `full` (the "
        "reference); by default the entry's name.",
    )
    pool_fraction: float = Field(
        default=0.5, gt=0, le=1, description="Share of the offered pixels that global herding keeps for the score."
    )
    stages: Literal[1, 2] = Field(
        default=2,
        description="2 ranks a herded pool; 1 skips stage 1 after round 0: the score ranks every pixel of every "
        "training image.",
    )
    weight: float = Field(
        default=1.0,
        ge=0,
        description="λ, the weight of the base prediction's entropy in edald and ebald; where they only stand beside "
        "the score of another method, it is 1.",
    )
    dropout: float = Field(
        default=0.2, gt=0, lt=1, description="Probability in the head that is sampled by scores that need dropout."
    )
    samples: int = Field(default=5, ge=2, description="Samples of that head, with dropout on.")
    epochs: PositiveInt | None = Field(
        default=None, description="Epochs of this method's heads, instead of `head.epochs`."
    )
    draws: PositiveInt | None = Field(
        default=None, description="M of this method: the first so many of the features' `draws`; by default all."
    )
    candidates: CandidateChanges = Field(
        default=CandidateChanges(), description="What of `candidates` is different for this method, for ablations."
    )
    features: Annotated[list[Name], Field(min_length=1)] | None = Field(
        default=None, description="Features that this method runs on; by default all of its dataset."
    )
    seeds: Annotated[list[NonNegativeInt], Field(min_length=1)] | None = Field(
        default=None, description="Seeds of this method instead of the study's, where it deserves more or costs much."
    )


class StatisticsSettings(Settings):
    """How finished runs are compared; changes no run."""

    reference: Name | None = Field(
        default=None,
        description="Method that all others are compared with; by default the one with the score `random`, else the "
        "first.",
    )
    confidence: float = Field(default=0.95, gt=0, lt=1, description="Coverage of the intervals of differences.")
    fractions: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        default=[0.7, 0.8, 0.9],
        description="Fractions of the fully supervised mIoU for which the labels needed are counted.",
    )


class PublishedSettings(Settings):
    """Results that others published, shown beside this study's; they change no run."""

    source: str = Field(description="Where they stand, and what differs from this study.")
    miou: dict[Name, dict[Name, Annotated[float, Field(ge=0, le=100)]]] = Field(
        description="mIoU after the last round in percent, by dataset and method."
    )


class PredictionSettings(Settings):
    """What `snakemake predict` does; changes no run."""

    images: str | None = Field(default=None, description="Folder of new images, searched with its subfolders.")
    run: str | None = Field(
        default=None,
        description="Whose head: a run's path below `results/runs`, such as `mine/ddpm/edald/budget-30/seed-0`; by "
        "default the study's first run.",
    )
    round: NonNegativeInt | None = Field(default=None, description="Which head of the run; by default the last.")
    folder: str = Field(default="predictions", description="Where masks and overlays are written.")
    confidence: bool = Field(default=False, description="Write maps of the probability of the predicted class too.")


def _or_defaults(settings: Any) -> Any:
    return {} if settings is None else settings


Method = Annotated[MethodSettings, BeforeValidator(_or_defaults, json_schema_input_type=MethodSettings | None)]


class Study(Settings):
    """The whole study, as in `config.yaml`."""

    datasets: dict[Name, DatasetSettings] = Field(min_length=1, description="Image collections by name.")
    features: dict[Name, FeatureSettings] = Field(default={}, description="Pixel features by name.")
    candidates: CandidateSettings = Field(default=CandidateSettings(), description="Stage 1 within an image.")
    methods: dict[Name, Method] = Field(default={}, description="Selection methods by name.")
    head: HeadSettings = Field(default=HeadSettings(), description="The segmentation head and its training.")
    budgets: list[Budget] = Field(
        default=[0.1],
        min_length=1,
        description="Pixels a round: a whole number of pixels, or (with a decimal point) a multiple of the number of "
        "training images.",
    )
    seeds: list[NonNegativeInt] = Field(default=[0], min_length=1, description="Seeds of the runs.")
    rounds: PositiveInt = Field(default=10, description="Rounds of a run.")
    oracle: Literal["masks", "csv"] = Field(
        default="masks",
        description="Who answers the queries: the training images' masks, or a person, by a CSV file for each round "
        "that a page in `results/annotation` helps to write.",
    )
    statistics: StatisticsSettings = Field(
        default=StatisticsSettings(), description="How the finished runs are compared."
    )
    published: PublishedSettings | None = Field(
        default=None, description="Published results to show beside this study's, marked as published."
    )
    predict: PredictionSettings = Field(default=PredictionSettings(), description="What `snakemake predict` does.")
    pretraining: dict[Name, PretrainingSettings] = Field(
        default={}, description="Backbones that `snakemake pretrain` trains, by name."
    )
    results: str = Field(default="results", description="Folder of what the study produces: small, kept.")
    cache: str = Field(default="cache", description="Folder of features and lists: large, may be deleted any time.")
    images_per_job: PositiveInt = Field(default=16, description="Images a job; changes no result.")
    pictures: NonNegativeInt = Field(
        default=3, description="Images of each split that a run's pictures show; finished runs keep theirs."
    )
    device: str = Field(default="auto", description="`auto`, `cpu`, `cuda` or `mps`.")
    jobs_per_gpu: PositiveInt = Field(
        default=1, description="Jobs that share a GPU; with `--resources gpu=N` N is the number of jobs altogether."
    )
    refresh: bool = Field(
        default=False, description="Redo finished runs that another version of pixelherd's source made."
    )
    threads: PositiveInt = Field(
        default=1, description="Numerical threads of a job. Sums differ with it, so it is part of the study."
    )

    @classmethod
    def read(cls, content: dict[str, Any]) -> "Study":
        """Check ``content`` (parsed YAML) and return the study.

        Raises:
            UserError: one line for every mistake, with the nearest known name for an unknown one.
        """
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise UserError(explain(error.errors(), content, schema())) from None

    @model_validator(mode="after")
    def _names_are_known(self) -> "Study":
        if self.methods and not self.features:
            raise ValueError("features: methods choose pixels by their features; add an entry, or delete `methods`")
        known = list(dict.fromkeys([*SELECTIONS, *SCORES]))
        for name in self.methods:
            if self.score(name) not in known:
                raise ValueError(f"methods.{name}: unknown score {self.score(name)!r}{meant(self.score(name), known)}")
            if (self.score(name) == "full") != (name == "full"):  # tables know the reference by its name
                raise ValueError(f"methods.{name}: the fully labelled reference is called `full`; rename the method")
            if self.score(name) in SELECTIONS and self.methods[name].stages == 1:
                raise ValueError(f"methods.{name}.stages: {self.score(name)} is no score that could rank every pixel")
            for key, reads in self._readers(name).items():
                if not reads and key in self.methods[name].model_fields_set:
                    raise ValueError(f"methods.{name}.{key}: {self.score(name)} does not use it here; delete the line")
            for entry in self.methods[name].features or ():
                if entry not in self.features:
                    raise ValueError(
                        f"methods.{name}.features: unknown features {entry!r}{nearest(entry, self.features)}"
                    )
            for features in filter(lambda entry: self.uses(name, entry), self.features):
                if self.needs_draws(name) and self.draws_of(name, features) < 2:
                    raise ValueError(f"methods.{name}: {self.score(name)} measures disagreement and needs `draws` ≥ 2")
                if (self.methods[name].draws or 0) > (stored := self.features[features].draws):
                    raise ValueError(f"methods.{name}.draws: features.{features} have {stored}; raise their `draws`")
        for name, features in self.features.items():
            for dataset in features.datasets or ():
                if dataset not in self.datasets:
                    raise ValueError(
                        f"features.{name}.datasets: unknown dataset {dataset!r}{nearest(dataset, self.datasets)}"
                    )
            if isinstance(features.backbone, Pretrained) and features.backbone.pretrain not in self.pretraining:
                raise ValueError(f"features.{name}.backbone: `pretraining` has no entry {features.backbone.pretrain!r}")
            for key in ("blocks", "timesteps"):
                if len(set(getattr(features, key))) < len(getattr(features, key)):
                    raise ValueError(f"features.{name}.{key}: an entry appears twice")
        for dataset, published in self.published.miou.items() if self.published else ():
            for name, known in ((dataset, self.datasets), *((method, self.methods) for method in published)):
                if name not in known:
                    raise ValueError(f"published.miou: this study has no {name!r}{nearest(name, known)}")
        for name, pretraining in self.pretraining.items():
            if pretraining.dataset not in self.datasets:
                raise ValueError(
                    f"pretraining.{name}.dataset: unknown dataset {pretraining.dataset!r}"
                    f"{nearest(pretraining.dataset, self.datasets)}"
                )
        if (reference := self.statistics.reference) is not None:
            known = [name for name in self.methods if self.score(name) != "full"]
            if reference not in known:
                raise ValueError(
                    f"statistics.reference: {reference!r} is no method to compare with{nearest(reference, known)}"
                )
        lists = {"budgets": self.budgets, "seeds": self.seeds, "statistics.fractions": self.statistics.fractions}
        lists |= {f"methods.{name}.seeds": method.seeds or () for name, method in self.methods.items()}
        for key, entries in lists.items():
            # 1 is a pixel and 1.0 a pixel per image: only what is written alike is the same
            if len(set(map(str, entries))) < len(entries):
                raise ValueError(f"{key}: an entry appears twice")
        return self

    def content(self) -> dict[str, Any]:
        """What :meth:`read` makes this study of again: as it was written, since what is unused must not be."""
        return self.model_dump(mode="json", exclude_unset=True)

    # What a method needs follows from its score.

    def score(self, method: str) -> str:
        """Score, or selection without a score, of a method entry."""
        return self.methods[method].score or method

    def is_scored(self, method: str) -> bool:
        """Whether a score ranks pixels one by one."""
        return self.score(method) not in SELECTIONS

    def is_two_stage(self, method: str) -> bool:
        """Whether a score ranks a herded pool."""
        return self.is_scored(method) and self.methods[method].stages == 2

    def is_single_stage(self, method: str) -> bool:
        """Whether a score ranks every pixel of every training image."""
        return self.is_scored(method) and self.methods[method].stages == 1

    def needs_lists(self, method: str) -> bool:
        """Whether the method chooses among the images' lists, if only in round 0."""
        return self.is_scored(method) or SELECTIONS[self.score(method)].needs_lists

    def needs_head(self, method: str) -> bool:
        """Whether the method asks the head of the round before."""
        return self.is_scored(method) or SELECTIONS[self.score(method)].needs_head

    def needs_draws(self, method: str) -> bool:
        """Whether the method's score needs predictions under noise draws 1…M."""
        return self.is_scored(method) and SCORES[self.score(method)].needs_draws

    def ranks_by_draws(self, method: str) -> bool:
        """Whether a round of the method takes predictions under noise draws; round 0 has no head to make them."""
        return self.needs_draws(method) and self.rounds_of(method) > 1

    def needs_listed_draws(self, method: str) -> bool:
        """Whether the method needs vectors of draws 1…M at the listed pixels."""
        return self.is_two_stage(method) and self.ranks_by_draws(method)

    def needs_dropout(self, method: str) -> bool:
        """Whether the method's score needs samples of a head of its own, trained with dropout."""
        return self.is_scored(method) and SCORES[self.score(method)].needs_dropout

    def trains_densely(self, method: str) -> bool:
        """Whether heads see every pixel of their batches' images, and so need native maps."""
        return self.score(method) == "full" or self.head.context == "all"

    def _readers(self, method: str) -> dict[str, bool]:
        """Settings that only some methods use, and whether this one does."""
        return {
            "pool_fraction": self.is_two_stage(method),
            "stages": self.is_scored(method),
            "weight": self.is_scored(method) and SCORES[self.score(method)].takes_weight,
            "dropout": self.needs_dropout(method),
            "samples": self.needs_dropout(method),
            "draws": self.needs_draws(method),
            "candidates": self.needs_lists(method),
        }

    def needs_context(self, method: str) -> bool:
        """Whether context pixels are chosen from, or seen by heads, or tell a person how far predictions settled."""
        asks_person = not self.needs_masks(method)
        return self.score(method) == "random" or not self.trains_densely(method) or asks_person

    def uses(self, method: str, features: str) -> bool:
        """Whether the method runs on a features entry."""
        return self.methods[method].features is None or features in self.methods[method].features

    def needs_masks(self, method: str) -> bool:
        """Whether the method's labels come from the training images' masks."""
        return self.oracle == "masks" or self.score(method) == "full"

    def draws_of(self, method: str, features: str) -> int:
        """M of a method."""
        return self.methods[method].draws or self.features[features].draws

    def listed_draws(self, dataset: str, features: str) -> dict[str, int]:
        """M by the key of the lists whose pixels need draws: as many as any method that chooses from them takes."""
        found: dict[str, int] = {}
        for run in self.runs():
            if (run.dataset, run.features) == (dataset, features) and self.needs_listed_draws(run.method):
                key = self.list_key(run.method, run.seed)
                found[key] = max(found.get(key, 0), self.draws_of(run.method, run.features))
        return found

    def kept_draws(self, dataset: str, features: str) -> int:
        """How many noise draws' maps are stored: as many as any method takes; 0 where they are made anew."""
        if self.features[features].draw_maps == "recompute":
            return 0
        takers = {run.method for run in self.runs() if (run.dataset, run.features) == (dataset, features)}
        return max((self.draws_of(name, features) for name in takers if self.ranks_by_draws(name)), default=0)

    def candidates_of(self, method: str) -> CandidateSettings:
        """The study's `candidates` with the method's changes."""
        return self.candidates.model_copy(update=self.methods[method].candidates.model_dump(exclude_none=True))

    # The runs.

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Every dataset with every features entry that uses it."""
        for dataset in self.datasets:
            for name, features in self.features.items():
                if features.datasets is None or dataset in features.datasets:
                    yield dataset, name

    def runs(self) -> list["Run"]:
        """Every run of the study, in the order of its file."""
        return [
            Run(dataset, features, method, budget, seed)
            for dataset, features in self.pairs()
            for method in self.methods
            if self.uses(method, features)
            for budget in (["all"] if self.score(method) == "full" else [str(budget) for budget in self.budgets])
            for seed in self.methods[method].seeds or self.seeds
        ]

    def predicting_run(self) -> "Run":
        """The run whose head `snakemake predict` takes.

        Raises:
            UserError: the study has no such run.
        """
        runs = {run.path: run for run in self.runs()}
        wanted = self.predict.run or next(iter(runs), None)
        if wanted not in runs:
            raise UserError(f"predict.run: this study has no run {wanted!r}{nearest(str(wanted), runs)}")
        return runs[wanted]

    def rounds_of(self, method: str) -> int:
        """Rounds of a method's runs; the reference labels everything at once."""
        return 1 if self.score(method) == "full" else self.rounds

    def candidate_seed(self, seed: int) -> str:
        """The key of the candidate pixels and lists that runs of ``seed`` use."""
        return str(seed) if self.candidates.per_seed else "shared"

    def list_key(self, method: str, seed: int) -> str:
        """What names the lists that a method's runs of ``seed`` choose from: methods with equal lists share them."""
        own, key = self.herding_settings(method), self.candidate_seed(seed)
        common = self._herding_settings(self.candidates)
        return key if own == common else f"{key}-{hash_of(own)[:8]}"

    def network_size(self, dataset: str, features: str) -> tuple[int, int]:
        """(height, width) of the images that the backbone sees."""
        return tuple(self.features[features].image_size or self.datasets[dataset].size)

    # The settings that each stage uses, and no more: editing others must not redo the stage.

    def preparation_settings(self, dataset: str) -> dict[str, Any]:
        """Settings that the prepared dataset depends on."""
        return self.datasets[dataset].preparation()

    def evaluates_originals(self, dataset: str) -> bool:
        """Whether predictions are compared with labels in the resolution of their files."""
        return getattr(self.datasets[dataset], "evaluate_at", "prepared") == "original"

    def feature_settings(self, dataset: str, features: str) -> dict[str, Any]:
        """Settings that native maps and context vectors depend on."""
        settings = self.features[features].model_dump(
            mode="json", exclude={"draws", "draw_maps", "datasets", "image_size", "backbone"}
        )
        return {**settings, "image_size": list(self.network_size(dataset, features)), "threads": self.threads}

    def list_settings(self, method: str | None = None) -> dict[str, Any]:
        """Settings that the images' lists and their use depend on, besides the feature settings."""
        candidates = self.candidates if method is None else self.candidates_of(method)
        return candidates.model_dump(mode="json", exclude={"per_seed"})

    def herding_settings(self, method: str) -> dict[str, Any]:
        """Settings that the images' lists alone depend on: how many of its pixels an image offers is no matter."""
        return self._herding_settings(self.candidates_of(method))

    @staticmethod
    def _herding_settings(candidates: CandidateSettings) -> dict[str, Any]:
        settings = candidates.model_dump(mode="json", exclude={"per_seed"})
        return settings | {"listed": candidates.listed + candidates.reserve, "reserve": 0}

    def selection_settings(self, run: "Run") -> dict[str, Any]:
        """Settings that a run's queries depend on, besides its features and lists."""
        method = self.methods[run.method]
        settings = {"score": self.score(run.method), "budget": run.budget, "seed": run.seed}
        if self.score(run.method) == "random":
            settings["avoid_ignored"] = self.candidates.avoid_ignored
        if self.needs_lists(run.method):
            candidates = self.candidates_of(run.method)
            settings |= {"listed": candidates.listed, "kernel": candidates.kernel}
        if self.is_two_stage(run.method):
            settings |= {"pool_fraction": method.pool_fraction, "weight": method.weight}
        if self.is_single_stage(run.method):
            settings |= {"stages": 1, "weight": method.weight, "avoid_ignored": self.candidates.avoid_ignored}
        if self.needs_draws(run.method):
            settings["draws"] = self.draws_of(run.method, run.features)
        if self.needs_dropout(run.method):
            settings |= {"dropout": method.dropout, "samples": method.samples}
        return settings

    def training_settings(self, run: "Run") -> dict[str, Any]:
        """Settings that a run's heads depend on, besides its features and labels."""
        head = self.head.model_dump(mode="json")
        epochs = self.methods[run.method].epochs
        return {**head, **({"epochs": epochs} if epochs else {}), "seed": run.seed, "threads": self.threads}

    def stages(self) -> dict[str, str]:
        """By two-stage method the single-stage one that is the same otherwise: what stage 1 is measured by."""

        def asks(method: str) -> tuple:
            stage_1 = {"stages", "pool_fraction"}
            return self.score(method), self.methods[method].model_dump(exclude={"score", "seeds", *stage_1})

        single = {method: asks(method) for method in self.methods if self.is_single_stage(method)}
        return {
            two: one for two in filter(self.is_two_stage, self.methods) for one in single if asks(two) == single[one]
        }

    def first_features(self) -> str | dict[str, str] | None:
        """The features entry that others are compared with: the first of a dataset, by dataset where those differ."""
        first: dict[str, str] = {}
        for dataset, features in self.pairs():
            first.setdefault(dataset, features)
        return first if len(set(first.values())) > 1 else next(iter(first.values()), None)

    def statistics_settings(self) -> dict[str, Any]:
        """Settings of the tables of finished runs: of their comparison, with references found, and ``published``."""
        methods = [name for name in self.methods if self.score(name) != "full"]
        # False sorts before True, and sorting is stable
        found = sorted(methods, key=lambda name: self.score(name) != "random")
        settings = self.statistics.model_dump(mode="json")
        published = self.published and self.published.model_dump(mode="json")
        reference = self.statistics.reference or next(iter(found), None)
        compared = {"reference": reference, "stages": self.stages(), "features": self.first_features()}
        return settings | compared | {"published": published}

    def backbone_settings(self, features: str) -> dict[str, Any]:
        """Where the backbone comes from, as far as results depend on it."""
        backbone = self.features[features].backbone
        if isinstance(backbone, Pretrained):
            return {"pretrain": self.pretraining[backbone.pretrain].model_dump(mode="json")}
        return {"path": backbone} if isinstance(backbone, str) else backbone.identity()

    def backbone_request(self, features: str) -> dict[str, Any]:
        """:meth:`backbone_settings`, with what it takes to fetch the backbone and to check what came."""
        backbone = self.features[features].backbone
        if isinstance(backbone, str | Pretrained):
            return self.backbone_settings(features)
        return backbone.model_dump(mode="json", exclude_none=True)

    def result_settings(self, run: "Run") -> dict[str, Any]:
        """Everything that affects a run's results; how many rounds it has affects none of those before."""
        settings = {
            "dataset": self.preparation_settings(run.dataset),
            "backbone": self.backbone_settings(run.features),
            "features": {k: v for k, v in self.feature_settings(run.dataset, run.features).items() if k != "maps"},
            "selection": self.selection_settings(run),
            "training": self.training_settings(run),
        }
        if self.needs_lists(run.method):
            candidates = self.list_settings(run.method) | {"key": self.candidate_seed(run.seed)}
            if candidates["bandwidth"] == CandidateSettings().bandwidth:
                del candidates["bandwidth"]  # older than the setting are seals that hold it all the same
            settings["candidates"] = candidates
        if self.evaluates_originals(run.dataset):
            settings["evaluate_at"] = "original"
        if not self.needs_masks(run.method):
            settings["oracle"] = self.oracle
        return settings

    def identity(self, run: "Run") -> str:
        """SHA-256 of everything but the labels that affects the run's heads, which hold it: whoever answers, equal
        answers give equal heads."""
        settings = self.result_settings(run) | {"dataset": self.datasets[run.dataset].training_images()}
        settings.pop("oracle", None)
        return hash_of(settings)


@dataclass(frozen=True)
class Run:
    """One dataset × features × method × budget × seed."""

    dataset: str
    features: str
    method: str
    budget: str
    seed: int

    @property
    def path(self) -> str:
        """The run's folder below ``results/runs``."""
        return f"{self.dataset}/{self.features}/{self.method}/budget-{self.budget}/seed-{self.seed}"

    @classmethod
    def parse(cls, path: str) -> "Run":
        """The run of a folder below ``results/runs``; further parts such as ``round-3`` are left aside."""
        dataset, features, method, budget, seed = PurePosixPath(path).parts[:5]
        return cls(dataset, features, method, budget.removeprefix("budget-"), int(seed.removeprefix("seed-")))


def hash_of(settings: dict[str, Any]) -> str:
    """SHA-256 of settings, the same for equal settings in any key order."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def schema() -> dict[str, Any]:
    """The JSON schema of a study file, for editors; `config.schema.json` holds it."""
    return Study.model_json_schema()


if __name__ == "__main__":
    print(json.dumps(schema(), indent=1))
