"""`python -m nanobragg_torch FLAGS`: the reference's own command line, and the only printer of the port.

What needs torch is imported when it is needed: help, usage and refused flags do without.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nanobragg_torch import compiled
from nanobragg_torch.errors import DoesNotFit, FlagError, NanoBraggError, NoDevice
from nanobragg_torch.flags import usage
from nanobragg_torch.io.numbers import integer, number
from nanobragg_torch.io.standard_output import open_closed, say, tell

if TYPE_CHECKING:
    from nanobragg_torch.config import Config, Output
    from nanobragg_torch.products.outputs import Outputs

EXIT_BAD_INPUT = 2
EXIT_MISSING = 3
EXIT_DOES_NOT_FIT = 4
EXIT_INTERRUPTED = 130
MOST_THREADS = 1024
MANY_TERMS = 1e11  # hours of one core

_EXIT_CODES: dict[type[NanoBraggError], int] = {DoesNotFit: EXIT_DOES_NOT_FIT, NoDevice: EXIT_MISSING}

_OPTIONS = {"--device": "cpu", "--dtype": "float64", "--threads": "", "--block": "", "--max-terms": "1e12"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: of this process); returns the exit code."""
    open_closed()
    if argv is None:
        atexit.register(gc.freeze)  # else the end of the process looks for garbage in all of torch: 0.3 s
    compiled.listen(lambda line: tell(f"nanobragg_torch: {line}"))
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if not arguments:
            for line in usage.USAGE.splitlines():
                tell(line)
            return EXIT_BAD_INPUT
        for names, text in (({"-h", "-help", "--help"}, usage.help_text), ({"-version", "--version"}, usage.version)):
            if names & set(arguments):
                _say(text())
                return 0
        options, flags = _split(arguments)
        return _run(flags, options)
    except NanoBraggError as error:
        tell(f"nanobragg_torch: {error}")
        return _EXIT_CODES.get(type(error), EXIT_BAD_INPUT)
    except ModuleNotFoundError as error:
        tell(f"nanobragg_torch: {sys.executable} has no {error.name}: expected an environment with numpy and torch")
        return EXIT_MISSING
    except KeyboardInterrupt:
        exec("")  # of `python -m`: where a library's exec was interrupted, Python would end by the signal all the same
        tell("nanobragg_torch: interrupted")
        return EXIT_INTERRUPTED


