rule pretrained:
    input:
        unpack(reads(shared.pretraining, "dataset")),
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
        unpack(reads(shared.backbone, "parts")),
    output:
        directory(PATHS.backbone_folder),  # of what is converted or fetched
        PATHS.backbone,
    log:
        "logs/backbone/{features}-{address}.log",
    conda:
        "../../envs/pixelherd.yaml"
    resources:
        **needs(6000, 240),
    params:
        **made_by("backbone", "{features}"),
        settings=of(stages.backbone_request, STUDY),
        carried=lambda w, output: STORAGE is not None,
    message:
        "Find the backbone of {wildcards.features}"
    script:
        "../scripts/backbone.py"
