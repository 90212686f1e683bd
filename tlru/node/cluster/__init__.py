"""What a node does about the cluster that it is a part of: told and asked by whoever runs it."""
