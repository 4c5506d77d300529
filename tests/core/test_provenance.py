"""Fingerprints differ where contents do, and facts that differ are named."""

import numpy as np
import pytest

from losslandscape.core import provenance
from losslandscape.core.errors import InputError


def test_fingerprints():
    a, b = np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(3, 2)
    assert provenance.fingerprint_of_arrays([a]) == provenance.fingerprint_of_arrays([np.asfortranarray(a)])
    different = [[a], [b], [a.astype(np.float32)], [a + 1], [a, a], [np.float64(0)], []]
    assert len({provenance.fingerprint_of_arrays(arrays) for arrays in different}) == len(different)


def test_facts_that_only_one_side_has_are_not_compared():
    provenance.require_same("f", {"a": "1"}, {"b": "2"}, "do this")
    with pytest.raises(InputError, match=r"^'f' was made with another a \(there 1, here 2\); do this$"):
        provenance.require_same("f", {"a": "1"}, {"a": "2", "b": "3"}, "do this")
