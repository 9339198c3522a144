"""What a caller meets: how soon the first audio comes, how fast bytes flow, what many cost."""
