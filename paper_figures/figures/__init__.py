"""The figures of the literature, one file a paper; `table` lists them."""
