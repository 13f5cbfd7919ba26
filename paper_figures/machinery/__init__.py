"""How figures are computed, cached, drawn, checked and put on a page."""
