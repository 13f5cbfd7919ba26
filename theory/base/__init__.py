"""What every room uses: validation, one JIT setting, atomic files, text specifications, progress, scalar search."""
