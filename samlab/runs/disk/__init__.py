"""How a run is kept: Parquet shards, locks, storage near and far, the cache."""
