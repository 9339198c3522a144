"""The gateway: Mixdown's public API.

It takes uploads, runs turns, streams events and audio, serves artifacts. It knows no SQL, no
signal processing and no model, and it has no words of its own: tracks, turns and events are the
messages of `mixdown.conversation.v1`, which come from the session service and go to the caller as
they are.
"""
