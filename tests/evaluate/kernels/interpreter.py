"""Fixtures that mend Triton's interpreter, for tests that run in it."""

import pytest
import triton
from triton.language import bfloat16, float32
from triton.runtime import interpreter


@triton.jit
def _counting(count):
    for _ in range(count + 1):
        pass


@pytest.fixture(autouse=True, scope="module")
def loops() -> None:
    """The interpreter of Triton 3.6 takes the length of a loop from an array, which a new NumPy refuses."""
    try:
        _counting[(1,)](1)
    except interpreter.InterpreterError as error:
        pytest.skip(f"this Triton and this NumPy do not go together: {error}")


@pytest.fixture(autouse=True)
def bfloat16_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter keeps bfloat16 as integers, and would multiply these."""
    dot = interpreter.InterpreterBuilder.create_dot

    def widened(handle):
        if handle.dtype.scalar != bfloat16:
            return handle
        data = interpreter._convert_float(handle.data, bfloat16, float32, None).view("float32")
        return interpreter.TensorHandle(data, float32)

    def create_dot(self, a, b, *others):
        return dot(self, widened(a), widened(b), *others)

    monkeypatch.setattr(interpreter.InterpreterBuilder, "create_dot", create_dot)
