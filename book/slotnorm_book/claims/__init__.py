"""The claims of the paper: statement, criteria, measure and verdict."""
