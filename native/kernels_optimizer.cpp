// Filled by the optimizer kernels.
