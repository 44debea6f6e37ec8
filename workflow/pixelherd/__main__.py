"""The command `pixelherd`: it calls Snakemake with the workflow that came with the package, from any folder."""

import os
import shlex
import sys
from collections.abc import Sequence

from pixelherd.errors import UserError, complain, nearest
from pixelherd.storage.shipped import SHIPPED

COMMANDS = {
    "run": "run the study: config.yaml of this folder, or else the demo",
    "plan": "print jobs, network forwards and disk of the study; run nothing",
    "doctor": "look whether everything is there, and how to mend what is not",
    "report": "make the report of what is finished",
    "predict": "make masks of new images by a run's head",
    "label": "open a page to label a folder of photographs while a model learns beside",
    "verify": "compare cache and results with what was written",
    "archive": "pack finished runs, without heads and pictures, into a small folder of tables",
    "unpack": "put an archive's runs into a folder of results",
    "repeats": "compare the same runs made on two machines",
    "completion": "print what makes a shell complete: bash, zsh or fish",
}

HELP = f"""usage: pixelherd COMMAND [FLAGS OF SNAKEMAKE, OR FOLDERS]

{chr(10).join(f"  {name:<11} {meaning}" for name, meaning in COMMANDS.items())}

Flags are those of Snakemake (snakemake --help). Without --cores all processors work. Studies that come with the package
are found from any folder.

  pixelherd run                                              the demo
  pixelherd run --configfile studies/camvid.yaml
  pixelherd run -n                                           what would run
  pixelherd run features --cores 4                           one target of the workflow
  pixelherd run --verbose                                    with Snakemake's own output
  pixelherd run --workflow-profile slurm                     through SLURM
  pixelherd label photos                                     a page in the browser; see pixelherd label --help
  pixelherd predict --config 'predict={{images: FOLDER}}'
  pixelherd archive results archive/mine
  pixelherd unpack archive/table1 results/table1
  pixelherd repeats results archive/mine
  source <(pixelherd completion bash)
"""

OF_RESULTS = ("archive", "unpack", "repeats")
"""Commands that take folders, and call no Snakemake."""

FLAGS = (
    *(
        "--cores",
        "--config",
        "--configfile",
        "--directory",
        "--dry-run",
        "--forcerun",
        "--keep-going",
        "--printshellcmds",
    ),
    *("--quiet", "--resources", "--retries", "--rerun-incomplete", "--unlock", "--verbose", "--workflow-profile"),
)
"""Flags of Snakemake that a shell completes."""

PARALLEL = ("-c", "-j", "--cores", "--jobs", "-e", "--executor", "--profile", "--workflow-profile")
"""Begin the flags that say how much works at a time, themselves or by a profile."""

COMPLETIONS = {
    "bash": """_pixelherd() {{
    local word=${{COMP_WORDS[COMP_CWORD]}}
    if [ "$COMP_CWORD" -eq 1 ]; then COMPREPLY=($(compgen -W "{commands} --help --version" -- "$word"))
    elif [[ $word == -* ]]; then COMPREPLY=($(compgen -W "{flags}" -- "$word")); fi
}}
complete -o default -F _pixelherd pixelherd
""",
    "zsh": """_pixelherd() {{
    if (( CURRENT == 2 )); then compadd {commands} --help --version
    elif [[ $PREFIX == -* ]]; then compadd -- {flags}
    else _files; fi
}}
compdef _pixelherd pixelherd
""",
    "fish": """complete -c pixelherd -n __fish_use_subcommand -f -a '{commands} --help --version'
for flag in {flags}; complete -c pixelherd -n 'not __fish_use_subcommand' -l (string sub -s 3 -- $flag); end
""",
}


def command(arguments: Sequence[str]) -> list[str]:
    """Return the call of Snakemake that arguments of the command mean.

    Raises:
        UserError: the first of them is no command.
    """
    name, *flags = arguments
    if name not in COMMANDS:
        raise UserError(f"there is no command {name!r}{nearest(name, COMMANDS)}", remedy="see `pixelherd --help`")
    target = [] if name == "run" else [name]
    cores = [] if any(each.startswith(PARALLEL) for each in flags) else ["--cores", "all"]
    flags = [str(SHIPPED / each) if is_shipped_study(each) else each for each in flags]
    # -P: a module of the working folder shall not take the place of one of Snakemake's
    return [sys.executable, "-P", "-m", "snakemake", *target, "--snakefile", str(SHIPPED / "Snakefile"), *cores, *flags]


def is_shipped_study(argument: str) -> bool:
    """Whether an argument names a study that comes with the package, and no file of this folder."""
    named = argument.startswith("studies/") and not os.path.exists(argument)
    return named and (SHIPPED / argument).is_file()


def labels_a_folder(flags: Sequence[str]) -> bool:
    """Whether `label` is given a folder of photographs, and not flags of Snakemake for a study."""
    return bool({"-h", "--help"} & set(flags)) or any(not each.startswith("-") for each in flags[:1])


def main() -> None:
    """Become the Snakemake that the command line asks for, or do what it asks for without one."""
    arguments = sys.argv[1:]
    if not arguments or ({"-h", "--help"} & set(arguments) and arguments[0] != "label"):
        print(HELP, end="")
        return
    if arguments[0] == "--version":
        from pixelherd import __version__

        print(__version__)
        return
    try:
        if arguments[0] == "completion":
            print(completion(*arguments[1:2]), end="")
            return
        if arguments[0] in OF_RESULTS:
            from pixelherd.results.archive import command as of_results

            of_results.run(arguments[0], arguments[1:])
            return
        if arguments[0] == "label" and labels_a_folder(arguments[1:]):
            from pixelherd.labelling.web.command import main as label

            label(arguments[1:])
            return
        call = command(arguments)
    except UserError as mistake:
        complain(mistake)
        sys.exit(2)
    os.environ["PIXELHERD_COMMAND"] = shlex.join(["pixelherd", *arguments])
    sys.stdout.flush()
    os.execv(call[0], call)


def completion(shell: str = "") -> str:
    """Return what a shell reads to complete the command.

    Raises:
        UserError: it is another shell.
    """
    if shell not in COMPLETIONS:
        raise UserError(f"there is no completion for {shell!r}{nearest(shell, COMPLETIONS)}")
    return COMPLETIONS[shell].format(commands=" ".join(COMMANDS), flags=" ".join(FLAGS))


if __name__ == "__main__":
    main()
