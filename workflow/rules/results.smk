rule plan:
    log:
        "logs/plan.log",
    conda:
        "../../envs/pixelherd.yaml"
    resources:
        mem_mb=scaled(500),
        runtime=scaled(10),
    params:
        study=STUDY.content(),
        pending=[run.path for run in PENDING],
    message:
        "Plan the study"
    script:
        "../scripts/plan.py"


rule predict:
    input:
        unpack(predict_input),
    log:
        "logs/predict.log",
    conda:
        "../../envs/pixelherd.yaml"
    threads: STUDY.threads
    resources:
        mem_mb=scaled(8000),
        runtime=scaled(2880),
        gpu=GPU,
        jobs_per_gpu=STUDY.jobs_per_gpu,
    params:
        predict=STUDY.predict.model_dump(mode="json"),
        settings=predict_settings,
        mistake=MISTAKE,
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
        mem_mb=scaled(6000),
        runtime=scaled(60),
    params:
        study=STUDY.content(),
        threads=STUDY.threads,
    message:
        "Examine the study"
    script:
        "../scripts/doctor.py"


rule write_tables:
    input:
        every_seal(),
    output:
        RESULT_TABLES,
    log:
        "logs/write_tables.log",
    conda:
        "../../envs/pixelherd.yaml"
    resources:
        mem_mb=scaled(1000),
        runtime=scaled(30),
    params:
        rounds=STUDY.rounds,
        methods=list(STUDY.methods),
        statistics=STUDY.statistics_settings(),
        source=source("write_tables", parts=TABLE_SOURCE),
    message:
        "Write the tables"
    script:
        "../scripts/write_tables.py"


rule write_figures:
    input:
        every_seal(),
    output:
        RESULT_FIGURES,
    log:
        "logs/write_figures.log",
    conda:
        "../../envs/pixelherd.yaml"
    resources:
        mem_mb=scaled(1000),
        runtime=scaled(60),
    params:
        rounds=STUDY.rounds,
        methods=list(STUDY.methods),
        statistics=STUDY.statistics_settings(),
        source=source("write_figures", parts=("figures.py", *TABLE_SOURCE)),
    message:
        "Draw the figures"
    script:
        "../scripts/write_figures.py"


rule write_report:
    input:
        **{part: ancient(path) for part, path in REPORT_PARTS.items()},
        seals=every_seal(),
        figures=RESULT_FIGURES,
    output:
        REPORT,
    log:
        "logs/write_report.log",
    conda:
        "../../envs/pixelherd.yaml"
    resources:
        mem_mb=scaled(2000),
        runtime=scaled(30),
    params:
        rounds=STUDY.rounds,
        methods=list(STUDY.methods),
        statistics=STUDY.statistics_settings(),
        source=source("write_report", parts=("report.py", *TABLE_SOURCE)),
        page=hash_of({part: path.read_text() for part, path in REPORT_PARTS.items()}),
    message:
        "Write the report"
    script:
        "../scripts/write_report.py"


rule write_costs:
    input:
        every_seal(),
    output:
        costs=COST_TABLE,
        record=RECORD,
    log:
        "logs/write_costs.log",
    conda:
        "../../envs/pixelherd.yaml"
    resources:
        mem_mb=scaled(1000),
        runtime=scaled(10),
    params:
        study=STUDY.content(),
        source=source("write_costs", parts=("costs.py", "plan.py", "provenance.py")),
    message:
        "Add up the costs and record how the results were made"
    script:
        "../scripts/write_costs.py"
