rule prepare:
    output:
        DATASET,
    log:
        "logs/prepare/{dataset}.log",
    conda:
        "../../envs/pixelherd.yaml"
    resources:
        mem_mb=scaled(2000),
        runtime=scaled(120),
    params:
        settings=lambda w: STUDY.preparation_settings(w.dataset),
        source=source("prepare", "prepare"),
        cost=cost("prepare", "{dataset}"),
    message:
        "Prepare {wildcards.dataset}"
    script:
        "../scripts/prepare.py"


rule original_labels:
    output:
        ORIGINAL_LABELS,
    log:
        "logs/original_labels/{dataset}.log",
    conda:
        "../../envs/pixelherd.yaml"
    resources:
        mem_mb=scaled(2000),
        runtime=scaled(120),
    params:
        settings=lambda w: STUDY.preparation_settings(w.dataset),
        source=source("original_labels", "prepare"),
        cost=cost("original_labels", "{dataset}"),
    message:
        "Store the original labels of {wildcards.dataset}"
    script:
        "../scripts/original_labels.py"
