"""Every path of a study's results and cache; nobody else spells one.

Results are small and kept; the cache is large and may be deleted at any time. A path with wildcards in braces is what a
rule makes; filled in (``paths.labels.format(step=run.step(3))``) it is a file.
"""

from pathlib import Path
from typing import Any

from pixelherd.selection.coverage import UNION
from pixelherd.storage.records import found_in, is_own_digest
from pixelherd.study.run import Run

# Files of a run's folder, of its rounds, and of the pages that ask a person.
SEAL, METRICS, EXPECTED, THUMBNAILS, BEGUN = "run.json", "metrics.csv", "expected.csv", "thumbnails.npz", "begun.json"
RECORD = "run.json"  # in a folder of results: how they came about
QUERIES, LABELS, SCORES, CORRELATIONS = "queries.csv", "labels.csv", "scores.csv", "correlations.csv"
HEAD, TRAINING_LOG, STOPPING = "head.safetensors", "training.csv", "stopping.csv"
ASKED_DIGESTS, ANSWERED_DIGESTS, TRAINED_DIGESTS, STOPPING_DIGESTS = (
    *("queries.json", "labels.json", "training.json", "stopping.json"),
)
"""Records of what a round's files hold: until the run is sealed, nothing else tells that one was changed."""
PAGE, ASKED, COCO, TASKS, INTERFACE = "page.html", "asked.json", "coco.json", "label_studio.json", "label_studio.xml"


KINDS = (
    *("backbones", "confusions", "datasets", "draw_maps", "draws", "features", "lists", "original_labels", "passes"),
    *("pools", "pretrained", "ranks", "training", "vectors"),
)
"""Folders of a cache."""


