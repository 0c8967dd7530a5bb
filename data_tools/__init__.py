"""Makes what slotnorm.data opens."""
