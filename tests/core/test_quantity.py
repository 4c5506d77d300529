"""What the name of a quantity says."""

from losslandscape.core import quantity


def test_losses():
    assert quantity.is_loss("test_regularised_loss")
    assert not quantity.is_loss("train_closs")
    assert not quantity.is_loss("train_loss_se")


def test_percentages():
    assert quantity.is_percentage("test_top5")
    assert not quantity.is_percentage("train_accuracy")


def test_uncertainties_have_no_figures():
    uncertain = ["train_loss_diff_se", "train_loss_se", "min_eig_residual"]
    others = ["train_se", "zeta", "test_acc", "min_eig", "train_loss"]
    assert quantity.shown([*uncertain, *others]) == ["train_loss", "test_acc", "min_eig", "train_se", "zeta"]
