"""Inference: tiled and streamed prediction of logits, masks, objects and classes in bounded memory."""
