"""Workflows over HTTP: routes of their own fields, and OpenAI's chat completions."""
