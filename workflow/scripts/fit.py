"""Fit a linear head to all labels so far, or draw samples of it."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake):
    from pixelherd.compute.devices import resolve
    from pixelherd.compute.randomness import torch_generator
    from pixelherd.datasets.dataset import Dataset
    from pixelherd.heads import linear, network, posterior
    from pixelherd.heads.settings import TrainingSettings
    from pixelherd.selection.labelled import labelled_pixels, unlabelled_pixels

    files, params, number = snakemake.input, snakemake.params, snakemake.params.round
    dataset, settings = Dataset.open(Path(files.dataset).parent), TrainingSettings(**params.settings)
    places = files.context, files.get("union"), files.get("vectors", ())
    labelled = labelled_pixels(dataset, files.get("labels", []), *places)
    asked, unlabelled = settings.head.self_training, None
    if asked and files.get("labels"):  # the reference knows every context pixel already
        unlabelled = unlabelled_pixels(dataset, files.labels, files.context, asked.pixels)
    fitted = linear.fit(labelled, params.classes, settings.head, resolve(params.device), unlabelled)
    facts = {"run": params.identity, "round": number, "labelled_pixels": labelled.count, **fitted.facts()}
    if params.samples:
        generator = torch_generator(settings.seed, "posterior", number)
        head = posterior.sample(fitted, params.samples, generator)
    else:
        head = fitted.head
    network.write_trained(snakemake.output, head, fitted.log, facts)
