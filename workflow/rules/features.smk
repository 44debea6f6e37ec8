rule extract:
    input:
        unpack(reads(shared.extract)),
    output:
        store(PATHS.maps),
    log:
        "logs/extract/{dataset}/{features}/{split}-{shard}.log",
    conda:
        "../../envs/pixelherd.yaml"
    threads: STUDY.threads
    resources:
        **needs(8000, 30, per_image=(10, 6), gpu=True),
    params:
        **made_by("extract", "{dataset}", "{features}", "{split}-{shard}"),
        settings=of(stages.maps, STUDY),
        threads=STUDY.threads,
        device=STUDY.device,
    message:
        "Extract features of {wildcards.dataset}/{wildcards.split} {wildcards.shard} by {wildcards.features}"
    script:
        "../scripts/extract.py"


rule index_features:
    input:
        unpack(reads(Work.maps, "shards")),
    output:
        PATHS.maps_index,
    log:
        "logs/index_features/{dataset}/{features}/{split}-{address}.log",
    conda:
        "../../envs/pixelherd.yaml"
    resources:
        **needs(1000, 30),
    params:
        cost=noted_by("index_features", "{dataset}", "{features}", "{split}"),
    message:
        "Index features of {wildcards.dataset}/{wildcards.split}"
    script:
        "../scripts/index.py"


# With `draw_maps: keep`, for scores that measure disagreement.
rule extract_draws:
    input:
        unpack(reads(shared.extract)),
    output:
        store(PATHS.draw_maps),
    log:
        "logs/extract_draws/{dataset}/{features}/{shard}.log",
    conda:
        "../../envs/pixelherd.yaml"
    threads: STUDY.threads
    resources:
        **needs(8000, 30, per_image=(10, 15), gpu=True),
    params:
        **made_by("extract_draws", "{dataset}", "{features}", "{shard}"),
        settings=of(stages.maps, STUDY),
        draws=of(shared.kept_draws),
        threads=STUDY.threads,
        device=STUDY.device,
    message:
        "Extract features of {wildcards.dataset}/train {wildcards.shard} by {wildcards.features} under noise draws"
    script:
        "../scripts/extract_draws.py"


rule picture:
    input:
        unpack(reads(shared.extract)),
    output:
        store(PATHS.pictures),
    log:
        "logs/picture/{dataset}/{features}-{address}.log",
    conda:
        "../../envs/pixelherd.yaml"
    threads: STUDY.threads
    resources:
        **needs(8000, 60, gpu=True),
    params:
        **made_by("picture", "{dataset}", "{features}"),
        settings=of(stages.maps, STUDY),
        draws=lambda w: STUDY.features[w.features].draws,
        pictures=STUDY.pictures,
        threads=STUDY.threads,
        device=STUDY.device,
    message:
        "Draw the noise of the pictured images of {wildcards.dataset}"
    script:
        "../scripts/picture.py"
