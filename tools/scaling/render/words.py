"""Words that go with numbers."""


def counted(number: int, noun: str) -> str:
    """1 bundle, 2 bundles."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
