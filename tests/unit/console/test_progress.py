"""How long it still takes, and what is said of it."""

import pytest

from snakemake_logger_plugin_pixelherd.progress import Progress, duration


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_time_left_is_that_of_the_jobs_of_each_rule():
    clock = Clock()
    progress = Progress({"extract": 4, "fit": 3, "total": 7}, clock)
    assert progress.seconds_left() is None
    for job, rule, seconds in ((1, "extract", 60), (2, "fit", 2)):
        progress.start(job, rule)
        clock.now += seconds
        progress.finish(job)
    assert progress.seconds_left() == pytest.approx(3 * 60 + 2 * 2)
    progress.start(3, "extract")
    clock.now += 45
    assert progress.seconds_left() == pytest.approx(3 * 60 - 45 + 2 * 2)
    clock.now += 300
    assert progress.seconds_left() == pytest.approx(2 * 60 + 2 * 2), (
        "what takes longer than the others ends at any time"
    )


def test_jobs_beside_each_other_take_half_the_time():
    clock = Clock()
    progress = Progress({"extract": 6, "total": 6}, clock)
    for job in (1, 2):
        progress.start(job, "extract")
    clock.now += 30
    for job in (1, 2):
        progress.finish(job)
    assert progress.seconds_left() == pytest.approx(4 * 30 / 2)


def test_a_rule_without_a_finished_job_takes_what_others_took():
    clock = Clock()
    progress = Progress({"herd": 2, "perturb": 1, "total": 3}, clock)
    progress.start(1, "herd")
    clock.now += 10
    progress.finish(1)
    assert progress.seconds_left() == pytest.approx(20)


def test_the_line_tells_what_runs_and_what_failed():
    clock = Clock()
    progress = Progress({"herd": 4, "fit": 1, "total": 5}, clock)
    for job in (1, 2):
        progress.start(job, "herd")
    progress.start(3, "fit")
    assert str(progress) == "0 of 5 jobs in 0 s: fit, herd ×2"
    progress.fail([3])
    clock.now += 10
    progress.finish(1)
    progress.done = 1
    assert str(progress) == "1 of 5 jobs in 10 s, 1 failed, about 15 s left: herd"
    progress.start(3, "fit")
    assert "failed" not in str(progress), "it is tried again"


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (89, "89 s"), (91, "2 min"), (5000, "83 min"), (7200, "2.0 h")]
)
def test_times_have_units_that_fit(seconds, said):
    assert duration(seconds) == said
