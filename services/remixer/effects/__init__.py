"""The effects of a mix, each a processor of a stream of blocks."""
