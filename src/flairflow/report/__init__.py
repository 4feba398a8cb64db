"""The report: one page for people, made from the tables, with overlay mosaics beside it."""
