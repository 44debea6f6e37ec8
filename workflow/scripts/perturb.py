"""Vectors of noise draws 1…M at the listed pixels of a shard."""

from pathlib import Path

from pixelherd.job import job

with job(snakemake) as meter:
    from tqdm import tqdm

    from pixelherd.datasets import Dataset
    from pixelherd.features import open_draws, write_draws
    from pixelherd.shards import Shards, images_of
    from pixelherd.storage import writing

    files, params = snakemake.input, snakemake.params
    dataset = Dataset.open(Path(files.dataset).parent)
    images = images_of(snakemake.wildcards.shard)
    stored, backbone = files.get("draw_maps"), files.get("backbone")
    perturbed = open_draws(stored, backbone, dataset.train.images, params.settings, params.device)
    with (
        writing(Path(snakemake.output[0]).parent, {"images": len(images)}) as folder,
        tqdm(total=len(images), desc="perturb", unit="image", disable=None) as bar,
    ):
        write_draws(
            folder,
            images,
            Shards.open(files.lists),
            perturbed,
            params.draws,
            dataset.size,
            progress=bar.update,
        )
    meter.forwards = perturbed.forwards
