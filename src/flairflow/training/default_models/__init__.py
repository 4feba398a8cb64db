"""How the models in the box are made: trained on drawn heads, with no real image."""
