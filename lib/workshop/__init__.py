"""The scripts that made the files in data/: weights, adapters, and the measurements that lessons read."""
