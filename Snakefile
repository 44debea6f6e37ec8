include: "workflow/Snakefile"


workflow.default_target = "all"  # Snakemake forgets the one of a Snakefile that is included
