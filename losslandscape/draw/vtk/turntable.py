"""Writes a film of surfaces that turn once around: as GIF, and as MP4 where ffmpeg is installed."""

import subprocess
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image
from tqdm import tqdm

from losslandscape.core.errors import InputError
from losslandscape.draw.ffmpeg import ffmpeg
from losslandscape.draw.vtk.album import Album
from losslandscape.draw.vtk.colours import TRANSPARENT
from losslandscape.files.atomic_file import replacing

PANEL_SIZE = 640, 480  # pixels for each surface
FRAMES, FRAMES_PER_SECOND = 72, 12
COLOURS = 255  # of a GIF
NO_MP4 = "no MP4: ffmpeg is not installed; `pip install imageio-ffmpeg` has it"


def export_turntable(album: Album, view: str = "corner", size: tuple[int, int] | None = None) -> list[str]:
    """Write a film per picture of an album, in which the surfaces turn once around.

    A transparent background becomes white.

    Args:
        album: what the films show.
        view: the first frame, a name in `look.VIEWS`.
        size: width and height in pixels; None for the default.

    Returns:
        The paths of the files.

    Raises:
        InputError: a plane cannot be shown, or this machine cannot render.
    """
    if album.look.background == TRANSPARENT:
        album = replace(album, look=replace(album.look, background="white"))
    first, elevation = album.look.viewpoint(view)
    azimuths = first + np.arange(FRAMES) * 360 / FRAMES
    turning = album.pictures(list(azimuths), elevation, size or album.size(PANEL_SIZE))
    turns = list(tqdm(turning, total=FRAMES, desc="turntable", unit="frame", disable=None, leave=False))
    program = ffmpeg()
    paths = []
    for i, stem in enumerate(album.stems()):
        frames = [made[i] for made in turns]
        paths.append(_write_gif(frames, f"{stem}_turntable.gif"))
        if program:
            paths.append(_write_mp4(frames, f"{stem}_turntable.mp4", program))
    if not program:
        print(NO_MP4)
    return paths


def _write_gif(frames: Sequence[np.ndarray], path: str) -> str:
    """Write a GIF, whose frames share a palette: colours of their own would flicker."""
    samples = Image.fromarray(np.concatenate(frames[:: len(frames) // 4]))
    palette = samples.quantize(COLOURS, method=Image.Quantize.FASTOCTREE)
    images = [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    duration = 1000 // FRAMES_PER_SECOND
    with replacing(path) as part:
        images[0].save(part, format="GIF", save_all=True, append_images=images[1:], duration=duration, loop=0)
    print(f"saved {path}")
    return path


def _write_mp4(frames: Sequence[np.ndarray], path: str, program: str) -> str:
    height, width = (side - side % 2 for side in frames[0].shape[:2])  # H.264 needs even sides
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(FRAMES_PER_SECOND)]
    coding = ["-c:v", "libx264", "-crf", "16", "-pix_fmt", "yuv420p", "-movflags", "+faststart", "-f", "mp4"]
    content = b"".join(frame[:height, :width].tobytes() for frame in frames)
    with replacing(path) as part:
        command = [program, "-loglevel", "error", "-y", *source, "-i", "-", *coding, part]
        done = subprocess.run(command, input=content, capture_output=True, check=False)
        if done.returncode:
            reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise InputError(f"ffmpeg cannot write {path!r}: {''.join(reason)}")
    print(f"saved {path}")
    return path
