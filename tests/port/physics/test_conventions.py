"""docs/conventions: one page per convention, whose tables and drawing are those of the program."""

import re
from pathlib import Path

import pytest
import torch

from nanobragg_torch.config import CONVENTIONS
from nanobragg_torch.flags.parse import parse
from nanobragg_torch.physics import detector

PAGES = Path(__file__).parents[3] / "docs" / "conventions"
AXES = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}
BASE = "-cell 50 60 70 -default_F 1 -distance 100 -detpixels_x 40 -detpixels_y 30 -pixel 0.2"
ROWS = {
    "beam": "beam",
    "fdet": "fdet",
    "sdet": "sdet",
    "odet": "odet",
    "twotheta axis": "twotheta_axis",
    "polarization axis": "polar",
    "spindle axis": "spindle",
}


def page(convention: str) -> str:
    return (PAGES / f"{convention.lower()}.md").read_text(encoding="ascii")


def table(convention: str) -> dict[str, str]:
    return dict(re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|$", page(convention), re.MULTILINE))


def axis(text: str) -> tuple[float, ...]:
    sign = -1.0 if text[0] == "-" else 1.0
    return tuple(sign * x + 0.0 for x in AXES[text[1]])


def flags(convention: str) -> str:
    return f"{BASE} -polar_vector 0 0 1" if convention == "CUSTOM" else f"{BASE} -{convention.lower()}"


def test_every_convention_has_its_page() -> None:
    assert {path.stem.upper() for path in PAGES.glob("*.md")} == set(CONVENTIONS)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_vectors(convention: str) -> None:
    frame, rows = detector.FRAMES[convention], table(convention)
    for name, field in ROWS.items():
        assert axis(rows[name]) == getattr(frame, field), name
    turn = torch.linalg.cross(torch.tensor(frame.twotheta_axis), torch.tensor(frame.odet))
    assert axis(rows["a positive twotheta moves the normal towards"]) == tuple((turn + 0.0).tolist())


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_drawing(convention: str) -> None:
    """fdet to the right, sdet down: the beam goes along right x down when it goes into the page."""
    text, frame = page(convention), detector.FRAMES[convention]
    right, down = re.search(r"> fdet = (\S+)", text), re.search(r"sdet = (\S+)", text)
    beam = re.search(r"\((x|o)\) beam = (\S+)", text)
    assert right is not None
    assert down is not None
    assert beam is not None
    assert (axis(right[1]), axis(down[1]), axis(beam[2])) == (frame.fdet, frame.sdet, frame.beam)
    away = torch.linalg.cross(torch.tensor(axis(right[1])), torch.tensor(axis(down[1])))
    into = "the beam goes into the page" in text
    assert into == (beam[1] == "x") == torch.equal(away, torch.tensor(frame.beam))


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("given", ["", "-Xbeam 3 -Ybeam 4", "-Xclose 1 -Yclose 2 -ORGX 7 -ORGY 9"])
def test_beam_centre(convention: str, given: str) -> None:
    config = parse(f"{flags(convention)} {given}".split())
    found = detector.centre_points(config.detector, torch.empty(0, dtype=torch.float64))
    rows, known = table(convention), {"pixel": 0.2e-3, "detsize_f": 8e-3, "detsize_s": 6e-3}
    known |= {"Xclose": float(found.x_close), "Yclose": float(found.y_close)}
    for name in ("Xbeam", "Ybeam"):
        beam = 3e-3 if name == "Xbeam" else 4e-3
        known[name] = beam if "beam" in given else eval(rows[f"{name}, not given"], {}, known)
    for name, value in (("Fbeam", found.fast_beam), ("Sbeam", found.slow_beam)):
        assert float(value) == pytest.approx(eval(rows[name], {}, known), rel=1e-14), name
    close = {"-Xclose": (1e-3, 2e-3)}.get(given[:7], (4e-3, 3e-3))
    assert (known["Xclose"], known["Yclose"]) == pytest.approx(close)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_pivot(convention: str) -> None:
    stated = table(convention)["pivot"]
    for asked in ("beam", "sample"):
        pivot = parse(f"{flags(convention)} -pivot {asked}".split()).detector.pivot
        expected = f"{pivot}, forced" if convention != "CUSTOM" else "the last flag that implies one"
        assert stated == expected
        if convention == "CUSTOM":
            assert pivot == asked.upper()
