"""Write the page on which a person labels a round."""

from pathlib import Path

from pixelherd.job import job

with job(snakemake) as meter:
    import numpy as np
    from pydantic import TypeAdapter
    from tqdm import tqdm

    from pixelherd import annotation, exchange, head, oracle, pictures, queries, stopping
    from pixelherd.datasets import Dataset, extent, samples_of, shown
    from pixelherd.datasets.settings import DatasetSettings
    from pixelherd.devices import resolve
    from pixelherd.features import open_maps
    from pixelherd.storage import write_json, write_text

    files, params = snakemake.input, snakemake.params
    settings = TypeAdapter(DatasetSettings).validate_python(params.dataset)
    dataset = Dataset.open(Path(files.dataset).parent)
    train = dataset.train
    asked = oracle.read_asked(files.queries)
    raw = {sample.id: sample for sample in samples_of(settings)["train"]}
    predict = maps_of = None
    if files.get("head"):
        before = head.load(files.head).to(resolve(params.device))
        maps_of = open_maps(files.get("maps"), files.get("backbone"), train.images, params.settings, params.device)

    described = []

    def images():
        names = list(dict.fromkeys(image for image, _, _ in asked))
        for name in tqdm(names, desc="annotate", unit="image", disable=None):
            image, _ = raw[name].load()
            file = str(raw[name].path or name)
            described.append(exchange.ImageFile(name, file, *image.size, *extent(settings, image.size)))
            prediction = pictures.predict(before, maps_of(train.ids.index(name)), dataset.size) if maps_of else None
            yield annotation.Shown(name, shown(settings, image, annotation.LONGEST), prediction)

    labels = queries.read(files.get("labels", []), queries.LABEL_COLUMNS, train.ids, dataset.size[1]).values
    known = labels[labels != queries.CANNOT_TELL].astype(int)
    page = annotation.page(
        Path(files.template).read_text(),
        run=str(Path(snakemake.wildcards.step).parent),
        round_number=params.round,
        answers=params.answers,
        asked=asked,
        images=images(),
        size=dataset.size,
        classes=dataset.classes,
        progress=stopping.read(files.get("stopping", [])),
        counts=np.bincount(known, minlength=len(dataset.classes)).tolist() if len(labels) else (),
    )
    write_text(snakemake.output.page, page)
    coco = exchange.coco_keypoints(params.round, asked, described, dataset.classes)
    write_json(snakemake.output.coco, coco)
    write_json(snakemake.output.tasks, exchange.label_studio_tasks(coco))
    write_text(snakemake.output.interface, exchange.label_studio_interface(dataset.classes))
    oracle.note_asked(snakemake.output.asked, params.identity, files.queries)
    meter.forwards = maps_of.forwards if maps_of else 0
