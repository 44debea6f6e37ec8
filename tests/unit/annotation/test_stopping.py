"""Agreement of successive heads, against scikit-learn and by hand."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import cohen_kappa_score

from pixelherd.annotation import stopping


def test_agreement_is_that_of_the_predictions(cache):
    generator = torch.Generator().manual_seed(3)
    vectors = torch.nn.functional.normalize(torch.randn(300, cache.dim, generator=generator), dim=1).numpy()
    head, before = cache.head(1), cache.head(2)
    found = stopping.stability(head, before, np.split(vectors, 3))
    with torch.inference_mode():
        logits, earlier = (each(torch.from_numpy(vectors)).double() for each in (head, before))
    predicted, predicted_before = logits.argmax(1).numpy(), earlier.argmax(1).numpy()
    assert found.agreement == pytest.approx((predicted == predicted_before).mean())
    assert found.kappa == pytest.approx(cohen_kappa_score(predicted_before, predicted))
    entropy = torch.distributions.Categorical(logits=logits).entropy().mean()
    assert found.entropy == pytest.approx(float(entropy), rel=1e-5)
    assert stopping.stability(head, head, [vectors]).agreement == 1
    first = stopping.stability(head, None, [vectors])
    assert math.isnan(first.agreement) and math.isnan(first.kappa) and first.entropy == pytest.approx(found.entropy)


def test_agreement_by_chance_is_no_kappa():
    assert stopping.agreement_of(np.array([[25, 25], [25, 25]])) == (0.5, 0)
    agreement, kappa = stopping.agreement_of(np.array([[40, 0], [0, 0]]))
    assert agreement == 1 and math.isnan(kappa), "one class everywhere: nothing to agree on"


def test_rounds_are_read_back(tmp_path):
    found = [stopping.Stability(math.nan, math.nan, 1.25), stopping.Stability(0.5, math.nan, 1)]
    paths = [tmp_path / f"{number}.csv" for number in range(2)]
    for number, each in enumerate(found):
        stopping.write(paths[number], number, 4 * number + 4, 1, each)
    assert paths[0].read_text().splitlines()[1] == "0,4,1,,,1.250000"
    rows = stopping.read(paths)
    assert [row["agreement"] for row in rows[1:]] == [0.5] and math.isnan(rows[0]["agreement"])
    assert [row["labelled_pixels"] for row in rows] == [4, 8]
