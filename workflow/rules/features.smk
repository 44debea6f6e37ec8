rule extract:
    input:
        dataset=DATASET,
        backbone=BACKBONE,
    output:
        FEATURES,
    log:
        "logs/extract/{dataset}/{features}/{split}-{shard}.log",
    conda:
        "../../envs/pixelherd.yaml"
    threads: STUDY.threads
    resources:
        mem_mb=scaled(8000, 10),
        runtime=scaled(30, 6),
        gpu=GPU,
        jobs_per_gpu=STUDY.jobs_per_gpu,
    params:
        settings=lambda w: STUDY.feature_settings(w.dataset, w.features),
        threads=STUDY.threads,
        device=STUDY.device,
        source=source("extract", "extract"),
        cost=cost("extract", "{dataset}", "{features}", "{split}-{shard}"),
    message:
        "Extract features of {wildcards.dataset}/{wildcards.split} {wildcards.shard} by {wildcards.features}"
    script:
        "../scripts/extract.py"


rule index_features:
    input:
        lambda w: expand(FEATURES, shard=shard_names(w.dataset, w.split), allow_missing=True),
    output:
        FEATURES_INDEX,
    log:
        "logs/index_features/{dataset}/{features}/{split}.log",
    conda:
        "../../envs/pixelherd.yaml"
    resources:
        mem_mb=scaled(1000),
        runtime=scaled(30),
    params:
        cost=cost("index_features", "{dataset}", "{features}", "{split}"),
    message:
        "Index features of {wildcards.dataset}/{wildcards.split}"
    script:
        "../scripts/index.py"


# With `draw_maps: keep`, for scores that measure disagreement.
rule extract_draws:
    input:
        dataset=DATASET,
        backbone=BACKBONE,
    output:
        DRAW_MAPS,
    log:
        "logs/extract_draws/{dataset}/{features}/{shard}.log",
    conda:
        "../../envs/pixelherd.yaml"
    threads: STUDY.threads
    resources:
        mem_mb=scaled(8000, 10),
        runtime=scaled(30, 15),
        gpu=GPU,
        jobs_per_gpu=STUDY.jobs_per_gpu,
    params:
        settings=lambda w: STUDY.feature_settings(w.dataset, w.features),
        draws=lambda w: KEPT_DRAWS[w.dataset, w.features],
        threads=STUDY.threads,
        device=STUDY.device,
        source=source("extract_draws", "extract"),
        cost=cost("extract_draws", "{dataset}", "{features}", "{shard}"),
    message:
        "Extract features of {wildcards.dataset}/train {wildcards.shard} by {wildcards.features} under noise draws"
    script:
        "../scripts/extract_draws.py"


rule picture:
    input:
        dataset=DATASET,
        backbone=BACKBONE,
    output:
        PICTURES,
    log:
        "logs/picture/{dataset}/{features}.log",
    conda:
        "../../envs/pixelherd.yaml"
    threads: STUDY.threads
    resources:
        mem_mb=scaled(8000),
        runtime=scaled(60),
        gpu=GPU,
        jobs_per_gpu=STUDY.jobs_per_gpu,
    params:
        settings=lambda w: STUDY.feature_settings(w.dataset, w.features),
        draws=lambda w: STUDY.features[w.features].draws,
        pictures=STUDY.pictures,
        threads=STUDY.threads,
        device=STUDY.device,
        source=source("picture", "extract"),
        cost=cost("picture", "{dataset}", "{features}"),
    message:
        "Draw the noise of the pictured images of {wildcards.dataset}"
    script:
        "../scripts/picture.py"
