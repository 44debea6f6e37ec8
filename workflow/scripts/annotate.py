"""Write the page on which a person labels a round."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake) as meter:
    from pixelherd.annotation import oracle, stopping
    from pixelherd.annotation.page import Questions
    from pixelherd.annotation.questions import write_questions
    from pixelherd.compute.devices import resolve
    from pixelherd.datasets.dataset import Dataset
    from pixelherd.datasets.pixels import LABEL_COLUMNS, read_pixels
    from pixelherd.datasets.prepare import classes_of
    from pixelherd.datasets.settings import read_dataset
    from pixelherd.features.maps import open_maps
    from pixelherd.features.settings import MapSettings
    from pixelherd.heads import dense, network

    files, params, step = snakemake.input, snakemake.params, Path(snakemake.wildcards.step)
    dataset, settings = Dataset.open(Path(files.dataset).parent), read_dataset(params.dataset)
    train, size, asked, predict, calibrated = dataset.train, dataset.size, oracle.read_asked(files.queries), None, None
    if files.get("head"):
        head, made = network.load(files.head).to(resolve(params.device)), MapSettings(**params.settings)
        maps_of = open_maps(files.get("maps"), files.get("backbone"), train.images, made, params.device)
        predict, calibrated = dense.by_name(train.ids, maps_of, head, size), network.is_calibrated(files.head)
    write_questions(
        Path(snakemake.output.page).parent,
        Questions(str(step.parent), params.round, asked, size, classes_of(settings), params.answers, calibrated),
        settings,
        Path(files.template).read_text(),
        predict=predict,
        progress=stopping.read(files.get("stopping", [])),
        labels=read_pixels(files.get("labels", []), LABEL_COLUMNS, train.ids, size[1]).values,
    )
    oracle.note_asked(snakemake.output.asked, params.question, files.queries)
    meter.forwards = maps_of.forwards if predict else 0
