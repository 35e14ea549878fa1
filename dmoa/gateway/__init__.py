"""The door of a node for its clients: an HTTP API that ordinary OpenAI clients speak.

Import what you need from its modules: the commands need the client alone, a node the rest.
"""

__all__: list[str] = []
