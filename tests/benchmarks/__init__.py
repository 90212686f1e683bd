"""Measurements, run by hand: `python -m tests.benchmarks.NAME`. They print; they assert nothing."""
