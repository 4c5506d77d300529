"""Draw the pictures of docs/gallery.md, and write that page.

    python script/gallery.py                   # everything, in a few minutes
    python script/gallery.py contour lit page  # some pictures alone, and the page

The commands run on the surfaces in examples/surfaces, and on those of three small nets that `make demo`
measures. The picture of a page for the browser needs chromium. What cannot be drawn here keeps its picture.
"""

import argparse
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageSequence

REPO = Path(__file__).resolve().parent.parent
PAGE = REPO / "docs" / "gallery.md"
IMAGES = REPO / "docs" / "images" / "gallery"
MAX_BYTES = {".png": 150_000, ".gif": 400_000}
MAX_WIDTH = 1000  # pixels of a picture
MAX_FRAMES = 24
SMALLER = 0.85  # how much a picture that is too large shrinks, in width
WINDOW = 1100, 760  # pixels of a page for the browser
PLANE, LINE = "examples/surfaces/plane.h5", "examples/surfaces/line.h5"
FILM = " ".join(f"examples/surfaces/film_{epoch}.h5" for epoch in (2, 4, 6))
WITH, WITHOUT = "demo/figures/resnet20.h5", "demo/figures/resnet20_noshort.h5"
BETWEEN = "demo/figures/small_to_large_batch.h5"
TITLES = '--title "with shortcuts" "without shortcuts"'


@dataclass(frozen=True)
class Picture:
    """A picture of the gallery.

    Args:
        name: of the picture's file, without its ending.
        words: what it shows.
        command: what draws it, in the folder of the repository.
        made: the file that the command writes and the gallery shows.
    """

    name: str
    words: str
    command: str
    made: str


@dataclass(frozen=True)
class Real:
    """A picture of a net of the paper's size, which another page explains."""

    words: str
    image: str
    page: str


SECTIONS = {
    "One figure for a paper": [
        Picture(
            "figure",
            "Contours, lit 3-D surfaces and curves of two nets, with a caption for LaTeX",
            f"python script/figure.py {WITH} {WITHOUT} {TITLES} --paper neurips --out figure1",
            "figure1.png",
        ),
        Picture(
            "figure_one",
            "The same of one net, with its own line instead of cross-sections",
            f"python script/figure.py {PLANE} {LINE} --title ResNet-20 ResNet-20 --paper icml --out figure2",
            "figure2.png",
        ),
    ],
    "Curves": [
        Picture(
            "curve",
            "Loss and accuracy along a random direction",
            f"python plot_1D.py --surf_file {LINE} --log --format png --out curve",
            "curve_1d_loss_acc_log.png",
        ),
        Picture(
            "between",
            "From one minimiser to another, with the barrier between them",
            f'python plot_1D.py --surf_file {BETWEEN} --marks "batch 64" "batch 512" --barrier --format png '
            "--out between",
            "between_1d_train_loss.png",
        ),
        Picture(
            "together",
            "Several curves in one panel",
            f'python plot_1D.py --surf_file {LINE} {BETWEEN} --together --title "a random direction" '
            '"to another minimiser" --log --format png --out together',
            "together_1d_train_loss_log.png",
        ),
    ],
    "Planes": [
        Picture(
            "contour",
            "Contours of two nets on one scale, for the page of a conference",
            f"python plot_2D.py --surf_file {WITH} {WITHOUT} {TITLES} --paper neurips --format png "
            "--out both",
            "both_train_loss_2dcontour.png",
        ),
        Picture(
            "filled",
            "Filled contours with lines over them, and the middle enlarged",
            f"python plot_2D.py --surf_file {PLANE} --lines --zoom 0.2 --format png --out filled",
            "filled_train_loss_2dcontourf.png",
        ),
        Picture(
            "heat",
            "A heat map of the accuracy: the measured values alone",
            f"python plot_2D.py --surf_file {PLANE} --surf_name train_acc --format png --out heat",
            "heat_train_acc_2dheat.png",
        ),
        Picture(
            "surface",
            "A 3-D surface with axes, which needs matplotlib alone",
            f"python plot_2D.py --surf_file {PLANE} --format png --out surface",
            "surface_train_loss_3dsurface.png",
        ),
    ],
    "Lit 3-D": [
        Picture(
            "lit",
            "Two nets side by side, with one frame and one scale",
            f"python h52vtp.py --surf_file {WITH} {WITHOUT} --log --png --no_bar --size 1600x700 --out lit",
            "lit_corner.png",
        ),
        Picture(
            "lit_top",
            "The same as a map, with isolines",
            f"python h52vtp.py --surf_file {WITH} {WITHOUT} --log --png --view top --size 1600x700 --out lit",
            "lit_top.png",
        ),
        Picture(
            "turntable",
            "A surface that turns",
            f"python h52vtp.py --surf_file {PLANE} --log --turntable --no_bar --size 320x240 --out turn",
            "turn_turntable.gif",
        ),
    ],
    "Trainings": [
        Picture(
            "film",
            "A surface around each checkpoint, as a film; there is an MP4 and a page with a slider as well",
            f"python plot_film.py --surf_file {FILM} --proj_file examples/surfaces/film_proj.h5 --out film",
            "film.gif",
        ),
    ],
    "Pages for the browser": [
        Picture(
            "page",
            "Surfaces that turn together, with hover, cuts and contours; one file that needs no network",
            f"python plot_html.py --surf_file {WITH} {WITHOUT} {TITLES} --out page",
            "page_3dsurface.html",
        ),
    ],
}
REAL = [
    Real("The paper's ResNet-56, without and with shortcuts", "front_page.png", "reproduction.md"),
    Real("The same nets on four more random planes", "planes.png", "reproduction.md"),
    Real("After 15, 165 and 300 epochs", "budgets_contours.png", "reproduction.md"),
    Real("VGG-9, from small to large batches", "vgg9_between.png", "reproduction.md"),
    Real("VGG-9, four nets along one direction", "vgg9_curves.png", "reproduction.md"),
    Real("The smallest by the largest eigenvalue of the Hessian", "convexity.png", "reproduction.md"),
    Real("A training and the contours around it", "digits_trajectory.png", "trajectories.md"),
    Real("Six nets of other kinds", "examples.png", "your-own-net.md"),
]
START = """# Gallery

Each figure with the command that draws it. Surfaces in `demo/figures` are those of `make demo`; the others
are in the repository. `python script/gallery.py` makes this page and its pictures.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="the pictures to draw (default: all)")
    names = parser.parse_args().names
    pictures = [picture for section in SECTIONS.values() for picture in section]
    if unknown := set(names) - {picture.name for picture in pictures}:
        parser.error(f"there is no picture {', '.join(sorted(unknown))}")
    IMAGES.mkdir(parents=True, exist_ok=True)
    for picture in pictures:
        if not names or picture.name in names:
            draw(picture)
    PAGE.write_text(page())
    print(f"saved {PAGE}")


def draw(picture: Picture) -> None:
    """Run the command of a picture beside links to the repository, and keep its small copy."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path in REPO.iterdir():
            (folder / path.name).symlink_to(path)
        (folder / "examples").unlink()  # some figures lie beside their files
        shutil.copytree(REPO / "examples", folder / "examples")
        words = shlex.split(picture.command)
        done = subprocess.run([sys.executable, *words[1:]], cwd=folder, capture_output=True, text=True)
        made = folder / picture.made
        if done.returncode or not made.exists():
            print(f"{picture.name}: not drawn: {(done.stderr or done.stdout).strip()[-300:]}")
            return
        if made.suffix == ".html":
            made = photograph(made)
        if made.exists():
            save_small(made, IMAGES / f"{picture.name}{made.suffix}")


