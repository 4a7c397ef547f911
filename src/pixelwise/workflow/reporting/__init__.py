"""What the report shows, and how its page is made."""
