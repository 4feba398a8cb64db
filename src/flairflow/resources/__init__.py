"""What jobs ask for: memory and time, from what they hold and do. Light: the rules ask while they are parsed."""
