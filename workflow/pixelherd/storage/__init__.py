"""Files and folders that are complete or absent, and shards of them."""
