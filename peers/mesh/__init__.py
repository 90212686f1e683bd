"""Persistent links between nodes: `Mesh` in `mesh.py`, and what it is made of."""
