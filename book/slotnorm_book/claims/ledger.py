"""The claims ledger: what the paper claims, how each claim is decided, and what came of it.

A claim carries its criteria, fixed here before anything is measured; a verdict follows from measurements alone and is
never typed in. The mechanism claims M1 to M6 are measured by :mod:`slotnorm_book.claims.mechanism_checks`. A result
claim, R1 to R17, needs trained runs and is measured by :mod:`slotnorm_book.claims.judge`, with an interval over seeds
and scenes.
"""

from slotnorm_book.claims.claim import Claim, Criterion, Measurement, Outcome, Verdict
from slotnorm_book.claims.clevr import CLEVR_CLAIMS
from slotnorm_book.claims.mechanism import MECHANISM_CLAIMS
from slotnorm_book.claims.movi import MOVI_CLAIMS
from slotnorm_book.claims.properties import PROPERTY_CLAIMS

__all__ = ["CLAIMS", "Claim", "Criterion", "Measurement", "Outcome", "Verdict"]

_NUMBERED = (*MECHANISM_CLAIMS, *CLEVR_CLAIMS, *MOVI_CLAIMS, *PROPERTY_CLAIMS)

CLAIMS: dict[str, Claim] = {claim.id: claim for claim in sorted(_NUMBERED, key=lambda c: (c.id[0], int(c.id[1:])))}
"""The ledger by id."""
