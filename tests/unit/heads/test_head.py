import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from pixelherd.errors import UserError
from pixelherd.features import interpolation
from pixelherd.heads import network
from pixelherd.heads.network import MlpHead
from pixelherd.heads.settings import MlpSettings
from pixelherd.heads.sources import DenseSource, VectorSource
from pixelherd.heads.training import train

DIM, CLASSES = 12, 3


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def new_head(seed=0, **options):
    return MlpHead(DIM, CLASSES, generator=generator(seed), **options)


def toy(images=20, context=30, labelled=range(20), seed=0):
    """Three well separated clusters; one labelled pixel in each image of ``labelled``."""
    random = np.random.default_rng(seed)
    centres = np.eye(CLASSES, DIM) * 3

    def pixels(classes):
        vectors = centres[classes] + random.normal(scale=0.1, size=(*classes.shape, DIM))
        return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float16)

    classes = np.arange(len(labelled)) % CLASSES
    unlabelled = random.integers(CLASSES, size=(images, context))
    return pixels(unlabelled), pixels(classes), np.array(labelled), classes, unlabelled


def fit(source, settings=None, *, seed=0, order=0, dropout=0.0, **options):
    head = new_head(seed, dropout=dropout)
    settings = settings or MlpSettings(kind="mlp", epochs=6)
    log = train(source, head, settings, order_generator=generator(order), **options)
    return head, log


