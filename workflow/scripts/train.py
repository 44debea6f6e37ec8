"""Train a head from scratch on all labels so far."""

from pathlib import Path

from pixelherd.job import job

with job(snakemake) as meter:
    from tqdm import tqdm

    from pixelherd import head, training
    from pixelherd.datasets import Dataset
    from pixelherd.devices import resolve
    from pixelherd.features import open_maps
    from pixelherd.randomness import torch_generator
    from pixelherd.training_settings import HeadSettings

    files, params, number = snakemake.input, snakemake.params, snakemake.params.round
    settings = dict(params.settings)
    seed = settings.pop("seed")
    settings = HeadSettings(**{key: value for key, value in settings.items() if key != "threads"})
    device = resolve(params.device)
    dataset = Dataset.open(Path(files.dataset).parent)
    maps_of = None
    if params.dense:
        images = dataset.train.images
        maps_of = open_maps(files.get("maps"), files.get("backbone"), images, params.features, params.device)
        source, dim = training.dense_source(dataset, files.get("labels", []), maps_of, device)
    else:
        source, dim = training.vector_source(
            dataset, files.labels, files.context, files.get("union"), device, files.get("vectors", ())
        )

    generator = torch_generator(seed, "head", number)
    new = head.Head(dim, len(dataset.classes), hidden=settings.hidden, dropout=params.dropout, generator=generator)
    new = new.to(device)
    checkpoint = Path(params.checkpoint) if params.dense else None
    if checkpoint:
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
    with tqdm(total=settings.epochs, desc="train", unit="epoch", disable=None) as bar:
        log = head.train(
            source,
            new,
            settings,
            order_generator=torch_generator(seed, "image order"),
            progress=lambda row: bar.update(),
            checkpoint=checkpoint,
        )
    training.write_log(snakemake.output.log, log)
    head.save(new, snakemake.output.head, {"run": params.identity, "round": str(number)})
    if checkpoint:
        checkpoint.unlink()
    if maps_of:
        meter.forwards = maps_of.forwards
