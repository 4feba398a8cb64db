"""Training on partially labelled scans: strategies, patches, losses, the loop, model folders."""
