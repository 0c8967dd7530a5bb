"""Stand-ins for CLEVR and MOVi, drawn and rendered on this machine."""
