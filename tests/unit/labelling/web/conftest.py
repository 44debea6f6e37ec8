"""A site whose model says nothing by itself."""

from concurrent.futures import Future

import pytest
from PIL import Image

from pixelherd.labelling import project as projects
from pixelherd.labelling.learning.loop import Told
from pixelherd.labelling.web import site as sites
from pixelherd.labelling.web.site import Site


class Worker:
    """Keeps what it is told and asked; nobody answers."""

    def __init__(self, project, tell) -> None:
        self.sent: list[tuple] = []
        self.asked: list[tuple[str, Future]] = []

    def send(self, about, content=None) -> None:
        self.sent.append((about, content))

    def ask(self, about, content=None) -> Future:
        self.asked.append((about, Future()))
        return self.asked[-1][1]

    def end(self) -> None:
        self.sent.append(("end", None))


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sites, "Worker", Worker)
    (tmp_path / "photos").mkdir()
    for name in "ab":
        Image.new("RGB", (64, 64)).save(tmp_path / "photos" / f"{name}.png")
    found = Site(projects.begin(tmp_path / "photos", tmp_path / "labels"))
    found.store.add_images(["a", "b"])
    found.told(Told("reading", {"read": 2, "photographs": 2, "unreadable": [], "new": [("a", "ka"), ("b", "kb")]}))
    for name in ("sky", "road"):
        found.do("class", {"annotator": "ann", "id": 0, "name": name, "colour": "#102030", "key": ""})
    yield found
    found.store.close()
