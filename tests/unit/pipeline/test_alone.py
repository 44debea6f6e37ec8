"""One job alone: the call of Snakemake that it is."""

import subprocess
import sys

import pytest

from pixelherd.pipeline.alone import command


def test_a_rule_its_wildcards_and_further_options():
    call = command(["extract", "dataset=demo", "split=train", "--configfile", "my.yaml", "shard=00000-00039"])
    assert call[call.index("--target-jobs") + 1] == "extract:dataset=demo,split=train,shard=00000-00039"
    assert call[call.index("--allowed-rules") + 1] == "extract" and call[-2:] == ["--configfile", "my.yaml"]
    assert "--debug" in call, "a debugger needs the terminal"


@pytest.mark.parametrize("arguments", [[], ["--cores", "1"]])
def test_without_a_rule_it_says_what_to_write(arguments):
    with pytest.raises(ValueError, match="name a rule and its wildcards"):
        command(arguments)
    done = subprocess.run(
        [sys.executable, "-m", "pixelherd.pipeline.alone", *arguments], capture_output=True, text=True
    )
    assert done.returncode == 1 and done.stderr.startswith("pixelherd: name a rule")
