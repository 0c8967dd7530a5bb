"""Logarithm of the modified Bessel function of the first kind, also where the function itself over- or underflows."""

from __future__ import annotations

import math
from functools import lru_cache

from numpy.polynomial import Polynomial
from scipy import special


def _debye_polynomials(count: int) -> list[Polynomial]:
    """Return q_j with u_j(t) = t^j q_j(t), for the polynomials u_j of the uniform expansion of Bessel functions."""
    u, quotients = Polynomial([1.0]), [Polynomial([1.0])]
    for j in range(1, count + 1):
        u = Polynomial([0, 0, 0.5, 0, -0.5]) * u.deriv() + (Polynomial([1, 0, -5]) * u).integ() / 8
        quotients.append(Polynomial(u.coef[j:]))
    return quotients


_DEBYE = _debye_polynomials(12)
# From here on twelve terms of the expansion are exact to double precision; below, ive neither under- nor overflows.
_DEBYE_RADIUS = 30.0


@lru_cache(maxsize=1024)
def log_scaled_bessel(order: float, argument: float) -> float:
    r"""Return the logarithm of :math:`I_\nu(\kappa) \kappa^{-\nu}` in double precision.

    The uniform expansion of :math:`I_\nu` in powers of :math:`(\nu^2 + \kappa^2)^{-1/2}` holds for a large order and
    for a large argument.

    Args:
        order: :math:`\nu`, not negative.
        argument: :math:`\kappa`, not negative; zero gives the limit.

    Example:
        >>> round(log_scaled_bessel(4095.0, 1.0))  # I itself is 10 ** -14249
        -32809
    """
    radius = math.hypot(order, argument)
    if radius >= _DEBYE_RADIUS:
        series = sum(q(order / radius) / radius**j for j, q in enumerate(_DEBYE))
        return radius - order * math.log(order + radius) - 0.5 * math.log(2 * math.pi * radius) + math.log(series)
    if argument < 1.0:
        series = float(special.hyp0f1(order + 1, argument**2 / 4))
        return math.log(series) - order * math.log(2) - math.lgamma(order + 1)
    return math.log(special.ive(order, argument)) + argument - order * math.log(argument)
