"""The workshop that made what is shipped in data/: weights, adapters, and the measurements that lessons read."""
