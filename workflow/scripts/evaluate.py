"""Evaluate all heads of a run on the test split, and seal the run."""

from pathlib import Path

from pixelherd.job import job

with job(snakemake) as meter:
    import numpy as np
    from tqdm import tqdm

    from pixelherd import queries, sealing
    from pixelherd.datasets import Dataset, OriginalLabels
    from pixelherd.devices import resolve
    from pixelherd.evaluation import Confusions, confusions, labelled_pixels, load_heads, write_metrics
    from pixelherd.features import open_maps
    from pixelherd.pictures import most_queried, pictured, write_thumbnails
    from pixelherd.storage import digest_of
    from pixelherd.study import Run

    files, params = snakemake.input, snakemake.params
    folder = Path(snakemake.output.seal).parent
    run = Run.parse(snakemake.wildcards.run)
    dataset = Dataset.open(Path(files.dataset).parent)
    device = resolve(params.device)
    heads = [head.to(device) for head in load_heads(files.heads, params.identity)]
    splits = {}
    for name in ("train", "test"):
        split = getattr(dataset, name)
        stored, backbone = files.get(f"{name}_maps"), files.get(f"{name}_backbone")
        maps_of = None
        if stored or backbone:  # a test split may have no images
            maps_of = open_maps(stored, backbone, split.images, params.settings, params.device)
        splits[name] = split, maps_of

    test, maps_of = splits["test"]
    if files.get("passes"):
        shards = [Confusions(path, params.key) for path in params.confusions]
        digests = {head: digest_of(Path(head)) for head in files.heads}
        matrices = np.stack([sum(shard.of(*each) for shard in shards) for each in digests.items()])
    else:
        original = files.get("original_labels")
        truth = OriginalLabels.open(Path(original).parent) if original else test.labels
        workers = max(snakemake.threads // params.threads, 1)
        with tqdm(total=len(test), desc="evaluate", unit="image", disable=None) as bar:
            matrices = confusions(
                heads,
                range(len(test)),
                maps_of,
                truth,
                len(dataset.classes),
                workers=workers,
                progress=bar.update,
            )
    labels = [queries.read([path], queries.LABEL_COLUMNS, dataset.train.ids, dataset.size[1]) for path in files.labels]
    counts = labelled_pixels(labels, dataset.train.labels)
    write_metrics(snakemake.output.metrics, matrices, counts, dataset.classes)

    shown = {name: (*splits[name], pictured(len(splits[name][0]), params.pictures)) for name in splits}
    split, _, already = shown["train"]
    asked = np.concatenate([each.images for each in labels]) if labels else None
    queried = [] if asked is None else most_queried(asked, len(split), params.pictures, already)
    shown["queried"] = (*splits["train"], queried)
    pictures = files.get("pictures")
    write_thumbnails(
        Path(snakemake.output.thumbnails),
        heads[-1],
        shown,
        dataset.size,
        (Path(pictures).parent, *params.draws) if pictures else None,
        params.weight,
    )
    facts = {
        "classes": [{"name": each.name, "colour": list(each.colour)} for each in dataset.classes],
        "image_size": list(dataset.size),
        "images": {name: len(split) for name, (split, _) in splits.items()},
        "masks": splits["train"][0].labels is not None,
    }
    sealing.seal(folder, run, params.result_settings, len(heads), facts)
    meter.forwards = sum(maps_of.forwards for _, maps_of in splits.values() if maps_of)
