rule pool:
    input:
        unpack(pool_input),
    output:
        POOL,
    log:
        "logs/pool/{step}.log",
    conda:
        "../../envs/pixelherd.yaml"
    threads: STUDY.threads
    resources:
        mem_mb=scaled(4000, 2, "train"),
        runtime=scaled(20, 0.02, "train"),
    params:
        settings=lambda w: STUDY.selection_settings(run_of(w)),
        threads=STUDY.threads,
        source=source("pool", "select"),
        cost=cost("pool", "{step}"),
    message:
        "Pool {wildcards.step}"
    script:
        "../scripts/pool.py"


rule rank:
    input:
        unpack(rank_input),
    output:
        RANKS,
    log:
        "logs/rank/{step}/{shard}.log",
    conda:
        "../../envs/pixelherd.yaml"
    threads: STUDY.threads
    resources:
        mem_mb=scaled(8000, 20),
        runtime=scaled(30, 15),
        gpu=GPU,
        jobs_per_gpu=STUDY.jobs_per_gpu,
    params:
        settings=lambda w: STUDY.selection_settings(run_of(w)),
        features=lambda w: STUDY.feature_settings(run_of(w).dataset, run_of(w).features),
        round=round_of,
        threads=STUDY.threads,
        device=STUDY.device,
        source=source("rank", "rank"),
        cost=cost("rank", "{step}", "{shard}"),
    message:
        "Rank every pixel of {wildcards.shard}, {wildcards.step}"
    script:
        "../scripts/rank.py"


rule score:
    input:
        unpack(score_input),
    output:
        **ANSWERED_AT_ONCE,
        queries=f"{ROUND}/queries.csv",
        scores=f"{ROUND}/scores.csv",
        correlations=f"{ROUND}/correlations.csv",
    log:
        "logs/score/{step}.log",
    wildcard_constraints:
        step=sealing.one_of(UNASKED),
    conda:
        "../../envs/pixelherd.yaml"
    threads: STUDY.threads
    resources:
        mem_mb=scaled(4000, 2, "train"),
        runtime=scaled(20, 0.02, "train"),
    params:
        settings=lambda w: STUDY.selection_settings(run_of(w)),
        round=round_of,
        threads=STUDY.threads,
        source=source("score", "select"),
        cost=cost("score", "{step}"),
    message:
        "Score {wildcards.step}"
    script:
        "../scripts/score.py"


rule vectors:
    input:
        unpack(vectors_input),
        labels=f"{RESULTS}/runs/{{answered}}/labels.csv",
    output:
        VECTORS,
    log:
        "logs/vectors/{answered}.log",
    conda:
        "../../envs/pixelherd.yaml"
    threads: STUDY.threads
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(60),
        gpu=lambda w: 0 if STUDY.features[Run.parse(w.answered).features].maps == "keep" else GPU,
        jobs_per_gpu=STUDY.jobs_per_gpu,
    params:
        settings=lambda w: STUDY.feature_settings(Run.parse(w.answered).dataset, Run.parse(w.answered).features),
        threads=STUDY.threads,
        device=STUDY.device,
        source=source("vectors", "extract", parts=("training.py",)),
        cost=cost("vectors", "{answered}"),
    message:
        "Vectors of the labelled pixels of {wildcards.answered}"
    script:
        "../scripts/vectors.py"


rule train:
    input:
        unpack(train_input),
    output:
        head=f"{ROUND}/head.safetensors",
        log=f"{ROUND}/training.csv",
    log:
        "logs/train/{step}.log",
    conda:
        "../../envs/pixelherd.yaml"
    threads: STUDY.threads
    resources:
        mem_mb=scaled(6000, 2, "train"),
        runtime=lambda w, attempt: attempt * (720 if STUDY.trains_densely(run_of(w).method) else 60),
        gpu=GPU,
        jobs_per_gpu=STUDY.jobs_per_gpu,
    params:
        settings=lambda w: STUDY.training_settings(run_of(w)),
        features=lambda w: STUDY.feature_settings(run_of(w).dataset, run_of(w).features),
        identity=lambda w: identity_of(run_of(w)),
        checkpoint=lambda w: f"{CACHE}/training/{w.step}-{identity_of(run_of(w))[:12]}.checkpoint",
        round=round_of,
        dropout=0.0,
        dense=lambda w: STUDY.trains_densely(run_of(w).method),
        threads=STUDY.threads,
        device=STUDY.device,
        source=source("train", "train"),
        cost=cost("train", "{step}"),
    message:
        "Train {wildcards.step}"
    script:
        "../scripts/train.py"


