"""Class masks, overlays and confidence maps of a folder of new images."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake):
    from tqdm import tqdm

    from pixelherd.datasets.prepare import classes_of
    from pixelherd.datasets.settings import read_dataset
    from pixelherd.errors import UserError
    from pixelherd.features.backbones.manifest import stored_in
    from pixelherd.features.settings import MapSettings
    from pixelherd.results.prediction.coco import write_coco
    from pixelherd.results.prediction.masks import new_images, predict_folder
    from pixelherd.results.prediction.predictor import Predictor

    files, params, wanted = snakemake.input, snakemake.params, snakemake.params.predict
    if params.mistake:
        raise UserError(params.mistake)
    folder = Path(wanted["folder"]).expanduser()
    images = new_images(Path(wanted["images"]).expanduser(), folder)
    dataset = read_dataset(params.settings["dataset"])
    predictor = Predictor.of(
        files.head,
        stored_in(files.backbone),
        MapSettings(**params.settings["features"]),
        classes_of(dataset),
        dataset,
        device=params.device,
        network=params.backbone,
    ).improved(edges=wanted["edges"], mirror=wanted["mirror"])
    with tqdm(total=len(images), desc="predict", unit="image", disable=None) as bar:
        try:
            made = predict_folder(predictor, images, folder, confidence=wanted["confidence"], progress=bar.update)
        finally:  # of unreadable images all others are there
            write_coco(folder, list(images), predictor.classes)
    print(f"{made} of {len(images)} images predicted, the others were there: {folder}", flush=True)
