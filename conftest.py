"""The environment of every test process and of the kernels that nbval starts: what `make` sets, for bare pytest too."""

import os

os.environ |= {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "TQDM_DISABLE": "1"}

# Tests serve files on this machine, which no proxy can reach; some programs read one name, some the other.
direct = ",".join(filter(None, (os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), "127.0.0.1,localhost")))
os.environ |= {"no_proxy": direct, "NO_PROXY": direct}
