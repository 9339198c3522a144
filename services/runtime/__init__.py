"""What every server process needs, and nothing that one service alone needs."""
