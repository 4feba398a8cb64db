"""The tables of a comparison: a module each, a function of the table of metrics. `write.py` writes all of them."""
