"""What exported programs are made of: each gets a copy of the parts that it uses, and nothing else of FlowBot.

No other module imports these files; they are read. A part must do what the engine does: the same request, the same
value, the same words. Lines have at most 88 characters, as ruff formats a file that stands alone.
"""
