"""An executor for tests, as one for a cloud: a job begins in an empty folder and cannot see that of its Snakemake."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncGenerator

from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface
from snakemake_interface_executor_plugins.settings import CommonSettings

common_settings = CommonSettings(
    non_local_exec=True,
    implies_no_shared_fs=True,
    job_deploy_sources=True,
    auto_deploy_default_storage_provider=False,
    init_seconds_before_status_checks=0,
)

HIDE = 'mount -t tmpfs none "$1" && cd "$2" && exec bash -c "$3"'
"""In a name space of its own an empty file system lies over the folder of Snakemake."""


class Executor(RemoteExecutor):
    """Runs each job as a process that sees neither files nor folder of Snakemake."""

    def __post_init__(self) -> None:
        self._processes: dict[str, subprocess.Popen] = {}
        self._root = tempfile.mkdtemp(prefix="elsewhere-")

    def run_job(self, job: JobExecutorInterface) -> None:
        folder = tempfile.mkdtemp(dir=self._root)
        told = {name: value for name, value in os.environ.items() if not name.startswith("PIXELHERD_")}
        hidden = ["unshare", "--mount", "--map-root-user", "bash", "-c", HIDE, "-", os.getcwd(), folder]
        with open(f"{folder}.log", "w") as log:
            process = subprocess.Popen(
                [*hidden, self.format_job_exec(job)], env=told, stdout=log, stderr=subprocess.STDOUT, cwd="/"
            )
        self._processes[str(process.pid)] = process
        self.report_job_submission(SubmittedJobInfo(job, external_jobid=str(process.pid), aux={"log": f"{folder}.log"}))

    async def check_active_jobs(self, active_jobs: list[SubmittedJobInfo]) -> AsyncGenerator[SubmittedJobInfo, None]:
        for info in active_jobs:
            status = self._processes[str(info.external_jobid)].poll()
            if status is None:
                yield info
            elif status == 0:
                self.report_job_success(info)
            else:
                with open(info.aux["log"]) as log:
                    self.report_job_error(info, msg=log.read()[-3000:])

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        for info in active_jobs:
            self._processes[str(info.external_jobid)].kill()

    def shutdown(self) -> None:
        super().shutdown()
        shutil.rmtree(self._root, ignore_errors=True)  # each job leaves the workflow's sources and what it read
