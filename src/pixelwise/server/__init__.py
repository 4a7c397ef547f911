"""The HTTP interface and the browser page: an asyncio process that neither imports torch nor decodes an image."""
