"""The session service: everything that is remembered."""
