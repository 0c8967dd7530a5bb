"""Writing prepared splits so that a crash leaves them whole, absent or resumable."""
