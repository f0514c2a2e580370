"""Stand-in programs: small Python scripts that behave like other people's ports, each with one habit of its own.

A stand-in prints the trace and writes the image that lie beside it, whatever its flags are; its habit says how.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy
import psutil

PROGRAM = """
import os, sys, time
habit, flags = sys.argv[1], sys.argv[2:]
here = os.path.dirname(os.path.abspath(__file__))
image, trace = (open(os.path.join(here, name), "rb").read() for name in ("image.bin", "trace.log"))

def write(name, data):
    with open(name, "wb") as stream:
        stream.write(data)

def stay():
    if os.fork() or os.setsid() or os.fork():
        os._exit(0)
    time.sleep(600)

if habit == "crash":
    os.abort()
if habit == "fail":
    sys.exit("no beam today")
if habit == "hang":
    time.sleep(600)
if habit == "ask":
    sys.exit("licence: " + input("Do you accept the licence? "))
if habit == "work behind":
    stay()
if habit == "shout":
    while True:
        sys.stdout.write("no trace at all " * 4096)
if habit == "noise":
    print("reading the input; 100 % done")
for line in trace.decode().splitlines():
    print(line)
    if habit == "noise":
        print("   progress 12.5 % ... nan 1 2 3\\n\\x1b[2K\\u00e5ngstr\\u00f6m", file=sys.stderr)
        print("   progress 12.5 % ... 1e999\\n\\n")
if habit == "short":
    image = image[:-4]
if habit != "nothing":
    write("float.bin", image)
if habit == "products":
    for name, start in (("a", b"{\\nHEADER_BYTES=512;"), ("b", b"P5\\n"), ("Fdump.bin", b"-1 1 -1 1 0 3\\n\\f")):
        write(name, start.ljust(len(image)))
if habit == "two":
    write("second.bin", image)
if habit == "fork":
    sys.stdout.flush()
    stay()
"""

TRACE = ("TRACE_CONFIG: tracing pixel (spixel=1, fpixel=2)", "TRACE_C: steps 4", "TRACE_C: I_pixel_final 6.5")
PIXEL = (1, 2)
IMAGE = numpy.arange(12.0).reshape(3, 4)  # slow, fast; exact in float32


def stand_in(
    folder: Path,
    habit: str = "plain",
    body: str = "[trace]\n",
    *,
    image: bytes = IMAGE.astype("<f4").tobytes(),
    trace: Iterable[str] = TRACE,
    timeout_s: float = 60,
) -> Path:
    """The TOML file of a stand-in in `folder`, with the tables of `body` behind the one that starts it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "program.py").write_text(PROGRAM)
    (folder / "image.bin").write_bytes(image)
    (folder / "trace.log").write_text("".join(f"{line}\n" for line in trace))
    command = f'["{{python}}", "-S", "{{here}}/program.py", "{habit}", "{{flags}}"]'
    path = folder / "standin.toml"
    path.write_text(f'name = "stand-in"\n[run]\ncommand = {command}\ntimeout_s = {timeout_s}\n{body}')
    return path


def still_running(folder: Path) -> list[str]:
    """The command lines of living processes that were started from `folder`."""
    lines = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        if process.info["status"] != psutil.STATUS_ZOMBIE and any(str(folder) in word for word in words):
            lines.append(" ".join(words))
    return lines
