"""Training workloads, one file each, behind one small protocol."""
