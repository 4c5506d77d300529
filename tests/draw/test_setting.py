"""A setting holds inside its block, and there alone."""

import pytest

from losslandscape.draw.setting import Setting


def test_the_innermost_block_counts():
    setting = Setting("unit", "inch")
    with setting.set_to("cm"), setting.set_to(None):
        assert setting.current() == "cm"
        with setting.set_to("mm"):
            assert setting.current() == "mm"
    with pytest.raises(KeyError), setting.set_to("cm"):
        raise KeyError
    assert setting.current() == "inch"


def test_the_keyword_of_a_function():
    setting = Setting("unit", "inch")

    @setting.by_keyword
    def draw(*, unit: str | None = None) -> str:
        return setting.current()

    assert [draw(), draw(unit="cm"), draw()] == ["inch", "cm", "inch"]
