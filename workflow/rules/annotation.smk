# A person as the oracle: the page of a round, the answers, and how far the predictions have settled.


rule annotate:
    input:
        unpack(annotate_input),
        template=ancient(ANNOTATION_TEMPLATE),
    output:
        page=PAGE,
        asked=ASKED,
        coco=f"{ANNOTATION}/{exchange.COCO}",
        tasks=f"{ANNOTATION}/{exchange.TASKS}",
        interface=f"{ANNOTATION}/{exchange.INTERFACE}",
    log:
        "logs/annotate/{step}.log",
    conda:
        "../../envs/pixelherd.yaml"
    threads: STUDY.threads
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(60),
        gpu=GPU,
        jobs_per_gpu=STUDY.jobs_per_gpu,
    params:
        dataset=lambda w: STUDY.preparation_settings(run_of(w).dataset),
        settings=lambda w: STUDY.feature_settings(run_of(w).dataset, run_of(w).features),
        identity=lambda w: identity_of(run_of(w)),
        answers=ANSWERS,
        round=round_of,
        threads=STUDY.threads,
        device=STUDY.device,
        template=hash_of({"template": ANNOTATION_TEMPLATE.read_text()}),
        source=source("annotate", parts=("annotation.py", "exchange.py")),
        cost=cost("annotate", "{step}"),
    message:
        "Write the page to label {wildcards.step} with"
    script:
        "../scripts/annotate.py"


rule label:
    input:
        dataset=lambda w: of_run(DATASET, run_of(w)),
        queries=f"{ROUND}/queries.csv",
        answers=ANSWERS,
    output:
        LABELS,
    log:
        "logs/label/{step}.log",
    wildcard_constraints:
        step=sealing.one_of([] if BY_MASKS else PENDING_STEPS),
    conda:
        "../../envs/pixelherd.yaml"
    resources:
        mem_mb=scaled(1000),
        runtime=scaled(10),
    params:
        round=round_of,
        cost=cost("label", "{step}"),
    message:
        "Label {wildcards.step}"
    script:
        "../scripts/label.py"


rule stopping:
    input:
        unpack(stopping_input),
    output:
        STOPPING,
    log:
        "logs/stopping/{step}.log",
    conda:
        "../../envs/pixelherd.yaml"
    threads: STUDY.threads
    resources:
        mem_mb=scaled(2000),
        runtime=scaled(60),
    params:
        round=round_of,
        threads=STUDY.threads,
        source=source("stopping", parts=("stopping.py", "head.py")),
        cost=cost("stopping", "{step}"),
    message:
        "Compare the predictions of {wildcards.step} with those before"
    script:
        "../scripts/stopping.py"
