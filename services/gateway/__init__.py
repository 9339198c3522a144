"""The gateway: the only public service. Uploads, turns, streamed audio."""
