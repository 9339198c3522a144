"""The interpreter: words in, intent and the next mix out."""
