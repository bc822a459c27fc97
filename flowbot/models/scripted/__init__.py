"""Planted worlds: a simulation in which a search can be measured, for it is known what is wrong and what mends it."""

from flowbot.models.scripted.trades import archive, register, search
from flowbot.models.scripted.world import World

__all__ = ["World", "archive", "register", "search"]
