"""Parts of the bench of first minutes on ordinary machines; see street.py."""
