"""The figures of a comparison: a module each, a function of tables. `write.py` draws all from the tables on disk."""
