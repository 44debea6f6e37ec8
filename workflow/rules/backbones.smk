rule pretrained:
    input:
        dataset=of(shared.pretraining),
    output:
        store(PATHS.pretrained),
    log:
        "logs/pretrained/{name}-{address}.log",
    conda:
        "../../envs/pixelherd.yaml"
    threads: STUDY.threads
    resources:
        **needs(6000, 2880, gpu=True),
    params:
        **made_by("pretrained", "{name}"),
        settings=of(stages.pretraining, STUDY),
        threads=STUDY.threads,
        device=STUDY.device,
    message:
        "Pretrain the backbone {wildcards.name}"
    script:
        "../scripts/pretrained.py"


rule backbone:
    input:
        of(shared.backbone),
    output:
        PATHS.backbone,
        directory(PATHS.backbone_folder),  # of what is converted or fetched
    log:
        "logs/backbone/{features}-{address}.log",
    conda:
        "../../envs/pixelherd.yaml"
    resources:
        **needs(6000, 240),
    params:
        **made_by("backbone", "{features}"),
        settings=of(stages.backbone_request, STUDY),
    message:
        "Find the backbone of {wildcards.features}"
    script:
        "../scripts/backbone.py"
