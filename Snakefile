# pixelherd: from images to queried pixels, trained heads, tables, curves and pictures.
#
#   prepare → extract → herd → gather → ( pool → score → train ) × rounds → evaluate → tables, figures, report
#   images    maps      lists  union     a run's round                      seal       the study's results

import shlex
import sys

from snakemake.utils import min_version

min_version("9.27")


if not workflow.overwrite_configfiles:

    configfile: "config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/datasets.smk"
include: "workflow/rules/backbones.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/lists.smk"
include: "workflow/rules/rounds.smk"
include: "workflow/rules/annotation.smk"
include: "workflow/rules/results.smk"


onstart:
    made = [file for job in workflow.dag.needrun_jobs() for file in job.output]
    # What only prints may run beside another Snakemake.
    if made:
        # The SLURM executor names all its jobs by this.
        queue = getattr(workflow.scheduler._executor, "run_uuid", None)
        in_one_line(SESSION.start, PENDING, WAITING, queue)
        sealing.break_seals(STUDY, PENDING, made)
    # Snakemake 9 looks at all waiting jobs again a second after each look, and every job that ends adds such a series to
    # those that go on: after 500 jobs that takes half a processor. Without its limit of 100 starts a second, which only
    # a cluster needs, it looks when a job has ended.
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None


onerror:
    print("pixelherd: what is finished is kept. Mend what the lines above name, then give the same command again:")
    print(f"  {shlex.join(['snakemake', *sys.argv[1:]])}")


localrules:
    all,
    features,
    runs,
    tables,
    report,
    pretrain,
    plan,
    doctor,
    predict,


rule all:
    default_target: True
    input:
        every_seal(),
        every_page(),
        of_finished_runs(RESULT_TABLES, RESULT_FIGURES, REPORT, COST_TABLE, RECORD),


rule features:
    input:
        every_index(),


rule runs:
    input:
        every_seal(),
        every_page(),


rule tables:
    input:
        every_seal(),
        of_finished_runs(RESULT_TABLES, RESULT_FIGURES),


rule report:
    input:
        every_seal(),
        of_finished_runs(REPORT),


rule pretrain:
    input:
        every_pretrained_backbone(),
