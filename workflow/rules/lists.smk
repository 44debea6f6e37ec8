rule herd:
    input:
        dataset=DATASET,
        maps=lambda w: FEATURES.format(split="train", **w) if keeps_maps(w) else [],
        backbone=lambda w: [] if keeps_maps(w) else BACKBONE.format(**w),
    output:
        LISTS,
    log:
        "logs/herd/{dataset}/{features}/seed-{key}/{shard}.log",
    conda:
        "../../envs/pixelherd.yaml"
    threads: STUDY.threads
    resources:
        mem_mb=scaled(8000, 10),
        runtime=scaled(30, 6),
        gpu=lambda w: 0 if keeps_maps(w) else GPU,
        jobs_per_gpu=STUDY.jobs_per_gpu,
    params:
        settings=lambda w: STUDY.feature_settings(w.dataset, w.features),
        candidates=lambda w: STUDY.herding_settings(LISTING[w.key]),
        threads=STUDY.threads,
        device=STUDY.device,
        source=source("herd", "herd"),
        cost=cost("herd", "{dataset}", "{features}", "seed-{key}-{shard}"),
    message:
        "Herd lists of {wildcards.dataset} {wildcards.shard}, seed {wildcards.key}"
    script:
        "../scripts/herd.py"


rule perturb:
    input:
        dataset=DATASET,
        lists=LISTS,
        draw_maps=lambda w: DRAW_MAPS.format(**w) if keeps_draws(w) else [],
        backbone=lambda w: [] if keeps_draws(w) else BACKBONE.format(**w),
    output:
        DRAWS,
    log:
        "logs/perturb/{dataset}/{features}/seed-{key}/{shard}.log",
    conda:
        "../../envs/pixelherd.yaml"
    threads: STUDY.threads
    resources:
        mem_mb=scaled(8000, 20),
        runtime=scaled(30, 15),
        gpu=lambda w: 0 if keeps_draws(w) else GPU,
        jobs_per_gpu=STUDY.jobs_per_gpu,
    params:
        settings=lambda w: STUDY.feature_settings(w.dataset, w.features),
        draws=lambda w: LISTED_DRAWS[w.dataset, w.features][w.key],
        threads=STUDY.threads,
        device=STUDY.device,
        source=source("perturb", "extract"),
        cost=cost("perturb", "{dataset}", "{features}", "seed-{key}-{shard}"),
    message:
        "Perturb listed pixels of {wildcards.dataset} {wildcards.shard}, seed {wildcards.key}"
    script:
        "../scripts/perturb.py"


rule index_draws:
    input:
        lambda w: expand(DRAWS, shard=shard_names(w.dataset, "train"), allow_missing=True),
    output:
        DRAWS_INDEX,
    log:
        "logs/index_draws/{dataset}/{features}/seed-{key}.log",
    conda:
        "../../envs/pixelherd.yaml"
    resources:
        mem_mb=scaled(1000),
        runtime=scaled(30),
    params:
        cost=cost("index_draws", "{dataset}", "{features}", "seed-{key}"),
    message:
        "Index draws of {wildcards.dataset}, seed {wildcards.key}"
    script:
        "../scripts/index.py"


rule gather:
    input:
        lambda w: expand(LISTS, shard=shard_names(w.dataset, "train"), allow_missing=True),
    output:
        UNION,
    log:
        "logs/gather/{dataset}/{features}/seed-{key}-{listed}.log",
    conda:
        "../../envs/pixelherd.yaml"
    threads: STUDY.threads
    resources:
        mem_mb=scaled(4000, 2, "train"),
        runtime=scaled(30, 0.02, "train"),
    params:
        listed=lambda w: int(w.listed),
        candidates=lambda w: STUDY.herding_settings(LISTING[w.key]),
        threads=STUDY.threads,
        source=source("gather", "gather"),
        cost=cost("gather", "{dataset}", "{features}", "seed-{key}-{listed}"),
    message:
        "Gather the listed pixels of {wildcards.dataset}, seed {wildcards.key}"
    script:
        "../scripts/gather.py"
