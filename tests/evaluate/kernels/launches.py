"""Compiles, without a GPU, what a call of our kernels would launch."""

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from tempfile import NamedTemporaryFile
from types import ModuleType
from typing import Any

import pytest
import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction

POINTERS = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.float16: "*fp16"}
USAGE = re.compile(r"REG:(?P<registers>\d+) STACK:(?P<stack>\d+)")


@dataclass(frozen=True)
class Usage:
    """What a program takes of a processor."""

    registers: int  # of a thread
    stack: int  # bytes of a thread in memory: registers that are spilled
    shared: int  # bytes


@dataclass
class Launch:
    """Stands in for a kernel: keeps what it is launched with."""

    kernel: JITFunction
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        assert len(grid) == 1 and grid[0] < 2**31
        return lambda *values, **named: self.calls.append((values, named))

    def compiled(self, capability: int) -> Usage:
        """Compile the last launch for a GPU of this capability (80, 90)."""
        values, named = self.calls[-1]
        named = dict(named)
        options = {"num_warps": named.pop("num_warps")}
        arguments = {**dict(zip(self.kernel.arg_names, values, strict=False)), **named}
        source = ASTSource(
            self.kernel,
            {name: self._type(name, value) for name, value in arguments.items()},
            {name: value for name, value in arguments.items() if self._type(name, value) == "constexpr"},
            {
                (self.kernel.arg_names.index(name),): [["tt.divisibility", 16]]
                for name, value in arguments.items()
                if self._is_multiple(name, value)
            },
        )
        program = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
        return _usage(program.asm["cubin"], program.metadata.shared)

    def _parameter(self, name: str) -> Any:
        return self.kernel.params[self.kernel.arg_names.index(name)]

    def _type(self, name: str, value: object) -> str:
        if value is None or self._parameter(name).is_constexpr:
            return "constexpr"
        return POINTERS[value.dtype] if isinstance(value, torch.Tensor) else "i32"

    def _is_multiple(self, name: str, value: object) -> bool:
        """Whether Triton would compile for a multiple of 16; memory of torch always is one."""
        if isinstance(value, torch.Tensor):
            return True
        parameter = self._parameter(name)
        is_number = isinstance(value, int) and not parameter.is_constexpr
        return is_number and not parameter.do_not_specialize and value % 16 == 0


@contextmanager
def recorded(module: ModuleType) -> Iterator[Launch]:
    """Record the launches of a module's kernel in the block, instead of running it."""
    if not isinstance(module._kernel, JITFunction):
        pytest.skip("Triton's interpreter is on: nothing is compiled")
    launch = Launch(module._kernel)
    module._kernel = launch
    try:
        yield launch
    finally:
        module._kernel = launch.kernel


def _usage(program: bytes, shared: int) -> Usage:
    with NamedTemporaryFile(suffix=".cubin") as file:
        file.write(program)
        file.flush()
        command = [triton.knobs.nvidia.cuobjdump.path, "--dump-resource-usage", file.name]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = USAGE.search(text)
    assert found, text
    return Usage(int(found["registers"]), int(found["stack"]), shared)
