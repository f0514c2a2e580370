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
    """Return `text` with no word in it that tells of the user: paths relative to the repository or behind ~, <python>
    and <tmp>, URLs without their credentials, and <user> for a path component that is the user's name.

    What is discreet already stays as it is.
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
    """Return `value`, of JSON's types, with every string in it discreet, keys included."""
    if isinstance(value, str):
        return discreet(value)
    if isinstance(value, Mapping):
        return {discreet_json(key): discreet_json(item) for key, item in value.items()}
    return [discreet_json(item) for item in value] if isinstance(value, list | tuple) else value


def located(path: str) -> str:
    """Return a path that `discreet` has written, perhaps for somebody else, as it reads for this user."""
    head, slash, rest = path.partition("/")
    heads = {"~": _home(), _TEMPORARY: tempfile.gettempdir()}
    return (heads.get(head) or head) + slash + rest.replace(_USER, _user() or _USER)


def without_words(argv: Iterable[str]) -> list[str]:
    """Return `argv` as it is recorded: "..." for a value that is a command of the user's own (--on-blocked)."""
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
    """Return (path, what stands for it) of every place that tells of the user, the longest path first."""
    packages = [place for place in sys.path if Path(place).name in ("site-packages", "dist-packages")]
    tokens = {tempfile.gettempdir(): _TEMPORARY, str(ROOT.parent): ".."}
    tokens |= dict.fromkeys({sys.prefix, sys.base_prefix, sys.exec_prefix}, "<python>")
    tokens |= dict.fromkeys(packages, "<site-packages>") | {sys.executable: "python"}
    tokens |= dict.fromkeys({home, str(Path(home).resolve())} if home else (), "~") | {str(ROOT): "."}
    wanted = [(place, token) for place, token in tokens.items() if place.startswith("/") and place not in _SYSTEM]
    return tuple(sorted(wanted, key=lambda one: len(one[0]), reverse=True))


@cache
def _pattern(places: tuple[tuple[str, str], ...]) -> re.Pattern[str]:
    """Return a pattern of all `places` as whole names; of a single component only where a path begins."""
    names = (("" if place.count("/") > 1 else r"(?<![\w.-])") + re.escape(place) for place, _ in places)
    return re.compile(rf"(?:{'|'.join(names)})(?![\w-]|\.\w)(?:/(?=[^/\s]))?")


def _token(place: str, places: Mapping[str, str]) -> str:
    token = places[place.removesuffix("/")]
    if token == ".":
        return "" if place.endswith("/") else "."
    return token + "/" * place.endswith("/")


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
