"""The verbs: one file, one command, one public function."""
