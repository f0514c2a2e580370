"""The live reference: the user's own compiled nanoBragg, run in a clean folder, recorded as a golden case."""

import os
import platform
import re
import shlex
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tools.scaling.base.errors import BadInput, ScalingError, Unavailable
from tools.scaling.base.files import to_ascii, write_bytes, write_json, write_text
from tools.scaling.base.repo import digest
from tools.scaling.cases.case import Case, find_case
from tools.scaling.implementations.describe import TIMEOUT_S, Implementation, TraceForm
from tools.scaling.implementations.run import gather_inputs, ran

BINARY_VARIABLE = "NB_C_BIN"
IMAGE_FLAGS = {"int.img": "-intfile", "image.pgm": "-pgmfile", "noise.img": "-noisefile"}
# What a recording decides itself: how many values each takes.
_OUTPUT_FLAGS = {
    **dict.fromkeys(("-nonoise", "-nopgm", "-progress", "-noprogress"), 0),
    **dict.fromkeys((f"-{kind}{what}" for kind in ("float", "int", "pgm", "noise") for what in ("file", "image")), 1),
    **dict.fromkeys(("-trace_pixel", "-dump_pixel"), 2),
}
_DETECTOR_LINE = re.compile(r"DETECTOR_(?:FAST_AXIS|SLOW_AXIS|NORMAL_AXIS|PIX0_VECTOR)\b")
_FACT = re.compile(
    r"\s*(\w+ convention selected|pivoting detector|created a total of|incident fluence|[XYFS](beam|close)="
    r"|DIRECTION_OF_DETECTOR|\d+ mosaic domains|solid angle subtended|max_I =|mean=)"
)


def find_binary(given: Path | None = None) -> Path:
    """The reference program: `given`, else NB_C_BIN. Raises Unavailable where neither is a program."""
    named = str(given) if given is not None else os.environ.get(BINARY_VARIABLE, "")
    if not named:
        raise Unavailable(f"no reference program: expected --binary PATH or {BINARY_VARIABLE}, got neither")
    path = Path(named).expanduser().absolute()
    if not (path.is_file() and os.access(path, os.X_OK)):
        source = "--binary" if given is not None else BINARY_VARIABLE
        raise Unavailable(f"{source} {named}: expected a compiled nanoBragg that can be run, got none")
    return path


def case_of(words: Sequence[str], pixels: Sequence[tuple[int, int]] = ()) -> Case:
    """CASE_OR_FLAGS: a case by its name or path, or a command line of the reference.

    words: one name, or the flags in one or in many words; files that flags name are looked for in the current
    folder. pixels: (slow, fast) to trace instead of those of the case; where there are none, the middle of the
    image. Flags that say what to write are left to the recording. Raises BadInput.
    """
    flags = shlex.split(words[0]) if len(words) == 1 else list(words)
    if not flags:
        raise BadInput("reference: expected a case or the flags of nanoBragg, got nothing")
    if not flags[0].startswith("-"):
        if len(flags) > 1:
            raise BadInput(f"reference: expected one case or flags that begin with -, got {shlex.join(flags)}")
        case = find_case(flags[0])
    else:
        case = Case("live", Path.cwd(), tuple(flags), (), None, {})
    kept, traced = _without_outputs(case.flags)
    case = replace(case, flags=kept, c_trace=None, expected={}, window=None, c_image=None)
    return replace(case, pixels=tuple(pixels) or case.pixels or traced or (_middle(case),))


def _without_outputs(flags: Sequence[str]) -> tuple[tuple[str, ...], tuple[tuple[int, int], ...]]:
    """The flags that make the image, and the pixel that the others traced."""
    kept: list[str] = []
    traced: tuple[tuple[int, int], ...] = ()
    rest = list(flags)
    while rest:
        flag = rest.pop(0)
        values = _OUTPUT_FLAGS.get(flag)
        if values is None:
            kept.append(flag)
            continue
        taken = [rest.pop(0) for _ in range(min(values, len(rest)))]
        if values == 2:
            try:
                traced = ((int(taken[0]), int(taken[1])),)
            except (ValueError, IndexError):
                raise BadInput(f"{flag}: expected SLOW FAST, got {shlex.join(taken) or 'nothing'}") from None
    return tuple(kept), traced


