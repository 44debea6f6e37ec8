"""Labelling live: seconds to the first question, from an answer to the next and to the repainted image, and its worth.

    python benchmarks/labelling.py numbers --camvid data/camvid --photographs 24
    python benchmarks/labelling.py numbers --camvid data/camvid --photographs 1000 --whole
    python benchmarks/labelling.py small --photographs 10000
    python benchmarks/labelling.py worth --camvid data/camvid
    python benchmarks/labelling.py kills
    python benchmarks/labelling.py refusals

A server of `pixelherd label` runs as a process of its own, and requests are those of its page; answers come from
CamVid's masks at once. ``numbers`` answers ``--answers`` questions of so many training photographs (more than there are
are shifted copies) while they are still being read, and with ``--whole`` as many again afterwards. An image counts as
repainted when the prediction of a model that has learnt the answer is there as a PNG. ``small`` draws scenes of 64×64.
``worth`` gives 100 answers to 24 photographs, live, by rounds of 20 through Snakemake, and to random pixels, and
evaluates the heads on ``--test`` test photographs. ``kills`` kills the server with SIGKILL while it answers, and counts
acknowledged answers that are in the store. ``refusals`` sends requests that must not get in.
"""

import argparse
import http.client
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import yaml
from live import REPOSITORY, Live
from PIL import Image

sys.path.insert(0, str(REPOSITORY / "workflow"))

from pixelherd.datasets.prepare import classes_of, samples_of
from pixelherd.datasets.readers.demo import scene
from pixelherd.datasets.settings import CamVidSettings
from pixelherd.labelling.store import Store

NATIVE = (360, 480)


class CamVid:
    """Photographs of CamVid with their masks: ``truth`` gives the class number of a question's pixel, 0 for none."""

    def __init__(self, root: Path, folder: Path, count: int) -> None:
        settings = CamVidSettings(kind="camvid", root=str(root), size=NATIVE)
        self.names = [each.name for each in classes_of(settings)]
        samples, self.masks = samples_of(settings), {}
        found = samples["train"]
        folder.mkdir(parents=True)
        for number, place in enumerate(np.linspace(0, len(found) - 1, count)):
            image, labels = found[int(place)].load()
            shift = 0 if count <= len(found) else 7 * (number % 5)  # so that copies are no duplicates
            name = f"{number:05}"
            Image.fromarray(np.roll(np.asarray(image), shift, axis=1)).save(folder / f"{name}.png", compress_level=1)
            self.masks[name] = np.roll(labels, shift, axis=1)
        self.test = samples["test"]

    def truth(self, question: dict, size: tuple[int, int]) -> int:
        mask = Image.fromarray(self.masks[question["name"]]).resize(size[::-1], Image.Resampling.NEAREST)
        label = int(np.asarray(mask)[question["row"], question["column"]])
        return label + 1 if label < len(self.names) else 0


def size_of(live: Live) -> tuple[int, int]:
    """(H, W) of prepared images."""
    (entry,) = yaml.safe_load(Store(live.project / "answers.sqlite").facts()["study"])["datasets"].values()
    return tuple(entry["size"])


def load() -> str:
    return f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def memory(live: Live) -> float:
    """Gigabytes of the server and its model."""
    server = psutil.Process(live.process.pid)
    return sum(each.memory_info().rss for each in (server, *server.children(recursive=True))) / 1e9


def quantiles(name: str, seconds: list[float]) -> None:
    half, most = np.quantile(seconds, [0.5, 0.95])
    print(f"{name}: p50 {1000 * half:.0f} ms, p95 {1000 * most:.0f} ms", flush=True)


def numbers(options: argparse.Namespace) -> None:
    folder = Path(tempfile.mkdtemp(prefix="pixelherd-"))
    camvid = CamVid(options.camvid, folder / "photos", options.photographs)
    measure(options, folder, camvid.names, camvid.truth)


