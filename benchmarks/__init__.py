"""Speed, measured; not part of the package."""