class Paths:
    """The paths of one study.

    Wildcards: ``dataset``, ``features`` and ``name`` (of a pretraining) are names in the study; ``split`` is train or
    test; ``shard`` is ``first-last`` with an address, ``address`` one of a store that is no shard
    (:mod:`pixelherd.study.addresses`); ``key`` names lists, ``listed`` is K; ``group`` names runs that are evaluated
    together; ``run`` is :attr:`Run.path`, ``step`` a round of it (:meth:`Run.step`), and so is ``answered``.

    Args:
        results: folder of what the study produces.
        cache: folder of features and lists.
    """

    def __init__(self, results: str, cache: str) -> None:
        self.results, self.cache = results, cache

        # The cache: what raw files there are, and what runs share.
        self.lock = f"{cache}/lock"
        self.originals, self.digests = f"{cache}/originals/{{dataset}}.json", f"{cache}/digests.json"
        features = f"{cache}/features/{{dataset}}/{{features}}"
        lists = f"{cache}/lists/{{dataset}}/{{features}}/seed-{{key}}"
        draws = f"{cache}/draws/{{dataset}}/{{features}}/seed-{{key}}"
        passes = f"{cache}/passes/{{dataset}}/{{features}}/{{group}}"
        self.dataset = f"{cache}/datasets/{{dataset}}-{{address}}/manifest.json"
        self.original_labels = f"{cache}/original_labels/{{dataset}}-{{address}}/manifest.json"
        self.pretrained = f"{cache}/pretrained/{{name}}-{{address}}/manifest.json"
        self.backbone_folder = f"{cache}/backbones/{{features}}-{{address}}"
        self.backbone = f"{self.backbone_folder}.json"
        self.maps = f"{features}/{{split}}/{{shard}}/manifest.json"
        self.maps_index = f"{features}/{{split}}/index-{{address}}.json"
        self.pictures = f"{features}/pictures-{{address}}/manifest.json"
        self.draw_maps = f"{cache}/draw_maps/{{dataset}}/{{features}}/{{shard}}/manifest.json"
        self.lists = f"{lists}/{{shard}}/manifest.json"
        union = f"{lists}/union-{{listed}}-{{address}}"
        self.union, self.union_arrays = f"{union}/manifest.json", [f"{union}/{name}.npy" for name in UNION]
        self.draws = f"{draws}/{{shard}}/manifest.json"
        self.draws_index = f"{draws}/index-{{address}}.json"
        self.pass_heads = f"{passes}/heads.json"
        self.test_pass = f"{passes}/{{shard}}.npz"
        self.passes = f"{passes}/index.json"
        self.confusions = f"{cache}/confusions/{{dataset}}/{{features}}/{{shard}}.npz"

        # The cache: what a run's rounds leave for each other.
        self.pool = f"{cache}/pools/{{step}}-{{address}}.npz"
        self.ranks = f"{cache}/ranks/{{step}}-{{address}}/{{shard}}.npz"
        self.vectors = f"{cache}/vectors/{{answered}}-{{address}}.npz"
        self.checkpoint = f"{cache}/training/{{step}}-{{address}}.checkpoint"
        self.sampled_checkpoint = f"{cache}/training/{{step}}-{{address}}-sampled.checkpoint"

        # Results: a round of a run.
        step = f"{results}/runs/{{step}}"
        self.queries, self.labels = f"{step}/{QUERIES}", f"{step}/{LABELS}"
        self.asked_digests, self.answered_digests = f"{step}/{ASKED_DIGESTS}", f"{step}/{ANSWERED_DIGESTS}"
        self.answered_labels = f"{results}/runs/{{answered}}/{LABELS}"
        self.scores, self.correlations = f"{step}/{SCORES}", f"{step}/{CORRELATIONS}"
        self.head, self.training_log = f"{step}/{HEAD}", f"{step}/{TRAINING_LOG}"
        self.trained_digests = f"{step}/{TRAINED_DIGESTS}"
        self.sampled_head, self.sampled_log = f"{step}/sampled_{HEAD}", f"{step}/sampled_{TRAINING_LOG}"
        self.sampled_digests = f"{step}/sampled_{TRAINED_DIGESTS}"
        self.stopping, self.stopping_digests = f"{step}/{STOPPING}", f"{step}/{STOPPING_DIGESTS}"

        # Results: a round that asks a person.
        annotation = f"{results}/annotation/{{step}}"
        self.page, self.answers, self.asked = f"{annotation}/{PAGE}", f"{annotation}/{LABELS}", f"{annotation}/{ASKED}"
        self.coco, self.tasks = f"{annotation}/{COCO}", f"{annotation}/{TASKS}"
        self.interface = f"{annotation}/{INTERFACE}"

        # Results: a run.
        run = f"{results}/runs/{{run}}"
        self.metrics, self.expected = f"{run}/{METRICS}", f"{run}/{EXPECTED}"
        self.thumbnails, self.seal = f"{run}/{THUMBNAILS}", f"{run}/{SEAL}"

        # Results: the study.
        self.table = f"{results}/tables/{{table}}.{{kind}}"
        self.tables_digests, self.report_digests = f"{results}/tables/digests.json", f"{results}/report.json"
        self.figures, self.figures_of = f"{results}/figures/manifest.json", f"{results}/figures/{{dataset}}"
        self.report = f"{results}/report.html"
        self.contact_sheet = f"{results}/doctor/{{dataset}}.png"
        self.job_costs = f"{results}/costs/jobs"
        self.costs = f"{results}/costs/costs.md"
        self.costs_tables = [f"{results}/costs/{name}.csv" for name in ("costs", "methods")]
        self.record = f"{results}/{RECORD}"

    def run_folder(self, run: Run) -> Path:
        """Return the folder of a run's results."""
        return Path(self.seal.format(run=run.path)).parent

    def of_round(self, pattern: str, run: Run, number: int) -> str:
        """Return a pattern with the wildcard ``step`` filled in for a round of a run."""
        return pattern.format(step=run.step(number))

    def until(self, pattern: str, run: Run, last: int) -> list[str]:
        """Return :meth:`of_round` of rounds 0…last."""
        return [self.of_round(pattern, run, number) for number in range(last + 1)]


def read_seal(folder: Path) -> dict[str, Any] | None:
    """The seal of a run's folder, or None where there is none (or a broken one, which seals nothing)."""
    content, needed = found_in(folder / SEAL), {"run", "rounds", "settings_sha256", "source_sha256", "files"}
    return content if needed <= content.keys() and is_own_digest(content) else None