def small(options: argparse.Namespace) -> None:
    folder, names = Path(tempfile.mkdtemp(prefix="pixelherd-")), [f"class {chr(97 + n)}" for n in range(9)]
    (folder / "photos").mkdir()
    scenes = [scene(0, number, (64, 64)) for number in range(200)]
    for number in range(options.photographs):
        image = np.roll(scenes[number % 200][0], number // 200, axis=1)
        Image.fromarray(image).save(folder / "photos" / f"{number:05}.png", compress_level=1)

    def truth(question: dict, size: tuple[int, int]) -> int:
        number = int(question["name"])
        label = int(np.roll(scenes[number % 200][1], number // 200, axis=1)[question["row"], question["column"]])
        return label + 1 if label < len(names) else 0

    measure(options, folder, names, truth)


def measure(options: argparse.Namespace, folder: Path, names: list[str], truth) -> None:
    print(f"{options.photographs} photographs; {load()}", flush=True)
    live, start = Live(folder / "photos"), time.perf_counter()
    live.start()
    opened = time.perf_counter() - start
    for name in names:
        live.add_class(name)
    live.ask()
    print(f"page {opened:.1f} s after the command, first question {time.perf_counter() - start:.1f} s", flush=True)
    answered(live, options.answers, truth, "while photographs are read")
    if options.whole:
        live.wait(lambda: (found := live.state())["read"] == found["photographs"], 7200)
        print(f"all are read {time.perf_counter() - start:.0f} s after the command", flush=True)
        answered(live, options.answers, truth, "when all are read")
    live.end()
    shutil.rmtree(folder)


def answered(live: Live, count: int, truth, when: str) -> None:
    """Answer questions at once, and print how long what follows took."""
    size, question, following, painted = size_of(live), live.ask(), [], []
    for _ in range(count):
        label, before = truth(question, size), time.perf_counter()
        found = live.answer(question, label)
        following.append(time.perf_counter() - before)
        live.wait(lambda wanted=found["answer"]: live.state().get("said", 0) >= wanted)
        question = found["question"] or live.ask()
        live.get(f"paint/{question['image']}")
        painted.append(time.perf_counter() - before)
    state = live.state()
    print(f"{count} answers {when}, {state['read']} of {state['photographs']} at last; {load()}")
    quantiles("answer to next question", following)
    quantiles("answer to repainted image", painted)
    print(f"memory of server and model {memory(live):.2f} GB", flush=True)


def worth(options: argparse.Namespace) -> None:
    folder = Path(tempfile.mkdtemp(prefix="pixelherd-"))
    camvid = CamVid(options.camvid, folder / "photos", 24)
    for part in ("photos-masks", "test/images", "test/masks"):
        (folder / part).mkdir(parents=True)
    for name, mask in camvid.masks.items():
        Image.fromarray(mask).save(folder / "photos-masks" / f"{name}.png")
    for place in np.linspace(0, len(camvid.test) - 1, options.test).astype(int):
        image, labels = camvid.test[place].load()
        image.save(folder / "test/images" / f"{place:03}.png")
        Image.fromarray(labels).save(folder / "test/masks" / f"{place:03}.png")
    live = Live(folder / "photos").start()
    for name in camvid.names:
        live.add_class(name)
    size, question = size_of(live), live.ask()
    for _ in range(options.answers):
        found = live.answer(question, camvid.truth(question, size))
        live.wait(lambda wanted=found["answer"]: live.state().get("said", 0) >= wanted)
        time.sleep(options.seconds)
        question = found["question"] or live.ask()
    state = live.state()
    live.end()
    estimate = state["accuracy"]
    print(f"live: {state['answers']} answers, {options.answers / 30:.1f} minutes at 2 s an answer, accuracy {estimate}")
    tests = {"test_images": str(folder / "test/images"), "test_masks": str(folder / "test/masks"), "root": str(folder)}
    content = yaml.safe_load((live.project / "config.yaml").read_text())
    (entry,) = content["datasets"].values()
    entry |= {**tests, "train_images": "photos"}
    evaluated(live.project, content, "live")
    methods = {"uherding": None, "margin": None, "random": None}
    rounds = {"oracle": "masks", "methods": methods, "rounds": options.answers // 20, "seeds": [0, 1, 2]}
    entry |= {"train_masks": "photos-masks"}
    # the names by which answers know classes are of no use to masks
    entry["classes"] = [{key: each[key] for key in ("name", "colour")} for each in entry["classes"]]
    content |= {**rounds, "results": "by-rounds"}
    evaluated(live.project, content, "by rounds of 20, three seeds")


def evaluated(project: Path, content: dict, what: str) -> None:
    (project / "worth.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(REPOSITORY / "Snakefile"),
        "--cores",
        "2",
        "tables",
    ]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "workflow")}
    command += ["--configfile", "worth.yaml"]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    print(f"{what}:\n" + (project / content.get("results", "results") / "tables/final.md").read_text(), flush=True)


def kills(options: argparse.Namespace) -> None:
    folder, generator = Path(tempfile.mkdtemp(prefix="pixelherd-")), np.random.default_rng(0)
    (folder / "photos").mkdir()
    for number in range(3):
        Image.fromarray(scene(0, number, (64, 64))[0]).save(folder / "photos" / f"{number}.png")
    live, acknowledged = Live(folder / "photos"), []
    for turn in range(options.kills):
        live.start()
        if not turn:
            for name in ("sky", "road"):
                live.add_class(name)
        limit = time.monotonic() + 0.3 + generator.random()
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(live.port), live.token], stdout=subprocess.PIPE)
        while time.monotonic() < limit:
            time.sleep(0.01)
        live.kill()
        acknowledged += [int(line) for line in writer.communicate()[0].split()]
    store = Store(live.project / "answers.sqlite")
    found = {each.id for each in store.answers()}
    there, sound = len(found & set(acknowledged)), "sound" if store.is_sound() else "DAMAGED"
    print(f"{options.kills} kills: {len(acknowledged)} answers acknowledged, {there} of them found, file {sound}")
    shutil.rmtree(folder)


