REPORT_PARTS = {
    "template": Path(shipped("../report/report.html.j2")),
    "captions": Path(shipped("../report/captions.yaml")),
}
COMPARED = {"rounds": STUDY.rounds, "methods": list(STUDY.methods), "statistics": stages.statistics(STUDY)}


rule plan:
    log:
        "logs/plan.log",
    conda:
        "../../envs/pixelherd.yaml"
    resources:
        **needs(500, 10),
    params:
        study=STUDY.content(),
        pending=[run.path for run in WORK.pending],
    message:
        "Plan the study"
    script:
        "../scripts/plan.py"


rule predict:
    input:
        unpack(reads(results.predict)),
    log:
        "logs/predict.log",
    conda:
        "../../envs/pixelherd.yaml"
    threads: STUDY.threads
    resources:
        **needs(8000, 2880, gpu=True),
    params:
        predict=STUDY.predict.model_dump(mode="json"),
        settings=of(results.prediction_settings),
        backbone=of(results.sealed_backbone),
        mistake=of(results.mistake),
        threads=STUDY.threads,
        device=STUDY.device,
    message:
        "Predict masks of new images"
    script:
        "../scripts/predict.py"


rule doctor:
    log:
        "logs/doctor.log",
    conda:
        "../../envs/pixelherd.yaml"
    threads: STUDY.threads
    resources:
        **needs(6000, 60),
    params:
        study=STUDY.content(),
        threads=STUDY.threads,
    message:
        "Examine the study"
    script:
        "../scripts/doctor.py"


rule verify:
    log:
        "logs/verify.log",
    conda:
        "../../envs/pixelherd.yaml"
    resources:
        **needs(1000, 600),
    params:
        study=STUDY.content(),
    message:
        "Compare cache and results with what was written"
    script:
        "../scripts/verify.py"


rule unused:
    log:
        "logs/unused.log",
    conda:
        "../../envs/pixelherd.yaml"
    resources:
        **needs(1000, 60),
    params:
        cache=STUDY.cache,
        used=lambda wildcards: in_one_line(WORK.used),
        removes=False,
    message:
        "Look for what nothing uses of the cache"
    script:
        "../scripts/unused.py"


use rule unused as clean with:
    log:
        "logs/clean.log",
    params:
        removes=True,
    message:
        "Remove what nothing uses of the cache"


rule write_tables:
    input:
        unpack(reads(results.every_seal, "seals")),
    output:
        tables=TABLES,
        digests=PATHS.tables_digests,
    log:
        "logs/write_tables.log",
    conda:
        "../../envs/pixelherd.yaml"
    resources:
        **needs(1000, 30),
    params:
        **COMPARED,
        place=lambda w, output: PATHS.tables_digests,
        source=lambda w: source_of("write_tables"),
    message:
        "Write the tables"
    script:
        "../scripts/write_tables.py"


rule write_figures:
    input:
        unpack(reads(results.every_seal, "seals")),
    output:
        [directory(PATHS.figures_of.format(dataset=name)) for name in [*STUDY.datasets, OVERALL]],
        PATHS.figures,
    log:
        "logs/write_figures.log",
    conda:
        "../../envs/pixelherd.yaml"
    resources:
        **needs(1000, 60),
    params:
        **COMPARED,
        source=lambda w: source_of("write_figures"),
    message:
        "Draw the figures"
    script:
        "../scripts/write_figures.py"


rule write_report:
    input:
        unpack(reads(results.reported)),
        **{part: local(ancient(path)) for part, path in REPORT_PARTS.items()},
    output:
        report=PATHS.report,
        digests=PATHS.report_digests,
    log:
        "logs/write_report.log",
    conda:
        "../../envs/pixelherd.yaml"
    resources:
        **needs(2000, 30),
    params:
        **COMPARED,
        place=lambda w, output: PATHS.report_digests,
        source=lambda w: source_of("write_report"),
        page=hash_of({part: path.read_text() for part, path in REPORT_PARTS.items()}),
    message:
        "Write the report"
    script:
        "../scripts/write_report.py"


rule write_costs:
    input:
        unpack(reads(results.every_seal, "seals")),
    output:
        costs=PATHS.costs,
        tables=PATHS.costs_tables,
        record=PATHS.record,
    log:
        "logs/write_costs.log",
    conda:
        "../../envs/pixelherd.yaml"
    resources:
        **needs(1000, 10),
    params:
        study=STUDY.content(),
        runs_source=source_of_runs,
        source=lambda w: source_of("write_costs"),
    message:
        "Add up the costs and record how the results were made"
    script:
        "../scripts/write_costs.py"
