"""MaxHerding against brute force in float64, and the properties that greedy coverage must have."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelherd.errors import UserError
from pixelherd.selection.coverage import herding, products, similarities
from pixelherd.selection.coverage.herding import KERNELS, max_herding, median_bandwidth

FORMULAS = {
    "rbf": lambda d: np.exp(-(d**2)),
    "laplace": lambda d: np.exp(-d),
    "cauchy": lambda d: 1 / (1 + d**2),
    "student_t": lambda d: (1 + d**2 / 3) ** -2,
    "rational_quadratic": lambda d: (1 + d**2 / 4) ** -2,
    "top_hat": lambda d: (d <= 1).astype(float),
}


def vectors(n: int, dim: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def similarity(x, y, bandwidth, kernel="rbf"):
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    return FORMULAS[kernel](np.sqrt(((x[:, None] - y[None]) ** 2).sum(-1)) / bandwidth)


def brute_force(x, budget, bandwidth, *, kernel="rbf", covered=None, weights=None, tie=1e-6):
    """Every gain of every step in float64; ties within ``tie`` go to the lowest index."""
    k = similarity(x, x, bandwidth, kernel)
    w = np.ones(len(x)) if weights is None else np.asarray(weights, np.float64)
    w = w / w.sum()
    c = np.zeros(len(x)) if covered is None else similarity(x, covered, bandwidth, kernel).max(1)
    picks, coverage = [], []
    for _ in range(min(budget, len(x))):
        gains = (w * np.maximum(k - c, 0)).sum(1)
        gains[picks] = -1
        best = gains.max()
        pick = int(np.argmax(gains >= best * (1 - tie) if best > 1e-12 else gains >= 0))
        picks.append(pick)
        c = np.maximum(c, k[pick])
        coverage.append((w * c).sum())
    return picks, np.array(coverage)


@pytest.mark.parametrize("kernel", FORMULAS)
@pytest.mark.parametrize("credited", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_equals_brute_force_in_float64(kernel, credited, weighted):
    x, bandwidth = vectors(120, 5, seed=1), 2.5
    covered = vectors(7, 5, seed=2) if credited else None
    weights = torch.rand(120, generator=torch.Generator().manual_seed(3)) if weighted else None
    herding = max_herding(x, 60, bandwidth=bandwidth, kernel=kernel, covered=covered, weights=weights)
    picks, coverage = brute_force(x, 60, bandwidth, kernel=kernel, covered=covered, weights=weights)
    assert herding.indices.tolist() == picks
    np.testing.assert_allclose(herding.coverage, coverage, atol=1e-6)


def test_all_kernels_have_a_reference():
    assert set(KERNELS) == set(FORMULAS)


@pytest.mark.parametrize("n", [700, 1100])  # 1100 vectors take several pieces of the kernel matrix
def test_equals_brute_force_on_clusters(n):
    centres = 3 * vectors(9, 4)
    x = centres[torch.arange(n) % 9] + vectors(n, 4, seed=5)
    picks, coverage = brute_force(x, 40, 2.0)
    herding = max_herding(x, 40, bandwidth=2.0)
    assert herding.indices.tolist() == picks
    np.testing.assert_allclose(herding.coverage, coverage, atol=1e-6)


@pytest.mark.parametrize("bytes_a_value", [0, 1, 3, 4.99])  # 3 hold upper bounds in float16, less holds nothing
@pytest.mark.parametrize("credited", [False, True])
def test_little_memory_changes_nothing(bytes_a_value, credited):
    x, weights = vectors(900, 24), torch.arange(900.0)
    covered = vectors(300, 24, seed=1) if credited else None
    full = max_herding(x, 450, covered=covered, weights=weights, memory=5 * 900**2)
    small = max_herding(x, 450, covered=covered, weights=weights, memory=int(bytes_a_value * 900**2))
    assert torch.equal(full.indices, small.indices)
    torch.testing.assert_close(full.coverage, small.coverage, rtol=0, atol=1e-7)


PEAK = """
from pathlib import Path
import torch
from pixelherd.selection.coverage.herding import max_herding

def resident(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))

x = torch.randn(6000, 8, generator=torch.Generator().manual_seed(0))
max_herding(x[:500], 100, kernel="{kernel}")
Path("/proc/self/clear_refs").write_text("5")
before = resident("VmRSS")
max_herding(x, 500, kernel="{kernel}", memory={memory})
print(resident("VmHWM") - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak from /proc")
@pytest.mark.parametrize("kernel, memory", [("top_hat", 0), ("rbf", 0), ("rbf", 3 * 6000**2)])
def test_memory_bounds_the_peak(kernel, memory):
    """Within the 50 MB that the docstring allows on top; the whole matrix is 144 MB in float32."""
    code = PEAK.format(kernel=kernel, memory=memory)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) <= max(memory, 1536 * 6000) + 50e6


