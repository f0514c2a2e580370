"""`python -m tools.scaling`: it parses, calls, renders and exits. Nothing else in the automation prints."""

import os
import sys
from collections.abc import Sequence

from tools.scaling.base.errors import EXIT_OK, BadInput, Killed, ScalingError, Unavailable, no_package
from tools.scaling.base.repo import EXPORTS, port_on_path
from tools.scaling.cli import (  # noqa: F401 - they register their subcommands
    bundles,
    campaign,
    images,
    matrix,
    parts,
    pixel,
    probe,
    steps,
    study,
)
from tools.scaling.cli.options import app, tell

TYPER_INTERRUPTED = 130  # what typer makes of a KeyboardInterrupt


def prepare() -> None:
    """Set what torch commands need: the exports, the port that lies beside these tools, and three open streams."""
    os.environ.update({name: value for name, value in EXPORTS.items() if name != "PYTHONPATH"})
    port_on_path()
    from nanobragg_torch.io.standard_output import open_closed

    open_closed()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand, by default that of sys.argv; return its exit code (docs/architecture/exit_codes.md)."""
    prepare()
    argv = list(sys.argv[1:] if arguments is None else arguments)
    try:
        _refuse_empty(argv)
        app(args=argv, prog_name="python -m tools.scaling")
    except ScalingError as error:
        tell(f"error: {error}")
        return error.exit_code
    except OSError as error:
        tell(f"error: {error.filename or 'file system'}: {error.strerror or error}")
        return BadInput.exit_code
    except ModuleNotFoundError as error:
        tell(f"error: {no_package(error)}")
        return Unavailable.exit_code
    except KeyboardInterrupt:
        return _interrupted()
    except SystemExit as ending:
        if ending.code == TYPER_INTERRUPTED:
            return _interrupted()
        return ending.code if isinstance(ending.code, int) else EXIT_OK
    return EXIT_OK


def _refuse_empty(argv: Sequence[str]) -> None:
    """Raise BadInput for a value that is there and empty: an unset variable in a script, never what is meant."""
    for before, word in zip(["", *argv], argv):
        option, equals, value = word.partition("=")
        if not word or (equals and not value and option.startswith("--")):
            name = option or (before if before.startswith("--") else f"{argv[0] or 'the command'}")
            raise BadInput(f"{name}: expected a value, got an empty text")


def _interrupted() -> int:
    exec("")  # of `python -m`: where a library's exec was interrupted, Python would end by the signal all the same
    tell("error: interrupted by SIGINT")
    return Killed.exit_code
