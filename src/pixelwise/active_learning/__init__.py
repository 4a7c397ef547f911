"""What more labelled images would bring, and which to label next."""
