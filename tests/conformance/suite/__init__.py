"""A real log of ours, held against software that nobody here wrote."""
