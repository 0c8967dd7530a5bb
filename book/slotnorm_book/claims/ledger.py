"""The ledger: the claims of the paper, and our own hypotheses beside them.

A claim carries its criteria, fixed before anything is measured, and the function that measures it. Its verdict follows
from the measurements alone and is never typed in. See :mod:`slotnorm_book.claims.judge`.
"""

from collections.abc import Iterable
from typing import TypeVar

from slotnorm_book.claims import beyond, clevr, losses, mechanism_codes, mechanism_layers, movi_c, movi_d, properties
from slotnorm_book.claims.claim import Claim, Hypothesis, MechanismClaim, ResultClaim

SomeClaim = TypeVar("SomeClaim", bound=Claim)


def _by_id(claims: Iterable[SomeClaim]) -> dict[str, SomeClaim]:
    return {claim.id: claim for claim in sorted(claims, key=lambda claim: int(claim.id[1:]))}


MECHANISM_CLAIMS: dict[str, MechanismClaim] = _by_id((*mechanism_codes.CLAIMS, *mechanism_layers.CLAIMS))
RESULT_CLAIMS: dict[str, ResultClaim] = _by_id(
    (*clevr.CLAIMS, *movi_c.CLAIMS, *movi_d.CLAIMS, *losses.CLAIMS, *properties.CLAIMS)
)
CLAIMS: dict[str, Claim] = {**MECHANISM_CLAIMS, **RESULT_CLAIMS}
"""The claims of the paper that this book judges, by their ids."""
HYPOTHESES: dict[str, Hypothesis] = _by_id(beyond.HYPOTHESES)
CLAIMED_EXPERIMENTS = tuple(dict.fromkeys(name for claim in RESULT_CLAIMS.values() for name in claim.experiments))
"""The experiments that the paper's claims are about."""
