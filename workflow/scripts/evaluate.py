"""Evaluate all heads of a run on the test split, and seal the run."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake) as meter:
    from pixelherd.datasets.dataset import Dataset
    from pixelherd.datasets.prepare import read_classes
    from pixelherd.features.maps import network_of, open_maps
    from pixelherd.features.settings import MapSettings
    from pixelherd.heads import evaluation
    from pixelherd.pipeline import seals
    from pixelherd.results.figures import thumbnails
    from pixelherd.selection.labelled import answers_by_round, write_expected
    from pixelherd.study.run import Run

    files, params, made = snakemake.input, snakemake.params, snakemake.output
    dataset, settings, maps = Dataset.open(Path(files.dataset).parent), MapSettings(**params.settings), {}
    labels, classes = answers_by_round(dataset, files.labels), read_classes(params.result_settings["dataset"])
    heads = evaluation.load_heads(files.heads, params.identity, params.device)
    for name in ("train", "test"):
        if len(split := getattr(dataset, name)):  # a person's own images need no test split
            made_of = files.get(f"{name}_maps"), files.get(f"{name}_backbone")
            maps[name] = open_maps(*made_of, split.images, settings, params.device)
    if files.get("passes"):
        counts = evaluation.of_passes(files.passes, params.key, files.heads)
    else:
        truth, workers = dataset.truth(files.get("original_labels")), max(snakemake.threads // params.threads, 1)
        counts = evaluation.tally_run(heads, dataset.test, maps.get("test"), truth, len(classes), workers)
    evaluation.write_metrics(made.metrics, counts, evaluation.labelled_pixels(labels, files.heads), classes)
    write_expected(made.expected, dataset, dict(files.items()), labels, heads)
    perturbed = (Path(files.pictures).parent, *params.draws) if files.get("pictures") else None
    groups = thumbnails.pictured_groups(dataset, maps, labels, params.pictures)
    found = thumbnails.contradicted(dataset, dict(files.items()), len(classes), params.result_settings)
    thumbnails.write_thumbnails(Path(made.thumbnails), heads[-1], groups, dataset.size, perturbed, params.weight, found)
    run, network = Run.parse(snakemake.wildcards.run), network_of(files.get("train_maps"), files.get("train_backbone"))
    facts = dataset.facts(classes) | {"address": params.address, "backbone_sha256": network}
    seals.seal(Path(made.seal).parent, run, params.result_settings, len(heads), facts, params.runs_source)
    meter.forwards = sum(source.forwards for source in maps.values())
