"""The environment of every test process and of the kernels that nbval starts: what `make` sets, for bare pytest too."""

import os

os.environ |= {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "TQDM_DISABLE": "1"}
