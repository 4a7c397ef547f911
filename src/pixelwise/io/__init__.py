"""Image files in and out: formats, headers and limits, windowed reading, chunked writing of label images."""
