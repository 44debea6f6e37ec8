# Results and cache in a storage of Snakemake's instead of on this file system. No rule is defined here.

from pixelherd.pipeline.inputs.objects import Objects

STORAGE = None
if (provider := workflow.storage_registry.default_storage_provider) is not None:
    STORAGE = in_one_line(Objects, provider, workflow.storage_settings.default_storage_prefix)


def reads(function, name="files"):
    """What a job reads by a function of the study, by ``name`` if that gives one file or a list.

    From a storage comes what is named here, so there all that lies beside these files is named too.
    """

    def read(wildcards):
        found = of(function)(wildcards)
        files = found if isinstance(found, dict) else {name: found}
        return {**files, "along": in_one_line(TRAVEL.along, files)} if STORAGE else files

    return read
