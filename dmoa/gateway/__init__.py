"""The door of a node for its clients: an HTTP API that ordinary OpenAI clients speak."""
