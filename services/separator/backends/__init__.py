"""What computes: each backend runs a batch of segments through a network of a model."""
