"""Rank every pixel of a shard's images, and keep the best."""

from pathlib import Path

from pixelherd.job import job

with job(snakemake) as meter:
    from tqdm import tqdm

    from pixelherd import head, queries
    from pixelherd.backbones import open_manifest
    from pixelherd.budget import pixels_a_round
    from pixelherd.datasets import Dataset
    from pixelherd.devices import resolve
    from pixelherd.features import ComputedMaps, StoredDraws, StoredMaps
    from pixelherd.shards import images_of
    from pixelherd.single_stage import rank

    files, params, settings = snakemake.input, snakemake.params, snakemake.params.settings
    device = resolve(params.device)
    dataset = Dataset.open(Path(files.dataset).parent)
    train = dataset.train
    labelled = queries.read(files.labels, queries.LABEL_COLUMNS, train.ids, dataset.size[1])
    heads = [head.load(files[name]).to(device) if files.get(name) else None for name in ("head", "dropout_head")]
    computed = None
    if files.get("backbone"):
        computed = ComputedMaps(open_manifest(files.backbone, device=device), train.images, params.features)
    perturbed = None
    if settings.get("draws"):
        perturbed = StoredDraws(files.draw_maps) if files.get("draw_maps") else computed
    images = images_of(snakemake.wildcards.shard)
    with tqdm(total=len(images), desc="rank", unit="image", disable=None) as bar:
        best = rank(
            images,
            train,
            StoredMaps(files.maps) if files.get("maps") else computed,
            perturbed,
            *heads,
            labelled,
            pixels_a_round(settings["budget"], len(train)),
            params.round,
            settings,
            progress=bar.update,
        )
    best.write(snakemake.output[0])
    meter.forwards = computed.forwards if computed else 0