WRITER = """
import http.client, json, sys
place = 0
while True:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=5)
        said = {"annotator": "ann", "receipt": f"{__import__('secrets').token_hex(8)}", "image": 0, "label": 1}
        said |= {"row": place // 64 % 64, "column": place % 64}
        headers = {"content-type": "application/json", "x-pixelherd-token": sys.argv[2]}
        connection.request("POST", "/do/answer", json.dumps(said), headers)
        found = json.loads(connection.getresponse().read())
        print(*[found["answer"]] if "answer" in found else [], flush=True)
    except (OSError, http.client.HTTPException, ValueError):
        break
    place += 1
"""


def refusals(options: argparse.Namespace) -> None:
    folder = Path(tempfile.mkdtemp(prefix="pixelherd-"))
    (folder / "photos").mkdir()
    Image.fromarray(scene(0, 0, (64, 64))[0]).save(folder / "photos" / "a.png")
    live = Live(folder / "photos").start()
    live.add_class("sky")
    live.ask()
    host, right = f"127.0.0.1:{live.port}", {"x-pixelherd-token": live.token, "content-type": "application/json"}
    others = [{}, {"x-pixelherd-token": "wrong"}, {"x-pixelherd-token": live.token[:-1]}]
    others += [{**right, "host": each} for each in ("evil.example", f"evil.example:{live.port}", "127.0.0.1:1")]
    others += [{**right, "origin": each} for each in ("http://evil.example", "null", f"https://{host}")]
    others += [{**right, "sec-fetch-site": "cross-site"}, {**right, "content-length": str(10**9)}]
    paths = ("/", "/state", "/events", "/picture/0/large", "/paint/0", "/gallery", "/conflicts", "/labels.csv")
    requests = [(*each, b"") for each in itertools.product(("GET", "POST"), (*paths, "/do/next"), others)]
    likes = ["/picture/..%2f..%2fanswers.sqlite/large", "/../answers.sqlite", "/picture/-1/small", "//etc/passwd"]
    likes += ["/%2e%2e/%2e%2e/etc/passwd", "/picture/0/..%2f", "/do/__init__", "/answers.sqlite"]
    requests += [(*each, right, b"") for each in itertools.product(("GET", "POST"), likes)]
    bodies = (b"x" * 20_000, b"{", b"[]", b'{"annotator": 1}', b'{"annotator": "a", "more": 1}')
    requests += [("POST", "/do/next", right, body) for body in bodies]
    let_in = [each for each in requests if status(live, *each) < 400]
    second = subprocess.run(
        [sys.executable, "-m", "pixelherd", "label", str(folder / "photos"), "--no-browser"], capture_output=True
    )
    said = "refused" if second.returncode == 2 else "LET IN"
    print(f"{len(requests)} requests that must not get in, {len(let_in)} let in; a second server there is {said}")
    print(*let_in, sep="\n")
    live.end()
    shutil.rmtree(folder)


def status(live: Live, method: str, path: str, headers: dict, body: bytes = b"") -> int:
    """The status of a request as it is written here, whatever it says."""
    connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=10)
    connection.putrequest(method, path, skip_host="host" in headers)
    given = {"content-length": str(len(body)), **headers} if method == "POST" else headers
    for name, value in given.items():
        connection.putheader(name, value)
    connection.endheaders(body or None)
    try:
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 499


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["numbers", "small", "worth", "kills", "refusals"])
    parser.add_argument("--camvid", type=Path, default=Path("data/camvid"))
    parser.add_argument("--photographs", type=int, default=24)
    parser.add_argument("--answers", type=int, default=100)
    parser.add_argument("--whole", action="store_true", help="answer as many again when all photographs are read")
    parser.add_argument("--seconds", type=float, default=0.0, help="that a person takes for an answer, in `worth`")
    parser.add_argument("--test", type=int, default=60)
    parser.add_argument("--kills", type=int, default=20)
    options = parser.parse_args()
    globals()[options.what](options)
