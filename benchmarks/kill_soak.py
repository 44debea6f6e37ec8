"""Kill a study again and again until it is done: are its results those of an undisturbed one?

A random process of those at work, a job's or Snakemake itself, gets SIGKILL at random moments, and whenever Snakemake
has ended the same command is given again. Prints kills, restarts, jobs and job starts; exit status 1 if a result
differs or if more jobs were started than jobs + 3 · kills.

    python benchmarks/kill_soak.py config.yaml --kills 40 --set 'seeds=[0,1,2,3,4,5]'
"""

import argparse
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import yaml

REPOSITORY = Path(__file__).parents[1]
START = re.compile(r"^(?:Job \d+: |(?:local)?rule \w+:)", re.MULTILINE)


def results(folder: Path) -> dict[str, bytes]:
    """Every result by its path, but for costs and the study's record, which hold times."""
    files = (path for path in folder.rglob("*") if path.is_file() and path != folder / "run.json")
    named = ((path.relative_to(folder).as_posix(), path) for path in files)
    return {name: path.read_bytes() for name, path in named if not name.startswith("costs/")}


def command(folder: Path, cores: int) -> list[str]:
    """The command that a user gives in ``folder``, where ``study.yaml`` lies."""
    snakemake = [sys.executable, "-m", "snakemake", "--cores", str(cores)]
    return [*snakemake, "--directory", str(folder), "--configfile", str(folder / "study.yaml")]


def job_starts(folder: Path) -> int:
    """Jobs that were started in ``folder``, by Snakemake's logs."""
    return sum(len(START.findall(log.read_text())) for log in (folder / ".snakemake" / "log").glob("*.log"))


def soak(folder: Path, kills: int, pause: tuple[float, float], generator: random.Random, cores: int = 2) -> dict:
    """Run the study in ``folder`` to its end, while up to ``kills`` processes are killed.

    Args:
        folder: where ``study.yaml`` lies.
        kills: how many processes get SIGKILL, if the study lasts long enough.
        pause: shortest and longest time between two kills, in seconds.
        generator: chooses moments and victims.
        cores: of Snakemake.

    Returns:
        ``kills``, how many of them hit Snakemake (``snakemakes``), ``restarts``, and ``starts`` of jobs.
    """
    found = {"kills": 0, "snakemakes": 0, "restarts": -1}
    while True:
        found["restarts"] += 1
        with open(folder / "output.txt", "a") as output:
            process = psutil.Popen(command(folder, cores), cwd=REPOSITORY, stdout=output, stderr=subprocess.STDOUT)
        while process.poll() is None:
            try:
                process.wait(generator.uniform(*pause) if found["kills"] < kills else None)
            except psutil.TimeoutExpired:
                workers = [each for each in process.children(recursive=True) if ".snakemake/scripts" in _line(each)]
                # Snakemake is as likely a victim as all its jobs together
                victim = generator.choice(workers) if workers and generator.random() < 0.5 else process
                found["kills"] += 1
                found["snakemakes"] += victim is process
                victim.kill()
        if process.returncode == 0:
            return found | {"starts": job_starts(folder)}
        if found["restarts"] > 4 * kills + 4:
            raise RuntimeError(f"the study does not end; see {folder / 'output.txt'}")


def _line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=YAML", help="change a key of the study")
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--pause", type=float, nargs=2, default=(2, 12), help="seconds between kills (default: 2 12)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    options = parser.parse_args()
    settings = yaml.safe_load(options.study.read_text())
    settings |= {key: yaml.safe_load(value) for key, value in (each.split("=", 1) for each in options.set)}
    for features in settings["features"].values():  # folders are named from where the command is given
        if isinstance(features["backbone"], str):
            features["backbone"] = str((REPOSITORY / features["backbone"]).resolve())
    root = options.folder or Path(tempfile.mkdtemp(prefix="kill-soak-"))
    undisturbed, killed = root / "undisturbed", root / "killed"
    for folder in (undisturbed, killed):
        folder.mkdir(parents=True)
        (folder / "study.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    with open(undisturbed / "output.txt", "w") as output:
        subprocess.run(command(undisturbed, options.cores), cwd=REPOSITORY, stdout=output, stderr=output, check=True)
    jobs = job_starts(undisturbed)
    found = soak(killed, options.kills, options.pause, random.Random(options.seed), options.cores)
    same = results(killed / "results") == results(undisturbed / "results")
    within = found["starts"] <= jobs + 3 * found["kills"]
    print(
        f"{jobs} jobs; {found['kills']} kills, {found['snakemakes']} of them of Snakemake; "
        f"{found['restarts']} restarts; "
        f"{found['starts']} job starts, {'at most' if within else 'MORE THAN'} jobs + 3 · kills; "
        f"results {'identical' if same else 'DIFFER'}"
    )
    return 0 if same and within else 1


if __name__ == "__main__":
    sys.exit(main())
