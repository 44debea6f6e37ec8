# What jobs ask of the machine, what their results depend on, and where they note what they cost. No rule is defined here.

# The same by the names under which executors know it: Snakemake, SLURM, Kubernetes and LSF the first; Google Batch,
# HTCondor and AWS Batch others, and each leaves those of the others alone.
MEMORY_NAMES = ("mem_mb", "googlebatch_memory", "htcondor_request_mem_mb")
GPU_NAMES = ("gpu", "nvidia_gpu", "request_gpus", "_gpus")


def needs(memory, minutes, per_image=(0, 0), split=None, gpu=False):
    """Resources that grow with the attempt, and with a shard's images or with those of a whole ``split``.

    A job that gains by a GPU asks for one; where there is none it computes on the CPU. ``gpu`` may be a function of
    wildcards.
    """

    def scaled(base, each):
        def resource(wildcards, attempt):
            images = WORK.images[asked(wildcards, "dataset")][split] if split else STUDY.images_per_job
            return attempt * round((base(wildcards) if callable(base) else base) + each * images)

        return resource

    scaling = {**dict.fromkeys(MEMORY_NAMES, scaled(memory, per_image[0])), "runtime": scaled(minutes, per_image[1])}
    if not gpu or STUDY.device == "cpu":
        return scaling
    # None is no request at all: Kubernetes takes a request for 0 GPUs for one
    wanted = (lambda wildcards: 1 if gpu(wildcards) else None) if callable(gpu) else 1
    return {**scaling, **dict.fromkeys(GPU_NAMES, wanted), "jobs_per_gpu": STUDY.jobs_per_gpu}


@functools.cache
def source_of(script):
    """The hash of a script and of all modules that it needs."""
    return source.hash_of_script(SCRIPTS[script])


def noted_by(*place):
    """Where a job notes what it cost.

    Snakemake redoes no job for a parameter that takes `output`. So studies with different results share one cache.
    """
    path = f"{PATHS.job_costs}/{'/'.join(place)}.json"
    return lambda wildcards, output: path.format(**wildcards)


def made_by(stage, *place):
    """Parameters of a job: the source that its results depend on, and where it notes what it cost."""
    return {"source": lambda wildcards: source_of(stage), "cost": noted_by(stage, *place)}


def source_of_runs(wildcards, output):
    """The hash of the source that makes runs, to be noted: as it takes `output`, no job is redone when it changes."""
    return SESSION.source


def minutes_of_training(wildcards):
    return 720 if STUDY.trains_densely(asked(wildcards, "run").method) else 60


def confusions_key(wildcards):
    """What a head's confusion matrix depends on besides the head."""
    dataset = asked(wildcards, "dataset")
    original = STUDY.evaluates_originals(dataset)
    return hash_of({"source": source_of("test_pass"), "original": original, "dataset": WORK.dataset(dataset)})
