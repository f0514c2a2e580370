"""Subcommands called in this process, for the tests of the command line."""

from tools.scaling import cli
from tools.scaling.base.repo import ROOT

GOLDEN = ROOT / "tests" / "golden" / "supervisor_one_reflection" / "trace_685_1039.log"


def run(capsys, *arguments):
    """The exit code, stdout and stderr of one subcommand."""
    code = cli.main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def one_line(error):
    assert error.count("\n") == 1 and error.startswith("error: "), error
    return error
