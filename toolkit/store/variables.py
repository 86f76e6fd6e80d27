"""What a variable of a store is, and the axes that several groups share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

Kind = Literal["text", "bool", "int16", "int64", "float32", "float64"]
FILL: Mapping[Kind, object] = {
    "text": "",
    "bool": False,
    "int16": 0,
    "int64": -1,
    "float32": np.float32("nan"),
    "float64": float("nan"),
}


@dataclass(frozen=True)
class Variable:
    """What one variable is. ``units`` follows UDUNITS where it can; '1' means a pure number."""

    name: str
    dims: tuple[str, ...]
    kind: Kind
    units: str
    long_name: str
    description: str


def axis(name: str, kind: Kind, units: str, description: str) -> Variable:
    """Return the variable that names the places along a dimension of the same name."""
    return Variable(name, (name,), kind, units, name.replace("_", " "), description)


FREQUENCY_AXIS = (
    axis("frequency", "float64", "Hz", "Centre of the frequency bin; bin 0 is the lowest."),
    Variable("frequency_low", ("frequency",), "float64", "Hz", "lower edge", "Lower edge of the bin."),
    Variable("frequency_high", ("frequency",), "float64", "Hz", "upper edge", "Upper edge of the bin."),
)
TIME_AXIS = (axis("time", "float64", "s", "Centre of the time bin, from the start of the clip."),)
CLASS_AXIS = (axis("class_name", "text", "1", "Name of the true class."),)
OUTCOME_AXIS = (axis("outcome", "text", "1", "Whether the network classified the clip correctly."),)
FOLD_AXIS = (axis("fold", "int64", "1", "Fold whose clips were held out from the network's training."),)
BAND_AXIS = (
    axis("band", "text", "1", "Name of the frequency band."),
    Variable("band_low", ("band",), "float64", "Hz", "lower edge", "Lower edge of the band."),
    Variable("band_high", ("band",), "float64", "Hz", "upper edge", "Upper edge of the band."),
)


def per_clip(name: str, kind: Kind, units: str, long_name: str, description: str) -> Variable:
    """Return a variable that has one value for every clip."""
    return Variable(name, ("clip",), kind, units, long_name, description)


def with_interval(name: str, dims: tuple[str, ...], long_name: str, description: str) -> tuple[Variable, ...]:
    """Return a figure and the limits of its interval."""
    interval = "Bootstrap over recordings within folds."
    return (
        Variable(name, dims, "float64", "1", long_name, description),
        Variable(f"{name}_low", dims, "float64", "1", f"{long_name}, lower limit", interval),
        Variable(f"{name}_high", dims, "float64", "1", f"{long_name}, upper limit", interval),
    )
