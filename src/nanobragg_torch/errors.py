"""What can go wrong before any physics starts. Every message is one line."""


class NanoBraggError(Exception):
    """A run of the simulator cannot go on. `str(error)` is the line that the user reads."""


class FlagError(NanoBraggError):
    """A flag is unknown, unsupported, incomplete, or has a value of the wrong kind."""


class InputError(NanoBraggError):
    """A file or a requested pixel is not what it should be: "FILE:LINE: expected X, got Y"."""


class DoesNotFit(NanoBraggError):
    """What was asked for needs more memory than there is; nothing was started."""


class NoDevice(NanoBraggError):
    """The device that was asked for is not there."""
