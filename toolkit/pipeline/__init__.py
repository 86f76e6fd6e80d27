"""Stages, what is up to date, locks, executors and provenance."""
