"""What comes along with the input files of a job where a storage holds them.

On a file system jobs ask for manifests, indices and seals, and find all else beside them. From a storage comes what a
rule names, so there it names all of it.
"""

from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

from pixelherd.pipeline.inputs.results import heads_evaluated_together, left_by, passes, shards_of_passes
from pixelherd.pipeline.inputs.stores import Files
from pixelherd.pipeline.inputs.work import Work
from pixelherd.storage.stores import DATA, MANIFEST
from pixelherd.study.run import Run
from pixelherd.study.settings import Pretrained


class Travel:
    """What comes along with files of a study.

    Args:
        work: what the study has still to do.
    """

    def __init__(self, work: Work) -> None:
        self._work, self._study, self._paths = work, work.study, work.paths
        self._union = Path(self._paths.union_arrays[0]).parent.name.partition("{")[0]

    def along(self, files: Files) -> list[str]:
        """Return what comes along with the input files of a job, each once."""
        named = [path for each in files.values() for path in ([each] if isinstance(each, str) else each)]
        found = dict.fromkeys(other for path in named for other in self._beside(path))
        return [path for path in found if path not in set(named)]

    def _beside(self, path: str) -> Iterator[str]:
        """What a file names or stands for, and what comes along with that."""
        if path in self._named:
            for shard in self._named[path]:
                yield shard
                yield from self._beside(shard)
        elif path == self._paths.figures:
            yield from (self._paths.figures_of.format(dataset=name) for name in self._study.datasets)
        elif path in self._runs:
            yield from self._of_run(self._runs[path])
        elif path in self._kept:
            yield from self._kept[path]
        elif Path(path).name == MANIFEST:
            yield from self._of_store(Path(path))
        elif path.startswith(f"{Path(self._paths.backbone).parent}/"):
            yield from self._of_backbone(path)

    def _of_store(self, manifest: Path) -> Iterable[str]:
        if manifest.parent.name.startswith(self._union):
            return [str(manifest.with_name(Path(array).name)) for array in self._paths.union_arrays]
        return [str(manifest.with_name(DATA))]

    def _of_backbone(self, manifest: str) -> Iterator[str]:
        yield str(Path(manifest).with_suffix(""))
        for name, settings in self._study.features.items():
            if isinstance(settings.backbone, Pretrained) and Path(manifest).name.startswith(f"{name}-"):
                trained = self._work.pretrained(settings.backbone.pretrain)
                yield from (trained, *self._of_store(Path(trained)))

    def _of_run(self, run: Run) -> list[str]:
        """What tables, figures and the report read of a run; they do without its heads, and what older runs lack."""
        made = (self._paths.metrics, self._paths.thumbnails, self._paths.expected)
        files = [path.format(run=run.path) for path in made]
        files += left_by(self._work, run, range(self._study.rounds_of(run.method)), labels=True)
        return files if run in self._work.pending else [path for path in files if self._work.is_there(path)]

    @cached_property
    def _runs(self) -> dict[str, Run]:
        return {self._paths.seal.format(run=run.path): run for run in self._study.runs()}

    @cached_property
    def _named(self) -> dict[str, list[str]]:
        """Files that name others: indices, and those of passes over the test images."""
        found = self._work.indices()
        for run in self._work.pending:
            if not self._work.keeps_maps(run.features) and run not in self._work.waiting:
                where = {"dataset": run.dataset, "features": run.features}
                group = Path(index := passes(self._work, run)).parent.name
                found[index] = shards_of_passes(self._work, **where, group=group)
                heads = self._paths.pass_heads.format(**where, group=group)
                found[heads] = heads_evaluated_together(self._work, **where)
        return found

    @cached_property
    def _kept(self) -> dict[str, list[str]]:
        """By the heads of rounds that pending runs keep: what else these left, of which a new seal speaks."""
        return {
            self._paths.of_round(self._paths.head, run, number): left_by(self._work, run, range(number, number + 1))
            for run, lacking in self._work.pending.items()
            for number in range(lacking.start)
        }
