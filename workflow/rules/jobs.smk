# What jobs ask of the machine, what their results depend on, and where they note what they cost. No rule is defined here.


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

    scaling = {"mem_mb": scaled(memory, per_image[0]), "runtime": scaled(minutes, per_image[1])}
    if not gpu:
        return scaling
    if STUDY.device == "cpu":
        wanted = 0
    else:
        wanted = (lambda wildcards: int(gpu(wildcards))) if callable(gpu) else 1
    return {**scaling, "gpu": wanted, "jobs_per_gpu": STUDY.jobs_per_gpu}


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
