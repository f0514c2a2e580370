"""A store of campaigns of any size, whose verdicts are made up: for the tests of what reads one."""

import random
from collections.abc import Iterator
from pathlib import Path

from tools.scaling.campaign.engine import store
from tools.scaling.campaign.record import Result, Status, Verdict

FLAGS = tuple(f"-flag{number}" for number in range(110))
CHECKS = (
    "flags",
    "compiled",
    "oracle",
    "float32",
    "trace",
    "outputs",
    "reference",
    "roi",
    "sources",
    "threads",
    "flux",
)
KEY = {
    "format": store.FORMAT, "generator": 1, "commit": "0" * 40, "patch": None, "implementation": None,
    "device": "cpu", "dtype": "float64", "torch": "2.13.0", "cpu": "AVX2",
}  # fmt: skip


def result(seed: int) -> Result:
    """The made-up result of a seed, always the same: one case of 500 differs, one of 5,000 kills its worker."""
    draw = random.Random(seed)
    flags = tuple(sorted(draw.sample(FLAGS, draw.randint(8, 30))))
    verdicts = [_passed(draw, check) for check in CHECKS]
    if draw.random() < 0.002:
        at = (draw.randrange(100), draw.randrange(100))
        label = draw.choice(["pix0_vector_meters", "omega_pixel_sr", "F_latt", "polar"])
        says = f"pixel {at[0]} {at[1]}: expected 1.25, got 1.5"
        verdicts[2] = Verdict(
            "oracle", Status.differs, says, at, label, 10 ** draw.uniform(-9, 0), draw.randrange(10**6)
        )
    if draw.random() < 0.0002:
        verdicts = [Verdict("worker", Status.error, "killed its worker twice: it crashed")]
    return Result(seed, flags, tuple(verdicts), round(draw.uniform(0.02, 0.3), 4))


def _passed(draw: random.Random, check: str) -> Verdict:
    if draw.random() < 0.4:
        return Verdict(check, Status.unasked, draw.choice(["asked of one seed in ten", "no live reference"]))
    if draw.random() < 0.5:
        return Verdict(check, Status.ok)
    at = (draw.randrange(100), draw.randrange(100))
    return Verdict(check, Status.ok, "", at, "", float(f"{10 ** draw.uniform(-16, -12):.4g}"), draw.randrange(64))


def write(folder: Path, count: int, shard: int = 100, made: int = 1000, **key: object) -> Path:
    """A store of `count` cases in shards of `shard` seeds; returns the folder of its key, KEY with the changes `key`.

    made: so many results are made up; seeds beyond get those of the seeds before, as making them takes a while.
    """
    kept = [result(seed) for seed in range(min(made, count))]
    where = store.open_key(folder, KEY | key)
    for start in range(0, count, shard):
        worker = {"name": f"w{start // shard % 4}", "host": "here", "cpu": "a CPU", "pid": 1, "seconds": 16.0}
        store.put(where, store.pack(list(_shifted(kept, range(start, min(start + shard, count)))), KEY | key, worker))
    return where


def _shifted(kept: list[Result], seeds: range) -> Iterator[Result]:
    for seed in seeds:
        one = kept[seed % len(kept)]
        yield Result(seed, one.flags, one.verdicts, one.seconds)
