from tools.scaling.base.text import counted


def test_a_noun_goes_with_its_number():
    assert [counted(n, "bundle") for n in (0, 1, 2)] == ["0 bundles", "1 bundle", "2 bundles"]
