"""Text files as tokens: pieces in order, their number and length, and refusals."""

import pytest
import torch

from losslandscape.core.errors import InputError
from losslandscape.data import text_files
from losslandscape.data.samples import Samples
from tests.language_models import WORDS, text, write_model, write_tokenizer


@pytest.fixture
def folder(tmp_path) -> str:
    write_tokenizer(tmp_path)
    (tmp_path / "text.txt").write_text(text(100))
    (tmp_path / "test.txt").write_text(text(30))
    return str(tmp_path)


def tokens(samples: Samples) -> torch.Tensor:
    (batch,) = samples.chunks
    return batch["input_ids"]


def load(folder: str, name: str = "text.txt", **options: object) -> dict[str, Samples]:
    names = ",".join(f"{folder}/{file}" for file in name.split(","))
    return text_files.load(f"text:{names}", **{"tokenizer": folder, "context": 8, **options})


def test_pieces_follow_one_another_and_the_rest_is_left_out(folder):
    words = open(f"{folder}/text.txt").read().split()
    pieces = tokens(load(folder)["train"])
    assert pieces.shape == (12, 8) and pieces.dtype == torch.long
    assert [WORDS[token] for token in pieces.flatten()] == words[:96]


def test_each_piece_begins_with_the_token_that_begins_a_text(folder, tmp_path):
    write_tokenizer(tmp_path, begins=True)
    words = open(f"{folder}/text.txt").read().split()
    pieces = tokens(load(folder)["train"])
    assert pieces.shape == (14, 8) and pieces[:, 0].eq(0).all()
    assert [WORDS[token] for token in pieces[:, 1:].flatten()] == words[:98]


def test_the_first_pieces_and_a_random_part_of_them(folder):
    pieces = tokens(load(folder)["train"])
    assert torch.equal(tokens(load(folder, count=5)["train"]), pieces[:5])
    halves = [tokens(load(folder, data_split=2, split_idx=part)["train"]) for part in (0, 1)]
    assert sorted(map(tuple, torch.cat(halves).tolist())) == sorted(map(tuple, pieces.tolist()))


@pytest.mark.parametrize(("test_set", "parts"), [(True, 2), (None, 2), (False, 1)])
def test_text_for_testing_is_loaded_whole(folder, test_set, parts):
    sets = load(folder, "text.txt,test.txt", test_set=test_set, data_split=4)
    assert [len(samples) for samples in sets.values()] == [3, 3][:parts]


def test_pieces_are_as_long_as_the_net_takes_and_at_most_512(folder, tmp_path):
    assert tokens(load(folder, context=None)["train"]).shape[1] == 40  # what the tokenizer says
    write_model(tmp_path)
    assert tokens(load(folder, context=None)["train"]).shape[1] == 32


@pytest.mark.parametrize(
    ("name", "options", "parts"),
    [
        ("none.txt", {}, ["none.txt' cannot be read", "No such file"]),
        ("bytes.txt", {}, ["bytes.txt' is not UTF-8"]),
        ("text.txt", {"context": 101}, ["has 100 tokens, and a piece has 101"]),
        ("text.txt", {"context": 1}, ["of at least 2"]),
        ("text.txt", {"test_set": True}, ["has no text for testing", "text.txt,TEST"]),
        ("text.txt", {"tokenizer": ""}, ["as hf:FOLDER"]),
        ("text.txt", {"tokenizer": "/no/folder"}, ["/no/folder has no tokenizer"]),
    ],
)
def test_a_text_that_cannot_be_used_is_refused_in_one_sentence(folder, tmp_path, name, options, parts):
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(InputError) as error:
        load(folder, name, **options)
    assert all(part in str(error.value) for part in parts) and "\n" not in str(error.value), error.value