class Recorded(VectorSource):
    """A source that remembers which images were read."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.read = []

    def batch(self, images):
        self.read.append(tuple(images))
        return super().batch(images)


# The network


def test_layers_and_their_initial_values():
    head = MlpHead(500, 7, generator=generator())
    shapes = [tuple(layer.weight.shape) for layer in [head.first, *head.rest] if isinstance(layer, torch.nn.Linear)]
    assert shapes == [(128, 500), (32, 128), (7, 32)]
    names = [type(layer).__name__ for layer in head.rest]
    assert names == ["ReLU", "BatchNorm1d", "Dropout", "Linear", "ReLU", "BatchNorm1d", "Dropout", "Linear"]
    assert head.first.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert abs(head.first.weight.mean().item()) < 5e-4
    for layer in (head.first, head.rest[3], head.rest[7]):
        assert not layer.bias.any()
    assert head(torch.zeros(5, 500)).shape == (5, 7)


def test_many_classes_get_a_wider_head():
    assert MlpHead(DIM, 29, generator=generator()).hidden == (128, 32)
    assert MlpHead(DIM, 30, generator=generator()).hidden == (256, 128)
    assert MlpHead(DIM, 30, hidden=[8, 4], generator=generator()).hidden == (8, 4)


def test_first_and_rest_make_the_whole():
    head = new_head().eval()
    x = torch.randn(9, DIM, generator=generator())
    assert torch.equal(head(x), head.rest(head.first(x)))


def test_nothing_reads_or_moves_the_global_generator(tmp_path):
    before = torch.get_rng_state()
    head, _ = fit(VectorSource(*toy()[:4]), dropout=0.5)
    network.sampled_log_probabilities(head, np.ones((3, DIM)), 2, generator=generator())
    network.save(head, tmp_path / "head.safetensors", {})
    network.load(tmp_path / "head.safetensors")
    assert torch.equal(before, torch.get_rng_state())


def test_log_probabilities_are_those_of_evaluation_mode():
    head = new_head(dropout=0.5)
    vectors = np.random.default_rng(0).normal(size=(network.ROWS_AT_ONCE + 5, DIM)).astype(np.float16)
    found = network.log_probabilities(head, vectors)
    assert found.dtype == torch.float32
    assert found.shape == (len(vectors), CLASSES)
    with torch.no_grad():
        expected = head.double().eval()(torch.from_numpy(vectors).double()).log_softmax(dim=1)
    torch.testing.assert_close(found, expected.float(), rtol=1e-4, atol=1e-5)


def test_dropout_samples_differ_and_leave_batch_statistics_alone():
    head = new_head(dropout=0.2)
    before = {key: value.clone() for key, value in head.state_dict().items()}
    vectors = np.random.default_rng(0).normal(size=(4, DIM)).astype(np.float32)
    samples = network.sampled_log_probabilities(head, vectors, 6, generator=generator())
    assert samples.shape == (4, 6, CLASSES)
    assert (samples.std(dim=1) > 0).all()
    assert torch.equal(samples, network.sampled_log_probabilities(head, vectors, 6, generator=generator()))
    assert all(torch.equal(value, head.state_dict()[key]) for key, value in before.items())
    assert torch.equal(head(torch.from_numpy(vectors)), head(torch.from_numpy(vectors)))


def test_without_dropout_every_sample_is_the_prediction():
    head, vectors = new_head(), np.random.default_rng(0).normal(size=(4, DIM))
    samples = network.sampled_log_probabilities(head, vectors, 2, generator=generator())
    assert torch.equal(samples, network.log_probabilities(head, vectors)[:, None].expand(4, 2, CLASSES))


def test_dropout_drops_the_share_asked_for():
    layer = network.Dropout(0.3, generator())
    dropped = layer(torch.ones(200, 200))
    assert (dropped == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)
    assert dropped.mean().item() == pytest.approx(1, abs=0.02)
    assert torch.equal(layer.eval()(torch.ones(3, 3)), torch.ones(3, 3))


def test_dropout_of_everything_is_refused():
    with pytest.raises(ValueError, match="dropout"):
        new_head(dropout=1.0)


# Its file


def test_saved_head_comes_back_with_its_metadata(tmp_path):
    head, _ = fit(VectorSource(*toy()[:4]), dropout=0.2)
    path = tmp_path / "round-0" / "head.safetensors"
    network.save(head, path, {"method": "two_stage", "seed": "3"})
    again = network.load(path)
    assert (again.dim, again.classes, again.hidden, again.dropout) == (DIM, CLASSES, (128, 32), 0.2)
    assert not again.training
    for key, value in head.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key
    metadata = network.read_metadata(path)
    assert metadata["method"] == "two_stage"
    assert json.loads(metadata["hidden"]) == [128, 32]
    assert [file.name for file in path.parent.iterdir()] == ["head.safetensors"]


def test_same_head_gives_same_bytes_in_every_process(tmp_path):
    code = (
        "import sys, torch; from pixelherd.heads import network as h;"
        "head = h.MlpHead(12, 3, generator=torch.Generator().manual_seed(0));"
        "h.save(head, sys.argv[1], {k: k for k in 'qwertyuiop'})"
    )
    paths = [tmp_path / name for name in ("a", "b")]
    network.save(new_head(), paths[0], {key: key for key in "poiuytrewq"})
    subprocess.run([sys.executable, "-c", code, paths[1]], check=True)
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_truncated_file_is_reported_with_its_name(tmp_path, kept):
    path = tmp_path / "head.safetensors"
    network.save(new_head(), path, {})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"head\.safetensors is truncated.*delete it") as raised:
        network.load(path)
    assert "\n" not in str(raised.value)


def test_other_files_are_no_heads(tmp_path):
    from safetensors.torch import save_file

    with pytest.raises(UserError, match="does not exist"):
        network.load(tmp_path / "absent.safetensors")
    save_file({"x": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="holds no head"):
        network.load(tmp_path / "other.safetensors")
    own = {"dim": "12", "classes": "3", "hidden": "[8, 4]", "dropout": "0"}
    save_file(new_head().state_dict(), tmp_path / "wrong.safetensors", own)
    with pytest.raises(UserError, match="holds no head") as raised:
        network.load(tmp_path / "wrong.safetensors")
    assert "\n" not in str(raised.value)


# Training


def test_weights_that_changed_are_told(tmp_path):
    path = tmp_path / "head.safetensors"
    network.save(new_head(), path, {})
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"holds no head of pixelherd \(its weights are damaged\)"):
        network.load(path)


def test_samples_of_a_head_are_no_head(tmp_path):
    path = tmp_path / "sampled_head.safetensors"
    network.save(network.SampledHead(4, 3, 2), path, {})
    assert len(network.load_any(path).heads) == 2 and not network.is_calibrated(path)
    with pytest.raises(UserError, match=r"holds samples of a head; give a head.safetensors of a run"):
        network.load(path)


def test_clusters_are_separated_from_one_label_per_image():
    context, vectors, images, labels, truth = toy(images=60, labelled=range(60))
    head, log = fit(VectorSource(context, vectors, images, labels), MlpSettings(kind="mlp"))
    predicted = network.log_probabilities(head, context.reshape(-1, DIM)).argmax(dim=1).numpy()
    assert (predicted == truth.ravel()).mean() > 0.98
    assert log[-1]["loss"] < log[0]["loss"] / 2
    assert log[-1]["accuracy"] > 0.95


def test_context_moves_batch_statistics_but_not_as_labels():
    context, vectors, images, labels, _ = toy()
    head, _ = fit(VectorSource(context, vectors, images, labels))
    other, _ = fit(VectorSource(context + np.float16(0.5), vectors, images, labels))
    assert not torch.allclose(head.rest[1].running_mean, other.rest[1].running_mean)


@pytest.mark.parametrize("epochs", [1, 6])
def test_stored_statistics_are_exact(epochs):
    """Running averages of a short training are far from them: 250 times too wide, and predictions are uniform."""
    context, vectors, images, labels, _ = toy()
    head, _ = fit(VectorSource(context, vectors, images, labels), MlpSettings(kind="mlp", epochs=epochs))
    pixels = torch.from_numpy(np.concatenate([context.reshape(-1, DIM), vectors])).double()
    layers = [head.first, *head.rest]
    with torch.no_grad():
        for layer in layers:
            if isinstance(layer, torch.nn.BatchNorm1d):
                mean, variance = pixels.mean(0), pixels.var(0, correction=0)
                torch.testing.assert_close(layer.running_mean.double(), mean, rtol=1e-5, atol=1e-7)
                torch.testing.assert_close(layer.running_var.double(), variance, rtol=1e-5, atol=1e-10)
            pixels = layer.double()(pixels)


def test_losses_before_the_first_epoch_that_may_stop_do_not_count():
    """The first batch of all is the lowest: with its loss in mind, training would stop in its second epoch."""
    still = {"learning_rate": 1e-12, "minimum_learning_rate": 0, "accuracy": 0, "batch_images": 20, "epochs": 12}
    source = VectorSource(*toy()[:4])
    _, log = fit(source, MlpSettings(kind="mlp", **still, patience=4, minimum_epochs=5))
    assert len(log) >= 5 + 4, "the fifth epoch sets the lowest loss, four more must miss it"


def test_a_class_without_a_label_is_never_predicted():
    context, vectors, images, labels, _ = toy()
    head, _ = fit(VectorSource(context, vectors, images, np.where(labels == 1, 0, labels)))
    assert head.known.tolist() == [True, False, True]
    predicted = network.log_probabilities(head, context.reshape(-1, DIM))
    assert (predicted[:, 1] == -torch.inf).all() and not (predicted.argmax(1) == 1).any()
    torch.testing.assert_close(predicted.exp().sum(1), torch.ones(len(predicted)))
    folded = head.inference_layers()(head.first(torch.from_numpy(context[0]).float()))
    torch.testing.assert_close(folded.log_softmax(1), predicted[:30], rtol=1e-4, atol=1e-4)


def test_pixel_that_nobody_could_tell_counts_like_context():
    context, vectors, images, labels, _ = toy()
    unknown = labels.copy()
    unknown[4:] = 255
    source = VectorSource(context, vectors, images, unknown)
    assert [source.labelled(image) for image in (3, 4)] == [True, False]
    extended = np.concatenate([context[5], vectors[5:6]])
    torch.testing.assert_close(source.batch([5]).vectors, torch.from_numpy(extended).float())
    assert (source.batch([5]).labels == 255).all()


def test_same_seeds_give_the_same_bytes_whatever_the_global_seed(tmp_path):
    for name, global_seed in (("a", 1), ("b", 2)):
        torch.manual_seed(global_seed)
        head, _ = fit(VectorSource(*toy()[:4]), dropout=0.3)
        network.save(head, tmp_path / name, {})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    for changed in ({"seed": 1}, {"order": 1}):
        network.save(fit(VectorSource(*toy()[:4]), dropout=0.3, **changed)[0], tmp_path / "c", {})
        assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


def test_memory_mapped_context_trains_the_same(tmp_path):
    context, vectors, images, labels, _ = toy()
    np.save(tmp_path / "context.npy", context)
    mapped = np.load(tmp_path / "context.npy", mmap_mode="r")
    _, log = fit(VectorSource(context, vectors, images, labels))
    assert fit(VectorSource(mapped, vectors, images, labels))[1] == log


def test_batches_without_a_label_are_not_read_and_the_order_stays():
    context, vectors, images, labels, _ = toy(images=23, labelled=[0, 11, 22])
    source = Recorded(context, vectors, images, labels)
    _, log = fit(source, MlpSettings(kind="mlp", epochs=3, minimum_epochs=3))
    order = torch.randperm(23, generator=generator()).tolist()
    batches = [tuple(order[start : start + 5]) for start in range(0, 23, 5)]
    expected = [batch for batch in batches if set(batch) & {0, 11, 22}]
    assert 1 <= len(expected) <= 3
    trained = len(expected) * 3
    assert source.read[:trained] == expected * 3
    every = [tuple(range(start, min(start + 5, 23))) for start in range(0, 23, 5)]
    assert source.read[trained:] == every * 2, "the statistics of both BatchNorms are those of all images"
    assert [row["steps"] for row in log] == [len(expected)] * 3


def test_learning_rate_follows_the_cosine_per_epoch():
    settings = MlpSettings(kind="mlp", epochs=6, learning_rate=1e-2, minimum_learning_rate=1e-4, period=5)
    _, log = fit(VectorSource(*toy()[:4]), settings)
    expected = 1e-4 + (1e-2 - 1e-4) * (1 + np.cos(np.pi * np.arange(6) / 5)) / 2
    np.testing.assert_allclose([row["learning_rate"] for row in log], expected, rtol=1e-6)
    assert [row["epoch"] for row in log] == [1, 2, 3, 4, 5, 6]


def test_training_stops_when_it_stalls_but_not_before_the_minimum_epoch():
    source = VectorSource(*toy()[:4])
    # A learning rate of 1 makes the loss jump, so it goes without a new lowest for long.
    lively = {"epochs": 30, "learning_rate": 1.0, "patience": 3, "accuracy": 0.0}
    _, log = fit(source, MlpSettings(kind="mlp", **lively, minimum_epochs=8))
    assert 8 <= log[-1]["epoch"] <= 12
    assert len(fit(source, MlpSettings(kind="mlp", **lively, minimum_epochs=31))[1]) == 30
    assert len(fit(source, MlpSettings(kind="mlp", **lively | {"accuracy": 1.0}))[1]) == 30
    assert len(fit(source, MlpSettings(kind="mlp", **lively | {"patience": 1000}))[1]) == 30


def test_training_stops_within_an_epoch():
    """Nothing improves at a learning rate near 0 after the first pass, in which the first batch is the lowest."""
    source = VectorSource(*toy()[:4])
    still = {"learning_rate": 1e-12, "minimum_learning_rate": 0, "accuracy": 0}
    _, log = fit(source, MlpSettings(kind="mlp", **still, patience=6, minimum_epochs=3))
    assert 3 < log[-1]["epoch"] < 50, "losses before the third epoch do not count for patience"
    assert log[-1]["steps"] <= 4


class Stop(Exception):
    pass


@pytest.mark.parametrize("until", [1, 4, 7])
def test_resumed_training_ends_with_the_same_bits(tmp_path, until):
    source, settings = VectorSource(*toy()[:4]), MlpSettings(kind="mlp", epochs=7, learning_rate=1e-2)
    whole, log = fit(source, settings, dropout=0.2)

    def interrupt(row):
        if row["epoch"] == until:
            raise Stop

    checkpoint = tmp_path / "checkpoint.pt"
    with pytest.raises(Stop):
        fit(source, settings, dropout=0.2, checkpoint=checkpoint, progress=interrupt)
    resumed, again = fit(source, settings, dropout=0.2, checkpoint=checkpoint)
    assert again == log
    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


def test_resumed_training_remembers_that_it_stopped(tmp_path):
    source = Recorded(*toy()[:4])
    settings = MlpSettings(kind="mlp", epochs=30, learning_rate=1.0, patience=3, accuracy=0.0)
    checkpoint = tmp_path / "checkpoint.pt"
    _, log = fit(source, settings, checkpoint=checkpoint)
    read = len(source.read)
    assert fit(source, settings, checkpoint=checkpoint)[1] == log
    assert len(log) < 30
    assert len(source.read) - read == 2 * 4, "statistics alone are made again, of twenty images twice"


def test_checkpoint_of_another_training_or_damaged_is_refused(tmp_path):
    source, checkpoint = VectorSource(*toy()[:4]), tmp_path / "checkpoint.pt"
    fit(source, MlpSettings(kind="mlp", epochs=1), checkpoint=checkpoint)
    with pytest.raises(UserError, match=r"checkpoint\.pt belongs to another training; delete"):
        fit(source, MlpSettings(kind="mlp", epochs=2), checkpoint=checkpoint)
    checkpoint.write_bytes(checkpoint.read_bytes()[:500])
    with pytest.raises(UserError, match=r"checkpoint\.pt is damaged.*delete"):
        fit(source, MlpSettings(kind="mlp", epochs=1), checkpoint=checkpoint)


def test_bad_training_sets_are_reported():
    context, vectors, images, labels, _ = toy()
    with pytest.raises(UserError, match="no labelled pixel"):
        fit(VectorSource(context, vectors, images, np.full_like(labels, 255)))
    with pytest.raises(UserError, match="no labelled pixel"):
        fit(VectorSource(None, vectors[:0], images[:0], labels[:0]))
    with pytest.raises(UserError, match=r"label 3 .* outside the classes 0 to 2"):
        fit(VectorSource(context, vectors, images, labels + 1))
    with pytest.raises(UserError, match=r"one pixel.*context"):
        fit(VectorSource(None, vectors[:1], images[:1], labels[:1]))
    with pytest.raises(UserError, match="loss is nan in batch 1 of epoch 1"):
        fit(VectorSource(context * np.nan, vectors, images, labels))
    with pytest.raises(ValueError, match="must be in"):
        VectorSource(context[:4], vectors, images, labels)
    with pytest.raises(ValueError, match="as many"):
        VectorSource(context, vectors[1:], images, labels)


def test_settings_are_checked_without_torch():
    code = "import sys, pixelherd.heads.settings; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert MlpSettings(kind="mlp", context="all", hidden=[8, 4]).context == "all"
    for wrong in ({"epoch": 3}, {"hidden": [3]}, {"epochs": 0}, {"context": 256}, {"accuracy": 95}):
        with pytest.raises(ValidationError):
            MlpSettings(kind="mlp", **wrong)


# Dense maps


def dense_problem(images=4, size=(6, 8)):
    random = generator(3)
    maps = [
        {1: torch.randn(2, 4, 3, 4, generator=random), 3: torch.randn(2, 2, 6, 8, generator=random)}
        for _ in range(images)
    ]
    labels = torch.randint(CLASSES, (images, *size), generator=random).numpy().astype(np.uint8)
    labels[:, 0] = 255
    return maps, labels, size


def test_dense_source_trains_like_the_vectors_of_every_pixel():
    maps, labels, size = dense_problem()
    rows, columns = (torch.from_numpy(x) for x in np.divmod(np.arange(size[0] * size[1]), size[1]))
    vectors = np.concatenate([interpolation.vectors(image, rows, columns, size).numpy() for image in maps])
    source = VectorSource(None, vectors, np.repeat(np.arange(4), len(rows)), labels.ravel())
    settings = MlpSettings(kind="mlp", epochs=5, batch_images=2)
    head, log = fit(source, settings)
    other, dense_log = fit(DenseSource(maps.__getitem__, labels, size), settings)
    np.testing.assert_allclose([row["loss"] for row in dense_log], [row["loss"] for row in log], rtol=1e-3)
    torch.testing.assert_close(other.rest[1].running_mean, head.rest[1].running_mean, rtol=1e-2, atol=1e-4)


def test_dense_source_reads_only_the_batches_that_it_needs():
    maps, labels, size = dense_problem()
    labels[:3] = 255
    read = []

    def load(image):
        read.append(image)
        return maps[image]

    fit(DenseSource(load, labels, size), MlpSettings(kind="mlp", epochs=2, batch_images=1))
    assert read == [3, 3, 0, 1, 2, 3, 0, 1, 2, 3], "two epochs, and two passes for exact statistics"


def test_dense_source_refuses_labels_of_another_size():
    maps, labels, _ = dense_problem()
    with pytest.raises(ValueError, match="size"):
        DenseSource(maps.__getitem__, labels, (5, 5))
