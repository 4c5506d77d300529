"""Functions in the user's files are found, run once, and fail in a sentence with the user's traceback."""

import argparse
import os
import pickle
import sys

import pytest

from losslandscape.cli import command_line
from losslandscape.core import errors, user_code
from losslandscape.core.errors import InputError
from losslandscape.core.user_code import OwnCodeError
from tests.helpers import run


def refused(spec: str, *parts: str, kind: type = InputError) -> InputError:
    with pytest.raises(InputError) as caught:
        user_code.load(spec)
    assert type(caught.value) is kind
    message = str(caught.value)
    assert "\n" not in message and len(message) < 400
    for part in parts:
        assert part in message, message
    return caught.value


def test_a_file_is_run_once_however_it_is_named(inside):
    box = "class Box:\n    build = staticmethod(len)\n"
    (inside / "net.py").write_text(f"def make(depth=2): return depth\nclass Net: pass\n{box}")
    make = user_code.load("net.py:make")
    assert make(3) == 3 and user_code.load(f"{inside}/../{inside.name}/net.py:make") is make
    assert user_code.load("net:make") is make
    assert user_code.load("net.py:Net").__module__ == "net"
    assert user_code.load("net.py:Box.build") is len
    assert sys.modules["net"].make is make


def test_what_is_run_is_run_once(inside, capsys):
    (inside / "once.py").write_text("print('ran')\ndef f(): pass\n")
    user_code.load("once.py:f")
    user_code.load("./once.py:f")
    assert capsys.readouterr().out == "ran\n"


def test_two_files_of_one_name_are_two(inside):
    for name in ("a", "b"):
        (inside / name).mkdir()
        (inside / name / "pair.py").write_text(f"def f(): return {name!r}\n")
    assert [user_code.load(f"{name}/pair.py:f")() for name in "ab"] == ["a", "b"]


NEIGHBOURS = ["errors", "losses", "evaluation", "h5_util", "scheduler", "net_plotter"]  # names of ours too
IMPORTING = """
import errors
from losses import whose

def whose_are_they():
    import evaluation, h5_util, scheduler
    from net_plotter import whose as last
    return [errors.whose, whose, evaluation.whose, h5_util.whose, scheduler.whose, last]
"""
MODEL = """
from mine import whose_are_they

def make():
    raise RuntimeError(*whose_are_they())
"""


def write_neighbours(folder, whose):
    """Files named as modules and commands of ours, and one that imports them, at its top and later."""
    folder.mkdir(exist_ok=True)
    for name in NEIGHBOURS:
        (folder / f"{name}.py").write_text(f"whose = {whose!r}\n")
    (folder / "mine.py").write_text(IMPORTING)
    (folder / "model.py").write_text(MODEL)


@pytest.mark.parametrize(
    "spec", ["mine.py:whose_are_they", "mine:whose_are_they", "there/mine.py:whose_are_they"]
)
def test_neighbours_with_names_of_ours_are_imported(inside, spec):
    whose = "neighbour"
    write_neighbours(inside / "there" if "there" in spec else inside, whose)
    assert user_code.load(spec)() == [whose] * len(NEIGHBOURS)
    assert errors.InputError is InputError


def test_functions_import_from_the_folder_of_their_file(inside):
    """A module of the working folder, which has files of the same names, is loaded between."""
    write_neighbours(inside / "there", "neighbour")
    write_neighbours(inside, "other")
    (inside / "another.py").write_text("def f(): pass\n")
    function = user_code.load("there/mine.py:whose_are_they")
    user_code.load("another:f")
    assert function() == ["neighbour"] * len(NEIGHBOURS)


@pytest.mark.slow
def test_neighbours_come_before_the_commands_of_the_checkout(inside):
    """Python looks first into the folder of its command, the checkout, whose files have these names."""
    write_neighbours(inside / "there", "neighbour")
    flags = ["--model", "there/model.py:make", "--dataset", "digits", "--x=0:0:1"]
    done = run("plot_surface.py", *flags, cwd=inside, own_process=True)
    words = ", ".join(["'neighbour'"] * len(NEIGHBOURS))
    assert f"raised RuntimeError: ({words})" in done.stderr, done.stderr


def test_a_file_may_have_the_name_of_a_module_of_ours(inside):
    (inside / "evaluation.py").write_text("def mine(): return 1\n")
    assert user_code.load("evaluation.py:mine")() == 1
    from losslandscape.evaluate import evaluation

    assert hasattr(evaluation, "Evaluator")


