"""The live driver: asyncio, ZeroMQ and language models for the nodes of the core."""

__all__: list[str] = []
