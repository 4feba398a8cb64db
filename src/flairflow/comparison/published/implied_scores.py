"""What follows exactly from published scores: other metrics of the same definition, and no similar ones."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

VOLUMES = ("reference_ml", "predicted_ml")
Value = Callable[[pd.DataFrame], pd.Series]

# Metric, the columns it needs and its value, in the order in which they follow. All follow from the definitions in
# `flairflow.metrics.registry`. Not here, although they look alike: metrics of 26-connected lesions (the published
# ones are 6-connected), volumes in ml from `afvd` (a share of a brain whose volume is not given), surface distances in
# both directions (`asd` is one).
DERIVED: tuple[tuple[str, tuple[str, ...], Value], ...] = (
    ("dice", ("dsc",), lambda given: given["dsc"]),
    ("lfp_empty", ("n_gt", "n_lfp"), lambda given: given["n_lfp"].where(given["n_gt"] == 0)),
    # Nothing is predicted where no predicted lesion is.
    ("scan_specificity", ("n_gt", "n_lfp"), lambda given: _none(given["n_lfp"]).where(given["n_gt"] == 0)),
    (
        "scan_sensitivity",
        ("n_gt", "n_ltp", "n_lfp"),
        lambda given: (1 - _none(given["n_ltp"] + given["n_lfp"])).where(given["n_gt"] > 0),
    ),
    (
        "dice_or_empty",
        ("dice", "n_gt", "n_lfp"),
        lambda given: given["dice"].where(given["n_gt"] > 0, _none(given["n_lfp"]).where(given["n_gt"] == 0)),
    ),
    # n_gt - n_lfn reference lesions are found. n_ltp counts predicted ones, so ldsc is another number.
    (
        "lesion_f1_6",
        ("n_gt", "n_lfp", "n_lfn"),
        lambda given: (
            2 * (given["n_gt"] - given["n_lfn"]) / (2 * given["n_gt"] - given["n_lfn"] + given["n_lfp"])
        ).where(given["n_gt"] > 0),
    ),
    # The same of volumes, where lesions are not counted.
    ("volume_error_ml", VOLUMES, lambda given: given["predicted_ml"] - given["reference_ml"]),
    ("absolute_volume_error_ml", VOLUMES, lambda given: (given["predicted_ml"] - given["reference_ml"]).abs()),
    ("false_ml", VOLUMES, lambda given: given["predicted_ml"].where(given["reference_ml"] == 0)),
    ("scan_specificity", VOLUMES, lambda given: _none(given["predicted_ml"]).where(given["reference_ml"] == 0)),
    ("scan_sensitivity", VOLUMES, lambda given: (1 - _none(given["predicted_ml"])).where(given["reference_ml"] > 0)),
    (
        "dice_or_empty",
        ("dice", *VOLUMES),
        lambda given: given["dice"].where(
            given["reference_ml"] > 0, _none(given["predicted_ml"]).where(given["reference_ml"] == 0)
        ),
    ),
)


def with_derived(table: pd.DataFrame) -> pd.DataFrame:
    """The scores with the columns of DERIVED beside them, where what these need is there; a given one stays.

    table : a row per scan, ensemble and label, a column per metric, NaN where it is not defined.
    """
    for name, needed, value in DERIVED:
        if set(needed) <= set(table.columns) and name not in table.columns:
            table = table.assign(**{name: value(table)})
    return table


def _none(count: pd.Series) -> pd.Series:
    """1 where nothing is counted, 0 where something is, NaN where it is not known."""
    return (count == 0).astype(float).where(count.notna())
