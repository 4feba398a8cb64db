"""The networks in the box: what they read, how they are applied, their weights."""
