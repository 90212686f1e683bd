"""Attacks on a running node, and what another client notices of them: `python -m tests.attacks`."""