def _window(case: Case) -> tuple[tuple[int, int], slice, slice]:
    """(slow, fast) size of the detector, and the slow and fast range of the region of interest."""
    detector = case.config().detector
    roi = detector.rendered
    size = (detector.pixels_slow, detector.pixels_fast)
    return size, slice(roi.slow_min, roi.slow_max + 1), slice(roi.fast_min, roi.fast_max + 1)


def _middle(case: Case) -> tuple[int, int]:
    _, slow, fast = _window(case)
    return (slow.start + slow.stop) // 2, (fast.start + fast.stop) // 2


def record_reference(case: Case, out: Path, binary: Path, *, timeout: float = TIMEOUT_S, traced: bool = True) -> Path:
    """Run `binary` on `case`, once for each traced pixel, and write a golden case to the new folder `out`.

    The folder appears whole or not at all: case.json (with the binary's hash and the versions), a trace for each
    pixel, float.bin (cropped to the region of interest), facts.txt, the input files, the images that the case asks
    for, sha256.txt. traced=False: a program that prints no traces is recorded by its images alone. Raises BadInput
    where `out` exists or the program does not do what nanoBragg does, Unavailable where it prints no traces,
    MemoryStopped or Killed as the guard says.
    """
    if out.exists():
        raise BadInput(f"{out}: exists already; a recorded case is never overwritten")
    if not out.parent.is_dir():
        raise BadInput(f"{out}: expected an existing folder, got none at {out.parent}")
    if traced and not case.pixels:
        raise BadInput(f"{case.name}: names no traced pixel; expected --pixel SLOW FAST")
    unknown = set(case.images) - IMAGE_FLAGS.keys()
    if unknown:
        raise BadInput(f"{case.name}: expected images among {', '.join(IMAGE_FLAGS)}, got {min(unknown)}")
    size, slow, fast = _window(case)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch:
        made = Path(scratch) / out.name
        made.mkdir()
        flags = gather_inputs(case.flags, case.folders, made)
        gather_inputs(case.before, case.folders, made)
        program, dumps = live_program(binary, case.images, timeout, last=case.last), [case.dump] if case.dump else []
        images: set[bytes] = set()
        pixels = case.pixels
        for pixel in case.pixels or (None,):
            with ran(program, flags, (made,), pixel, beside=dumps) as run:
                output = run.out.removesuffix("\n").split("\n")
                images.add(_float_image(binary, run.folder / "float.bin", size))
                for name in case.images:
                    _keep_image(binary, run.folder / name, made / name)
            if pixel is None:
                break
            try:
                write_text(made / f"trace_{pixel[0]}_{pixel[1]}.log", _trace_lines(binary, output, pixel))
            except Unavailable:
                if traced:
                    raise
                pixels = ()
                break
        if len(images) > 1:
            raise BadInput(f"{binary}: expected the same image from every run, got {len(images)} different ones")
        write_bytes(made / "float.bin", _cropped(images.pop(), size, slow, fast))
        write_text(made / "facts.txt", "".join(f"{line}\n" for line in output if _FACT.match(line)))
        banner = next((line.strip() for line in output if line.strip()), "")
        described = replace(case, name=out.name, flags=tuple(flags), pixels=pixels)
        write_json(made / "case.json", _description(described, binary, banner))
        manifest = [f"{digest(path)}  {path.name}\n" for path in sorted(made.iterdir())]
        write_text(made / "sha256.txt", "".join(manifest))
        made.rename(out)
    return out


