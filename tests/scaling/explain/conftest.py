"""The canonical case, whose logs are told apart here."""

import pytest

from nanobragg_torch.flags.parse import parse
from tools.scaling.cases.case import find_case


@pytest.fixture(scope="package")
def case():
    return find_case("supervisor")


@pytest.fixture(scope="package")
def config(case):
    return parse(case.flags, folders=case.folders)
