"""A TOML file -> an Implementation: how a program is started, asked for an image and a trace, and read.

Nothing of the file is executed by a shell. docs/development/implementations.md describes the file for its writers.
"""

import hashlib
import os
import re
import shlex
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

from nanobragg_torch.quirks import VARIANTS
from tools.scaling.base.errors import BadInput, Unavailable, why
from tools.scaling.traces.labels import Labels, labels_of

SHIPPED = Path(__file__).parent / "shipped"
TIMEOUT_S = 600.0
DTYPES = ("float32", "float64")
ORDERS = {"little": "<", "big": ">"}
AXES = ("slow fast", "fast slow")
PLACE = re.compile(r"\{(\w*)\}")
PLACES = ("flags", "out", "slow", "fast", "threads", "python", "here", "checkout")
_VARIABLE = re.compile(r"\$\{(\w+)(?::-((?:\{\w*\}|[^{}])*))?\}")
# table -> key -> the type that a value has
_KEYS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "": {"name": str, "variant": str, "run": dict, "image": dict, "trace": dict, "flags": dict},
    "run": {"command": list, "environment": dict, "threads": int, "timeout_s": (int, float), "checkout": str},
    "image": {"file": str, "dtype": str, "byte_order": str, "axes": str, "scale": (int, float)},
    "trace": {"flags": list, "file": str, "prefix": str, "labels": dict, "reader": str},
    "flags": {"lacks": list, "spelled": dict, "flux_as_fluence": bool},
}


_KINDS: dict[type | tuple[type, ...], str] = {
    str: "text", list: "a list", dict: "a table", int: "an integer", bool: "true or false", (int, float): "a number",
}  # fmt: skip
_NAME = re.compile(r"[\w.+-]+", re.ASCII)


@dataclass(frozen=True)
class ImageForm:
    """How the program's float image lies in its file.

    file: the name that the program gives it, where the command has no {out}. dtype: float32 or float64. byte_order:
    little or big. axes: "slow fast" (fast index varies fastest) or "fast slow". scale: our intensity is scale x theirs.
    """

    file: str = "float.bin"
    dtype: str = "float32"
    byte_order: str = "little"
    axes: str = "slow fast"
    scale: float = 1.0


@dataclass(frozen=True)
class TraceForm:
    """How the program is asked for the trace of a pixel, and how its lines are read.

    flags: what the command line gets besides, with {slow} and {fast}. file: where the trace is written; empty: it is
    printed. prefix: of its lines. labels: its labels -> ours. reader: "module:function" that makes lines
    "TRACE_PY: name value ..." of the text; empty: the lines are of this form but for the prefix.
    """

    flags: tuple[str, ...] = ()
    file: str = ""
    prefix: str = "TRACE_C"
    labels: Labels = field(default_factory=dict)
    reader: str = ""


@dataclass(frozen=True)
class Implementation:
    """One program of nanoBragg's kind.

    name: unique. command: words with places ({flags} {out} {slow} {fast} {threads} {python} {here} {checkout}).
    environment: variables besides those of the caller. timeout_s: of one run. checkout: the folder whose commit the
    evidence names. image, trace: None where it has none. lacks: flags of the reference that it does not have. spelled:
    flags that it spells otherwise, with the words that take their place. flux_as_fluence: whether -flux, -exposure and
    -beamsize reach it as one -fluence. variant: the program that it behaves like.
    source: the file that says so, with its sha256 in `digest`; both empty for a command line.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    threads: int = 1
    timeout_s: float = TIMEOUT_S
    checkout: Path | None = None
    image: ImageForm | None = field(default_factory=ImageForm)
    trace: TraceForm | None = None
    lacks: tuple[str, ...] = ()
    spelled: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    flux_as_fluence: bool = False
    variant: str = "golden"
    source: Path | None = None
    digest: str = ""

    @property
    def title(self) -> str:
        """Its name; of a program that no file describes the command line, too."""
        return self.name if self.source or not self.command else f"{self.name} ({shlex.join(self.command)})"

    def lacking(self, flags: tuple[str, ...]) -> str:
        """Why a command line cannot be given to this program; empty where it can."""
        missing = [flag for flag in dict.fromkeys(flags) if flag in self.lacks]
        return f"{self.name} lacks {', '.join(missing)}" if missing else ""

    def words(self, flags: tuple[str, ...], **places: object) -> list[str]:
        """The command line: `flags` in this program's spelling at {flags}, the other places filled in each word."""
        given = with_fluence(flags) if self.flux_as_fluence else flags
        spelled = [word for flag in given for word in self.spelled.get(flag, (flag,))]
        filled = {name: str(value) for name, value in places.items()}
        filled |= {"python": sys.executable, "threads": str(self.threads)}
        filled |= {"here": str(self.source.parent if self.source else Path.cwd()), "checkout": str(self.checkout or "")}
        words: list[str] = []
        for word in self.command:
            words += spelled if word == "{flags}" else [fill(word, filled)]
        return words


