"""Drawn street scenes with exact masks: the data of the demo study, which needs no download.

A scene has one vanishing point; objects stand on the ground plane and shrink towards it. Sky, buildings and road fill
most of each image, while poles, signs and pedestrians are thin or small and together cover about two percent of the
pixels, as in real street scenes. Season, light, haze and materials vary, so that colour alone does not give the class.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from PIL import Image, ImageDraw

from pixelherd.datasets.classes import ClassInfo
from pixelherd.datasets.samples import IGNORED, Sample
from pixelherd.datasets.settings import DemoSettings

CLASSES: list[tuple[str, tuple[int, int, int]]] = [
    ("sky", (120, 180, 230)),
    ("building", (150, 75, 60)),
    ("road", (110, 75, 125)),
    ("pavement", (230, 170, 190)),
    ("tree", (85, 145, 50)),
    ("car", (25, 45, 150)),
    ("pole", (235, 200, 60)),
    ("sign", (245, 110, 30)),
    ("pedestrian", (215, 25, 70)),
]

_LABEL = {name: value for value, (name, _) in enumerate(CLASSES)} | {"void": IGNORED}

_OVERSAMPLING = 3  # odd, so that every pixel has a sample at its centre, which gives the label

Points = list[tuple[float, float]]

Paint = np.ndarray | tuple[int, int, int]


def classes(settings: DemoSettings) -> list[ClassInfo]:
    """The classes in label order."""
    return [ClassInfo(name, colour) for name, colour in CLASSES]


def samples(settings: DemoSettings) -> dict[str, list[Sample]]:
    """Scenes 0, 1, ... for training and others, far up the numbers, for the test; neither count changes the other."""
    return {
        split: [Sample(f"{split}-{number:04d}", partial(_load, settings, first + number)) for number in range(length)]
        for split, length, first in (("train", settings.train, 0), ("test", settings.test, 1_000_000))
    }


def _load(settings: DemoSettings, index: int) -> tuple[Image.Image, np.ndarray]:
    image, labels = scene(settings.seed, index, settings.size)
    return Image.fromarray(image), labels


def scene(seed: int, index: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Draw scene number ``index`` of a seed; the same arguments give the same arrays.

    Args:
        seed: key of the collection of scenes.
        index: number of the scene, from 0.
        size: height and width in pixels.

    Returns:
        The image [H, W, 3] and the labels [H, W], both uint8; a label is an index into :data:`CLASSES`, or 255 on the
        bonnet of the camera's own car, which shows in some scenes.
    """
    from pixelherd.compute.randomness import numpy_generator

    return _Street(numpy_generator(seed, "scene", index), numpy_generator(seed, "grain", index), size).render()


def _span(along: tuple[float, ...], length: int) -> tuple[int, int]:
    """Where points begin and end along an axis of so many samples, with a margin."""
    first, last = math.floor(min(along)) - 1, math.ceil(max(along)) + 2
    return min(max(first, 0), length), min(max(last, 0), length)


