"""pixelherd finds the few pixels of an image collection worth labelling, and trains a segmenter from them.

The package holds the method as pure functions and small classes; it knows nothing of Snakemake. The workflow in
``workflow/rules`` calls it through the thin scripts in ``workflow/scripts``.

The names below are the Python API, described in ``docs/api.md``; each is imported when it is first asked for, so that
planning a study imports no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pixelherd.features.backbones.diffusion.convert import convert_adm
    from pixelherd.features.backbones.provide import load_backbone
    from pixelherd.features.interpolation import vectors
    from pixelherd.heads.dense import predict
    from pixelherd.heads.metrics import confusion, miou
    from pixelherd.results.prediction.predictor import Predictor
    from pixelherd.selection.acquisition import score
    from pixelherd.selection.coverage.herding import Herding, max_herding

__all__ = [
    "Herding",
    "Predictor",
    "__version__",
    "confusion",
    "convert_adm",
    "load_backbone",
    "max_herding",
    "miou",
    "predict",
    "score",
    "vectors",
]

__version__ = "0.1.0"

_PLACES = {
    "Herding": "pixelherd.selection.coverage.herding",
    "Predictor": "pixelherd.results.prediction.predictor",
    "confusion": "pixelherd.heads.metrics",
    "convert_adm": "pixelherd.features.backbones.diffusion.convert",
    "load_backbone": "pixelherd.features.backbones.provide",
    "max_herding": "pixelherd.selection.coverage.herding",
    "miou": "pixelherd.heads.metrics",
    "predict": "pixelherd.heads.dense",
    "score": "pixelherd.selection.acquisition",
    "vectors": "pixelherd.features.interpolation",
}


def __getattr__(name: str) -> Any:
    """Import a name of the API from where it lives."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_PLACES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
