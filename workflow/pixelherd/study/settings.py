"""What a study file may say, as Pydantic models: they check it, and the JSON schema is made from them."""

import difflib
import reprlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, Union

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    NonNegativeFloat,
    PlainSerializer,
    PlainValidator,
    PositiveInt,
    Tag,
    model_validator,
)

from pixelherd.datasets.settings import AnnotatorSettings
from pixelherd.features.backbones.sources.kinds import KINDS, Folder
from pixelherd.features.backbones.sources.source import Source
from pixelherd.features.perturbations import PerturbationSettings
from pixelherd.features.windows import WindowSettings
from pixelherd.heads.settings import HeadSettings
from pixelherd.selection.settings import Kernel, ListSettings
from pixelherd.settings import MOST_PIXELS, Count, PathText, PixelCount, Seed, Settings, Side, Whole


def _budget(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MOST_PIXELS:
        raise ValueError(
            f"{reprlib.repr(value)} is no budget; write pixels as a whole number such as 40, or with a decimal point "
            f"as a multiple of the training images such as 0.1, at most {MOST_PIXELS:,}"
        )
    return value


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=100)]  # it becomes part of paths

Budget = Annotated[
    int | float, PlainValidator(_budget, json_schema_input_type=Annotated[float, Field(gt=0, le=MOST_PIXELS)])
]


class Pretrained(Settings):
    """A backbone that this study trains itself."""

    pretrain: Name = Field(description="Name of an entry of `pretraining`.")


def _origin(backbone: Any) -> str | None:
    """Which of the kinds of backbones is meant, by the key that names it, misspelt or not."""
    if isinstance(backbone, Source | Pretrained | list):
        return type(backbone).__name__
    if not isinstance(backbone, dict):
        return "Folder" if isinstance(backbone, str) else type(backbone).__name__
    kinds = {key: kind.__name__ for key, kind in KINDS.items() if kind is not Folder} | {"pretrain": "Pretrained"}
    named = [key for key in kinds if key in backbone]
    named += [match for key in backbone for match in difflib.get_close_matches(str(key), kinds, n=1)]
    return kinds[named[0]] if named else None


def _folder(path: Any) -> Any:
    return {"path": path} if isinstance(path, str) else path


def _members() -> Iterator[Any]:
    """Every kind of backbone, as a member of a union; a folder is written as its path."""
    for kind in KINDS.values():
        if kind is Folder:
            written = PlainSerializer(lambda folder: folder.path, return_type=str)
            read = BeforeValidator(_folder, json_schema_input_type=PathText)
            yield Annotated[Folder, read, written, Tag("Folder")]
        else:
            yield Annotated[kind, Tag(kind.__name__)]
    yield Annotated[Pretrained, Tag("Pretrained")]
    yield Annotated[list[Name], Field(min_length=2, max_length=8), Tag("list")]


if TYPE_CHECKING:
    BackboneSettings = Source | Pretrained | list[str]
else:
    BackboneSettings = Annotated[
        Union[tuple(_members())],  # noqa: UP007
        Discriminator(
            _origin,
            custom_error_type="backbone",
            custom_error_message="give a diffusers folder, or a mapping with "
            f"{', '.join(f'`{key}`' for key, kind in KINDS.items() if kind is not Folder)} or `pretrain`, "
            "or a list of other features",
        ),
    ]


def _has_schedule(entry: dict[str, Any]) -> bool:
    backbone = entry.get("backbone")
    return backbone.scheduled if isinstance(backbone, Source) else not isinstance(backbone, list)


def _timesteps(entry: dict[str, Any]) -> list[int]:
    return [50, 150, 250] if _has_schedule(entry) else []


def _blocks(entry: dict[str, Any]) -> list[int]:
    backbone = entry.get("backbone")
    return backbone.usual_blocks() if isinstance(backbone, Source) else []


def _perturbation(entry: dict[str, Any]) -> PerturbationSettings | None:
    return None if _has_schedule(entry) or isinstance(entry.get("backbone"), list) else PerturbationSettings()


