"""The library on a pretend GPU: `python -m tests.gpu [--t4] [pytest's arguments]` runs tests/gpu/cases.

`pretend.cpp` gives a CPU build of torch a device "cuda:0", `library` compiles it, `card` is what torch.cuda
then says and does; `counting` tells what was launched, waited for and copied.  It needs g++ and no GPU.
"""
