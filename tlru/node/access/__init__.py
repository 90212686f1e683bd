"""Who comes, and what he may: the node's side of `tlru.access`."""
