"""What a wheel carries besides the package, so that it runs the workflow; all else stands in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SHIPPED = (
    *("Snakefile", "config.yaml", "config.schema.json"),
    *("workflow/Snakefile", "workflow/rules", "workflow/scripts", "workflow/report"),
    *("profiles", "studies", "backbones/demo", "envs"),
)
"""Files and folders of the repository that become those of pixelherd/shipped."""


def shipped() -> list[str]:
    """Return all files that are shipped, by their path in the repository."""
    found = [path for place in map(Path, SHIPPED) for path in (place.rglob("*") if place.is_dir() else [place])]
    return [str(path) for path in found if path.is_file() and "__pycache__" not in path.parts]


class BuildPackageAndWorkflow(build_py):
    """Builds the package, and copies the workflow into it; an editable install finds it beside the package."""

    def run(self) -> None:
        """Build."""
        super().run()
        if not self.editable_mode:
            for name in shipped():
                target = Path(self.build_lib, "pixelherd", "shipped", name)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(name, target)

    def get_source_files(self) -> list[str]:
        """Return what a source distribution needs, too."""
        return [*super().get_source_files(), *shipped()]


setup(cmdclass={"build_py": BuildPackageAndWorkflow})
