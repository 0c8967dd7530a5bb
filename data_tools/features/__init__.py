"""Features of a frozen ViT for scenes."""
