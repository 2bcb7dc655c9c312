"""Where the Triton kernels can be tested: the same releases on which the package uses them."""

import pytest

from pps_torch.ops import backend as backends

REASON = "needs Triton and torch 2.8, the oldest on which the kernels are tested"
needs_triton = pytest.mark.skipif(not backends._HAS_TRITON, reason=REASON)
BACKENDS = ["torch", pytest.param("triton", marks=needs_triton)]
#: For tests of many cases, which take long in the interpreter.
TRITON_SLOWLY = ["torch", pytest.param("triton", marks=[needs_triton, pytest.mark.slow])]
