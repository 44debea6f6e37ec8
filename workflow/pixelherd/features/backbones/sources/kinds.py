"""The kinds of sources of backbones, by the key that names each in a study."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from pixelherd.errors import UserError
from pixelherd.features.backbones.sources.checkpoint import Checkpoint
from pixelherd.features.backbones.sources.embedded import Embedded
from pixelherd.features.backbones.sources.encoder import PretrainedEncoder
from pixelherd.features.backbones.sources.filters import Filters
from pixelherd.features.backbones.sources.folder import Folder, HubModel
from pixelherd.features.backbones.sources.source import Source
from pixelherd.settings import explain

KINDS: dict[str, type[Source]] = {
    "embedded": Embedded,
    "encoder": PretrainedEncoder,
    "filters": Filters,
    "checkpoint": Checkpoint,
    "diffusers": HubModel,
    "path": Folder,
}


def kind_of(content: Mapping[str, Any]) -> type[Source] | None:
    """Return the kind of source that settings are of, if any is."""
    return next((kind for key, kind in KINDS.items() if key in content), None)


def read_source(content: Mapping[str, Any]) -> Source:
    """Read where a backbone comes from, as a study has it.

    Raises:
        UserError: one line for all mistakes, with the nearest known name for an unknown one.
    """
    kind = kind_of(content) or Checkpoint
    try:
        return kind.model_validate(dict(content))
    except ValidationError as error:
        raise UserError(explain(error.errors(), dict(content), kind.model_json_schema(), "backbone")) from None