def test_a_device_without_float64_is_served(monkeypatch):
    """As on Apple's GPUs, where sums and bandwidths are of float32 too."""
    assert products.widest(torch.device("mps")) == torch.float32
    for module in (herding, products, similarities):
        monkeypatch.setattr(module, "widest", lambda device: torch.float32)
    x = vectors(300, 5)
    _, coverage = brute_force(x, 100, median_bandwidth(x))
    found = max_herding(x, 100)
    np.testing.assert_allclose(found.coverage, coverage, atol=1e-5)


def adversarial(case: str) -> torch.Tensor:
    x = vectors(260, 6, seed=len(case))
    return {
        "random": lambda: x,
        "duplicates": lambda: x[:40].repeat(7, 1),
        "clusters": lambda: 5 * vectors(6, 6)[torch.arange(260) % 6] + 0.05 * x,
        "nearly the same": lambda: 1 + 1e-3 * x,
        "a lattice": lambda: torch.cartesian_prod(*[torch.arange(4.0)] * 4),
        "orthogonal": lambda: torch.eye(260),
        "heavy tails": lambda: x / vectors(260, 1, seed=9).abs(),
        "unit length": lambda: torch.nn.functional.normalize(x, dim=1),
        "on a line": lambda: torch.linspace(0, 1, 260)[:, None].repeat(1, 6),
    }[case]()


CASES = ["random", "duplicates", "clusters", "nearly the same", "a lattice", "orthogonal", "heavy tails"]


