"""A file is replaced in one step, or not at all."""

import os
import stat

import pytest

from losslandscape.files.atomic_file import keep_aside, replacing


@pytest.mark.parametrize("lasting", [False, True])
def test_the_new_file_takes_the_old_ones_place(tmp_path, lasting):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path, lasting=lasting) as part:
        with open(part, "w") as file:
            file.write("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask  # not the 0600 of temporary files


def test_a_link_stays_and_its_target_is_replaced(tmp_path):
    (tmp_path / "scratch").mkdir()
    target, link = tmp_path / "scratch" / "a.txt", tmp_path / "a.txt"
    target.write_text("old")
    link.symlink_to(target)
    with replacing(link) as part:
        with open(part, "w") as file:
            file.write("new")
    assert link.is_symlink() and target.read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_ends_the_block_leaves_the_old_file_and_no_trace(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), replacing(path) as part:
        with open(part, "w") as file:
            file.write("ne")
        raise error
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("name", ["nowhere/a.txt", "a_folder"])
def test_an_error_of_the_system_names_the_file_that_was_wanted(tmp_path, name):
    (tmp_path / "a_folder").mkdir()
    path = str(tmp_path / name)
    with pytest.raises(OSError) as caught, replacing(path):
        pass
    assert caught.value.filename == path
    assert os.listdir(tmp_path) == ["a_folder"]


def test_a_file_is_kept_aside_under_the_first_free_name(tmp_path):
    path = tmp_path / "a.txt"
    for number, aside in enumerate(("a.txt.old", "a.txt.old2", "a.txt.old3")):
        path.write_text(str(number))
        assert keep_aside(str(path)) == str(tmp_path / aside)
        assert (tmp_path / aside).read_text() == str(number)
    assert not path.exists()