class FeatureSettings(Settings):
    """Where pixel vectors come from: a frozen backbone, which of its blocks, and how images are perturbed."""

    backbone: BackboneSettings = Field(
        description="`{embedded: efficientnet_lite2}` for the encoder of photographs that comes with pixelherd; "
        "`{encoder: ID or FOLDER}` for one of the transformers library; `{filters: [SCALE, …]}` for filters without "
        "weights; a folder with a diffusers `unet` and `scheduler`; `{checkpoint: FILE, architecture: …}` for a "
        "checkpoint of guided-diffusion; `{diffusers: ID}` for a model of the Hugging Face hub; `{pretrain: NAME}` "
        "for one this study trains; or a list of other features, `[NAME, NAME, …]`, for the vectors of all of them."
    )
    timesteps: list[Whole] = Field(
        default_factory=_timesteps,
        description="Diffusion timesteps t at which activations are read: [50, 150, 250] by default, none for a "
        "backbone without a noise schedule.",
    )
    blocks: list[Whole] = Field(
        default_factory=_blocks,
        description="Blocks read, numbered from 0: decoder blocks of a diffusion model; those of the embedded encoder, "
        "by default the last of each stride; scales of filters, by default all; stages of another encoder, from 1.",
    )
    perturbation: PerturbationSettings | None = Field(
        default_factory=_perturbation,
        description="What happens to images in the draws, where the backbone has no noise schedule to draw noise for.",
    )
    window: WindowSettings | None = Field(
        default=None,
        description="Windows by which the network sees images that are larger, so that they need no shrinking; by "
        "default it sees them at once.",
    )
    image_size: tuple[Side, Side] | None = Field(
        default=None, description="[height, width] that the network sees; by default the dataset's own size."
    )
    noise_seed: int = Field(
        default=0, gt=-(2**63), lt=2**63, description="Key of the noise draws; seeds of runs do not change them."
    )
    draws: PositiveInt = Field(
        default=5,
        le=1000,
        description="M, the noise draws besides the base draw, for scores that measure disagreement.",
    )
    context: PixelCount = Field(
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

    @model_validator(mode="after")
    def _fits_the_backbone(self) -> Self:
        if isinstance(self.backbone, list):
            own = ("timesteps", "blocks", "perturbation", "window", "image_size", "noise_seed")
            if given := [name for name in own if getattr(self, name)]:
                raise ValueError(f"{', '.join(given)}: features that join others take these from them; leave them out")
            return self
        if not self.blocks:
            raise ValueError("`blocks` is required: the numbers of the blocks that are read")
        if _has_schedule({"backbone": self.backbone}):
            if not self.timesteps:
                raise ValueError("timesteps: give at least one")
            if self.perturbation is not None:
                raise ValueError("perturbation: this backbone has a noise schedule, whose noise differs between draws")
        elif self.timesteps:
            raise ValueError("timesteps: this backbone has no noise schedule; leave them out")
        return self

    @property
    def parts(self) -> list[str]:
        """Return the names of the features that these join; none where they have a backbone of their own."""
        return self.backbone if isinstance(self.backbone, list) else []

    @property
    def steps(self) -> int:
        """Return how often the network sees an image in a draw."""
        return max(len(self.timesteps), 1)


class CandidateSettings(ListSettings):
    """Stage 1 within an image: which pixels may be listed, and how many are."""

    per_seed: bool = Field(default=True, description="Draw candidates anew for every seed; `false` shares them.")


class CandidateChanges(Settings):
    """What of the study's `candidates` is different for one method."""

    pixels: PixelCount | Literal["all"] | None = Field(default=None, description="Instead of `candidates.pixels`.")
    listed: PixelCount | None = Field(default=None, description="Instead of `candidates.listed`.")
    reserve: Whole | None = Field(default=None, description="Instead of `candidates.reserve`.")
    kernel: Kernel | None = Field(default=None, description="Instead of `candidates.kernel`.")
    bandwidth: float | None = Field(default=None, gt=0, description="Instead of `candidates.bandwidth`.")


class MethodSettings(Settings):
    """One selection method."""

    score: str | None = Field(
        default=None,
        description="Score, or one of `coverage`, `uherding`, `rare_herding`, `k_center`, `typiclust`, `probcover`, "
        "`badge`, `tcm`, `clasp_pe`, `dropquery`, `random` and `full` (the reference); by default the entry's name.",
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
    head: HeadSettings | None = Field(
        default=None, description="Of this method's heads, instead of the study's `head`."
    )
    dropout: float = Field(
        default=0.2, gt=0, lt=1, description="Probability in the `mlp` head that scores sample by dropout."
    )
    samples: int = Field(
        default=5,
        ge=2,
        le=1000,
        description="Samples of a head that scores compare: of `mlp` with dropout on, of `linear` from the posterior "
        "of its weights.",
    )
    epochs: Count | None = Field(
        default=None, description="Epochs of this method's `mlp` heads, instead of `head.epochs`."
    )
    draws: Count | None = Field(
        default=None, description="M of this method: the first so many of the features' `draws`; by default all."
    )
    candidates: CandidateChanges = Field(
        default=CandidateChanges(), description="What of `candidates` is different for this method, for ablations."
    )
    annotator: AnnotatorSettings | None = Field(
        default=None, description="Who answers this method's queries, instead of the study's `annotator`."
    )
    features: Annotated[list[Name], Field(min_length=1)] | None = Field(
        default=None, description="Features that this method runs on; by default all of its dataset."
    )
    seeds: Annotated[list[Seed], Field(min_length=1)] | None = Field(
        default=None, description="Seeds of this method instead of the study's, where it deserves more or costs much."
    )


class EffortSettings(Settings):
    """Seconds that a person's answers take, as tables count them: a model, not a measurement of anybody."""

    image: NonNegativeFloat = Field(
        default=1.0, description="To turn to another image and find one's way in it (an assumption)."
    )
    look: NonNegativeFloat = Field(
        default=1.35, description="To look at a marked pixel: KLM's mental preparation (Card, Moran & Newell 1980)."
    )
    key: NonNegativeFloat = Field(
        default=0.28, description="To press a key or button: KLM's keystroke of somebody who is no typist."
    )
    bit: NonNegativeFloat = Field(
        default=0.15, description="For each bit of a choice, log2(classes + 1) of them (Hick 1952; Hyman 1953)."
    )
    sure: float = Field(
        default=0.9,
        ge=0,
        le=1,
        description="Probability of the likeliest class from which on the question is whether it is that one.",
    )


class StatisticsSettings(Settings):
    """How finished runs are compared; changes no run."""

    reference: Name | None = Field(
        default=None,
        description="Method that all others are compared with; by default the one with the score `random`, else the "
        "first.",
    )
    confidence: float = Field(default=0.95, gt=0, lt=1, description="Coverage of the intervals of differences.")
    rope: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="Difference in mIoU up to which two methods count as practically the same; 0.01 is a point.",
    )
    fractions: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        default=[0.7, 0.8, 0.9],
        description="Fractions of the fully supervised mIoU for which the labels needed are counted.",
    )
    effort: EffortSettings = Field(default=EffortSettings(), description="What a person's answers take, in seconds.")


