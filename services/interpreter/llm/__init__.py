"""The OpenAI engine: a language model behind strict schemas."""