def photograph(html: Path) -> Path:
    """Return a picture of a page, which chromium takes; the file does not exist without chromium."""
    png = html.with_suffix(".png")
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if not browser:
        print(f"{html.name}: chromium is not installed, so there is no new picture")
        return png
    options = ["--headless=new", "--no-sandbox", "--hide-scrollbars", "--enable-unsafe-swiftshader"]
    size = [
        "--use-angle=swiftshader",
        f"--window-size={WINDOW[0]},{WINDOW[1]}",
        "--virtual-time-budget=20000",
    ]
    subprocess.run([browser, *options, *size, f"--screenshot={png}", html.as_uri()], capture_output=True)
    return png


def save_small(
    source: Path, target: Path, *, max_width: int = MAX_WIDTH, max_bytes: int | None = None
) -> None:
    """Write a picture with so few colours, pixels and frames that its file is not too large."""
    most = max_bytes or MAX_BYTES[target.suffix]
    with Image.open(source) as image:
        frames = [_flat(frame) for frame in ImageSequence.Iterator(image)]
        duration = image.info.get("duration", 100)
    step = -(-len(frames) // MAX_FRAMES)
    frames, duration = frames[::step], duration * step
    width = min(frames[0].width, max_width)
    has_all_colours = True
    while True:
        shown = [_resized(frame, width) for frame in frames]
        if not has_all_colours:
            shown = [frame.quantize(palette=frame.quantize(256)) for frame in shown]  # it dithers
        more = {"save_all": True, "append_images": shown[1:], "duration": duration, "loop": 0}
        shown[0].save(target, optimize=True, **(more if len(shown) > 1 else {}))
        if target.stat().st_size <= most:
            break
        width = width if has_all_colours else round(SMALLER * width)
        has_all_colours = False
    print(f"saved {target.relative_to(REPO)}, {target.stat().st_size / 1000:.0f} kB")


def _flat(frame: Image.Image) -> Image.Image:
    picture = frame.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")


def _resized(frame: Image.Image, width: int) -> Image.Image:
    if width == frame.width:
        return frame
    return frame.resize((width, round(frame.height * width / frame.width)), Image.Resampling.LANCZOS)


def page() -> str:
    """Return the text of the gallery."""
    parts = [START]
    for heading, pictures in SECTIONS.items():
        parts.append(f"## {heading}\n")
        parts += [_entry(picture) for picture in pictures]
    parts.append("## Nets of the paper, and others\n")
    parts.append("Figures of real nets, on the pages that tell how they were made.\n")
    for real in REAL:
        link = f"[{real.page}]({real.page})"
        parts.append(f"{real.words} ({link}):\n\n![{real.words}](images/{real.image})\n")
    return "\n".join(parts)


def _entry(picture: Picture) -> str:
    ending = Path(picture.made).suffix.replace("html", "png")
    lines = wrapped(picture.command)
    return f"{picture.words}:\n\n![{picture.words}](images/gallery/{picture.name}{ending})\n\n{lines}\n"


def wrapped(command: str, width: int = 120) -> str:
    """Return a command as an indented block, with continuation lines."""
    lines: Sequence[str] = [""]
    for word in command.split(" "):
        if lines[-1] and len(lines[-1]) + len(word) > width and word.startswith("-"):
            lines = [*lines, ""]
        lines = [*lines[:-1], f"{lines[-1]} {word}".strip()]
    return "    " + " \\\n      ".join(lines) + "\n"


if __name__ == "__main__":
    main()
