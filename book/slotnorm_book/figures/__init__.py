"""Figures of the book's chapters; :mod:`slotnorm_book.figures.style` holds what they share."""
