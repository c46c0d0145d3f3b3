"""The Numba kernels of the CPU backend; nothing here knows torch or a class of the library."""
