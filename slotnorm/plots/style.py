"""Colors and sizes that every figure of the book shares."""

OKABE_ITO = {
    "black": "#000000",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "green": "#009E73",
    "yellow": "#F0E442",
    "blue": "#0072B2",
    "vermillion": "#D55E00",
    "purple": "#CC79A7",
}
PHONE_WIDTH = 5.4
"""Width of a figure in inches at which 10-point text is still readable on a phone."""
