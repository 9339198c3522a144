"""The services of Mixdown. Each folder is one process; none imports another."""
