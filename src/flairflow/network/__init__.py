"""Networks: how they are built, applied and kept; `models` holds the weights that come with flairflow."""
