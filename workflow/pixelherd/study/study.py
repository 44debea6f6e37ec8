"""A study: datasets × features × methods × budgets × seeds, as Pydantic models.

The models are the one description of the configuration: they check it, the JSON schema is made from them, and every
workflow stage takes from them exactly the settings that it uses. Reading a study touches no data and imports no torch.
"""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any, Literal

from pydantic import (
    Field,
    PositiveInt,
    ValidationError,
    model_validator,
)

from pixelherd.datasets.settings import AnnotatorSettings, DatasetSettings
from pixelherd.errors import UserError, nearest
from pixelherd.features.backbones.settings import PretrainingSettings
from pixelherd.heads.settings import HeadSettings, LinearSettings, MlpSettings
from pixelherd.selection.methods import SCORES, SELECTIONS
from pixelherd.settings import Count, PathText, Seed, Settings, Whole, explain
from pixelherd.study import checks
from pixelherd.study.paths import Paths
from pixelherd.study.run import Run
from pixelherd.study.settings import (
    Budget,
    CandidateSettings,
    FeatureSettings,
    Method,
    Name,
    PredictionSettings,
    PublishedSettings,
    StatisticsSettings,
)


class Study(Settings):
    """The whole study, as in `config.yaml`."""

    datasets: dict[Name, DatasetSettings] = Field(min_length=1, description="Image collections by name.")
    features: dict[Name, FeatureSettings] = Field(default={}, description="Pixel features by name.")
    candidates: CandidateSettings = Field(default=CandidateSettings(), description="Stage 1 within an image.")
    methods: dict[Name, Method] = Field(default={}, description="Selection methods by name.")
    head: HeadSettings = Field(default=LinearSettings(), description="The segmentation head and its training.")
    budgets: list[Budget] = Field(
        default=[0.1],
        min_length=1,
        description="Pixels a round: a whole number of pixels, or (with a decimal point) a multiple of the number of "
        "training images.",
    )
    seeds: list[Seed] = Field(default=[0], min_length=1, description="Seeds of the runs.")
    rounds: PositiveInt = Field(default=10, le=10_000, description="Rounds of a run.")
    oracle: Literal["masks", "csv", "log"] = Field(
        default="masks",
        description="Who answers the queries: the training images' masks (`masks`), or a person, by a CSV file for "
        "each round that a page in `results/annotation` helps to write (`csv`). With `log` nothing is queried: "
        "`pixelherd label` has asked already, and wrote a CSV file for each round.",
    )
    annotator: AnnotatorSettings | None = Field(
        default=None, description="With `oracle: masks`: answers err as a person's do; by default they do not."
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
    results: PathText = Field(default="results", description="Folder of what the study produces: small, kept.")
    cache: PathText = Field(
        default="cache", description="Folder of features and lists: large, may be deleted any time."
    )
    images_per_job: Count = Field(default=16, description="Images a job; changes no result.")
    pictures: Whole = Field(
        default=3, description="Images of each split that a run's pictures show; finished runs keep theirs."
    )
    device: str = Field(default="auto", description="`auto`, `cpu`, `cuda` or `mps`.")
    jobs_per_gpu: PositiveInt = Field(
        default=1,
        le=1024,
        description="Jobs that share a GPU; with `--resources gpu=N` N is the number of jobs altogether.",
    )
    refresh: bool = Field(
        default=False, description="Redo finished runs that another version of pixelherd's source made."
    )
    threads: PositiveInt = Field(
        default=1, le=1024, description="Numerical threads of a job. Sums differ with it, so it is part of the study."
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
        checks.check(self)
        return self

    @property
    def paths(self) -> Paths:
        """The paths of its results and cache."""
        return Paths(self.results, self.cache)

    def content(self) -> dict[str, Any]:
        """What :meth:`read` makes this study of again: as it was written, since what is unused must not be."""
        return self.model_dump(mode="json", exclude_unset=True)

    # What a method needs follows from its score.

    def chooses(self, method: str) -> bool:
        """Whether the study chooses the pixels of the method's rounds; those of a log are chosen already."""
        return self.oracle != "log" or self.score(method) == "full"

    def labels_anywhere(self, method: str) -> bool:
        """Whether any pixel may be labelled, in the images' lists or not."""
        return self.is_single_stage(method) or not self.chooses(method)

    def score(self, method: str) -> str:
        """Score, or selection without a score, of a method entry."""
        return self.methods[method].score or method

    def is_scored(self, method: str) -> bool:
        """Whether a score ranks pixels one by one."""
        return self.score(method) not in SELECTIONS

    def is_two_stage(self, method: str) -> bool:
        """Whether a score ranks a herded pool."""
        return self.is_scored(method) and self.methods[method].stages == 2 and self.chooses(method)

    def is_single_stage(self, method: str) -> bool:
        """Whether a score ranks every pixel of every training image."""
        return self.is_scored(method) and self.methods[method].stages == 1 and self.chooses(method)

    def needs_lists(self, method: str) -> bool:
        """Whether the method chooses among the images' lists, if only in round 0."""
        return self.chooses(method) and (self.is_scored(method) or SELECTIONS[self.score(method)].needs_lists)

    def needs_head(self, method: str) -> bool:
        """Whether the method asks the head of the round before."""
        return self.chooses(method) and (self.is_scored(method) or SELECTIONS[self.score(method)].needs_head)

    def needs_draws(self, method: str) -> bool:
        """Whether the method's score needs predictions under noise draws 1…M."""
        return self.chooses(method) and self.is_scored(method) and SCORES[self.score(method)].needs_draws

    def ranks_by_draws(self, method: str) -> bool:
        """Whether a round of the method takes predictions under noise draws; round 0 has no head to make them."""
        return self.needs_draws(method) and self.rounds_of(method) > 1

    def needs_listed_draws(self, method: str) -> bool:
        """Whether the method needs vectors of draws 1…M at the listed pixels."""
        return self.is_two_stage(method) and self.ranks_by_draws(method)

    def needs_samples(self, method: str) -> bool:
        """Whether the method's score compares samples of a head: by dropout, or from the posterior of its weights."""
        return self.chooses(method) and self.is_scored(method) and SCORES[self.score(method)].needs_samples

    def depends_on_seed(self, method: str) -> bool:
        """Whether anything about the method's runs is random: its candidates, its choice, or how its heads begin."""
        registered = SCORES.get(self.score(method)) or SELECTIONS[self.score(method)]
        candidates = self.candidates_of(method)
        lists = self.needs_lists(method) and candidates.per_seed and candidates.pixels != "all"
        chance = (registered.needs_generator and self.chooses(method)) or self.needs_samples(method)
        return lists or chance or self.errs(method) or self.head_of(method).kind == "mlp"

    def head_of(self, method: str) -> LinearSettings | MlpSettings:
        """The settings of the method's heads."""
        head, epochs = self.methods[method].head or self.head, self.methods[method].epochs
        return head.model_copy(update={"epochs": epochs}) if epochs else head

    def trains_densely(self, method: str) -> bool:
        """Whether heads see every pixel of their batches' images, and so need native maps."""
        head = self.head_of(method)
        return head.kind == "mlp" and (self.score(method) == "full" or head.context == "all")

    def needs_context(self, method: str) -> bool:
        """Whether context pixels are chosen from, or seen by heads, or tell a person how far predictions settled."""
        asks_person = not self.needs_masks(method)
        return self.score(method) == "random" or not self.trains_densely(method) or asks_person

    def uses(self, method: str, features: str) -> bool:
        """Whether the method runs on a features entry."""
        named = self.methods[method].features
        return named is None or features in named

    def needs_masks(self, method: str) -> bool:
        """Whether the method's labels come from the training images' masks."""
        return self.oracle == "masks" or self.score(method) == "full"

    def annotator_of(self, method: str) -> AnnotatorSettings | None:
        """How the one errs who answers the method's queries in place of masks; None where nobody does."""
        return self.methods[method].annotator or self.annotator

    def errs(self, method: str) -> bool:
        """Whether answers to the method's queries may be wrong; the reference learns the masks as they are."""
        annotator = self.annotator_of(method)
        return annotator is not None and annotator.error > 0 and self.score(method) != "full"

    def draws_of(self, method: str, features: str) -> int:
        """M of a method."""
        return self.methods[method].draws or self.features[features].draws

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

    def network_size(self, dataset: str, features: str) -> tuple[int, int]:
        """(height, width) of the images that the backbone sees."""
        return self.features[features].image_size or self.datasets[dataset].size

    def evaluates_originals(self, dataset: str) -> bool:
        """Whether predictions are compared with labels in the resolution of their files."""
        return getattr(self.datasets[dataset], "evaluate_at", "prepared") == "original"


@cache
def schema() -> dict[str, Any]:
    """The JSON schema of a study file, for editors; `config.schema.json` holds it."""
    return Study.model_json_schema()


if __name__ == "__main__":
    print(json.dumps(schema(), indent=1))
