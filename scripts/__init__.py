"""What the build and the maintainers run."""
