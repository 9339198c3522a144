"""Migrations of the schema, one file a step in `versions/`, in the order of their numbers."""
