"""bench/kernels.py: what it needs, and its table; without a GPU nothing is timed."""

import pytest
import torch

from bench import kernels, report


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "this benchmark times kernels of a GPU; run it with --cuda where there is one"),
        (["--cuda"], "PyTorch finds no CUDA device here"),
        (["--cuda", "--images", "0"], "0"),
    ],
)
def test_it_needs_a_gpu(arguments, words, capsys):
    with pytest.raises(SystemExit) as ending:
        kernels.main(arguments)
    assert ending.value.code == 2
    message = capsys.readouterr().err
    assert words in message and "Traceback" not in message


def test_memory_is_the_time_of_three_tensors():
    """The figures of a card that copies 3 TB/s: 34 microseconds for 16 channels in bfloat16."""
    seconds = kernels.memory_seconds("convolution", (1024, 16, 32, 32), "bf16", 3e12)
    assert seconds == pytest.approx(33.6e-6, rel=0.01)
    assert kernels.memory_seconds("convolution", (1024, 64, 8, 8), "tf32", 3e12) == pytest.approx(seconds / 2)
    assert kernels.memory_seconds("block", (1024, 16, 32, 32), "bf16", 3e12) == pytest.approx(seconds * 2 / 3)


def test_a_way_that_was_left_out_has_no_time():
    times = {"apart": 3e-4, "cuDNN": 1.27e-4}
    row = kernels.row_of("block", (1024, 64, 8, 8), "bf16", times, 3e12)
    assert row["cuDNN"] == pytest.approx(127) and row["Triton block"] == ""
    assert [line.count("|") for line in report.table([row]).splitlines()] == [len(row) + 1] * 3


def test_ways_agree_and_wrong_ones_are_left_out(capsys):
    given = kernels.operands((2, 16, 4, 4), torch.float32, torch.Generator().manual_seed(0))
    apart = kernels.ways_of("block")["apart"]
    assert kernels.is_right("apart", apart, "block", given)
    assert not kernels.is_right("other", lambda given: apart(given) * torch.nan, "block", given)
    assert not kernels.is_right("none", lambda given: 1 / 0, "block", given)
    assert capsys.readouterr().out.splitlines() == [
        "left out: other, block, 16 channels is wrong by nan",
        "left out: none, block, 16 channels (division by zero)",
    ]
