"""What a study hands to its tables is what they understand."""

import json

import pytest

from pixelherd.results.settings import DEFAULTS, TableSettings
from pixelherd.study import stages
from pixelherd.study.study import Study


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"published": {"source": "A paper.", "miou": {"demo": {"edald": 36}}}},
        {"statistics": {"reference": "edald", "confidence": 0.9, "fractions": [1, 0.5]}},
    ],
)
def test_the_settings_of_a_study_are_understood(settings, more):
    told = json.loads(json.dumps(stages.statistics(Study.read(settings | more))))
    understood = TableSettings.model_validate(told)
    assert understood.model_dump(mode="json") == told


def test_a_study_without_a_word_on_statistics_has_the_defaults(settings):
    told = stages.statistics(Study.read(settings))
    defaults = DEFAULTS.model_dump(mode="json")
    assert {name: told[name] for name in ("confidence", "fractions", "published")} == {
        name: defaults[name] for name in ("confidence", "fractions", "published")
    }
