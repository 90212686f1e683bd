"""The log that several nodes share: `ClusterLog` in `cluster.py`, and what it is made of."""
