"""Pretraining of the small ViT that stands in for DINO."""
