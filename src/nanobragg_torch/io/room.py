"""A check, before anything is read, that it will fit into memory."""

from nanobragg_torch.errors import DoesNotFit
from nanobragg_torch.memory import STOP_PERCENT, limit, mebibytes

SMALL = 2**24  # bytes, less than any run takes anyway: not worth a look at the machine


def require_room(need: int, what: str) -> None:
    """Raise DoesNotFit, with both sizes, where `what` needs more bytes than this process may take."""
    if need <= SMALL:
        return
    there = limit().bytes * STOP_PERCENT // 100
    if need > there:
        raise DoesNotFit(f"{what}: needs {mebibytes(need)} of memory, there are {mebibytes(there)}")
