"""Which time-frequency regions of a sound make a neural network call it a siren, with evidence."""

__version__ = "0.1.0"
