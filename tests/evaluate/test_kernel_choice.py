"""The fastest kernel that agrees with the plain one is chosen, once for each shape; times are given."""

import pytest
import torch

from losslandscape.evaluate.kernel_choice import KernelChoice


@pytest.fixture(autouse=True)
def exact_products(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def failing(x):
    raise RuntimeError("not for this shape")


KERNELS = {  # seconds of each, and what it computes
    "plain": (4.0, lambda x: x * 2),
    "slow": (5.0, lambda x: x + x),
    "fast": (2.0, lambda x: x + x),
    "failing": (1.0, failing),
    "wrong": (1.0, lambda x: x * 2.001),
    "nan": (1.0, lambda x: x * torch.nan),
    "another shape": (1.0, lambda x: x[:1] * 2),
    "another dtype": (1.0, lambda x: (x * 2).double()),
}


class Trial:
    """A choice between kernels, with what was measured and what ran."""

    def __init__(self, *names: str):
        self.measured: list[str] = []
        self.ran: list[str] = []
        self.kernels = {name: self._noted(name) for name in names}
        self.choice = KernelChoice(self._clock)

    def _noted(self, name):
        def kernel(x):
            self.ran.append(name)
            return KERNELS[name][1](x)

        return kernel

    def _clock(self, call):
        call()
        self.measured.append(self.ran[-1])
        return KERNELS[self.ran[-1]][0]

    @torch.no_grad()
    def __call__(self, x: torch.Tensor, layer: str = "layer") -> str:
        """Return the name of the kernel that gives the result."""
        assert torch.equal(self.choice.run(layer, self.kernels, x), x * 2)
        return self.ran[-1]


@pytest.mark.parametrize(
    ("others", "chosen"),
    [
        (["fast"], "fast"),
        (["slow", "fast"], "fast"),
        (["slow"], "plain"),
        (["failing", "wrong", "nan", "another shape", "another dtype"], "plain"),
        (["failing", "fast", "wrong"], "fast"),
        ([], "plain"),
    ],
)
def test_the_fastest_kernel_that_agrees_is_chosen(others, chosen):
    trial = Trial("plain", *others)
    with trial.choice.choosing():
        assert trial(torch.ones(3, 2)) == chosen
    assert trial(torch.full((3, 2), 5.0)) == chosen  # other numbers of the same shape
    assert str(trial.choice) == f" (1 {chosen})"


def test_a_shape_is_measured_once_and_only_when_kernels_are_chosen():
    trial = Trial("plain", "fast")
    images = torch.ones(3, 4, 2, 2)
    assert trial(images) == "plain" and not trial.measured
    with trial.choice.choosing():
        assert [trial(images) for _ in range(3)] == ["fast"] * 3
    assert trial.measured == ["plain", "fast"]
    others = images[:2], images.to(memory_format=torch.channels_last), images.bfloat16()
    assert [trial(other) for other in others] == ["plain"] * 3
    assert trial(images, layer="another") == "plain"
    with trial.choice.choosing():
        assert [trial(other) for other in others] == ["fast"] * 3
    assert len(trial.measured) == 8
    assert str(trial.choice) == " (4 fast)"


def test_plain_kernels_run_where_they_are_wanted_and_for_float16():
    trial = Trial("plain", "fast")
    with trial.choice.choosing():
        assert trial(torch.ones(2).half()) == "plain" and not trial.choice.is_mixed
        assert trial(torch.ones(2)) == "fast" and trial.choice.is_mixed
    with trial.choice.plain_only():
        assert trial(torch.ones(2)) == "plain"
    assert trial(torch.ones(2)) == "fast"


def test_exact_products_and_tf32_are_chosen_apart(monkeypatch):
    trial, found = Trial("plain", "wrong"), []
    for allowed in (False, True, False):
        monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", allowed)
        with trial.choice.choosing(), torch.no_grad():
            trial.choice.run("layer", trial.kernels, torch.ones(2))
        found.append(trial.ran[-1])
    assert found == ["plain", "wrong", "plain"]  # a half per mille is a rounding error of TF32


def test_where_gradients_are_wanted_the_plain_kernel_runs():
    trial = Trial("plain", "fast")
    with trial.choice.choosing():
        trial(torch.ones(2))
        trial.choice.run("layer", trial.kernels, torch.ones(2, requires_grad=True))
    assert trial.ran[-1] == "plain"


def test_too_little_memory_for_the_plain_kernel_is_not_hidden():
    def kernel(x):
        raise torch.OutOfMemoryError

    choice = KernelChoice(lambda call: 1.0)
    with choice.choosing(), torch.no_grad(), pytest.raises(torch.OutOfMemoryError):
        choice.run("layer", {"plain": kernel, "fast": lambda x: x}, torch.ones(2))
