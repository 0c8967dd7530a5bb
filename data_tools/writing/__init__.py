"""Writes prepared splits so that a crash leaves them whole, absent or ready to be resumed."""
