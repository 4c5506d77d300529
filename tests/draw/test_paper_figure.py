"""The figure of a paper: its panels, their texts, and what its caption says."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from losslandscape.core.errors import InputError
from losslandscape.draw import page_style, paper_layout, relief_pictures
from losslandscape.draw.page_style import Page
from losslandscape.draw.paper_figure import plot_paper_figure
from losslandscape.draw.paper_panels import curves_of
from losslandscape.draw.type_settings import rc_context
from losslandscape.files import h5_util
from losslandscape.files.surface import Surface
from tests.draw.drawn_text import text_faults
from tests.draw.surface_files import write_bowl, write_line, write_plane

FLAT = ("contour", "curve")  # the kinds that need no VTK
COMMAND = (
    "python plot_surface.py --model resnet56 --model_file a_b.t7 --x=-1:1:9 --xnorm filter --xignore biasbn "
    "--ynorm filter --yignore biasbn"
)


def facts(path: str, *, model: str = "resnet56", command: str = COMMAND, **made_with: str) -> str:
    """Give a surface file what plot_surface.py records."""
    surface = h5_util.read_surface(path)
    surface.made_with = {"model": model, "model_file": f"of {model}", "loss_name": "crossentropy"} | made_with
    lines = ["moves: 3 of 4 parameters", "samples: 5,000 train, 360 test; standard error 0.1"]
    surface.runs = [{"command": command, "check_report": {"lines": lines, "warnings": []}}]
    surface.dir_file = "a_b.t7_weights_xignore=biasbn_xnorm=filter_yignore=biasbn_ynorm=filter.h5"
    h5_util.write_surface(surface)
    return path


def caption(out: str = "figure") -> str:
    return Path(f"{out}.tex").read_text().partition(r"\caption{%")[2].partition("\n  }\n")[0]


@pytest.mark.parametrize(
    ("page", "count"),
    [
        (Page("neurips"), 2),
        pytest.param(Page("icml"), 4, marks=pytest.mark.slow),
        pytest.param(Page("icml", width=3.25), 2, marks=pytest.mark.slow),
        pytest.param(Page("nature"), 3, marks=pytest.mark.slow),
        pytest.param(Page("neurips"), 1, marks=pytest.mark.slow),
        pytest.param(Page("slides"), 1, marks=pytest.mark.slow),
    ],
)
def test_texts_are_whole_and_apart(drawn, page, count):
    files = [write_bowl(f"net_number_{index}.h5", 9, 7) for index in range(count)]
    plot_paper_figure(*files, kinds=FLAT, page=page)
    fig = drawn["figure"]
    assert text_faults(fig, page) == []
    assert fig.get_figwidth() == pytest.approx(page.width_for(2 * count))


@pytest.mark.slow
@pytest.mark.parametrize("paper", ["neurips", "icml"])
def test_all_kinds_with_pictures(drawn, paper):
    files = [write_bowl("a.h5", 9, 7), write_bowl("b.h5", 9, 7, values=3.0)]
    page = Page(paper)
    plot_paper_figure(*files, page=page)
    fig = drawn["figure"]
    assert text_faults(fig, page) == []
    assert [axes.get_title() for axes in fig.axes[:6]] == ["(a) a", "(b) b", "(c)", "(d)", "(e)", "(f)"]
    shown = [axes.images[0].get_array() for axes in fig.axes[2:4]]
    assert shown[0].shape == shown[1].shape  # one frame


def test_rows_of_each_kind_on_one_scale(drawn):
    plot_paper_figure(write_bowl("a.h5", 9, 7), write_bowl("b.h5", 9, 7, values=3.0), kinds=FLAT)
    first, second, *curves = drawn["figure"].axes[:4]
    assert first.get_position().y0 > curves[0].get_position().y1
    assert second.get_position().x0 > first.get_position().x1
    assert curves[0].get_ylim() == curves[1].get_ylim()


def test_kinds_of_one_net_stand_beside_each_other(drawn):
    plot_paper_figure(write_bowl("a.h5", 9, 7), kinds=("curve", "contour"))
    curve, contour = drawn["figure"].axes[:2]
    assert [axes.get_title() for axes in (curve, contour)] == ["(a)", "(b)"]
    assert contour.get_position().x0 > curve.get_position().x1
    assert contour.get_position().y0 == pytest.approx(curve.get_position().y0, abs=0.02)


def test_cross_sections_go_through_the_centre():
    values = np.arange(45.0).reshape(5, 9)
    surface = Surface("", x=np.linspace(-1, 1, 9), y=np.linspace(-1, 1, 5), quantities={"train_loss": values})
    along_x, along_y = curves_of(surface, "train_loss", log=False)
    assert along_x.values.tolist() == values[2].tolist()
    assert along_y.values.tolist() == values[:, 4].tolist()


def test_a_line_takes_the_place_of_the_sections_of_its_net(drawn):
    plane, other = facts(write_bowl("p.h5", 9, 7)), facts(write_bowl("q.h5", 9, 7), model="vgg9")
    line = facts(write_line("l.h5", train_loss=np.linspace(1, 2, 9), test_loss=np.linspace(2, 3, 9)))
    plot_paper_figure(plane, other, line, kinds=FLAT)
    titles = [axes.get_title() for axes in drawn["figure"].axes[:4]]
    assert titles == ["(a) resnet56", "(b) vgg9", "(c) vgg9", "(d) resnet56"]
    assert len(drawn["figure"].axes[3].lines) == 2
    assert "cross-sections through the centre and curves along a line (c, d)" in caption()


def test_the_caption_says_what_the_file_tells(drawn):
    shared = {"dataset": "digits", "data_split": "4"}
    facts(write_bowl("a.h5", 9, 7), **shared), facts(write_bowl("b.h5", 9, 7), model="my_net", **shared)
    plot_paper_figure("a.h5", "b.h5", kinds=FLAT)
    text = caption()
    assert r"Train loss of resnet56 and my\_net." in text
    assert "Contours of the train loss (a, b);" in text
    assert "Data: digits, 5,000 training samples, 1/4 of the training set." in text
    assert r"Grid: 9$\times$7 points, $\alpha$ from $-$1 to 1, $\beta$ from $-$0.5 to 1." in text
    assert "filter-normalised, biases and batch-norm parameters fixed, seed 123." in text
    assert r"my\_net: train loss at the centre 0.2, highest train loss 11.2" in text
    assert "flatness radius 0." in text and r"negative curvature at 0.0 \% of points" in text


def test_nothing_is_invented(drawn):
    plot_paper_figure(write_bowl("50%_a.h5", 9, 7), titles=["net"], kinds=FLAT)
    text = caption()
    assert not any(word in text for word in ("Data", "Directions", "Loss:", "seed"))
    assert "Grid: 9" in text


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (COMMAND + " --dir_file mine.h5", ""),
        (COMMAND + " --xdir hessian --ydir hessian", "Directions: eigenvectors of the Hessian."),
        (COMMAND.replace("--ynorm filter", ""), r"$\alpha$ filter-normalised"),
        ("not a 'command", "seed"),
    ],
)
def test_directions_are_told_as_far_as_they_are_known(drawn, command, says):
    plot_paper_figure(facts(write_bowl("a.h5", 9, 7), command=command), kinds=FLAT)
    assert (says in caption()) == (says != "seed")
    assert bool(says) == ("Directions" in caption())


def test_own_quantities_and_percentages(drawn):
    write_plane("p.h5", train_acc=np.linspace(0, 100, 9), own=np.linspace(-1, 1, 9))
    plot_paper_figure("p.h5", kinds=FLAT, name="own")
    assert "Contours of the own (a)" in caption()
    plot_paper_figure("p.h5", kinds=FLAT)
    assert r"Contours of the train accuracy (\%) (a)" in caption()


@pytest.mark.parametrize("kind", ["nan", "constant", "row"])
def test_awkward_planes(drawn, kind):
    values = np.full((7, 9), 2.0) if kind == "constant" else np.outer(np.arange(7) + 1.0, np.arange(9) + 1.0)
    if kind == "nan":
        values[2:4, 3:6] = np.nan
    measured = np.ones((7, 9), bool)
    if kind == "row":
        values[1::2], measured[1::2] = -1, False
    page = Page("neurips")
    plot_paper_figure(write_bowl("a.h5", 9, 7, values=values, measured=measured), kinds=FLAT, page=page)
    assert text_faults(drawn["figure"], page) == []
    says = {
        "nan": "6 points NaN or infinite",
        "constant": "is 2 wherever it is known",
        "row": "not computed yet",
    }
    assert says[kind] in caption()


@pytest.mark.parametrize(
    ("files", "options", "says"),
    [
        (["a.h5", "b.h5"], {"titles": ["one"]}, "there are 1 titles for 2 surface files"),
        (["a.h5", "b.h5"], {"titles": ["one", "one"]}, "two surfaces have the title 'one'"),
        (["l.h5"], {"kinds": ["contour"]}, "only planes have contours"),
        (["a.h5"], {"name": "no"}, "has no quantity 'no'"),
        (["thin.h5"], {"kinds": ["contour"]}, "needs at least 2x2 points"),
        (["a.h5"], {"kinds": ["heat"]}, "no kinds 'heat'"),
        (["a.h5", "b.h5"], {"page": Page("icml", width=2, columns=2)}, "do not fit beside each other"),
    ],
)
def test_what_cannot_be_drawn(inside, files, options, says):
    write_bowl("a.h5", 9, 7), write_bowl("b.h5", 9, 7), write_bowl("l.h5", 9), write_bowl("thin.h5", 9, 1)
    with pytest.raises(InputError, match=says):
        plot_paper_figure(*files, **{"kinds": FLAT, **options})


def test_too_many_rows_are_refused():
    with page_style.drawn_on(Page("slides")), rc_context(), pytest.raises(InputError, match="rows of panels"):
        paper_layout.lay_out([paper_layout.Block([""] * 30, [1.0] * 30)])


def test_more_columns_where_the_page_is_too_low():
    with page_style.drawn_on(Page("icml", width=3.25)), rc_context():
        assert paper_layout.columns_of([2, 2, 2]) == (2, 1)
    with page_style.drawn_on(Page("icml")), rc_context():
        assert paper_layout.columns_of([4, 4, 4]) == (4, 1)
        assert paper_layout.columns_of([1, 1, 1]) == (1, 3)


@pytest.mark.slow
def test_without_vtk_matplotlib_draws(drawn, monkeypatch, capsys):
    monkeypatch.setattr(relief_pictures, "find_spec", lambda _: None)
    plot_paper_figure(write_bowl("a.h5", 9, 7), kinds=["3d"])
    assert "VTK is not installed, so matplotlib draws the 3-D surfaces." in capsys.readouterr().out
    assert drawn["figure"].axes[0].images


@pytest.mark.nightly
@pytest.mark.skipif(not shutil.which("pdflatex"), reason="LaTeX is not installed")
def test_the_source_can_be_pasted(inside):
    title = r'50 % of a_b "c" & {c} # ~ ^ < > | \$1 $\alpha$'
    plot_paper_figure(write_bowl("a.h5", 9, 7), titles=[title], kinds=FLAT, out="figure_1")
    document = (
        r"\documentclass{article}\usepackage{graphicx}\usepackage[textwidth=5.5in]{geometry}"
        r"\begin{document}\input{figure_1}\end{document}"
    )
    Path("paper.tex").write_text(document)
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper"], capture_output=True
    )
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
    assert b"Overfull" not in done.stdout
