"""What may still change: names that the official package has under `experimental`. Importing this loads nothing."""
