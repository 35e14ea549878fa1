"""Engines: what turns a task's content into a response."""
