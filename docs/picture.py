"""Draw the README's picture from a run: python docs/picture.py examples/routing/runs/demo > docs/before-after.svg"""

import sys
from pathlib import Path

from flowbot.faces.story import read_story
from flowbot.workflow.picture import before_after

if __name__ == "__main__":
    story = read_story(Path(sys.argv[1]) / "journal.sqlite")
    if story.start is None or story.best is None:
        sys.exit("picture: the run has no result yet")
    sys.stdout.write(before_after(story.start, story.best))
