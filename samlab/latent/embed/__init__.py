"""Pictures and segments to vectors: pooling, crops, patches, other networks, words."""
