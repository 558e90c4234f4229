"""Files: run folders, checkpoints, storage on disks and in buckets, the cache."""
