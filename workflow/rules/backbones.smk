rule pretrained:
    input:
        dataset=lambda w: DATASET.format(dataset=STUDY.pretraining[w.name].dataset),
    output:
        PRETRAINED,
    log:
        "logs/pretrained/{name}.log",
    conda:
        "../../envs/pixelherd.yaml"
    threads: STUDY.threads
    resources:
        mem_mb=scaled(6000),
        runtime=2880,
        gpu=GPU,
        jobs_per_gpu=STUDY.jobs_per_gpu,
    params:
        settings=lambda w: STUDY.pretraining[w.name].model_dump(mode="json"),
        threads=STUDY.threads,
        device=STUDY.device,
        source=source("pretrained", "pretrain"),
        cost=cost("pretrained", "{name}"),
    message:
        "Pretrain the backbone {wildcards.name}"
    script:
        "../scripts/pretrained.py"


rule backbone:
    input:
        backbone_source,
    output:
        BACKBONE,
    log:
        "logs/backbone/{features}.log",
    conda:
        "../../envs/pixelherd.yaml"
    resources:
        mem_mb=scaled(6000),
        runtime=scaled(240),
    params:
        settings=lambda w: STUDY.backbone_request(w.features),
        source=source("backbone", parts=("backbones",)),
        cost=cost("backbone", "{features}"),
    message:
        "Find the backbone of {wildcards.features}"
    script:
        "../scripts/backbone.py"
