"""The errors that a user can correct; the command line shows their message without a traceback."""

from slotnorm.data.manifest import SplitError
from slotnorm.training.checkpoint import CheckpointError
from slotnorm.training.spec import SpecError
from slotnorm_book.chapter_parameters import ParameterError
from slotnorm_book.checkout import CheckoutError
from slotnorm_book.experiments.run_store import BusyError, RunError

USER_ERRORS = (BusyError, CheckoutError, CheckpointError, ParameterError, RunError, SpecError, SplitError)
