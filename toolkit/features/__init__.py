"""Spectrograms, network inputs and frequency bands."""
