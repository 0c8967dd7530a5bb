"""Computes features of scenes with a frozen vision transformer (ViT)."""
