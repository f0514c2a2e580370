"""What evidence must not tell of the person who ran it: home, user name, where Python lies, passwords in URLs.

Everything that the tools write passes through `discreet`; paths that they read back pass through `located`.
"""

import getpass
import re
import sys
import tempfile
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tools.scaling.base.repo import ROOT

_SYSTEM = ("/", "/usr", "/usr/local", "/tmp", "/var/tmp")  # tell nothing of anybody
_PASSWORD = re.compile(r"(?<=://)[^/\s'\"]+@")
_USER = "<user>"
_TEMPORARY = "<tmp>"
_WITH_WORDS = ("--on-blocked",)  # options whose value is recorded nowhere


def discreet(text: str) -> str:
    """`text` with paths relative to the repository or behind ~, <python>, <tmp>, and URLs without their credentials.

    A path component that is the user's name becomes <user>. What is discreet already stays as it is.
    """
    if "/" not in text:
        return text
    text = _PASSWORD.sub("", text)
    places, user = _places(_home()), _user()
    if any(place in text for place, _ in places):
        text = _pattern(places).sub(lambda match: _token(match[0], dict(places)), text)
    if user and f"/{user}" in text:
        text = _user_pattern(user).sub(rf"\1{_USER}", text)
    return text


def discreet_json(value: Any) -> Any:
    """`value` with every string in it, keys too, discreet."""
    if isinstance(value, str):
        return discreet(value)
    if isinstance(value, Mapping):
        return {discreet_json(key): discreet_json(item) for key, item in value.items()}
    return [discreet_json(item) for item in value] if isinstance(value, list | tuple) else value


def located(path: str) -> str:
    """A path that `discreet` has written, as this user finds it."""
    head, slash, rest = path.partition("/")
    heads = {"~": _home(), _TEMPORARY: tempfile.gettempdir()}
    return (heads.get(head) or head) + slash + rest.replace(_USER, _user() or _USER)


def without_words(argv: Iterable[str]) -> list[str]:
    """A command line as it is recorded: the user's commands in it are none of the evidence's business."""
    kept: list[str] = []
    for word in argv:
        if kept and kept[-1] in _WITH_WORDS:
            kept.append("...")
        else:
            option, equals, _ = word.partition("=")
            kept.append(f"{option}=..." if equals and option in _WITH_WORDS else word)
    return kept


@cache
def _places(home: str) -> tuple[tuple[str, str], ...]:
    """(path, what stands for it), the longest first."""
    packages = [place for place in sys.path if Path(place).name in ("site-packages", "dist-packages")]
    found = {tempfile.gettempdir(): _TEMPORARY, str(ROOT.parent): ".."}
    found |= dict.fromkeys({sys.prefix, sys.base_prefix, sys.exec_prefix}, "<python>")
    found |= dict.fromkeys(packages, "<site-packages>") | {sys.executable: "python"}
    found |= dict.fromkeys({home, str(Path(home).resolve())} if home else (), "~") | {str(ROOT): "."}
    wanted = [(place, token) for place, token in found.items() if place.startswith("/") and place not in _SYSTEM]
    return tuple(sorted(wanted, key=lambda one: len(one[0]), reverse=True))


@cache
def _pattern(places: tuple[tuple[str, str], ...]) -> re.Pattern[str]:
    """Each place as a whole name; one of a single component only where a path begins."""
    names = (("" if place.count("/") > 1 else r"(?<![\w.-])") + re.escape(place) for place, _ in places)
    return re.compile(rf"(?:{'|'.join(names)})(?![\w-]|\.\w)(?:/(?=[^/\s]))?")


def _token(found: str, places: Mapping[str, str]) -> str:
    token = places[found.removesuffix("/")]
    if token == ".":
        return "" if found.endswith("/") else "."
    return token + "/" * found.endswith("/")


@cache
def _user_pattern(user: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w+-])((?:/[^/\s'\"`|]+)*?/){re.escape(user)}(?![\w-]|\.\w)")


def _home() -> str:
    try:
        return str(Path.home())
    except RuntimeError:
        return ""


def _user() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""
    return "" if user == "root" else user
