"""`make demo`: a conversation with a real song through the whole suite, checked and measured."""
