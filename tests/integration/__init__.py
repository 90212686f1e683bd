"""Real processes on loopback, harmed while clients write and read (docs/cluster.md)."""
