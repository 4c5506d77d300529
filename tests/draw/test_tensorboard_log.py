"""What goes to TensorBoard."""

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from losslandscape.draw.line_figures import plot_1d
from losslandscape.draw.plane_figures import plot_2d
from losslandscape.draw.tensorboard_log import CARD, _turned, logged_to
from tests.draw.surface_files import write_bowl

KINDS = ("2dcontour", "2dcontourf", "2dheat", "3dsurface")


@pytest.mark.slow
def test_figures_and_meshes(inside):
    write_bowl("line.h5", names=("train_acc",))
    write_bowl("plane.h5", 9, 7)
    with logged_to("log"):
        plot_1d("line.h5", formats="png")
        plot_1d("line.h5", formats="png")
        plot_2d("plane.h5", formats="png")
    plot_1d("line.h5", out="later", formats="png")
    events = EventAccumulator("log", size_guidance={"images": 0, "tensors": 0})
    events.Reload()
    line, planes = "line.h5_1d_train_err", [f"plane.h5_train_loss_{kind}" for kind in KINDS]
    assert sorted(events.Tags()["images"]) == ["line.h5_1d_loss_acc", line, *planes]
    assert [event.step for event in events.Images(line)] == [0, 1]
    assert events.Images(planes[2])[0].encoded_image_string.startswith(b"\x89PNG")
    assert abs(events.Images(planes[2])[0].width - CARD) <= 1  # TensorBoard would coarsen a larger one
    assert any(tag.startswith("plane.h5/train_loss") for tag in events.Tags()["tensors"])


def test_a_mesh_is_seen_from_a_corner_above():
    """TensorBoard looks along -z, with y upwards."""
    x_axis, y_axis, up = _turned(np.eye(3, dtype=np.float32))
    assert up[0] == 0 < up[1] and up[2] > 0
    assert x_axis[0] > 0 < y_axis[0]
    assert x_axis[1] < 0 < y_axis[1]  # y goes into the depth
    np.testing.assert_allclose(np.cross(x_axis, y_axis), up, atol=1e-6)