use rule train as train_dropout with:
    input:
        unpack(train_dropout_input),
    output:
        head=f"{ROUND}/dropout_head.safetensors",
        log=f"{ROUND}/dropout_training.csv",
    log:
        "logs/train_dropout/{step}.log",
    params:
        checkpoint=lambda w: f"{CACHE}/training/{w.step}-{identity_of(run_of(w))[:12]}-dropout.checkpoint",
        round=lambda w: round_of(w) - 1,
        dropout=lambda w: STUDY.methods[run_of(w).method].dropout,
        cost=cost("train_dropout", "{step}"),
    message:
        "Train with dropout {wildcards.step}"


# With `maps: recompute`: the network sees each test image once for all runs that are evaluated together.
rule index_heads:
    input:
        lambda w: [head for run in evaluated_together(w.dataset, w.features) for head in heads_of(run)],
    output:
        PASS_HEADS,
    log:
        "logs/index_heads/{dataset}/{features}/{group}.log",
    conda:
        "../../envs/pixelherd.yaml"
    resources:
        mem_mb=scaled(1000),
        runtime=scaled(30),
    params:
        cost=cost("index_heads", "{dataset}", "{features}", "{group}"),
    message:
        "Index heads of pending runs on {wildcards.dataset} by {wildcards.features}"
    script:
        "../scripts/index_files.py"


rule test_pass:
    input:
        unpack(pass_input),
    output:
        PASS,
    log:
        "logs/test_pass/{dataset}/{features}/{group}/{shard}.log",
    conda:
        "../../envs/pixelherd.yaml"
    threads: STUDY.threads
    resources:
        mem_mb=scaled(8000),
        runtime=scaled(30, 6),
        gpu=GPU,
        jobs_per_gpu=STUDY.jobs_per_gpu,
    params:
        settings=lambda w: STUDY.feature_settings(w.dataset, w.features),
        confusions=CONFUSIONS,
        key=lambda w: confusions_key(w.dataset, w.features),
        threads=STUDY.threads,
        device=STUDY.device,
        cost=cost("test_pass", "{dataset}", "{features}", "{group}-{shard}"),
    message:
        "Evaluate pending runs on {wildcards.dataset}/test {wildcards.shard} by {wildcards.features}"
    script:
        "../scripts/test_pass.py"


rule index_passes:
    input:
        lambda w: expand(PASS, shard=shard_names(w.dataset, "test"), allow_missing=True),
    output:
        PASSES,
    log:
        "logs/index_passes/{dataset}/{features}/{group}.log",
    conda:
        "../../envs/pixelherd.yaml"
    resources:
        mem_mb=scaled(1000),
        runtime=scaled(30),
    params:
        cost=cost("index_passes", "{dataset}", "{features}", "{group}"),
    message:
        "Index passes over {wildcards.dataset}/test by {wildcards.features}"
    script:
        "../scripts/index_files.py"


rule evaluate:
    input:
        unpack(evaluate_input),
    output:
        metrics=f"{RUN}/metrics.csv",
        thumbnails=f"{RUN}/thumbnails.npz",
        seal=f"{RUN}/run.json",
    log:
        "logs/evaluate/{run}.log",
    conda:
        "../../envs/pixelherd.yaml"
    threads: 4 * STUDY.threads  # images side by side; counts do not depend on how many
    resources:
        mem_mb=scaled(8000),
        runtime=scaled(60, 0.1, "test"),
        gpu=GPU,
        jobs_per_gpu=STUDY.jobs_per_gpu,
    params:
        settings=lambda w: STUDY.feature_settings(run_of(w).dataset, run_of(w).features),
        result_settings=lambda w: STUDY.result_settings(run_of(w)),
        identity=lambda w: identity_of(run_of(w)),
        weight=lambda w: STUDY.methods[run_of(w).method].weight,
        draws=lambda w: [
            STUDY.features[run_of(w).features].draws,
            STUDY.draws_of(run_of(w).method, run_of(w).features),
        ],
        confusions=lambda w: kept_confusions(run_of(w)),
        key=lambda w: confusions_key(run_of(w).dataset, run_of(w).features),
        pictures=STUDY.pictures,
        threads=STUDY.threads,
        device=STUDY.device,
        source=source("evaluate", "evaluate"),
        cost=cost("evaluate", "{run}"),
    message:
        "Evaluate {wildcards.run}"
    script:
        "../scripts/evaluate.py"