# What needs no file: our port, which runs in this process, and what a golden run has recorded in a case's folder.
PORT = Implementation("port", (), trace=TraceForm(prefix="TRACE_PY"))
RECORDED = Implementation("golden", (), trace=TraceForm())
BUILT_IN = {program.name: program for program in (PORT, RECORDED)}


def fill(word: str, places: Mapping[str, str]) -> str:
    """`word` with its {places} filled. A place that has no value stays as it is."""
    return PLACE.sub(lambda match: places.get(match[1], match[0]), word)


def shipped_names() -> list[str]:
    """The implementations whose files are shipped with the tools."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def find_implementation(name: str) -> Implementation:
    """The implementation of a name: port, golden, one that is shipped, or the path of a TOML file. Raises BadInput."""
    if name in BUILT_IN:
        return BUILT_IN[name]
    path = Path(name).expanduser()
    if path.suffix != ".toml" and "/" not in name:
        path = SHIPPED / f"{name}.toml"
        if not path.is_file():
            known = ", ".join([*BUILT_IN, *shipped_names()])
            raise BadInput(f"{name}: expected a TOML file or one of {known}, got neither")
    try:
        data = path.read_bytes()
        table = tomllib.loads(data.decode("utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: expected the TOML file of an implementation, got: {why(error)}") from error
    made = _implementation(path.absolute(), table)
    return Implementation(**vars(made) | {"digest": hashlib.sha256(data).hexdigest()})


def of_command(line: str, name: str) -> Implementation:
    """The implementation of a command line with places, for one-off use. Raises BadInput."""
    return _checked(Implementation(name, tuple(command_words(line, name))), name)


def command_words(line: str, name: str) -> list[str]:
    """The words of a command line; one that names a file of the current folder is that file wherever it runs."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise BadInput(f"{name}: expected a command line, got: {error}") from error
    if not words:
        raise BadInput(f"{name}: expected a command line, got an empty one")
    named = [at or "/" in word for at, word in enumerate(words)]
    return [str(Path(word).absolute()) if own and Path(word).is_file() else word for own, word in zip(named, words)]


def choose(role: str, name: str | None, command: str | None, default: Implementation) -> Implementation:
    """The implementation that --ROLE and --ROLE-command give, by default `default`; one of a command is named ROLE.

    Raises BadInput where both are given.
    """
    if name and command:
        raise BadInput(f"--{role}: expected a name or --{role}-command, got both")
    if command:
        return of_command(command, role)
    return find_implementation(name) if name else default


def named(role: str, name: str | None, command: str | None) -> list[str]:
    """The options from which `choose` makes an implementation; none where neither is given."""
    given = {f"--{role}": name, f"--{role}-command": command}
    return [word for flag, value in given.items() if value for word in (flag, value)]


def refuse_same_name(*implementations: Implementation) -> None:
    """BadInput where two implementations have one name: the evidence could not tell them apart."""
    names = [each.name for each in implementations]
    for name in names:
        if names.count(name) > 1:
            files = ", ".join(str(each.source or "a command line") for each in implementations if each.name == name)
            raise BadInput(f"{name}: expected implementations of different names, got two: {files}")


def with_fluence(flags: Sequence[str]) -> tuple[str, ...]:
    """`flags` with one -fluence (photons/m^2) instead of a -flux (photons/s), -exposure (s) and -beamsize (mm) above 0.

    The fluence is flux exposure / beamsize^2, and counts before a -fluence that is there.
    """
    beam = {"-flux": 0.0, "-exposure": 1.0, "-beamsize": 0.1}
    rest: list[str] = []
    words = iter(flags)
    for word in words:
        if word in beam:
            beam[word] = float(next(words, "nan"))
        else:
            rest.append(word)
    flux, exposure, beamsize = beam["-flux"], beam["-exposure"], beam["-beamsize"] / 1000
    if flux != 0 and exposure > 0 and beamsize > 0:
        rest += ["-fluence", repr(flux * exposure / beamsize / beamsize)]
    return tuple(rest)


def with_variables(word: str, source: str) -> str:
    """`word` with each ${NAME} and ${NAME:-default} replaced by the caller's environment. Raises Unavailable."""

    def value(match: re.Match[str]) -> str:
        found = os.environ.get(match[1]) or match[2]
        if found is None:
            raise Unavailable(f"{source}: expected the environment variable {match[1]}, got none")
        return found

    return _VARIABLE.sub(value, word)


