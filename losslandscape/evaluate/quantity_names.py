"""Names the quantities that are measured of a loss."""


def quantity_names(
    measured: dict[str, list[str]], *, errors: bool = False, penalty: bool = False
) -> list[str]:
    """Return the names of a loss's quantities in a surface file: `train_loss`, `train_acc` and so on.

    Args:
        measured: for each part of the data, the loss's own names of its quantities, such as `acc`.
        errors: whether to include standard errors of the loss.
        penalty: whether to include the weight penalty.
    """
    names = []
    for part, own_names in measured.items():
        names += [f"{part}_{name}" for name in own_names]
        if errors:
            names += [f"{part}_loss_se", f"{part}_loss_diff_se"]
    if penalty:
        names += ["penalty", "train_regularised_loss"]
    return names
