# The Python package that the rules call: of the workflow's own version, or one line says how to get it.

import subprocess
import sys
from os.path import normpath

from snakemake.sourcecache import LocalSourceFile

VERSION = "0.1.0"


def shipped(path):
    """Where a file of the workflow lies, by its path from the file that asks; a copy where the workflow is fetched."""
    folder = workflow.current_basedir
    if isinstance(folder, LocalSourceFile):
        return normpath(folder.join(path).get_path_or_uri(secret_free=True))
    return workflow.source_path(path)


def installed_version():
    """The version of the package that jobs will import; None where there is none.

    Asked of a new process: here Snakemake has put the workflow's folder, in which the package lies too, in front.
    """
    asked = [sys.executable, "-c", "import pixelherd; print(pixelherd.__version__)"]
    return subprocess.run(asked, capture_output=True, text=True).stdout.strip() or None


installed = installed_version() if workflow.is_main_process else VERSION

if installed != VERSION:
    found = f"has version {installed}, but this workflow is of {VERSION}" if installed else "is not installed"
    place = normpath(workflow.current_basedir.join("../..").get_path_or_uri(secret_free=True))
    raise WorkflowError(f"pixelherd: the Python package {found}; pip install -e {place}")

from pixelherd.errors import UserError  # of the package that is there


def in_one_line(function, *arguments, **keywords):
    """Call, and show a user's mistake without a traceback."""
    try:
        return function(*arguments, **keywords)
    except UserError as error:
        raise WorkflowError(f"pixelherd: {error}") from None
