"""The remixer: what a mix sounds like."""
