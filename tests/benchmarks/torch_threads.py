"""One PyTorch thread, whatever is asked for: at tiny sizes more of them only wait for each other."""

import contextlib

import pytest
import torch


@contextlib.contextmanager
def one_torch_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "set_num_threads", lambda threads: None)
        yield
    torch.set_num_threads(before)
