# A person as the oracle: the page of a round, or one to label live; the answers; how far predictions have settled.

ANNOTATION_TEMPLATE = Path(shipped("../report/annotation.html.j2"))


rule annotate:
    input:
        unpack(reads(rounds.annotate)),
        template=local(ancient(ANNOTATION_TEMPLATE)),
    output:
        page=PATHS.page,
        asked=PATHS.asked,
        coco=PATHS.coco,
        tasks=PATHS.tasks,
        interface=PATHS.interface,
    log:
        "logs/annotate/{step}.log",
    conda:
        "../../envs/pixelherd.yaml"
    threads: STUDY.threads
    resources:
        **needs(4000, 60, gpu=True),
    params:
        **made_by("annotate", "{step}"),
        dataset=of(stages.preparation, STUDY),
        settings=of(stages.maps, STUDY),
        question=of(stages.question, STUDY),
        answers=PATHS.answers,
        round=lambda w: round_of(w.step),
        template=hash_of(ANNOTATION_TEMPLATE.read_text()),
        threads=STUDY.threads,
        device=STUDY.device,
    message:
        "Write the page to label {wildcards.step} with"
    script:
        "../scripts/annotate.py"


rule answer:
    input:
        unpack(reads(rounds.answer)),
    output:
        labels=PATHS.labels,
        digests=PATHS.answered_digests,
    log:
        "logs/answer/{step}.log",
    wildcard_constraints:
        step=one_of([] if STUDY.oracle == "masks" else WORK.steps()),
    conda:
        "../../envs/pixelherd.yaml"
    resources:
        **needs(1000, 10),
    params:
        round=lambda w: round_of(w.step),
        classes=of(stages.class_names, STUDY),
        known_as=of(stages.class_keys, STUDY),
        cost=noted_by("answer", "{step}"),
    message:
        "Take the answers of {wildcards.step}"
    script:
        "../scripts/answer.py"


rule stopping:
    input:
        unpack(reads(rounds.stopping)),
    output:
        PATHS.stopping,
        PATHS.stopping_digests,
    log:
        "logs/stopping/{step}.log",
    conda:
        "../../envs/pixelherd.yaml"
    threads: STUDY.threads
    resources:
        **needs(2000, 60),
    params:
        **made_by("stopping", "{step}"),
        round=lambda w: round_of(w.step),
        threads=STUDY.threads,
    message:
        "Compare the predictions of {wildcards.step} with those before"
    script:
        "../scripts/stopping.py"


rule label:
    log:
        "logs/label.log",
    conda:
        "../../envs/pixelherd.yaml"
    resources:
        **needs(8000, 2880),
    params:
        study=STUDY.content(),
    message:
        "Open a page to label with"
    script:
        "../scripts/label.py"
