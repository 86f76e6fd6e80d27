"""Which time-frequency regions of a sound make a neural network call it a siren, with evidence."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolkit.store.read import Store, open_store

__all__ = ["Store", "__version__", "open_store"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Import the store only when asked for: ``toolkit --help`` must not wait for xarray.

    Raises
    ------
    AttributeError
        The package has no such name.
    """
    if name not in {"Store", "open_store"}:
        raise AttributeError(f"module 'toolkit' has no attribute {name!r}")
    from toolkit.store import read

    return getattr(read, name)