class PublishedSettings(Settings):
    """Results that others published, shown beside this study's; they change no run."""

    source: str = Field(description="Where they stand, and what differs from this study.")
    miou: dict[Name, dict[Name, Annotated[float, Field(ge=0, le=100)]]] = Field(
        description="mIoU after the last round in percent, by dataset and method."
    )


class PredictionSettings(Settings):
    """What `snakemake predict` does; changes no run."""

    images: PathText | None = Field(default=None, description="Folder of new images, searched with its subfolders.")
    run: str | None = Field(
        default=None,
        description="Whose head: a run's path below `results/runs`, such as `mine/ddpm/edald/budget-30/seed-0`; by "
        "default the study's first run.",
    )
    round: Whole | None = Field(default=None, description="Which head of the run; by default the last.")
    folder: PathText = Field(default="predictions", description="Where masks and overlays are written.")
    confidence: bool = Field(default=False, description="Write maps of the probability of the predicted class too.")
    edges: bool = Field(default=True, description="Let masks follow the edges of the image (a guided filter).")
    mirror: bool = Field(
        default=True, description="Take the mean with the mirror image's prediction, for which the network runs again."
    )


def _or_defaults(settings: Any) -> Any:
    return {} if settings is None else settings


Method = Annotated[MethodSettings, BeforeValidator(_or_defaults, json_schema_input_type=MethodSettings | None)]
