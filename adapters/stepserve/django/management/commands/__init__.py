"""The commands that `manage.py` has where `stepserve.django` is installed."""
