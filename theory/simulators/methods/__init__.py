"""The methods that can be simulated, one file a family; `table` lists them."""