def test_a_module_of_a_package_is_found_in_the_working_folder_and_installed(inside):
    (inside / "pkg").mkdir()
    (inside / "pkg" / "__init__.py").write_text("")
    (inside / "pkg" / "layers.py").write_text("width = 5\n")
    (inside / "pkg" / "nets.py").write_text("from .layers import width\ndef make(): return width\n")
    assert user_code.load("pkg.nets:make")() == 5
    assert user_code.load("os.path:join") is os.path.join


def write_package(folder, *inits: str) -> None:
    """A net in proj/models/mlp.py, which imports from its own folder and from the one above."""
    files = {
        "proj/models/mlp.py": "from ..sizes import width\nfrom .layers import depth\n"
        "def make():\n    from . import late\n    return width, depth, late.value\n",
        "proj/models/layers.py": "from ..sizes import width\ndepth = width + 1\n",
        "proj/models/late.py": "value = 7\n",
        "proj/sizes.py": "width = 5\n",
    }
    for name, text in {**files, **dict.fromkeys(inits, "")}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.parametrize("inits", [(), ("proj/__init__.py", "proj/models/__init__.py")])
@pytest.mark.parametrize(
    ("where", "path"),
    [(".", "proj/models/mlp.py"), ("proj", "models/mlp.py"), ("proj/models", "mlp.py"), ("other", "")],
)
def test_relative_imports_of_a_file(inside, monkeypatch, inits, where, path):
    write_package(inside, *inits)
    (inside / "other").mkdir()
    monkeypatch.chdir(inside / where)
    spec = f"{path or inside / 'proj/models/mlp.py'}:make"
    make = user_code.load(spec)
    assert make() == (5, 6, 7) and user_code.load(spec) is make
    assert user_code.load("proj.models.mlp:make") is make
    facts = user_code.source_facts(spec)
    for name in ("proj/sizes.py", "proj/models/layers.py", "proj/models/late.py"):
        text = (inside / name).read_text()
        (inside / name).write_text(text + "# changed\n")
        assert user_code.source_facts(spec) != facts, name
        (inside / name).write_text(text)


def test_two_packages_of_one_name_are_two(inside):
    for folder in ("one", "two"):
        (inside / folder / "net").mkdir(parents=True)
        (inside / folder / "net" / "net.py").write_text("from .layers import whose\ndef f(): return whose\n")
        (inside / folder / "net" / "layers.py").write_text(f"whose = {folder!r}\n")
    (inside / "two" / "net" / "__init__.py").write_text("")
    assert [user_code.load(f"{folder}/net/net.py:f")() for folder in ("one", "two", "one")] == [
        "one",
        "two",
        "one",
    ]


@pytest.mark.parametrize("folder", ["my-proj", "proj-1.0", ".hidden", "with space", "2024"])
def test_relative_imports_in_folders_of_any_name(inside, folder):
    (inside / folder / "nets-a").mkdir(parents=True)
    (inside / folder / "layers.py").write_text(f"depth = {folder!r}\n")
    (inside / folder / "mlp.py").write_text("from .layers import depth\ndef make(): return depth\n")
    (inside / folder / "nets-a" / "mlp.py").write_text("from ..mlp import make\n")
    assert user_code.load(f"{folder}/mlp.py:make")() == folder
    assert user_code.load(f"{folder}/nets-a/mlp.py:make")() == folder


def test_relative_imports_that_cannot_work(inside):
    (inside / "proj").mkdir()
    (inside / "proj" / "mlp.v2.py").write_text("from .layers import depth\n")
    refused("proj/mlp.v2.py:make", "proj/mlp.v2.py imports relatively, and ", "'mlp.v2'", "rename")
    (inside / "lone.py").write_text("from .nothing import x\n")
    refused("lone.py:make", "lone.py raised ModuleNotFoundError", "nothing", kind=OwnCodeError)


def test_what_is_not_there_is_named_with_what_is(inside):
    (inside / "net.py").write_text("from os.path import join\nsize = 3\ndef build(): pass\nclass Net: pass\n")
    refused("nte.py:build", "'nte.py'", "net.py")
    refused("nowhere/net.py:build", "'nowhere/net.py'")
    refused("net.py:make", "'make'", "build, Net")
    refused("net.py:size", "int", "build, Net")
    refused("net.py", "net.py", ":FUNCTION", "build, Net")
    refused("nosuchpackage.nets:make", "'nosuchpackage'")
    refused("os.nothing:make", "os.nothing")
    refused("net.py:", "FUNCTION")
    refused("a b:c", "'a b'")


