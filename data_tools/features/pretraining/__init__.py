"""Trains the small ViT that stands in for DINO."""
