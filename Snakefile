# pixelherd: from images to queried pixels, trained heads, tables, curves and pictures.
#
#   prepare → extract → herd → gather → ( pool → score → label → train ) × rounds → evaluate → tables, figures, report
#   images    maps      lists  union     a run's round                              seal       the study's results

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


localrules:
    all,
    features,
    runs,
    tables,
    report,
    pretrain,
    doctor,
    predict,


rule all:
    default_target: True
    input:
        every_seal(),
        every_page(),
        of_finished_runs(RESULT_TABLES, RESULT_FIGURES, REPORT, COST_TABLE),


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
