"""Finds the program ffmpeg, which writes MP4."""

import shutil


def ffmpeg() -> str | None:
    """Return the program ffmpeg, installed or from the package imageio-ffmpeg; None if there is none."""
    if installed := shutil.which("ffmpeg"):
        return installed
    try:
        from imageio_ffmpeg import get_ffmpeg_exe
    except ImportError:
        return None
    return get_ffmpeg_exe()
