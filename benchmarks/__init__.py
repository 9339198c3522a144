"""Measurements of Mixdown: what is claimed of speed and quality is measured here."""
