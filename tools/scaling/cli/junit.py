"""What a CI that reads --junit finds after an error: a failure with the reason, not the file of the run before."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.scaling.base.errors import ScalingError


@contextmanager
def errors_to_junit(path: Path | None, name: str) -> Iterator[None]:
    """An error within is written to `path` as the one failed case of `name`, and raised."""
    try:
        yield
    except ScalingError as error:
        if path is not None:
            from tools.scaling.base.files import write_text
            from tools.scaling.cli.junit_reports import refused_junit

            write_text(path, refused_junit(name, str(error)))
        raise
