"""Names of quantities, and numbers as texts."""

import numpy as np
import pytest

from losslandscape.draw.labels import label, level_text, level_texts


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("train_acc", "train accuracy (%)"),
        ("test_perplexity", "test perplexity"),
        ("penalty", "weight decay penalty"),
        ("train_own_value", "train own value"),
        ("cost_in_$", r"cost in \$"),
    ],
)
def test_labels(name, text):
    assert label(name) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.3, "0.3"),
        (3000, "3000"),
        (1e4, "$10^{4}$"),
        (3e4, r"$3\times10^{4}$"),
        (1e-5, "$10^{-5}$"),
        (-2e6, r"$-2\times10^{6}$"),
        (0, "0"),
    ],
)
def test_large_and_tiny_levels_are_powers(value, text):
    assert level_text(value) == text


@pytest.mark.parametrize(
    ("base", "step"), [(2.3026, 1e-5), (1234.5, 5e-4), (-1e12, 1.0), (0.0, 1e-7), (12000, 50)]
)
def test_texts_of_levels_differ(base, step):
    levels = base + step * np.arange(9)
    texts = level_texts(levels)
    assert len(set(texts)) == 9
    if not any("$" in text for text in texts):
        assert np.allclose([float(text) for text in texts], levels, rtol=0, atol=step / 10)