def live_program(
    binary: Path, images: Sequence[str] = (), timeout: float = TIMEOUT_S, *, last: bool = False
) -> Implementation:
    """A compiled nanoBragg as an implementation, which writes the float image and `images`, and may print a trace.

    last: the flags of the case end the command line.
    """
    outputs = [word for name in images for word in (IMAGE_FLAGS[name], name)]
    outputs = outputs or ["-nonoise", "-nopgm", "-intfile", os.devnull]
    own = ("-noprogress", "-floatfile", "{out}", *outputs)
    return Implementation(
        str(binary),
        (str(binary), *((*own, "{flags}") if last else ("{flags}", *own))),
        timeout_s=timeout,
        trace=TraceForm(("-trace_pixel", "{slow}", "{fast}")),
    )


def _is_trace(line: str) -> bool:
    return "TRACE" in line or _DETECTOR_LINE.match(line) is not None


def _trace_lines(binary: Path, output: Sequence[str], pixel: tuple[int, int]) -> str:
    """Every trace line of the output; refused unless it traces this pixel to its intensity."""
    from tools.scaling.traces.read import parse_trace

    lines = [line for line in output if _is_trace(line)]
    text = to_ascii("".join(f"{line}\n" for line in lines))
    if not any("TRACE_C" in line for line in lines):
        raise Unavailable(
            f"{binary}: expected TRACE_C lines (nanoBragg instrumented, compiled with TRACING), got none "
            f"in {len(output)} lines"
        )
    try:
        trace = parse_trace(text.encode("ascii"), source=str(binary))
    except ScalingError as error:
        raise BadInput(f"{error} (the output for pixel {pixel[0]} {pixel[1]})") from error
    if trace.pixel != pixel or not trace.numbers("I_pixel_final"):
        traced = "none" if trace.pixel is None else f"{trace.pixel[0]} {trace.pixel[1]}"
        raise BadInput(
            f"{binary}: expected pixel {pixel[0]} {pixel[1]} traced up to I_pixel_final, got pixel {traced} with "
            f"{len(trace.numbers('I_pixel_final'))} of it (a pixel outside -roi or masked is not traced)"
        )
    return text


def _float_image(binary: Path, path: Path, size: tuple[int, int]) -> bytes:
    wanted = 4 * size[0] * size[1]
    bytes_there = path.stat().st_size if path.is_file() else None
    if bytes_there != wanted:
        got = "none" if bytes_there is None else f"{bytes_there} bytes"
        raise BadInput(f"{binary}: expected a float image of {size[0]} x {size[1]} float32, {wanted} bytes, got {got}")
    return path.read_bytes()


def _keep_image(binary: Path, source: Path, target: Path) -> None:
    if not source.is_file() or not source.stat().st_size:
        raise BadInput(f"{binary}: expected {source.name} to be written, got none")
    shutil.copyfile(source, target)


def _cropped(data: bytes, size: tuple[int, int], slow: slice, fast: slice) -> bytes:
    width = 4 * size[1]
    rows = (data[row * width : (row + 1) * width] for row in range(size[0])[slow])
    return b"".join(row[4 * fast.start : 4 * fast.stop] for row in rows)


def _description(case: Case, binary: Path, banner: str) -> dict[str, Any]:
    from tools.scaling.bundle.environment import environment_record

    environment = environment_record()
    return {
        "name": to_ascii(case.name),
        "flags": to_ascii(shlex.join(case.flags)),
        **({"variant": case.variant} if case.variant else {}),
        **({"before": to_ascii(shlex.join(case.before))} if case.before else {}),
        **({"flags_must_end_the_command_line": True} if case.last else {}),
        "traced_pixels_slow_fast": [list(pixel) for pixel in case.pixels],
        "covers": case.covers or "recorded from a live reference",
        "images": list(case.images),
        "reference": {
            "binary": to_ascii(binary.name),
            "sha256": digest(binary),
            "banner": to_ascii(banner),
            "threads": 1,
            "platform": environment["platform"],
            "machine": environment["machine"],
            "libc": " ".join(platform.libc_ver()).strip(),
            "versions": {"python": environment["python"], **environment["packages"]},
        },
    }
