"""The built-in engine: a grammar over the vocabulary."""
