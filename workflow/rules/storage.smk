# Results and cache in a storage of Snakemake's instead of on this file system. No rule is defined here.


class Storage:
    """Files in the default storage that Snakemake was given, by the paths that the study has for them."""

    def __init__(self, provider, prefix):
        self._provider, self._prefix = provider, f"{prefix.rstrip('/')}/" if prefix else ""

    def _object(self, path):
        return self._provider.object(f"{self._prefix}{normpath(path)}")

    def below(self, folder):
        """The files below a folder."""
        there = self._object(folder)
        if hasattr(there, "get_subkeys"):  # of the s3 plugin
            keys = {item.key for item in there.get_subkeys()} if there.bucket_exists() else set()
            root = there.key
        elif hasattr(self._provider, "list_objects"):
            keys, root = set(map(str, self._provider.list_objects(there.query))), there.query
        else:
            raise UserError("--default-storage-provider: pixelherd must list files", remedy="take the plugin s3 or fs")
        folders = {str(parent) for key in keys for parent in Path(key).parents}
        return {f"{folder}/{key.removeprefix(f'{root}/')}" for key in keys - folders - {root}}

    def fetch(self, path, to):
        """Copy a file of the storage to this machine."""
        there = self._object(path)
        there.set_local_path(to)
        to.parent.mkdir(parents=True, exist_ok=True)
        there.retrieve_object()

    def put(self, file, path):
        """Copy a file of this machine to the storage."""
        there = self._object(path)
        there.set_local_path(file)
        there.store_object()

    def remove(self, path):
        """Remove a file of the storage."""
        self._object(path).remove()

    def path_of(self, file):
        """What the study calls a file of a job."""
        return file.storage_object.query.removeprefix(self._prefix) if file.is_storage else file

    def fetch_made(self, made, **files):
        """Copy files, by the rules that make them, to this machine, for whoever looks."""
        for path in (path for name, path in files.items() if name in made):
            self.fetch(str(path), path)


STORAGE = None
if (provider := workflow.storage_registry.default_storage_provider) is not None:
    STORAGE = Storage(provider, workflow.storage_settings.default_storage_prefix)


def reads(function, name="files"):
    """What a job reads by a function of the study, by ``name`` if that gives one file or a list.

    From a storage comes what is named here, so there all that lies beside these files is named too.
    """

    def read(wildcards):
        found = of(function)(wildcards)
        files = found if isinstance(found, dict) else {name: found}
        return {**files, "along": in_one_line(TRAVEL.along, files)} if STORAGE else files

    return read
