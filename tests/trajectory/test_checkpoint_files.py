"""Checkpoints of any names are found by a pattern, and a pattern is suggested for those of a folder."""

from pathlib import Path

import pytest

from losslandscape.core.errors import InputError
from losslandscape.trajectory import checkpoint_files

pytestmark = pytest.mark.usefixtures("inside")


def make(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(exist_ok=True, parents=True)
        Path(name).touch()


def find(pattern: str) -> list[str]:
    return checkpoint_files.find(pattern, least=2, option="pattern").files


def test_results_of_this_program_and_folders_beside_files_are_no_checkpoints():
    make("model_10.t7", "model_9.t7", "model_1.t7", "model_1.t7_weights.h5", "model_1.t7_w.h5_2dcontour.pdf")
    Path("model_5.t7").mkdir()
    assert find("model_*") == ["model_1.t7", "model_9.t7", "model_10.t7"]


def test_folders_are_checkpoints_where_no_file_matches():
    make("checkpoint-20/a", "checkpoint-3/a", "checkpoint-3_in_checkpoint-20_weights.h5")
    assert find("checkpoint-*") == find("checkpoint-*/") == ["checkpoint-3", "checkpoint-20"]
    found = checkpoint_files.find("checkpoint-*", least=2, option="pattern")
    assert found.numbers.tolist() == [3, 20] and found.describe() == "2 checkpoints, steps 3 to 20"


@pytest.mark.parametrize("folder", ["run[1]", "a=1, b[x-z]", "*", "{run}", "a/run?", "ä"])
def test_folders_of_any_name(folder):
    make(f"{folder}/m_2.t7", f"{folder}/m_1.t7", "run1/m_3.t7", "run1/m_4.t7")
    here = str(Path.cwd())
    for start in ("", "./", f"{here}/"):
        files = [f"{start}{folder}/m_1.t7", f"{start}{folder}/m_2.t7"]
        assert find(f"{start}{folder}/m_*.t7") == files
        assert checkpoint_files.is_pattern(f"{start}{folder}/m_*.t7")
        assert not checkpoint_files.is_pattern(files[0])
        assert not checkpoint_files.is_pattern(f"{start}{folder}/m_7.t7")


def test_brackets_in_a_pattern():
    make("m[a]_1.t7", "m[a]_2.t7", "n_1.t7", "n_2.t7", "n_3.t7")
    assert find("m[a]_*.t7") == ["m[a]_1.t7", "m[a]_2.t7"]
    assert find("n_[12].t7") == ["n_1.t7", "n_2.t7"]


def test_a_file_whose_place_is_unknown_is_refused():
    make("epoch=1.ckpt", "epoch=2.ckpt", "last.ckpt")
    with pytest.raises(InputError, match=r"last.ckpt.* no number.*pattern"):
        find("*.ckpt")


def test_limits():
    make(*(f"{epoch}.pt" for epoch in (0, 1, 2, 5, 8)), "a.pt", "b.pt", "c.pt")
    between = checkpoint_files.find_between
    assert between("[0-9].pt", 1, 5).numbers.tolist() == [1, 2, 5]
    assert between("[0-9].pt", 0, None).numbers.tolist() == [0, 1, 2, 5, 8]
    with pytest.raises(InputError, match="of 5 checkpoints, epochs 0 to 8, 2 are between"):
        between("[0-9].pt", 3, None)
    assert between("[abc].pt", 0, None).describe() == "3 checkpoints"
    with pytest.raises(InputError, match="do not tell the epochs"):
        between("[abc].pt", 0, 3)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["epoch=0-step=9.ckpt", "epoch=1-step=18.ckpt", "last.ckpt", "log_1.txt"], "epoch=*-step=*.ckpt"),
        (["epoch=0-val=0.5.ckpt", "epoch=1-val=1.5.ckpt"], "epoch=*-val=*.ckpt"),
        (["model_1.t7", "opt_state_1.t7", "model_2.t7", "opt_state_2.t7"], "model_*.t7"),
        (
            [
                f"checkpoint-{step}/{name}"
                for step in (10, 20)
                for name in ("optimizer.pt", "rng_state.pth", "model.safetensors", "training_args.bin")
            ],
            "checkpoint-*/model.safetensors",
        ),
        (
            [f"checkpoint-{step}/model-{i:05}-of-00002.safetensors" for step in (1, 2) for i in (1, 2)],
            "checkpoint-*",
        ),
        (["a{b}[c]_1.pt", "a{b}[c]_2.pt"], "a?b??c?_*.pt"),
        (["last.ckpt", "notes.txt"], ""),
    ],
)
def test_a_suggested_pattern(names, expected):
    make(*(f"run[1]/{name}" for name in names))
    assert checkpoint_files.suggest("run[1]") == expected
    if expected:
        assert len(find(f"run[1]/{expected}")) == 2
