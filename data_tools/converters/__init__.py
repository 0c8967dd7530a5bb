"""Converts CLEVR (with masks) and MOVi to prepared splits."""
