"""The page: runs and workflows to look at in a browser, read from journals alone."""
