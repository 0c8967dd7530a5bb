"""Converters from CLEVR-with-masks and MOVi to prepared splits."""
