"""Image input and output: formats, headers and limits, windowed reading, tiled writing of label images."""
