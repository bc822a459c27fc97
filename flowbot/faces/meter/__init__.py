"""The meter: a proxy in front of an OpenAI-compatible endpoint that counts and bounds what each label spends."""

from flowbot.faces.meter.forward import Forward
from flowbot.faces.meter.hosted import Hosted
from flowbot.faces.meter.labels import Meter
from flowbot.faces.meter.server import serving
from flowbot.faces.meter.upstream import Routed, upstream_of, upstream_to
from flowbot.faces.meter.wall import Tally

__all__ = ["Forward", "Hosted", "Meter", "Routed", "Tally", "serving", "upstream_of", "upstream_to"]
