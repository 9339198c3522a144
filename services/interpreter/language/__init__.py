"""From text to words with meanings."""
