"""Train the paper's head from scratch on all labels so far."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake) as meter:
    from tqdm import tqdm

    from pixelherd.compute.devices import resolve
    from pixelherd.compute.randomness import torch_generator
    from pixelherd.datasets.dataset import Dataset
    from pixelherd.features.maps import open_maps
    from pixelherd.features.settings import MapSettings
    from pixelherd.heads import network, sources, training
    from pixelherd.heads.settings import TrainingSettings
    from pixelherd.selection.labelled import labelled_pixels, vector_source

    files, params, number = snakemake.input, snakemake.params, snakemake.params.round
    dataset, settings = Dataset.open(Path(files.dataset).parent), TrainingSettings(**params.settings)
    device, checkpoint = resolve(params.device), Path(params.checkpoint) if params.dense else None
    if params.dense:
        images, made = dataset.train.images, MapSettings(**params.features)
        maps_of = open_maps(files.get("maps"), files.get("backbone"), images, made, params.device)
        source, dim = sources.dense_source(dataset, files.get("labels", []), maps_of, device)
    else:
        labelled = labelled_pixels(dataset, files.labels, files.context, files.get("union"), files.get("vectors", ()))
        source, dim = vector_source(labelled, files.context, device), labelled.dim
    wanted, generator = settings.head, torch_generator(settings.seed, "head", number)
    shape = {"hidden": wanted.hidden, "dropout": params.dropout, "generator": generator}
    head, order = network.MlpHead(dim, params.classes, **shape), torch_generator(settings.seed, "image order")
    with tqdm(total=wanted.epochs, desc="train", unit="epoch", disable=None) as bar:
        options = {"progress": lambda row: bar.update(), "checkpoint": checkpoint}
        log = training.train(source, head.to(device), wanted, order_generator=order, **options)
    facts = {"run": params.identity, "round": number, "labelled_pixels": int(source.counts.sum())}
    network.write_trained(snakemake.output, head, log, facts)
    if checkpoint:
        checkpoint.unlink()
        meter.forwards = maps_of.forwards
