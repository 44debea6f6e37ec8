"""Rank every pixel of a shard's images, and keep the best."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake) as meter:
    from tqdm import tqdm

    from pixelherd.compute.devices import resolve
    from pixelherd.datasets.dataset import Dataset
    from pixelherd.datasets.pixels import LABEL_COLUMNS, read_pixels
    from pixelherd.features.maps import StoredDraws, StoredMaps, open_computed
    from pixelherd.features.settings import MapSettings
    from pixelherd.heads import network
    from pixelherd.selection.settings import Round, SelectionSettings
    from pixelherd.selection.single_stage import Sources, rank
    from pixelherd.storage.shards import images_of

    files, params = snakemake.input, snakemake.params
    settings, device = SelectionSettings(**params.settings), resolve(params.device)
    dataset = Dataset.open(Path(files.dataset).parent)
    train = dataset.train
    labelled = read_pixels(files.labels, LABEL_COLUMNS, train.ids, dataset.size[1])
    current = Round(params.round, settings.pixels(len(train)), labelled, settings)
    loaded = {name: network.load_any(files[name]).to(device) for name in ("head", "sampled_head") if files.get(name)}
    computed = None
    if files.get("backbone"):
        computed = open_computed(files.backbone, train.images, MapSettings(**params.features), params.device)
    perturbed = StoredDraws(files.draw_maps) if files.get("draw_maps") else computed if settings.draws else None
    maps_of = StoredMaps(files.maps) if files.get("maps") else computed
    sources = Sources(maps_of, loaded.get("head"), perturbed, loaded.get("sampled_head"))
    images = images_of(snakemake.wildcards.shard)
    with tqdm(total=len(images), desc="rank", unit="image", disable=None) as bar:
        best = rank(images, train, sources, current, progress=bar.update)
    best.write(snakemake.output[0])
    meter.forwards = computed.forwards if computed else 0
