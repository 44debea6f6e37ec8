rule herd:
    input:
        unpack(reads(shared.herd)),
    output:
        store(PATHS.lists),
    log:
        "logs/herd/{dataset}/{features}/seed-{key}/{shard}.log",
    conda:
        "../../envs/pixelherd.yaml"
    threads: STUDY.threads
    resources:
        **needs(8000, 30, per_image=(10, 6), gpu=lambda w: not WORK.keeps_maps(w.features)),
    params:
        **made_by("herd", "{dataset}", "{features}", "seed-{key}-{shard}"),
        settings=of(stages.maps, STUDY),
        candidates=of(shared.herding),
        threads=STUDY.threads,
        device=STUDY.device,
    message:
        "Herd lists of {wildcards.dataset} {wildcards.shard}, seed {wildcards.key}"
    script:
        "../scripts/herd.py"


rule perturb:
    input:
        unpack(reads(shared.perturb)),
    output:
        store(PATHS.draws),
    log:
        "logs/perturb/{dataset}/{features}/seed-{key}/{shard}.log",
    conda:
        "../../envs/pixelherd.yaml"
    threads: STUDY.threads
    resources:
        **needs(8000, 30, per_image=(20, 15), gpu=lambda w: not of(shared.kept_draws)(w)),
    params:
        **made_by("perturb", "{dataset}", "{features}", "seed-{key}-{shard}"),
        settings=of(stages.maps, STUDY),
        draws=of(shared.listed_draws),
        threads=STUDY.threads,
        device=STUDY.device,
    message:
        "Perturb listed pixels of {wildcards.dataset} {wildcards.shard}, seed {wildcards.key}"
    script:
        "../scripts/perturb.py"


rule index_draws:
    input:
        unpack(reads(Work.draws, "shards")),
    output:
        PATHS.draws_index,
    log:
        "logs/index_draws/{dataset}/{features}/seed-{key}-{address}.log",
    conda:
        "../../envs/pixelherd.yaml"
    resources:
        **needs(1000, 30),
    params:
        cost=noted_by("index_draws", "{dataset}", "{features}", "seed-{key}"),
    message:
        "Index draws of {wildcards.dataset}, seed {wildcards.key}"
    script:
        "../scripts/index.py"


rule gather:
    input:
        unpack(reads(Work.lists, "shards")),
    output:
        PATHS.union_arrays,
        PATHS.union,  # last, as of every store
    log:
        "logs/gather/{dataset}/{features}/seed-{key}-{listed}-{address}.log",
    conda:
        "../../envs/pixelherd.yaml"
    threads: STUDY.threads
    resources:
        **needs(4000, 30, per_image=(2, 0.02), split="train"),
    params:
        **made_by("gather", "{dataset}", "{features}", "seed-{key}-{listed}"),
        listed=lambda w: int(w.listed),
        candidates=of(shared.herding),
        threads=STUDY.threads,
    message:
        "Gather the listed pixels of {wildcards.dataset}, seed {wildcards.key}"
    script:
        "../scripts/gather.py"