def _implementation(path: Path, data: dict[str, Any]) -> Implementation:
    tables = {"": data} | {name: data.get(name, {}) for name in _KEYS if name}
    for table, keys in _KEYS.items():
        _check_table(path, table, tables[table], keys)
    run, image, trace, flags = (tables[name] for name in ("run", "image", "trace", "flags"))
    missing = [key for key, table in (("name", data), ("command", run)) if key not in table]
    if missing:
        asked = 'name = "..." and [run] command = ["PROGRAM", "{flags}", ...]'
        raise BadInput(f"{path}: expected {asked}, got no {' and no '.join(missing)}")
    spelled = {
        flag: _words(path, f"flags.spelled.{flag}", new if isinstance(new, list) else [new])
        for flag, new in flags.get("spelled", {}).items()
    }
    labels = labels_of(path, trace.pop("labels", {}))
    form = None
    if "trace" in data:
        form = TraceForm(**trace | {"flags": _words(path, "trace.flags", trace.get("flags", [])), "labels": labels})
    places = {"here": str(path.parent)}
    checkout = with_variables(fill(run.get("checkout", ""), places), str(path))
    places["checkout"] = str(Path(checkout).expanduser()) if checkout else ""
    made = Implementation(
        name=data["name"],
        command=tuple(with_variables(word, str(path)) for word in _words(path, "run.command", run["command"])),
        environment={
            key: fill(with_variables(str(value), str(path)), places)
            for key, value in run.get("environment", {}).items()
        },
        threads=run.get("threads", 1),
        timeout_s=float(run.get("timeout_s", TIMEOUT_S)),
        checkout=Path(places["checkout"]) if checkout else None,
        image=ImageForm(**image),
        trace=form,
        lacks=_words(path, "flags.lacks", flags.get("lacks", [])),
        spelled=spelled,
        flux_as_fluence=flags.get("flux_as_fluence", False),
        variant=data.get("variant", "golden"),
        source=path,
    )
    return _checked(made, str(path))


def _check_table(path: Path, table: str, values: Any, keys: Mapping[str, type | tuple[type, ...]]) -> None:
    where = f"{path}: [{table}]" if table else f"{path}"
    if not isinstance(values, dict):
        raise BadInput(f"{where}: expected a table, got {values!r}")
    for key, value in values.items():
        if key not in keys:
            raise BadInput(f"{where}: expected one of {', '.join(keys)}, got {key!r}")
        if not isinstance(value, keys[key]) or (isinstance(value, bool) and keys[key] is not bool):
            raise BadInput(f"{where}: {key}: expected {_KINDS[keys[key]]}, got {value!r}")


def _words(path: Path, key: str, words: list[Any]) -> tuple[str, ...]:
    for word in words:
        if not isinstance(word, str) or not word:
            raise BadInput(f"{path}: {key}: expected words, got {word!r}")
    return tuple(words)


def _checked(made: Implementation, source: str) -> Implementation:
    """The implementation, where its places can be filled and its forms are known. Raises BadInput."""
    if made.command.count("{flags}") != 1:
        raise BadInput(
            f"{source}: expected the word {{flags}} once in the command, got {made.command.count('{flags}')}"
        )
    for word in (*made.command, *(made.trace.flags if made.trace else ())):
        for place in PLACE.findall(word):
            if place not in PLACES:
                raise BadInput(f"{source}: expected places among {_places()}, got {{{place}}}, which is never filled")
    form = made.image or ImageForm()
    for what, good, value in (
        ("a name of letters, digits and _ . + -", _NAME.fullmatch(made.name), made.name),
        (f"a variant among {', '.join(VARIANTS)}", made.variant in VARIANTS, made.variant),
        ("[run]: threads above 0", made.threads > 0, made.threads),
        ("[run]: a timeout_s above 0", made.timeout_s > 0, made.timeout_s),
        ("[image]: a file's bare name", _NAME.fullmatch(form.file), form.file),
        ("[image]: a finite scale that is not 0", 0 < abs(form.scale) < inf, form.scale),
    ):
        if not good:
            raise BadInput(f"{source}: expected {what}, got {value!r}")
    for value, known in ((form.dtype, DTYPES), (form.byte_order, ORDERS), (form.axes, AXES)):
        if value not in known:
            raise BadInput(f"{source}: [image]: expected one of {', '.join(known)}, got {value!r}")
    return made


def _places() -> str:
    return " ".join(f"{{{place}}}" for place in PLACES)
