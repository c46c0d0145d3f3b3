"""The Triton kernels of the GPU backends; they are launched in backends/cuda and tinycudann."""
