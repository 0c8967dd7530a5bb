"""Section 3 of the paper: von Mises-Fisher mixtures, EM, and what Slot Attention shares with them."""
