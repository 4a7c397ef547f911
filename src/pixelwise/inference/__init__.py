"""Any array or image becomes logits, then masks or classes: tiles, streaming, bounded memory."""
