"""The meta prompts: one Markdown file for each purpose of the meta model."""