@pytest.mark.parametrize(
    ("text", "kind", "line"),
    [
        ("import nosuchpackage\n", "ModuleNotFoundError", "import nosuchpackage"),
        ("def f(:\n", "SyntaxError", "def f(:"),
        ("x = 1 / 0\n", "ZeroDivisionError", "x = 1 / 0"),
        ("raise SystemExit('stop')\n", "SystemExit", "raise SystemExit"),
    ],
)
def test_a_file_that_raises_shows_its_own_traceback(inside, text, kind, line):
    (inside / "bad.py").write_text(text)
    for spec in ("bad.py:f", "bad:f"):
        error = refused(spec, kind, spec.split(":")[0], kind=OwnCodeError)
        assert line in error.trace and "bad.py" in error.trace
        assert "user_code.py" not in error.trace and "importlib" not in error.trace
        assert "bad" not in sys.modules


def test_a_function_that_raises_shows_its_own_traceback_and_can_be_pickled(inside):
    (inside / "net.py").write_text(
        "def inner(x):\n    raise ValueError('a\\nb')\ndef make(x):\n    return inner(x)\n"
    )
    with pytest.raises(OwnCodeError) as caught:
        user_code.call(user_code.load("net.py:make"), 3, what="--model net.py:make")
    error = pickle.loads(pickle.dumps(caught.value))
    assert type(error) is OwnCodeError and str(error) == "--model net.py:make raised ValueError: a b"
    assert (
        error.trace == caught.value.trace
        and "return inner(x)" in error.trace
        and "user_code.py" not in error.trace
    )


def test_arguments_that_do_not_fit_need_no_traceback(inside):
    with pytest.raises(OwnCodeError, match="raised TypeError.*positional") as caught:
        user_code.call(lambda: None, 3, what="the loss")
    assert caught.value.trace == ""


@pytest.mark.parametrize("error", [InputError("as it is"), MemoryError(), KeyboardInterrupt()])
def test_some_errors_pass(error):
    def f():
        raise error

    with pytest.raises(type(error)) as caught:
        user_code.call(f, what="f")
    assert caught.value is error


def test_the_first_rank_shows_the_traceback_before_the_sentence(capsys, monkeypatch):
    parser = command_line.Parser("test")
    for rank, shown in (("0", True), ("1", False)):
        monkeypatch.setenv("PMI_RANK", rank)
        monkeypatch.setenv("PMI_SIZE", "2")
        with pytest.raises(SystemExit) as status, command_line.sentence(parser):
            raise OwnCodeError("net.py raised ValueError", "Traceback of theirs\n")
        assert status.value.code == 2
        stderr = capsys.readouterr().err
        assert stderr == (
            f"Traceback of theirs\n{parser.prog}: error: net.py raised ValueError\n" if shown else ""
        )
    assert isinstance(parser, argparse.ArgumentParser)


def test_the_fingerprint_is_of_the_file_and_of_what_it_imports_beside_it(inside):
    (inside / "parts").mkdir()
    (inside / "parts" / "__init__.py").write_text("")
    files = {
        "net.py": "import layers\nfrom parts import head\nimport torch\n",
        "layers.py": "import deep\n",
        "deep.py": "",
        "parts/head.py": "",
        "other.py": "",
    }
    for name, text in files.items():
        (inside / name).write_text(text + "def make(): pass\n")
    facts = {
        spec: user_code.source_facts(spec) for spec in ("net.py:make", "net:make", f"{inside}/net.py:make")
    }
    assert (
        list(facts["net.py:make"]) == ["code of net.py:make"]
        and len({*(value for fact in facts.values() for value in fact.values())}) == 1
    )
    for name in files:
        text = (inside / name).read_text()
        (inside / name).write_text(text + "# changed\n")
        assert (user_code.source_facts("net.py:make") == facts["net.py:make"]) == (name == "other.py"), name
        (inside / name).write_text(text)
    assert user_code.source_facts("net.py:make") == facts["net.py:make"]
    assert user_code.source_facts("resnet56") == {}
    assert user_code.source_facts("os.path:join") != {} and user_code.source_facts("sys:exit") == {}


def test_which_names_are_own():
    assert user_code.is_own("net.py:make") and user_code.is_own("a.b:c") and user_code.is_own("net.py")
    assert not user_code.is_own("resnet56") and not user_code.is_own("crossentropy")