@pytest.mark.parametrize("case", [*CASES, "unit length", "on a line"])
@pytest.mark.parametrize("credited", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_coverage_of_adversarial_inputs_is_that_of_brute_force(case, credited, weighted):
    x = adversarial(case)
    bandwidth = median_bandwidth(x)
    covered = x[5:9] + 0.1 if credited else None
    weights = torch.rand(len(x), generator=torch.Generator().manual_seed(3)) if weighted else None
    _, coverage = brute_force(x, 60, bandwidth, covered=covered, weights=weights)
    for memory in (5 * len(x) ** 2, 3 * len(x) ** 2, 0):
        herding = max_herding(x, 60, bandwidth=bandwidth, covered=covered, weights=weights, memory=memory)
        np.testing.assert_allclose(herding.coverage, coverage, atol=1e-5)


@pytest.mark.parametrize("kernel", FORMULAS)
@pytest.mark.parametrize(
    "case", ["far clusters", "tiny bandwidth", "an outlier", "a line", "far offset", "huge", "tiny"]
)
@pytest.mark.parametrize("credited", [False, True])
def test_small_distances_between_long_vectors_keep_their_digits(kernel, case, credited):
    """float32 products would lose them, and with them the pick."""
    n = 150
    x = vectors(n, 6, seed=4)
    line = torch.arange(n)[:, None].repeat(1, 6) / 128
    x, factor = {
        "far clusters": (50 * vectors(6, 6)[torch.arange(n) % 6] + 0.01 * x, 1),
        "tiny bandwidth": (x, 0.05),
        "an outlier": (torch.cat([x[:-1], 1e4 * x[-1:]]), 1),
        "a line": (line, 0.05),
        "far offset": (1000 * x + 1e5, 1),
        "huge": (1e12 * x, 1),
        "tiny": (1e-12 * x, 1),
    }[case]
    bandwidth = factor * median_bandwidth(x)
    covered = x[3:6] + 0.01 * x.abs().mean() if credited else None
    _, coverage = brute_force(x, 50, bandwidth, kernel=kernel, covered=covered)
    for memory in (5 * n**2, 3 * n**2, 0):
        herding = max_herding(x, 50, bandwidth=bandwidth, kernel=kernel, covered=covered, memory=memory)
        np.testing.assert_allclose(herding.coverage, coverage, atol=1e-5)


@settings(max_examples=25)
@given(st.integers(1, 60), st.integers(1, 6), st.integers(0, 2**31), st.integers(0, 70), st.sampled_from(list(KERNELS)))
def test_every_prefix_is_the_selection_of_a_smaller_budget(n, dim, seed, budget, kernel):
    x = vectors(n, dim, seed)
    whole = max_herding(x, n, kernel=kernel, bandwidth=1.5)
    part = max_herding(x, budget, kernel=kernel, bandwidth=1.5)
    assert len(part.indices) == len(part.coverage) == min(budget, n)
    assert torch.equal(part.indices, whole.indices[:budget])
    assert torch.equal(part.coverage, whole.coverage[:budget])


@settings(max_examples=25)
@given(st.integers(1, 80), st.integers(1, 6), st.integers(0, 2**31), st.booleans())
def test_picks_are_distinct_and_coverage_is_monotone_and_concave(n, dim, seed, rounded):
    x = vectors(n, dim, seed)
    if rounded:
        x = x.round()  # many duplicates and ties
    herding = max_herding(x, n)
    assert sorted(herding.indices.tolist()) == list(range(n))
    increments = np.diff(np.concatenate([[0], herding.coverage]))
    assert (increments >= 0).all()
    assert (np.diff(increments) <= 2e-6 * increments[:-1] + 1e-12).all()
    assert herding.coverage[-1] == pytest.approx(1, abs=1e-6)
    assert herding.coverage.max() <= 1


@settings(max_examples=20)
@given(st.integers(2, 60), st.integers(0, 2**31), st.floats(1e-6, 1e6))
def test_the_scale_of_weights_does_not_matter(n, seed, scale):
    x, weights = vectors(n, 3, seed), 0.1 + torch.rand(n, generator=torch.Generator().manual_seed(seed)).double()
    plain, scaled = max_herding(x, n // 2, weights=weights), max_herding(x, n // 2, weights=scale * weights)
    assert torch.equal(plain.indices, scaled.indices)
    torch.testing.assert_close(plain.coverage, scaled.coverage, rtol=0, atol=1e-6)


@settings(max_examples=20)
@given(st.integers(8, 60), st.integers(0, 2**31), st.integers(1, 3))
def test_covered_vectors_count_as_picked_before(n, seed, before):
    x = vectors(n, 3, seed)
    whole = max_herding(x, n // 2, bandwidth=1.0)
    after = max_herding(x, n // 2 - before, bandwidth=1.0, covered=x[whole.indices[:before]])
    assert torch.equal(after.indices, whole.indices[before:])
    torch.testing.assert_close(after.coverage, whole.coverage[before:], rtol=0, atol=1e-6)
    assert whole.credited == 0 and after.credited == pytest.approx(float(whole.coverage[before - 1]), abs=1e-6)


def test_equal_weights_are_no_weights():
    x = vectors(50, 3)
    plain, weighted = max_herding(x, 20), max_herding(x, 20, weights=np.full(50, 7))
    assert torch.equal(plain.indices, weighted.indices)
    assert torch.equal(plain.coverage, weighted.coverage)


def test_a_vector_without_weight_may_be_picked_but_does_not_count():
    x = torch.tensor([[0.0], [1.0], [2.0]])
    herding = max_herding(x, 1, bandwidth=1.5, weights=[1, 0, 1])
    assert herding.indices.tolist() == [1]
    assert herding.coverage.tolist() == pytest.approx([np.exp(-1 / 2.25)])


def test_ties_go_to_the_lowest_index():
    corners = torch.eye(6)
    assert max_herding(corners, 6).indices.tolist() == list(range(6))
    assert max_herding(torch.tensor([[0.0], [1.0]]), 2).indices.tolist() == [0, 1]
    far_apart = 100 * torch.arange(500.0)[:, None]
    assert max_herding(far_apart, 100, bandwidth=1.0).indices.tolist() == list(range(100))


@pytest.mark.parametrize("offset", [0.0, 10.0])
def test_duplicates_add_nothing_and_come_last(offset):
    distinct = vectors(40, 300) + offset
    x = distinct.repeat(5, 1)[torch.randperm(200, generator=torch.Generator().manual_seed(0))]
    herding = max_herding(x, 200)
    first = herding.indices[:40]
    assert len(x[first].unique(dim=0)) == 40
    for index in first.tolist():
        assert index == int((x == x[index]).all(dim=1).nonzero()[0]), "of duplicates the first is picked"
    assert herding.indices[40:].tolist() == sorted(set(range(200)) - set(first.tolist()))
    assert herding.coverage[39:].tolist() == pytest.approx([1] * 161, abs=1e-6)


def test_vectors_that_are_all_the_same():
    for x in (torch.zeros(12, 4), torch.full((12, 4), 0.3)):
        herding = max_herding(x, 20)
        assert herding.indices.tolist() == list(range(12))
        assert herding.coverage.tolist() == [1] * 12
    assert median_bandwidth(torch.zeros(12, 4)) == 1


def test_one_vector_and_no_budget():
    herding = max_herding(torch.ones(1, 3), 4)
    assert herding.indices.tolist() == [0]
    assert herding.coverage.tolist() == [1]
    empty = max_herding(vectors(5, 2), 0)
    assert empty.indices.tolist() == empty.coverage.tolist() == []
    assert empty.indices.dtype == torch.int64
    assert empty.coverage.dtype == torch.float64


def test_picks_go_on_when_everything_is_covered():
    x = vectors(8, 3)
    herding = max_herding(x, 5, covered=x)
    assert herding.indices.tolist() == [0, 1, 2, 3, 4]
    assert herding.coverage.tolist() == [1] * 5


def test_no_covered_vectors_are_the_same_as_none():
    x = vectors(20, 3)
    assert torch.equal(max_herding(x, 5).indices, max_herding(x, 5, covered=torch.empty(0, 3)).indices)


def test_a_common_offset_costs_no_accuracy():
    far = vectors(100, 3) + 1024
    near = far - 1024  # exact
    assert torch.equal(max_herding(far, 50, bandwidth=1.0).indices, max_herding(near, 50, bandwidth=1.0).indices)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_arrays_and_tensors_of_any_float_type(dtype):
    array = vectors(60, 8).half().numpy().astype(dtype)
    array.setflags(write=False)  # such as a memory map
    expected = max_herding(torch.from_numpy(array.astype(np.float32)), 30)
    for features in (array, torch.from_numpy(array.copy())):
        herding = max_herding(features, 30, covered=array[:2][:0])
        assert torch.equal(herding.indices, expected.indices)
        assert torch.equal(herding.coverage, expected.coverage)


def test_features_are_left_as_they_were():
    x, covered = vectors(30, 4), vectors(3, 4, seed=1)
    kept = x.clone(), covered.clone()
    max_herding(x, 10, covered=covered)
    assert torch.equal(x, kept[0])
    assert torch.equal(covered, kept[1])


def test_bandwidth_is_twice_the_median_of_the_non_zero_distances():
    x = vectors(9, 4)
    x[3] = x[5]
    distances = torch.pdist(x.double())
    assert median_bandwidth(x) == pytest.approx(2 * float(distances[distances > 0].quantile(0.5)))
    assert max_herding(x, 4).indices.tolist() == max_herding(x, 4, bandwidth=median_bandwidth(x)).indices.tolist()


def test_bandwidth_of_a_subset_depends_on_the_generator_only():
    x = vectors(3000, 4)
    first, again, other = (median_bandwidth(x, generator=torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert first == again != other
    assert first == median_bandwidth(x.numpy(), generator=torch.Generator().manual_seed(0))
    assert median_bandwidth(x) == median_bandwidth(x)
    whole = 2 * float(torch.pdist(x).median())
    assert first == pytest.approx(whole, rel=0.3)


def test_a_bandwidth_of_more_vectors_is_less_noisy():
    x = vectors(2500, 4)
    generators = [torch.Generator().manual_seed(seed) for seed in range(30)]
    few, many = (
        torch.tensor([median_bandwidth(x, generator=generator.clone_state(), least=least) for generator in generators])
        for least in (10, 100)
    )
    assert many.std() < few.std() / 1.5
    assert median_bandwidth(x[:50], least=100) == median_bandwidth(x[:50], least=50), "all there are"


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"features": torch.empty(0, 3)}, ValueError, "at least one"),
        ({"features": torch.zeros(3)}, ValueError, r"\[n, D\]"),
        ({"features": torch.tensor([[1.0], [float("nan")]])}, UserError, "vector 1"),
        ({"features": np.array([[np.inf], [0.0]], np.float16)}, UserError, "vector 0"),
        ({"covered": torch.zeros(2, 5)}, ValueError, "5 dimensions"),
        ({"covered": torch.full((2, 2), float("inf"))}, UserError, "covered"),
        ({"weights": torch.tensor([1.0, -1, 1])}, ValueError, "negative"),
        ({"weights": torch.zeros(3)}, ValueError, "positive sum"),
        ({"weights": torch.tensor([1.0, float("nan"), 1])}, ValueError, "finite"),
        ({"weights": torch.ones(4)}, ValueError, "shape"),
        ({"budget": -1}, ValueError, "budget"),
        ({"bandwidth": 0.0}, ValueError, "bandwidth"),
        ({"bandwidth": 1e-30}, ValueError, "too small"),
        ({"kernel": "gauss"}, UserError, "rbf"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    arguments = {"features": vectors(3, 2), "budget": 2, **arguments}
    with pytest.raises(error, match=message):
        max_herding(arguments.pop("features"), arguments.pop("budget"), **arguments)