def _split(arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The program's own options, and the flags that are the parser's."""
    options, flags, rest = dict(_OPTIONS), [], list(arguments)
    while rest:
        argument = rest.pop(0)
        name, equals, value = argument.partition("=")
        if name not in _OPTIONS:
            flags.append(argument)
            continue
        if not equals and not rest:
            raise FlagError(f"{name}: expected a value, got nothing")
        options[name] = value if equals else rest.pop(0)
    if options["--dtype"] not in ("float64", "float32"):
        raise FlagError(f"--dtype: expected float64 or float32, got {options['--dtype']!r}")
    for name in ("--threads", "--block"):
        count = integer(options[name])
        if options[name] and (count or 0) < 1:
            raise FlagError(f"{name}: expected a whole number above 0, got {options[name]!a}")
        options[name] = str(count or "")
    if options["--threads"] and int(options["--threads"]) > MOST_THREADS:
        raise FlagError(f"--threads: expected at most {MOST_THREADS}, got {options['--threads']!a}")
    if (number(options["--max-terms"]) or 0) <= 0:
        raise FlagError(f"--max-terms: expected a number above 0, got {options['--max-terms']!a}")
    return options, flags


def _run(flags: Sequence[str], options: dict[str, str]) -> int:
    from nanobragg_torch.flags.parse import parse
    from nanobragg_torch.io.fdump import NAME
    from nanobragg_torch.io.load import loaded
    from nanobragg_torch.io.names import check_outputs

    config = parse(flags, dump=Path(NAME))
    _warn(config.warnings)
    output, told = config.output, len(config.warnings)
    if config.structure.dump_file is None:  # the plan needs no more of a dump than its head
        config = loaded(config, room=False)
    threads, block, kernel = _planned(config, options)
    config = loaded(config)

    with _no_garbage():
        import numpy as np
        import torch

    from nanobragg_torch.cli.facts import image_warnings, result_lines, run_warnings, setting_lines
    from nanobragg_torch.cli.progress import Bar
    from nanobragg_torch.cli.show import config_lines
    from nanobragg_torch.io.files import write_files
    from nanobragg_torch.library import find_device
    from nanobragg_torch.products import trace
    from nanobragg_torch.products.outputs import make_outputs, output_files
    from nanobragg_torch.products.printout import printed
    from nanobragg_torch.products.statistics import statistics
    from nanobragg_torch.scan import simulate
    from nanobragg_torch.scan.advice import of_experiment
    from nanobragg_torch.scan.experiment import prepare

    check_outputs(output_files(config), config.inputs)
    device = find_device(options["--device"], "--device")
    dtype = getattr(torch, options["--dtype"])
    # What float32 cannot hold is infinite in the files, as in the reference's.
    with torch.no_grad(), np.errstate(over="ignore", invalid="ignore"):
        exp = prepare(config, device=device, dtype=dtype)
        _warn((*config.warnings[told:], *of_experiment(exp)))
        _say("\n".join(setting_lines(exp)))
        if output.show_config:
            _say("\n".join(config_lines(exp)))
        if output.trace_pixel is not None:
            slow, fast = output.trace_pixel
            lines = trace.trace_pixel(config, slow, fast, device=device, dtype=dtype, taps=os.environ)
            _say(trace.render(lines), end="")
        run = simulate.start(exp, block, kernel=kernel)
        _warn(run_warnings(run))
        for text in printed(run, output.printout_pixel) if output.printout else ():
            _say(text, end="")
        angles: list[float] = []
        with Bar(exp.n_pixels, sys.stderr, shown=output.progress) as bar:
            image = simulate.render_window(run, threads, bar.add, angles).cpu().numpy()
        measured = statistics(run, image, angles)
        made = make_outputs(run, image, measured, dump=output.dump_file)
        write_files(made.files)
    _warn(image_warnings(image, measured))
    _say("\n".join([*result_lines(measured), *_image_lines(output, made)]))
    return 0


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Do not look for garbage: imports make much that stays."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _planned(config: Config, options: dict[str, str]) -> tuple[int | None, int | None, bool | None]:
    """Threads, terms of a block, room for the kernel; what does not fit, or has no end, is refused before it starts."""
    from nanobragg_torch.memory import limit, own_memory
    from nanobragg_torch.scan.cores import available_cores
    from nanobragg_torch.scan.plan import gpu_free, plan, sizes

    threads, block = (int(options[name]) if options[name] else None for name in ("--threads", "--block"))
    wanted = sizes(config, itemsize=8 if options["--dtype"] == "float64" else 4, outputs=True)
    # the kernel would kill without a word what does not fit
    there, gpu = limit(own=own_memory()), gpu_free(options["--device"])
    fits = plan(wanted, workers=threads or available_cores(), there=there, gpu=gpu)
    terms, most = wanted.terms(config), options["--max-terms"]
    if terms > float(most):
        raise FlagError(f"{terms:.1e} terms to sum: expected at most {most}, a larger --max-terms starts the run")
    if terms > MANY_TERMS:
        _warn([f"{terms:.1e} terms are to be summed, which takes hours; Ctrl-C ends it"])
    if not fits.kernel:
        _warn(["the compiled kernel does not fit into the memory that there is: this takes longer"])
    if fits.gpu is not None:
        return threads, block, None
    return fits.workers, min(block or fits.block, fits.block), None if fits.kernel else False


def _say(text: str, end: str = "\n") -> None:
    """Print at once. Who stops reading (`| head -1`) gets the images all the same; a full disk is an error."""
    try:
        say(text, end)
    except OSError as error:
        raise NanoBraggError(f"standard output: cannot be written: {error.strerror}") from error


def _warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        tell(f"nanobragg_torch: warning: {warning}")


def _image_lines(output: Output, made: Outputs) -> list[str]:
    lines = [f"integer image: scale {made.int_scale:g}, offset {output.adc:g}"]
    if made.pgm_scale is not None:
        lines.append(f"PGM image: scale {made.pgm_scale:g}")
    if made.noise is not None:
        seed = f"-seed {-output.seed} repeats it"
        lines.append(f"noise image: {made.noise.photons:.0f} photons, {made.noise.overloads} overloads; {seed}")
    return [*lines, "wrote " + " ".join(str(path) for path in made.files)]