class _Street:
    """A canvas in unit coordinates (x to the right, y down) with the ground plane, the light and the season of a scene.

    Depth ``s`` is 0 at the horizon and 1 at the lower border; an object of height ``h`` at depth ``s`` is drawn
    ``h * s`` high.
    """

    def __init__(self, rng: np.random.Generator, grain: np.random.Generator, size: tuple[int, int]):
        self.rng = rng
        self.grain = grain  # apart from ``rng``, so that a scene is composed alike at every size
        self.size = size
        self.height, self.width = (length * _OVERSAMPLING for length in size)
        self.colours = np.zeros((self.height, self.width, 3), np.float32)
        self.labels = np.zeros((self.height, self.width), np.uint8)
        self.horizon = rng.uniform(0.38, 0.52)
        self.vanishing = rng.uniform(0.35, 0.65)
        self.left, self.right = rng.uniform(-0.35, 0.0), rng.uniform(1.0, 1.35)  # kerbs at the lower border
        self.pavements = rng.uniform(0.4, 0.7, 2)  # widths at the lower border
        self.autumn = rng.random() < 0.25
        self.sunny = rng.random() < 0.6
        self.haze = rng.uniform(0.05, 0.25) if self.sunny else rng.uniform(0.2, 0.55)
        self.sky_colour = np.array((150, 190, 235) if self.sunny else (205, 210, 215)) + rng.normal(0, 8, 3)

    def render(self) -> tuple[np.ndarray, np.ndarray]:
        self._sky()
        self._ground()
        self._buildings(side=0)
        self._buildings(side=1)
        for depth, draw, x in sorted(self._objects(), key=lambda item: item[0]):
            draw(x, depth)
        if self.rng.random() < 0.3:
            self._bonnet()
        return self._photograph()

    # Geometry and paint

    def ground(self, x: float, depth: float) -> tuple[float, float]:
        """Where the ground point that lies at ``x`` on the lower border's depth scale appears at ``depth``."""
        return self.vanishing + (x - self.vanishing) * depth, self.horizon + (1 - self.horizon) * depth

    def paint(
        self, name: str | None, shape: Points | tuple, colour: Paint, *, depth: float = 1.0, grain: float = 6.0
    ) -> None:
        """Fill a polygon (list of points) or an ellipse (4-tuple box); without a name the labels stay as they are."""
        points = [(x * self.width, y * self.height) for x, y in np.reshape(shape, (-1, 2)).tolist()]
        (left, right), (top, bottom) = map(_span, zip(*points, strict=True), (self.width, self.height))
        if right <= left or bottom <= top:
            return
        stencil = Image.new("1", (right - left, bottom - top))
        outline = [(x - left, y - top) for x, y in points]
        draw = ImageDraw.Draw(stencil)
        if isinstance(shape, tuple):
            draw.ellipse(outline, fill=1)
        else:
            draw.polygon(outline, fill=1)
        inside = np.asarray(stencil)
        window = (slice(top, bottom), slice(left, right))
        if not isinstance(colour, np.ndarray) or colour.ndim == 1:
            fog = self.haze * (1 - min(depth, 1.0)) ** 1.5
            colours = np.asarray(colour) * (1 - fog) + self.sky_colour * fog
        else:
            colours = colour[window]
        grains = grain * self.grain.standard_normal((*inside.shape, 1), np.float32)
        np.copyto(self.colours[window], colours + grains, where=inside[:, :, None], casting="same_kind")
        if name is not None:
            self.labels[window][inside] = _LABEL[name]

    def box(
        self, name: str | None, x: float, y: float, width: float, height: float, colour: Paint, **options: float
    ) -> None:
        """Fill an upright rectangle that stands on ``y`` with its middle at ``x``."""
        left, right, top = x - width / 2, x + width / 2, y - height
        self.paint(name, [(left, top), (right, top), (right, y), (left, y)], colour, **options)

    def clouds(self, cells: int, stretch: int = 1) -> np.ndarray:
        """Smooth noise of mean 0 and about unit variance [H, W, 1], with ``cells`` bumps across."""
        coarse = self.rng.normal(0, 1.4, (cells * stretch, cells)).astype(np.float32)
        smooth = Image.fromarray(coarse).resize((self.width, self.height), Image.Resampling.BICUBIC)
        return np.asarray(smooth)[:, :, None]

    def tone(self, *choices: tuple[int, int, int], spread: float = 10.0) -> np.ndarray:
        """One of the colours, varied."""
        return np.array(choices[self.rng.integers(len(choices))], float) + self.rng.normal(0, spread, 3)

    # Background

    def _sky(self) -> None:
        rows = np.linspace(0, 1, self.height)[:, None, None]
        deep = self.sky_colour - ((70, 45, 5) if self.sunny else (25, 22, 20))
        gradient = deep + (self.sky_colour - deep) * np.clip(rows / self.horizon, 0, 1)
        cover = np.clip(self.clouds(5, 2) * 0.5 + self.rng.uniform(-0.4, 0.4), 0, 1)
        cloud = np.array((248, 248, 250)) if self.sunny else self.sky_colour - 30
        self.paint("sky", [(0, 0), (1, 0), (1, 1), (0, 1)], gradient + (cloud - gradient) * cover, grain=2)

    def _ground(self) -> None:
        seen = slice(_span((self.horizon,), self.height)[0], None)
        rows = np.linspace(0, 1, self.height)[seen, None, None]
        fog = self.haze * np.clip(1 - (rows - self.horizon) / (1 - self.horizon), 0, 1) ** 1.5
        slabs = self.tone((165, 155, 145), (150, 150, 155), (175, 160, 130), spread=5)
        slabs = slabs + 7 * self.clouds(14, 2)
        edge = slabs.mean((0, 1)) + 25
        asphalt = self.tone((92, 92, 98), (115, 112, 110), (75, 78, 85), spread=4) + 5 * self.clouds(8, 3)
        if not self.sunny and self.rng.random() < 0.6:  # a wet road mirrors the sky
            shine = 0.35 * np.clip(self.clouds(5, 1), 0, 1)
            asphalt = asphalt + (self.sky_colour - asphalt) * shine
        for name, material, left, right in (
            ("pavement", slabs, -9.0, 9.0),
            ("road", asphalt, self.left, self.right),
        ):
            corners = [self.ground(left, 0), self.ground(right, 0), self.ground(right, 1.05), self.ground(left, 1.05)]
            material[seen] = material[seen] * (1 - fog) + self.sky_colour * fog
            self.paint(name, corners, material, grain=5)
        for kerb in (self.left, self.right):
            self._stripe(kerb, 0.05, 0, 1.05, edge)
        middle = (self.left + self.right) / 2 + self.rng.uniform(-0.1, 0.1)
        start = self.rng.uniform(0.9, 1.1)
        while start > 0.05:
            self._stripe(middle, 0.05, start * 0.8, start, (225, 225, 215))
            start *= 0.62
        if self.rng.random() < 0.3:  # a crossing
            near = self.rng.uniform(0.45, 0.8)
            for x in np.linspace(self.left + 0.1, self.right - 0.1, 8):
                self._stripe(x, 0.09, near * 0.82, near, (225, 225, 215))

    def _stripe(self, x: float, width: float, far: float, near: float, colour: Paint) -> None:
        corners = [(x - width / 2, far), (x + width / 2, far), (x + width / 2, near), (x - width / 2, near)]
        self.paint(None, [self.ground(*corner) for corner in corners], colour, depth=near)

    def _buildings(self, side: int) -> None:
        """A row of facades from the vanishing point to the border, with a gap now and then."""
        wall = self.left - self.pavements[0] if side == 0 else self.right + self.pavements[1]
        shade = 0.72 if self.sunny and side == int(self.vanishing < 0.5) else 1.0
        far = self.rng.uniform(0.1, 0.16)
        while far < 1.2:
            near = far * self.rng.uniform(1.3, 1.9)
            if self.rng.random() < 0.85:
                self._facade(wall, far, near, self.rng.uniform(0.8, 1.9), shade)
            far = near

    def _facade(self, wall: float, far: float, near: float, height: float, shade: float) -> None:
        colour = shade * self.tone(
            (170, 100, 80), (190, 180, 165), (140, 140, 145), (205, 185, 140), (120, 95, 85), (165, 175, 185), spread=12
        )

        def at(depth: float, level: float) -> tuple[float, float]:
            x, y = self.ground(wall, depth)
            return x, y - level * height * depth

        self.paint("building", [at(far, 0), at(near, 0), at(near, 1), at(far, 1)], colour, depth=far, grain=7)
        # The end wall faces the camera where the next plot is empty or lower.
        outwards = wall + np.sign(wall - self.vanishing) * 3.0
        x, y = self.ground(outwards, near)
        self.paint("building", [at(near, 0), at(near, 1), (x, y - height * near), (x, y)], colour * 0.8, depth=near)
        panes = shade * self.tone((60, 70, 85), (95, 110, 130), (45, 45, 50), (200, 190, 130))
        storeys, bays = int(2 + height * 2.5), int(self.rng.integers(2, 5))
        ratio = near / far
        for storey in range(storeys):
            for bay in range(bays):
                a, b = (far * ratio ** ((bay + part) / bays) for part in (0.25, 0.75))
                low, high = ((storey + part) / storeys for part in (0.3, 0.8))
                self.paint(None, [at(a, low), at(b, low), at(b, high), at(a, high)], panes, depth=far)

    # Objects on the ground

    def _objects(self) -> Iterator[tuple[float, Callable[[float, float], None], float]]:
        """Depth, drawing function and ground position of each object."""
        rng = self.rng
        kerbs = (self.left - 0.08, self.right + 0.08)
        leafy = rng.random() < 0.6
        for side, kerb in enumerate(kerbs):
            outwards = -1 if side == 0 else 1
            behind = kerb + outwards * self.pavements[side] * 0.55
            for _ in range(rng.integers(1, 4) if leafy else rng.integers(0, 2)):
                yield rng.uniform(0.18, 0.75), self._tree, behind
            for _ in range(rng.integers(0, 3)):
                yield rng.uniform(0.25, 0.75), self._lamp if rng.random() < 0.5 else self._signpost, kerb
            for _ in range(rng.integers(0, 3)):
                x = kerb + outwards * rng.uniform(0.05, 0.8) * self.pavements[side]
                yield rng.uniform(0.2, 0.62), self._pedestrian, x
            for _ in range(rng.integers(0, 3)):  # parked
                yield rng.uniform(0.15, 0.6), self._car, (kerb - outwards * 0.33)
        if rng.random() < 0.5:  # on the road
            yield rng.uniform(0.15, 0.55), self._car, rng.uniform(self.left + 0.5, self.right - 0.5)
        if rng.random() < 0.15:
            yield rng.uniform(0.25, 0.5), self._pedestrian, rng.uniform(self.left, self.right)

    def _shadow(self, x: float, y: float, width: float, depth: float) -> None:
        """Darken the ground below an object; it keeps its label."""
        if self.sunny:
            box = (x - width * 0.6, y - 0.03 * depth, x + width * 0.6, y + 0.03 * depth)
            self.paint(None, box, (58, 58, 66), depth=depth)

    def _tree(self, x: float, depth: float) -> None:
        rng = self.rng
        x, y = self.ground(x, depth)
        height = rng.uniform(0.75, 1.15) * depth
        self._shadow(x, y, height * 0.5, depth)
        self.box("tree", x, y, 0.06 * depth, height * 0.6, self.tone((85, 65, 50), (100, 90, 80)), depth=depth)
        palette = ((190, 120, 40), (170, 75, 40), (185, 150, 50)) if self.autumn else ((60, 100, 40), (85, 120, 50))
        leaves = self.tone(*palette)
        for _ in range(9):
            dx, dy = rng.normal(0, 0.13, 2) * height
            radius = rng.uniform(0.11, 0.2) * height
            centre = (x + dx, y - height * 0.75 + dy)
            box = (centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius)
            self.paint("tree", box, leaves * rng.uniform(0.75, 1.2), depth=depth, grain=16)

    def _lamp(self, x: float, depth: float) -> None:
        x, y = self.ground(x, depth)
        height, width = self.rng.uniform(0.8, 1.1) * depth, self._thin(0.022 * depth)
        colour = self.tone((60, 65, 65), (130, 135, 135), (70, 85, 75), spread=6)
        self.box("pole", x, y, width, height, colour, depth=depth)
        arm = 0.16 * depth * np.sign(self.vanishing - x)
        self.box("pole", x + arm / 2, y - height + width, abs(arm) + width, width, colour, depth=depth)
        self.box("pole", x + arm, y - height + 1.6 * width, 0.08 * depth, width, (240, 235, 200), depth=depth)

    def _signpost(self, x: float, depth: float) -> None:
        x, y = self.ground(x, depth)
        height, width = self.rng.uniform(0.5, 0.65) * depth, self._thin(0.018 * depth)
        self.box("pole", x, y, width, height, self.tone((125, 130, 130), spread=6), depth=depth)
        radius = 0.095 * max(depth, 0.35)
        top = y - height
        colour = self.tone((205, 30, 35), (30, 70, 190), (235, 195, 30), spread=8)
        kind = self.rng.integers(3)
        if kind == 0:
            self.paint("sign", (x - radius, top - radius, x + radius, top + radius), colour, depth=depth)
        elif kind == 1:
            triangle = [(x, top - radius), (x + radius, top + radius), (x - radius, top + radius)]
            self.paint("sign", triangle, colour, depth=depth)
        else:
            self.box("sign", x, top + radius, 2 * radius, 2 * radius, colour, depth=depth)
        self.box(None, x, top + radius * 0.55, radius * 0.7, radius * 0.5, (240, 240, 240), depth=depth)

    def _pedestrian(self, x: float, depth: float) -> None:
        x, y = self.ground(x, depth)
        height = self.rng.uniform(0.34, 0.41) * max(depth, 0.3)
        width = height * 0.28
        self._shadow(x, y, width, depth)
        coat = self.tone((170, 40, 45), (40, 60, 120), (45, 45, 48), (200, 170, 60), (60, 110, 80), (190, 190, 190))
        trousers = self.tone((40, 45, 70), (50, 45, 40), (90, 85, 80))
        stride = width * self.rng.uniform(0.15, 0.3)
        for foot in (-stride, stride):
            self.box("pedestrian", x + foot, y, width * 0.38, height * 0.5, trousers, depth=depth)
        self.box("pedestrian", x, y - height * 0.42, width, height * 0.42, coat, depth=depth)
        head = height * 0.09
        box = (x - head, y - height, x + head, y - height + 2.1 * head)
        self.paint("pedestrian", box, self.tone((205, 160, 130), (120, 80, 60), (230, 190, 165)), depth=depth)

    def _car(self, x: float, depth: float) -> None:
        """A car seen from behind or in front."""
        x, y = self.ground(x, depth)
        width = self.rng.uniform(0.42, 0.5) * depth
        height = width * self.rng.uniform(0.62, 0.85)
        colour = self.tone((180, 30, 35), (35, 60, 140), (215, 215, 218), (40, 42, 46), (150, 155, 160), (70, 110, 90))
        self._shadow(x, y, width, depth)
        half = width / 2
        for wheel in (-0.36, 0.36):
            self.box("car", x + wheel * width, y, width * 0.18, height * 0.3, (28, 28, 30), depth=depth)
        self.box("car", x, y - height * 0.12, width, height * 0.46, colour, depth=depth)
        roof, belt = y - height, y - height * 0.55
        cabin = [(x - half * 0.68, roof), (x + half * 0.68, roof), (x + half * 0.92, belt), (x - half * 0.92, belt)]
        self.paint("car", cabin, colour * 0.9, depth=depth)
        glass = [(a * 0.84 + x * 0.16, b * 0.8 + (roof + belt) * 0.1) for a, b in cabin]
        self.paint("car", glass, self.tone((60, 75, 90), (110, 125, 140)), depth=depth)
        lights = (200, 40, 35) if self.rng.random() < 0.6 else (250, 245, 215)
        for lamp in (-0.4, 0.4):
            self.box("car", x + lamp * width, y - height * 0.4, width * 0.13, height * 0.13, lights, depth=depth)
        self.box("car", x, y - height * 0.2, width * 0.26, height * 0.1, (225, 225, 210), depth=depth)

    def _bonnet(self) -> None:
        top = self.rng.uniform(0.9, 0.95)
        points = [(0.08, 1.02), (0.2, top + 0.025), (0.5, top), (0.8, top + 0.025), (0.92, 1.02)]
        self.paint("void", points, self.tone((45, 45, 50), (120, 30, 30), (150, 155, 160)), grain=3)

    def _thin(self, width: float) -> float:
        """A little more than a pixel of the finished image at least, so that thin things do not vanish far away."""
        return max(width, 1.1 / self.size[1])

    def _photograph(self) -> tuple[np.ndarray, np.ndarray]:
        """Light, shadow and noise; then one pixel per block of samples, and the label of the block's centre."""
        exposure = self.rng.uniform(0.75, 1.1)
        warmth = self.rng.uniform(-0.06, 0.08)
        light = exposure * np.array((1 + warmth, 1.0, 1 - warmth))
        colours = self.colours * light * (1 + 0.04 * self.clouds(3))
        height, width = self.size
        colours = colours.reshape(height, _OVERSAMPLING, width, _OVERSAMPLING, 3).mean((1, 3))
        colours = colours + self.grain.normal(0, 3, colours.shape)
        centre = _OVERSAMPLING // 2
        labels = self.labels[centre::_OVERSAMPLING, centre::_OVERSAMPLING]
        return np.clip(np.rint(colours), 0, 255).astype(np.uint8), labels.copy()
