# The rounds of a run, and its evaluation, which seals it.


rule pool:
    input:
        unpack(reads(rounds.pool)),
    output:
        PATHS.pool,
    log:
        "logs/pool/{step}-{address}.log",
    conda:
        "../../envs/pixelherd.yaml"
    threads: STUDY.threads
    resources:
        **needs(4000, 20, per_image=(2, 0.02), split="train"),
    params:
        **made_by("pool", "{step}"),
        settings=of(stages.selection, STUDY),
        round=lambda w: round_of(w.step),
        threads=STUDY.threads,
    message:
        "Pool {wildcards.step}"
    script:
        "../scripts/pool.py"


rule rank:
    input:
        unpack(reads(rounds.rank)),
    output:
        PATHS.ranks,
    log:
        "logs/rank/{step}-{address}/{shard}.log",
    wildcard_constraints:
        shard=ANY_SHARD,
    conda:
        "../../envs/pixelherd.yaml"
    threads: STUDY.threads
    resources:
        **needs(8000, 30, per_image=(20, 15), gpu=True),
    params:
        **made_by("rank", "{step}", "{shard}"),
        settings=of(stages.selection, STUDY),
        features=of(stages.maps, STUDY),
        round=lambda w: round_of(w.step),
        threads=STUDY.threads,
        device=STUDY.device,
    message:
        "Rank every pixel of {wildcards.shard}, {wildcards.step}"
    script:
        "../scripts/rank.py"


rule score:
    input:
        unpack(reads(rounds.score)),
    output:
        **({"labels": PATHS.labels} if STUDY.oracle == "masks" else {}),
        queries=PATHS.queries,
        scores=PATHS.scores,
        correlations=PATHS.correlations,
        digests=PATHS.asked_digests,
    log:
        "logs/score/{step}.log",
    wildcard_constraints:
        step=one_of(WORK.unasked()),
    conda:
        "../../envs/pixelherd.yaml"
    threads: STUDY.threads
    resources:
        **needs(4000, 20, per_image=(2, 0.02), split="train"),
    params:
        **made_by("score", "{step}"),
        settings=of(stages.selection, STUDY),
        round=lambda w: round_of(w.step),
        known_as=lambda w, output: of(stages.class_keys, STUDY)(w),  # noted: redoes nothing
        threads=STUDY.threads,
    message:
        "Score {wildcards.step}"
    script:
        "../scripts/score.py"


rule vectors:
    input:
        unpack(reads(rounds.vectors)),
        labels=PATHS.answered_labels,
    output:
        PATHS.vectors,
    log:
        "logs/vectors/{answered}-{address}.log",
    conda:
        "../../envs/pixelherd.yaml"
    threads: STUDY.threads
    resources:
        **needs(4000, 60, gpu=lambda w: not WORK.keeps_maps(asked(w, "features"))),
    params:
        **made_by("vectors", "{answered}"),
        settings=of(stages.maps, STUDY),
        threads=STUDY.threads,
        device=STUDY.device,
    message:
        "Vectors of the labelled pixels of {wildcards.answered}"
    script:
        "../scripts/vectors.py"


rule train:
    input:
        unpack(reads(rounds.train)),
    output:
        head=PATHS.head,
        log=PATHS.training_log,
        digests=PATHS.trained_digests,
    log:
        "logs/train/{step}.log",
    wildcard_constraints:
        step=one_of(WORK.steps_with("mlp")),
    conda:
        "../../envs/pixelherd.yaml"
    threads: STUDY.threads
    resources:
        **needs(6000, minutes_of_training, per_image=(2, 0), split="train", gpu=True),
    params:
        **made_by("train", "{step}"),
        settings=of(stages.training, STUDY),
        features=of(stages.maps, STUDY),
        classes=of(results.classes),
        identity=of(stages.identity, STUDY),
        checkpoint=of(rounds.checkpoint),
        round=lambda w: round_of(w.step),
        dropout=0.0,
        dense=of(rounds.trains_densely),
        threads=STUDY.threads,
        device=STUDY.device,
    message:
        "Train {wildcards.step}"
    script:
        "../scripts/train.py"


use rule train as train_dropout with:
    input:
        unpack(reads(rounds.train_sampled)),
    output:
        head=PATHS.sampled_head,
        log=PATHS.sampled_log,
        digests=PATHS.sampled_digests,
    log:
        "logs/train_dropout/{step}.log",
    params:
        checkpoint=of(rounds.sampled_checkpoint),
        round=lambda w: round_of(w.step) - 1,
        dropout=lambda w: STUDY.methods[asked(w, "run").method].dropout,
        cost=noted_by("train_dropout", "{step}"),
    message:
        "Train with dropout {wildcards.step}"


