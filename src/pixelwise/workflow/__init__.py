"""The commands: one file, one command, one public function."""
