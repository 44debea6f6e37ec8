rule prepare:
    output:
        store(PATHS.dataset),
    log:
        "logs/prepare/{dataset}-{address}.log",
    conda:
        "../../envs/pixelherd.yaml"
    resources:
        **needs(2000, 120),
    params:
        **made_by("prepare", "{dataset}"),
        settings=of(stages.preparation, STUDY),
        originals=lambda w, output: WORK.originals[w.dataset],  # part of the address: redoes nothing
    message:
        "Prepare {wildcards.dataset}"
    script:
        "../scripts/prepare.py"


rule original_labels:
    output:
        store(PATHS.original_labels),
    log:
        "logs/original_labels/{dataset}-{address}.log",
    conda:
        "../../envs/pixelherd.yaml"
    resources:
        **needs(2000, 120),
    params:
        **made_by("original_labels", "{dataset}"),
        settings=of(stages.preparation, STUDY),
        originals=lambda w, output: WORK.originals[w.dataset],  # part of the address: redoes nothing
    message:
        "Store the original labels of {wildcards.dataset}"
    script:
        "../scripts/original_labels.py"