rule fit:
    input:
        unpack(reads(rounds.train)),
    output:
        head=PATHS.head,
        log=PATHS.training_log,
        digests=PATHS.trained_digests,
    log:
        "logs/fit/{step}.log",
    wildcard_constraints:
        step=one_of(WORK.steps_with("linear")),
    conda:
        "../../envs/pixelherd.yaml"
    threads: STUDY.threads
    resources:
        **needs(4000, 60, per_image=(2, 0), split="train", gpu=True),
    params:
        **made_by("fit", "{step}"),
        settings=of(stages.training, STUDY),
        classes=of(results.classes),
        identity=of(stages.identity, STUDY),
        round=lambda w: round_of(w.step),
        samples=0,
        threads=STUDY.threads,
        device=STUDY.device,
    message:
        "Fit {wildcards.step}"
    script:
        "../scripts/fit.py"


use rule fit as sample with:
    input:
        unpack(reads(rounds.train_sampled)),
    output:
        head=PATHS.sampled_head,
        log=PATHS.sampled_log,
        digests=PATHS.sampled_digests,
    log:
        "logs/sample/{step}.log",
    params:
        round=lambda w: round_of(w.step) - 1,
        samples=lambda w: STUDY.methods[asked(w, "run").method].samples,
        cost=noted_by("sample", "{step}"),
    message:
        "Sample heads {wildcards.step}"


# With `maps: recompute`: the network sees each test image once for all runs that are evaluated together.
rule index_heads:
    input:
        unpack(reads(results.heads_evaluated_together)),
    output:
        PATHS.pass_heads,
    log:
        "logs/index_heads/{dataset}/{features}/{group}.log",
    conda:
        "../../envs/pixelherd.yaml"
    resources:
        **needs(1000, 30),
    params:
        cost=noted_by("index_heads", "{dataset}", "{features}", "{group}"),
    message:
        "Index heads of pending runs on {wildcards.dataset} by {wildcards.features}"
    script:
        "../scripts/index_files.py"


rule test_pass:
    input:
        unpack(reads(results.test_pass)),
    output:
        PATHS.test_pass,
    log:
        "logs/test_pass/{dataset}/{features}/{group}/{shard}.log",
    wildcard_constraints:
        shard=ANY_SHARD,
    conda:
        "../../envs/pixelherd.yaml"
    threads: STUDY.threads
    resources:
        **needs(8000, 30, per_image=(0, 6), gpu=True),
    params:
        settings=of(stages.maps, STUDY),
        classes=of(results.classes),
        confusions=PATHS.confusions,
        key=confusions_key,
        threads=STUDY.threads,
        device=STUDY.device,
        cost=noted_by("test_pass", "{dataset}", "{features}", "{group}-{shard}"),
    message:
        "Evaluate pending runs on {wildcards.dataset}/test {wildcards.shard} by {wildcards.features}"
    script:
        "../scripts/test_pass.py"


rule index_passes:
    input:
        unpack(reads(results.shards_of_passes)),
    output:
        PATHS.passes,
    log:
        "logs/index_passes/{dataset}/{features}/{group}.log",
    conda:
        "../../envs/pixelherd.yaml"
    resources:
        **needs(1000, 30),
    params:
        cost=noted_by("index_passes", "{dataset}", "{features}", "{group}"),
    message:
        "Index passes over {wildcards.dataset}/test by {wildcards.features}"
    script:
        "../scripts/index_files.py"


rule evaluate:
    input:
        unpack(reads(results.evaluate)),
    output:
        metrics=PATHS.metrics,
        expected=PATHS.expected,
        thumbnails=PATHS.thumbnails,
        seal=PATHS.seal,
    log:
        "logs/evaluate/{run}.log",
    conda:
        "../../envs/pixelherd.yaml"
    threads: STUDY.threads * (4 if len(STUDY.runs()) < 4 else 1)  # images of few runs side by side; counts are the same
    resources:
        **needs(8000, 60, per_image=(0, 0.1), split="test", gpu=True),
    params:
        **made_by("evaluate", "{run}"),
        settings=of(stages.maps, STUDY),
        result_settings=of(stages.result, STUDY),
        address=of(results.made_of),
        identity=of(stages.identity, STUDY),
        weight=lambda w: STUDY.methods[asked(w, "run").method].weight,
        draws=of(results.pictured_draws),
        key=confusions_key,
        pictures=STUDY.pictures,
        runs_source=source_of_runs,
        threads=STUDY.threads,
        device=STUDY.device,
    message:
        "Evaluate {wildcards.run}"
    script:
        "../scripts/evaluate.py"
