"""Draw the README's picture: python docs/picture.py START.yaml BEST.yaml > docs/before-after.svg"""

import sys

from flowbot import load
from flowbot.workflow.picture import before_after

if __name__ == "__main__":
    start, best = (load(path) for path in sys.argv[1:3])
    sys.stdout.write(before_after(start, best))
