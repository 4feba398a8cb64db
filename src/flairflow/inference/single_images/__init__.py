"""`flairflow segment`: single images, or folders of them, without a workflow."""
